"""Lines: the sums of what happened to the points of a vintage in a period."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal, NamedTuple, Protocol

from ledger.books.tills import Receipt

OWED = ""
"""The vintage of what members owe: points in no lot, always 0 or less in all."""

Grain = Literal["day", "month"]

Basis = Literal["booked", "effective"]
"""Which of its two days something counts on: the one on which it was recorded, or the one on which it took effect."""


class Line(NamedTuple):
    """What happened to the points of a vintage in a period, as what members hold more: what goes is negative."""

    vintage: str
    """The month of issue, as 2026-01, or OWED."""
    period: date
    """Its first day."""
    issued: int = 0
    restored: int = 0
    reinstated: int = 0
    adjusted: int = 0
    redeemed: int = 0
    expired: int = 0
    clawed_back: int = 0
    sold_minor: int = 0
    """Money of sales that issued points, less what came back."""

    @property
    def points(self) -> int:
        """What members hold more at the end of it."""
        return sum(self[2:9])

    @property
    def redeemed_net(self) -> int:
        """Points redeemed, less what was given back of them."""
        return -self.redeemed - self.restored

    @property
    def issued_net(self) -> int:
        """Points issued, also by hand, less what was taken back of them."""
        return self.issued + self.reinstated + self.adjusted + self.clawed_back

    def plus(self, other: "Line") -> "Line":
        """Both together, in this one's vintage and period."""
        return Line(self.vintage, self.period, *(a + b for a, b in zip(self[2:], other[2:], strict=True)))


class Reading(NamedTuple):
    """The books of a program as of an instant."""

    position: int
    """What is behind it is not in them."""
    read_at: int
    """The instant, in microseconds."""
    on: date
    """Its day in the program's time zone."""
    currency: str
    minor_per_thousand_points: int
    """What the program says; 0 where it says nothing."""
    lines: list[Line]
    """In order of period and vintage."""


class Books(Protocol):
    """Read access to the books. Every call blocks on the database and is made from a worker thread."""

    def read(
        self, program: str, position: int, read_at: int, basis: Basis, grain: Grain, timeout_s: float
    ) -> Reading | None:
        """The books up to a position; None for a program that was not known then. Raises ViewBehind.

        `read_at` is the instant that the position stands for, in microseconds: it says which day and which version of
        the program it was. `timeout_s` bounds the wait for the position.
        """

    def read_now(
        self, program: str, min_position: int, now: int, basis: Basis, grain: Grain, timeout_s: float
    ) -> Reading | None:
        """The books now, at a position or later. What has expired by now counts as expired, recorded or not.

        None for a program that is not known. Raises ViewBehind.
        """

    def position_at(self, instant: int) -> int:
        """The last position recorded up to an instant, itself included; 0 where there is none."""

    def recorded_at(self, position: int) -> int:
        """When a position was recorded, in microseconds; 0 for position 0."""

    def receipts(self, program: str, day: str, position: int) -> Sequence[Receipt]:
        """The sales up to a position with that day of the tills' books, in the order of the tills' numbers."""


def by_vintage(lines: Iterable[Line]) -> dict[str, Line]:
    """The sums of all periods, by vintage, the oldest first."""
    sums: dict[str, Line] = {}
    for line in lines:
        before = sums.get(line.vintage)
        sums[line.vintage] = line if before is None else before.plus(line)
    return dict(sorted(sums.items()))


def month_of(day: date) -> str:
    """The month of a day, as 2026-01."""
    return f"{day.year:04}-{day.month:02}"


def month_number(month: str) -> int:
    """Months since the year 0: the difference of two is how old a vintage is."""
    year, _, number = month.partition("-")
    return int(year) * 12 + int(number) - 1


def month_named(number: int) -> str:
    """The inverse of month_number."""
    return f"{number // 12:04}-{number % 12 + 1:02}"
