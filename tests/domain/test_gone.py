"""Points that are gone unspent: by lot, never 0, of the newest lots only."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.account_pb2 import Allocation

from ledger.domain.gone import GONE_LOTS_MAX, NOTHING_GONE, with_gone


def some(points: Mapping[int, int]) -> list[Allocation]:
    """Points of lots."""
    return [Allocation(lot=lot, points=amount) for lot, amount in points.items()]


@given(st.lists(st.dictionaries(st.integers(1, 20), st.integers(1, 100), max_size=5), max_size=9))
def test_they_add_up_and_go_again(movements: list[dict[int, int]]) -> None:
    """What is used up leaves no entry behind."""
    gone = NOTHING_GONE
    for points in movements:
        before = dict(gone)
        after = with_gone(gone, some(points))
        assert gone == before, "a value was changed in place"
        assert after == {lot: before.get(lot, 0) + points.get(lot, 0) for lot in before.keys() | points.keys()}
        gone = after
    for points in movements:
        gone = with_gone(gone, some(points), -1)
    assert gone == {}


@pytest.mark.parametrize("step", [1, 7, GONE_LOTS_MAX, 3 * GONE_LOTS_MAX])
def test_the_newest_lots_are_kept(step: int) -> None:
    """However many lots expire, by how many at once."""
    lots, gone = range(1, 3 * GONE_LOTS_MAX + 1), NOTHING_GONE
    for first in range(0, len(lots), step):
        gone = with_gone(gone, some(dict.fromkeys(lots[first : first + step], 5)))
        assert len(gone) <= GONE_LOTS_MAX
    assert gone == dict.fromkeys(lots[-GONE_LOTS_MAX:], 5)


def test_what_is_not_remembered_is_not_used_up() -> None:
    """An event may use up points of a lot that was remembered when it was decided and is forgotten by now."""
    assert with_gone({2: 5}, some({1: 3, 2: 1}), -1) == {2: 4}
