"""Deferred revenue adds up, whatever happens to the points."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.books.line import Line, month_named, month_number
from ledger.books.revenue import allocate, by_ladder, by_shares, deferred_revenue, recognised


@pytest.mark.parametrize(
    ("sold", "standalone", "allocated"),
    [(100_000, 9_700, 8_842), (100_000, 9_500, 8_676), (0, 100, 0), (100, 0, 0), (0, 0, 0), (1, 1, 0)],
)
def test_allocation_by_relative_prices(sold: int, standalone: int, allocated: int) -> None:
    """100,000 x 9,700 / 109,700; nothing of nothing."""
    assert round(allocate(sold, Fraction(standalone))) == allocated


@pytest.mark.parametrize(
    ("allocated", "redeemed", "expected", "held", "revenue"),
    [
        (9_000, 4_500, 9_700, 5_500, 4_175),
        (8_676, 4_500, 9_500, 5_500, 4_110),
        (8_676, 8_500, 9_700, 1_500, 7_603),
        (9_000, 0, 9_700, 10_000, 0),
        (9_000, 4_500, 9_700, 0, 9_000),  # the rest has expired
        (9_000, 0, 9_700, 0, 9_000),
        (9_000, 9_900, 9_700, 100, 9_000),  # more than was expected
        (9_000, 4_500, 9_700, 100, 8_804),  # no more than 4,600 can be
    ],
)
def test_recognised_in_proportion(allocated: int, redeemed: int, expected: int, held: int, revenue: int) -> None:
    """Redeemed over expected, which is never less than redeemed nor more than that and what is held."""
    assert recognised(allocated, redeemed, Fraction(expected), held) == revenue


def test_expectations_hold_from_their_month_on() -> None:
    """Before the first, all is expected to be redeemed."""
    expected = by_shares({"2025-03": Fraction(9, 10), "2025-06": Fraction(8, 10)})
    total = Line("2025-01", date.min, issued=100)
    shares = [expected("2025-01", month, total) for month in ("2025-02", "2025-03", "2025-05", "2025-06", "2026-01")]
    assert shares == [100, 90, 90, 80, 80]


MOVES = st.tuples(
    st.integers(0, 8),
    st.integers(0, 5),
    st.integers(0, 2_000),
    st.floats(0, 1),
    st.floats(0, 0.5),
    st.integers(0, 10**6),
)


@given(st.lists(MOVES, max_size=30), st.booleans())
def test_every_month_adds_up_and_all_is_recognised_in_the_end(moves: list[tuple[int, ...]], ladder: bool) -> None:
    """Opening + deferred - recognised - catch-up = closing; once nothing is held, nothing is deferred."""
    january = month_number("2025-01")
    held: dict[int, int] = {}
    lines: list[Line] = []
    for month, age, points, spent_share, _, sold in sorted(moves, key=lambda move: move[0] + move[1]):
        vintage, at = month_named(january + month), month_named(january + month + age)
        held[month] = held.get(month, 0) + points
        spent = int(held[month] * spent_share)
        held[month] -= spent
        lines.append(
            Line(
                vintage,
                date.fromisoformat(f"{at}-01"),
                issued=points,
                redeemed=-spent,
                sold_minor=sold if points else 0,
            )
        )
    end = date(2027, 1, 1)
    lines += [Line(month_named(january + month), end, expired=-points) for month, points in held.items()]
    expected = by_ladder(lines, 2) if ladder else by_shares({"": Fraction(7, 10)})
    revenue = deferred_revenue(lines, 100_000, expected)
    last: dict[str, int] = {}
    for one in revenue.months:
        assert one.opening == last.get(one.vintage, 0)
        last[one.vintage] = one.closing
        assert one.opening + one.deferred - one.recognised - one.catch_up == one.closing
        assert one.closing >= 0
    assert not any(last.values())
    for allocation in revenue.allocations:
        earned = sum(one.recognised + one.catch_up for one in revenue.months if one.vintage == allocation.vintage)
        assert earned == allocation.allocated_minor
