"""Limits: how often a rule or promotion gives points, or how many, at most."""

from collections.abc import Sequence
from typing import Final

from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import Limit as LimitMessage

from ledger.domain.rules.tally import PERIODS, Tally

SEVERAL_MAX: Final = 10
"""Limits of one rule or promotion."""


class Limit:
    """One limit of a rule or promotion."""

    def __init__(self, owner: str, message: LimitMessage) -> None:
        self._period = message.period
        self._times = message.times
        self._points = message.points
        self.key = f"{owner}/{PERIODS[message.period]}/{'times' if message.times else 'points'}"

    def room(self, points: int, tally: Tally) -> int:
        """How many of some points fit."""
        used = tally.used(self.key, self._period)
        if used is None:
            return 0
        if self._times:
            return points if used < self._times else 0
        return min(points, max(self._points - used, 0))

    def count(self, points: int, tally: Tally) -> None:
        """Counts an award."""
        tally.add(self.key, self._period, 1 if self._times else points)


def reduce(award: Award, limits: Sequence[Limit], tally: Tally) -> None:
    """Cuts an award down to what every limit leaves, and notes which one took how much."""
    for limit in limits:
        fits = limit.room(award.points, tally) if award.points > 0 else award.points
        if fits < award.points:
            award.reductions.add(limit=limit.key, points=award.points - fits)
            award.points = fits
