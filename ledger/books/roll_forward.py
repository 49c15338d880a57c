"""Roll-forward: opening + what came - what went = closing, by vintage and period."""

from collections.abc import Iterable, Iterator
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from ledger.books.line import Line


class Rolled(NamedTuple):
    """A line with what members held before."""

    opening: int
    line: Line

    @property
    def closing(self) -> int:
        """What members hold afterwards."""
        return self.opening + self.line.points


def roll_forward(lines: Iterable[Line], start: date = date.min, until: date = date.max) -> Iterator[Rolled]:
    """The lines of periods from `start` up to, not including, `until`; the lines come in order of their periods."""
    held: dict[str, int] = {}
    for line in lines:
        if line.period >= until:
            return
        opening = held.get(line.vintage, 0)
        held[line.vintage] = opening + line.points
        if line.period >= start:
            yield Rolled(opening, line)


def worth(points: int, minor_per_thousand_points: int) -> int:
    """What points are worth in minor units, half a unit to the even one."""
    return round(Fraction(points * minor_per_thousand_points, 1_000))
