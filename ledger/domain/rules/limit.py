"""Limits: how often a rule, promotion or reward can be had, or for how many points, at most."""

from collections.abc import Sequence
from typing import Final

from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import Limit as LimitMessage
from loyalty.v1.earning_pb2 import LimitScope
from loyalty.v1.reward_pb2 import Use

from ledger.domain.rules.tally import PERIODS, Tally

SEVERAL_MAX: Final = 10
"""Limits of one rule or promotion."""


class Limit:
    """One limit of a rule, promotion or reward."""

    def __init__(self, owner: str, message: LimitMessage) -> None:
        self._period = message.period
        self._times = message.times
        self._points = message.points
        self._is_shared = message.scope == LimitScope.LIMIT_SCOPE_PROGRAM
        self.key = f"{owner}/{PERIODS[message.period]}/{'times' if message.times else 'points'}"

    def left(self, tally: Tally) -> int:
        """How many times or points are left."""
        count = tally.used_by_all if self._is_shared else tally.used
        used = count(self.key, self._period)
        return 0 if used is None else max((self._times or self._points) - used, 0)

    def room(self, points: int, tally: Tally) -> int:
        """How many of some points fit."""
        left = self.left(tally)
        if self._times:
            return points if left else 0
        return min(points, left)

    def count(self, points: int, tally: Tally) -> None:
        """Counts an award."""
        add = tally.add_for_all if self._is_shared else tally.add
        add(self.key, self._period, 1 if self._times else points)

    def use(self, times: int, points: int, tally: Tally) -> Use:
        """What a redemption takes of it."""
        scope = LimitScope.LIMIT_SCOPE_PROGRAM if self._is_shared else LimitScope.LIMIT_SCOPE_MEMBER
        return tally.use(self.key, self._period, times if self._times else points, scope)


def reduce(award: Award, limits: Sequence[Limit], tally: Tally) -> None:
    """Cuts an award down to what every limit leaves, and notes which one took how much."""
    for limit in limits:
        fits = limit.room(award.points, tally) if award.points > 0 else award.points
        if fits < award.points:
            award.reductions.add(limit=limit.key, points=award.points - fits)
            award.points = fits
