"""Cancelled points: pending ones that somebody cancelled, so that no return takes them once more."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from loyalty.v1.account_pb2 import Allocation
from loyalty.v1.events_pb2 import Undo


class Cancelled(NamedTuple):
    """A value: neither mapping is ever changed in place."""

    points: Mapping[int, int]
    """By lot."""
    absorbed: Mapping[int, int]
    """Of them, by lot, those that returns would have taken since: they never come back."""

    def left(self, lot: int) -> int:
        """Points of a lot that would be there had nobody cancelled them."""
        return max(self.points.get(lot, 0) - self.absorbed.get(lot, 0), 0)

    def absorb(self, lot: int, due: int, issued: int) -> int:
        """Of the points that are due of a lot, those that are gone already."""
        beyond = due + self.points.get(lot, 0) - issued
        return min(max(beyond, self.absorbed.get(lot, 0), 0), max(due, 0))

    def plus(self, allocations: Iterable[Allocation], sign: int = 1) -> "Cancelled":
        """With more of them, or less."""
        points = dict(self.points)
        for allocation in allocations:
            points[allocation.lot] = points.get(allocation.lot, 0) + sign * allocation.points
        return self._replace(points=points)

    def after(self, undo: Undo) -> "Cancelled":
        """What a return or reversal leaves of them."""
        if not (undo.revived or undo.absorbed):
            return self
        absorbed = {**self.absorbed, **{allocation.lot: allocation.points for allocation in undo.absorbed}}
        return self.plus(undo.revived, -1)._replace(absorbed=absorbed)


NONE_CANCELLED: Final = Cancelled({}, {})
