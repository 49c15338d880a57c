"""The daily check of the books (L5) finds what was changed behind the ledger's back, and says so."""

import logging

import pytest
from prometheus_client import REGISTRY

from projections.books_check import BooksChecker
from projections.catalogue import PROJECTIONS
from tests.projections.history import START, History, append
from tests.projections.tables import catch_up, execute

DAYS = "liability_1.liability_days"


def alarm() -> float | None:
    """What the metric shows."""
    return REGISTRY.get_sample_value("loyalty_liability_broken")


@pytest.fixture(name="history")
def _history(database_url: str) -> History:
    """A history in the database."""
    history = History().live(200)
    append(database_url, history.events)
    catch_up(database_url)
    return history


@pytest.fixture(name="checker")
def _checker(database_url: str, history: History) -> BooksChecker:
    """A checker of it, on the day on which it was recorded."""
    assert history.events
    return BooksChecker(database_url, lambda: START)


def test_all_is_well(checker: BooksChecker) -> None:
    """Every day and every vintage adds up."""
    assert checker.check() == []
    assert alarm() == 0


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {DAYS} SET redeemed = redeemed + 1 WHERE ctid = (SELECT min(ctid) FROM {DAYS})",
        f"UPDATE {DAYS} SET issued = issued + 5, adjusted = adjusted - 5 WHERE ctid = (SELECT min(ctid) FROM {DAYS})",
        f"DELETE FROM {DAYS} WHERE vintage = (SELECT max(vintage) FROM {DAYS})",
        f"INSERT INTO {DAYS} VALUES ('programs/shop', '2020-01', '1999-01-01', '1999-01-01', 9, 0, 0, 0, 0, 0, 0, 0)",
        "DELETE FROM liability_1.movements WHERE position = (SELECT max(position) FROM liability_1.movements)",
        "UPDATE balances_1.lots SET points = points + 1 WHERE ctid = (SELECT min(ctid) FROM balances_1.lots)",
        "UPDATE liability_1.vintages SET vintage = '1999-01'",
    ],
)
def test_what_is_broken_alarms(
    checker: BooksChecker, database_url: str, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A sum, a movement or a lot that was changed is an error in the log and a metric that is not 0."""
    execute(database_url, statement)
    with caplog.at_level(logging.ERROR):
        broken = checker.check()
    assert broken
    assert broken[0].program == "programs/shop"
    assert alarm() == len(broken)
    assert all("does not add up" in message for message in caplog.messages)


def test_views_at_different_positions_are_compared_where_both_have_been(
    checker: BooksChecker, database_url: str, history: History
) -> None:
    """What the liability has and the balances do not have yet is left out."""
    before = len(history.events)
    history.sell(next(iter(history.accounts)), 50_00)
    append(database_url, history.events[before:], at=history.at)
    catch_up(database_url, projections=[PROJECTIONS["liability"]])
    assert checker.check() == []
