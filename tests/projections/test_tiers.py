"""Tiers: where a member stands, exactly as the account says, and what is still to earn."""

import psycopg
import pytest
from loyalty.v1.events_pb2 import SaleReturned, Undo
from loyalty.v1.expiry_pb2 import PendingPolicy

from ledger.store.datastore import LedgerDatastore
from projections.views import PostgresViews
from tests.projections.history import DAY, START, History, append, program
from tests.projections.tables import catch_up


def test_progress_and_since(database_url: str, datastore: LedgerDatastore) -> None:
    """The view gives what the newest program says is needed, and when the tier was reached."""
    history = History(program(pending=PendingPolicy()))
    member = history.enrol()
    history.at += DAY
    sale = history.sell(member, 60_000)
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    view = views.member(member, history.at)
    assert view is not None
    assert (view.tier.tier, view.tier.qualifying_points, view.tier.next_tier) == ("gold", 600, "")
    with psycopg.connect(database_url) as connection:
        since = connection.execute("SELECT since FROM views.tiers").fetchone()
    assert since == (START + DAY,)
    recorded = len(history.events)
    history.give_back(member, sale)
    append(database_url, history.events[recorded:])
    catch_up(database_url)
    view = views.member(member, history.at)
    assert view is not None
    assert (view.tier.tier, view.tier.next_tier, view.tier.points_to_next) == ("blue", "gold", 500)


@pytest.mark.parametrize("page_events", [1, 2, 100])
def test_qualifying_points_never_go_below_zero_on_the_way(
    database_url: str, datastore: LedgerDatastore, page_events: int
) -> None:
    """Taking back points that never qualified stops at 0, and what is earned next counts in full, in any pages."""
    history = History(program(pending=PendingPolicy()))
    member = history.enrol()
    for _ in range(3):
        history.sell(member, 10_000)
        history.record(member, SaleReturned(undo=Undo(qualifying_points=300)))
        history.sell(member, 2_000)
    assert history.accounts[member].qualifying == 20
    append(database_url, history.events)
    catch_up(database_url, page_events)
    view = PostgresViews(datastore).member(member, history.at)
    assert view is not None
    assert view.tier.qualifying_points == 20
