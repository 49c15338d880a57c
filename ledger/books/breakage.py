"""Breakage: how many points of each vintage will never be redeemed, by the chain ladder.

The method is that of loss reserving (Mack, 1993), with points redeemed in place of claims paid. C(v, a) is what had
been redeemed of vintage v, less what returns gave back, at the end of the month that is a months after the month of
issue. Only months that are over count. The factor from age a to a + 1 is the sum of C(v, a + 1) over the sum of C(v,
a), over all vintages that have been seen at both ages and had redeemed something by the first. A factor with fewer
vintages behind it than are asked for is no evidence: the ladder ends there, and of what comes later nothing is known;
no redemptions are assumed then. What a vintage is expected to come to is what it had redeemed by the last month that is
over, times the factors from its age to the ladder's end; never less than what is redeemed, never more than that and
what is still held.

No estimate is made for a vintage while there is no ladder at all, and for one that is on the ladder but has redeemed
nothing yet: then all that is held counts as going to be redeemed, so that nothing is released without evidence.

All figures are exact fractions; points are rounded to the nearest, half to the even one, at the very end.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from ledger.books.line import OWED, Line, by_vintage, month_number, month_of

VINTAGES_MIN: Final = 3
"""Vintages behind a factor, unless other numbers are asked for."""


class Factor(NamedTuple):
    """The step from one age, in months, to the next."""

    from_age: int
    value: Fraction
    vintages: int


class Estimate(NamedTuple):
    """What a vintage is expected to come to."""

    vintage: str
    age: int
    """Months that are over since the month of issue; -1 while that is not over itself."""
    total: Line
    triangle: Sequence[int]
    """Points redeemed by age, cumulatively: one for each month that is over."""
    ultimate: int
    """Points redeemed in the end."""
    vintages_behind: int
    """The least of any factor that was used; 0 where none was."""
    reason: str
    """Why there is no estimate; empty where there is one."""

    @property
    def breakage(self) -> int:
        """Points that are never redeemed, those that have expired included."""
        return self.total.issued_net - self.ultimate


class Breakage(NamedTuple):
    """The ladder and what it gives."""

    factors: Sequence[Factor]
    estimates: Sequence[Estimate]


def breakage(lines: Iterable[Line], month: str, vintages_min: int = VINTAGES_MIN) -> Breakage:
    """The estimates at the beginning of a month: those before it are over.

    Of the lines' periods the month counts. Points redeemed before their month of issue count in it.
    """
    known = [line for line in lines if line.vintage != OWED]
    over = month_number(month)
    totals = by_vintage(known)
    triangle = _triangle(known, totals, over)
    factors = _factors(triangle, vintages_min)
    return Breakage(
        factors, [_estimate(total, triangle[vintage], factors, vintages_min) for vintage, total in totals.items()]
    )


def _triangle(lines: Iterable[Line], vintages: Iterable[str], over: int) -> dict[str, list[int]]:
    triangle = {vintage: [0] * max(over - month_number(vintage), 0) for vintage in vintages}
    for line in lines:
        row = triangle[line.vintage]
        age = max(month_number(month_of(line.period)) - month_number(line.vintage), 0)
        if age < len(row):
            row[age] += line.redeemed_net
    for row in triangle.values():
        for age in range(1, len(row)):
            row[age] += row[age - 1]
    return triangle


def _factors(triangle: Mapping[str, Sequence[int]], vintages_min: int) -> list[Factor]:
    """The factors as far as there is any vintage; the ladder ends before the first with too few."""
    longest = max(map(len, triangle.values()), default=0)
    factors: list[Factor] = []
    for age in range(longest - 1):
        seen = [row for row in triangle.values() if len(row) > age + 1 and row[age] > 0]
        if not seen:
            break
        value = Fraction(sum(row[age + 1] for row in seen), sum(row[age] for row in seen))
        factors.append(Factor(age, value, len(seen)))
        if len(seen) < vintages_min:
            break
    return factors


def _estimate(total: Line, row: Sequence[int], factors: Sequence[Factor], vintages_min: int) -> Estimate:
    ladder = [factor for factor in factors if factor.vintages >= vintages_min]
    age = len(row) - 1
    redeemed, held = total.redeemed_net, total.points
    reason, ultimate, behind = "", redeemed + held, 0
    if not held:
        pass  # nothing is left to expect
    elif not ladder:
        reason = f"no month of age has {vintages_min} vintages that were seen before and after it"
    elif age < 0:
        reason = "its month of issue is not over"
    elif age < len(ladder) and row[age] <= 0:
        reason = "nothing of it had been redeemed by the end of the last month"
    else:
        used = ladder[age:]
        expected = Fraction(row[age])
        for factor in used:
            expected *= factor.value
        ultimate = max(min(round(expected), redeemed + held), redeemed)
        behind = min((factor.vintages for factor in used), default=0)
    return Estimate(total.vintage, age, total, row, ultimate, behind, reason)
