"""Rounding: exact integers, one named function each, and shares that add up."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.earning_pb2 import Rounding

from ledger.domain import rounding
from ledger.domain.rounding import BY_NAME, INT64_MAX, share_out

AMOUNTS = st.integers(0, INT64_MAX)
POSITIVE = st.integers(1, INT64_MAX)


@pytest.mark.parametrize(
    ("amount", "points", "per", "whole_steps", "floored", "half_up", "ceiling"),
    [
        (105_00, 1, 10_00, 10, 10, 11, 11),  # E1: 1 point per 10.00; 105.00 gives 10
        (2_50, 4, 1_00, 8, 10, 10, 10),
        (2_49, 1, 1_00, 2, 2, 2, 3),
        (2_50, 1, 1_00, 2, 2, 3, 3),
        (99, 1, 1_00, 0, 0, 1, 1),
        (0, 5, 1_00, 0, 0, 0, 0),
        (1, 1, 3, 0, 0, 0, 1),
        (2, 1, 3, 0, 0, 1, 1),
    ],
)
def test_an_amount_becomes_points(  # one column for each rounding
    amount: int, points: int, per: int, whole_steps: int, floored: int, half_up: int, ceiling: int
) -> None:
    """Each rounding has its own answer."""
    assert rounding.whole_steps(amount, points, per) == whole_steps
    assert rounding.floor(amount, points, per) == floored
    assert rounding.half_up(amount, points, per) == half_up
    assert rounding.ceiling(amount, points, per) == ceiling


@given(amount=AMOUNTS, points=POSITIVE, per=POSITIVE)
def test_roundings_are_exact(amount: int, points: int, per: int) -> None:
    """Against exact fractions, for amounts where a float would be wrong."""
    exact = Fraction(amount * points, per)
    assert rounding.floor(amount, points, per) == floor(exact)
    assert rounding.ceiling(amount, points, per) == ceil(exact)
    assert rounding.half_up(amount, points, per) == floor(exact + Fraction(1, 2))
    assert rounding.whole_steps(amount, points, per) == floor(Fraction(amount, per)) * points


def test_every_rounding_has_its_function() -> None:
    """What is not said counts whole steps."""
    assert set(BY_NAME) == set(Rounding.values())
    assert BY_NAME[Rounding.ROUNDING_UNSPECIFIED] is rounding.whole_steps


def test_points_for_a_bill_are_exact() -> None:
    """E16: points at 0.03 each against a bill of 3,000.00 are exactly 100,000; 267.39 + 0.89 is 268.28."""
    assert rounding.ceiling(3_000_00, 1, 3) == rounding.floor(3_000_00, 1, 3) == 100_000
    assert 267_39 + 89 == 268_28


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (10, [1, 1, 1], [3, 3, 4]),
        (1, [1, 1, 1], [0, 0, 1]),
        (10, [0, 1, 0], [0, 10, 0]),
        (10, [0, 0], [0, 0]),
        (0, [5, 5], [0, 0]),
        (7, [], []),
        (15_20, [12_00, 100_00, 40_00], [1_20, 10_00, 4_00]),
    ],
)
def test_a_total_is_shared_out(total: int, weights: list[int], parts: list[int]) -> None:
    """In proportion, and to the last unit."""
    assert share_out(total, weights) == parts


@given(total=AMOUNTS, weights=st.lists(AMOUNTS, max_size=50))
def test_shares_add_up(total: int, weights: list[int]) -> None:
    """Exactly; each is off its exact share by less than one; nothing without weight gets anything."""
    parts = share_out(total, weights)
    whole = sum(weights)
    assert len(parts) == len(weights)
    assert sum(parts) == (total if whole else 0)
    for part, weight in zip(parts, weights, strict=True):
        assert part >= 0
        assert abs(part * whole - total * weight) < max(whole, 1)
        if weight == 0:
            assert part == 0


@given(weights=st.lists(AMOUNTS, max_size=50), data=st.data())
def test_no_share_is_more_than_its_weight(weights: list[int], data: st.DataObject) -> None:
    """So a discount that fits the lines never brings one below zero."""
    total = data.draw(st.integers(0, sum(weights)))
    assert all(part <= weight for part, weight in zip(share_out(total, weights), weights, strict=True))
