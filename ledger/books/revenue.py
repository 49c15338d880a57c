"""Deferred revenue of points: IFRS 15 paragraphs 74 to 90 and B39 to B43, example 52; ASC 606-10-55-41 to 45.

Points are a separate promise to the member, so a part of what the sales of a month brought in is theirs:

    standalone = points issued x share that was expected to be redeemed x what a point sells for by itself
    allocated  = sold x standalone / (sold + standalone)

The share is that of the end of the month of issue (or of the first month in which any of it is booked), and is not
looked at again for the allocation (paragraph 88); what comes back later, goods and points, lowers what was sold and
issued. What is allocated is deferred, and recognised as points are redeemed, in proportion to all that are expected to
be:

    recognised until t = allocated x redeemed until t / expected at t

When what is expected changes, what was recognised before is brought up to date at once: the catch-up. What is expected
is never less than what is redeemed nor more than that and what members still hold, so that the rest is recognised when
the last points have expired.

Amounts are whole minor units: cumulative ones are rounded, half to the even unit, and those of a month are their
differences, so that every roll-forward adds up exactly.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Final, NamedTuple

from ledger.books.breakage import breakage
from ledger.books.line import OWED, Line, month_named, month_number, month_of

Expected = Callable[[str, str, Line], Fraction]
"""(vintage, month, what has happened to the vintage by the end of it) -> points expected to be redeemed in all."""

MILLIONTHS: Final = 1_000_000


class Allocated(NamedTuple):
    """How the price of a vintage's sales was shared out between goods and points."""

    vintage: str
    sold_minor: int
    expected_points: int
    standalone_minor: int
    allocated_minor: int


class Deferred(NamedTuple):
    """What a month did to the deferred revenue of a vintage, in minor units but for the points."""

    vintage: str
    month: str
    opening: int
    deferred: int
    recognised: int
    catch_up: int
    redeemed_points: int
    expected_points: int

    @property
    def closing(self) -> int:
        """What is deferred afterwards."""
        return self.opening + self.deferred - self.recognised - self.catch_up


class Revenue(NamedTuple):
    """The allocations and what became of them."""

    allocations: Sequence[Allocated]
    months: Sequence[Deferred]


def allocate(sold_minor: int, standalone_minor: Fraction) -> Fraction:
    """The part of a price that points get, by relative stand-alone selling prices; goods sell for their price."""
    together = sold_minor + standalone_minor
    return sold_minor * standalone_minor / together if together > 0 else Fraction(0)


def recognised(allocated_minor: int, redeemed: int, expected: Fraction, held: int) -> int:
    """What of an allocation is revenue once so many points are redeemed of those that are expected to be."""
    expected = max(min(expected, Fraction(redeemed + held)), Fraction(redeemed))
    share = Fraction(redeemed) / expected if expected else Fraction(0 if held else 1)
    return round(allocated_minor * share)


def by_shares(shares: Mapping[str, Fraction]) -> Expected:
    """What is expected by a share of the points issued, each from a month on."""
    ordered = sorted(shares.items())

    def expected(_vintage: str, month: str, total: Line) -> Fraction:
        share = next((share for since, share in reversed(ordered) if since <= month), Fraction(1))
        return share * total.issued_net

    return expected


def by_ladder(lines: Sequence[Line], vintages_min: int) -> Expected:
    """What is expected by the chain ladder of each month's end, with what had happened by then."""
    kept: dict[str, dict[str, int]] = {}

    def expected(vintage: str, month: str, _total: Line) -> Fraction:
        if month not in kept:
            until = [line for line in lines if month_of(line.period) <= month]
            after = month_named(month_number(month) + 1)
            kept[month] = {one.vintage: one.ultimate for one in breakage(until, after, vintages_min).estimates}
        return Fraction(kept[month].get(vintage, 0))

    return expected


def deferred_revenue(
    lines: Iterable[Line],
    minor_per_thousand_points: int,
    expected: Expected,
    known: Mapping[str, int] | None = None,
) -> Revenue:
    """The roll-forward of every vintage up to the last month of any line.

    Args:
        lines: By month, in order.
        minor_per_thousand_points: What 1,000 points sell for by themselves.
        expected: How many points are expected to be redeemed, at the end of any month.
        known: What was allocated to a vintage's points, in minor units, where it is not to be worked out.
    """
    by_month: dict[str, dict[int, Line]] = {}
    last = 0
    for line in lines:
        number = month_number(month_of(line.period))
        last = max(last, number)
        if line.vintage != OWED:
            number = max(number, month_number(line.vintage))
            lines_of = by_month.setdefault(line.vintage, {})
            lines_of[number] = lines_of[number].plus(line) if number in lines_of else line
    allocations: list[Allocated] = []
    months: list[Deferred] = []
    for vintage in sorted(by_month):
        price = Fraction(minor_per_thousand_points, 1_000)
        rolled = _Vintage(vintage, price, expected, (known or {}).get(vintage))
        months += rolled.months(by_month[vintage], last)
        allocations.append(rolled.allocation())
    return Revenue(allocations, sorted(months, key=lambda one: (one.month, one.vintage)))


class _Vintage:
    """The roll-forward of a vintage."""

    def __init__(self, vintage: str, price: Fraction, expected: Expected, known: int | None) -> None:
        self._vintage = vintage
        self._price = price
        self._expected = expected
        self._known = known
        self._share: Fraction | None = None
        """Of the issued points, those that were expected to be redeemed at the end of the month of issue."""
        self._total = Line(vintage, date.min)

    def months(self, lines: Mapping[int, Line], last: int) -> Iterator[Deferred]:
        """Every month from that of issue on in which anything happens."""
        allocated = done = redeemed = 0
        for number in range(month_number(self._vintage), last + 1):
            month = month_named(number)
            if number in lines:
                self._total = self._total.plus(lines[number])
            total = self._total
            expected = self._expected(self._vintage, month, total)
            if self._share is None and total.issued_net > 0:
                self._share = expected / total.issued_net
            before, allocated_before = done, allocated
            up_to_date = recognised(allocated, redeemed, expected, total.points + total.redeemed_net - redeemed)
            allocated = self._allocated()
            redeemed = total.redeemed_net
            done = recognised(allocated, redeemed, expected, total.points)
            deferred = Deferred(
                self._vintage,
                month,
                allocated_before - before,
                allocated - allocated_before,
                done - up_to_date,
                up_to_date - before,
                redeemed,
                round(max(min(expected, Fraction(redeemed + total.points)), Fraction(redeemed))),
            )
            if any((deferred.deferred, deferred.recognised, deferred.catch_up)):
                yield deferred

    def allocation(self) -> Allocated:
        """The allocation as it is at the end."""
        standalone = self._standalone()
        points = round((self._share or Fraction(0)) * self._total.issued_net)
        return Allocated(self._vintage, self._total.sold_minor, points, round(standalone), self._allocated())

    def _standalone(self) -> Fraction:
        return max(self._total.issued_net, 0) * (self._share or Fraction(0)) * self._price

    def _allocated(self) -> int:
        if self._known is not None:
            return self._known
        return round(allocate(max(self._total.sold_minor, 0), self._standalone()))
