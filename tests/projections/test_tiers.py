"""Tiers: where a member stands, exactly as the account says, and what is still to earn."""

import psycopg
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
    assert (view.tier.tier, view.tier.qualifying_amount, view.tier.next_tier) == ("gold", 600, "")
    with psycopg.connect(database_url) as connection:
        since = connection.execute("SELECT since FROM views.tiers").fetchone()
    assert since == (START + DAY,)
    recorded = len(history.events)
    history.give_back(member, sale)
    append(database_url, history.events[recorded:])
    catch_up(database_url)
    view = views.member(member, history.at)
    assert view is not None
    assert (view.tier.tier, view.tier.next_tier, view.tier.amount_to_next) == ("blue", "gold", 500)
