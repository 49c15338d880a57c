"""Points that are gone without having been spent: pending ones that were cancelled, and active ones that expired.

They are remembered by the lot that they were issued in, so that no return takes them once more.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from loyalty.v1.account_pb2 import Allocation

GONE_LOTS_MAX: Final = 256
"""Lots of which an account remembers this, the newest; points of older ones are treated as spent."""

Gone = Mapping[int, int]
"""Points by lot, none of 0. Never changed in place."""

NOTHING_GONE: Final[Gone] = {}


def with_gone(gone: Gone, allocations: Iterable[Allocation], sign: int = 1) -> Gone:
    """With more of them, or less."""
    points = dict(gone)
    for allocation in allocations:
        left = points.pop(allocation.lot, 0) + sign * allocation.points
        if left > 0:
            points[allocation.lot] = left
    if len(points) > GONE_LOTS_MAX:
        points = {lot: points[lot] for lot in sorted(points)[-GONE_LOTS_MAX:]}
    return points
