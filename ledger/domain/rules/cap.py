"""Caps: what a member earns at most, by all rules and promotions together."""

from collections.abc import Sequence

from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import Cap as CapMessage
from loyalty.v1.earning_pb2 import Excess

from ledger.domain.rules.tally import Tally


class Cap:
    """One cap of a program."""

    def __init__(self, message: CapMessage) -> None:
        self._id = message.cap_id
        self._over = message.WhichOneof("over")
        self._period = message.period
        self._points = message.points
        self._rejects = message.excess == Excess.EXCESS_REJECT
        self._key = f"{message.cap_id}/cap"

    def apply(self, awards: Sequence[Award], balance: int, tally: Tally) -> None:
        """Cuts the awards, the last first, until they fit; notes on each what it lost."""
        asked = sum(award.points for award in awards)
        excess = asked - self._room(asked, balance, tally)
        if excess <= 0:
            return
        if self._rejects:
            excess = asked
        for award in reversed(awards):
            less = min(max(award.points, 0), excess)
            if less:
                award.reductions.add(limit=self._id, points=less)
                award.points -= less
                excess -= less

    def count(self, points: int, tally: Tally) -> None:
        """Counts what is given in the end."""
        if self._over == "period" and points:
            tally.add(self._key, self._period, points)

    def _room(self, asked: int, balance: int, tally: Tally) -> int:
        match self._over:
            case "per_sale":
                return self._points
            case "balance":
                return max(self._points - balance, 0)
            case _:
                used = tally.used(self._key, self._period)
                return 0 if used is None else max(self._points - used, 0)
