"""The comparison, which must see a single cent."""

import pytest

from ledger.demo.grocery_year import Figures
from ledger.demo.reconciliation import Reconciliation, Recorded, reconcile

EXPECTED = {7: Figures(2, 1050, 9), 8: Figures(1, 99, 0)}
MEMBERS = {7: "members/a", 8: "members/b"}
EVENTS = {"members/a": Figures(2, 1050, 9), "members/b": Figures(1, 99, 0)}
BALANCES = {"members/a": 9, "members/b": 0}


def compare(events: dict[str, Figures], balances: dict[str, int]) -> Reconciliation:
    """The ledger's side against the same files."""
    return reconcile(EXPECTED, MEMBERS, Recorded(events=events, balances=balances))


def test_equal_figures_reconcile() -> None:
    """Totals of both sides and nothing that differs."""
    result = compare(EVENTS, BALANCES)
    assert result.holds
    assert result.totals == [
        ("members", 2, 2, 0),
        ("sales", 3, 3, 0),
        ("money in cents", 1149, 1149, 0),
        ("points issued", 9, 9, 0),
        ("points balance", 9, 9, 0),
    ]


@pytest.mark.parametrize(
    ("figures", "difference"),
    [
        (Figures(3, 1050, 9), ("household 7", "sales", 2, 3)),
        (Figures(2, 1049, 9), ("household 7", "money in cents", 1050, 1049)),
        (Figures(2, 1050, 10), ("household 7", "points issued", 9, 10)),
    ],
)
def test_one_wrong_figure_is_seen(figures: Figures, difference: tuple[object, ...]) -> None:
    """Each figure of a household by itself."""
    result = compare({**EVENTS, "members/a": figures}, BALANCES)
    assert not result.holds
    assert result.differences == [difference]


def test_a_wrong_balance_is_seen() -> None:
    """Right events do not excuse a wrong view."""
    result = compare(EVENTS, {**BALANCES, "members/b": 1})
    assert result.differences == [("household 8", "points balance", 0, 1)]
    assert str(result.differences[0]) == ("household 8: points balance 0 in the files, 1 in the ledger")


def test_differences_that_cancel_out_in_the_total_are_seen() -> None:
    """A cent too much here and too little there."""
    result = compare({"members/a": Figures(2, 1051, 9), "members/b": Figures(1, 98, 0)}, BALANCES)
    assert result.totals[2] == ("money in cents", 1149, 1149, 2)
    assert not result.holds


def test_a_member_too_few_or_too_many_is_seen() -> None:
    """Even one who has bought nothing."""
    only = compare({"members/a": EVENTS["members/a"]}, {"members/a": 9})
    assert ("household 8", "members", 1, 0) in only.differences
    more = compare({**EVENTS, "members/c": Figures(0, 0, 0)}, {**BALANCES, "members/c": 0})
    assert more.differences == [("members/c", "members", 0, 1)]
