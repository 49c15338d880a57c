"""Tiers: where a member stands, exactly as the account says, and what is still to earn."""

import psycopg
import pytest
from loyalty.v1.account_pb2 import TierProgress
from loyalty.v1.events_pb2 import TierChanged
from loyalty.v1.expiry_pb2 import CalendarUnit, ExpiryPolicy, PendingPolicy

from ledger.store.datastore import LedgerDatastore
from projections.check import check
from projections.views import PostgresViews
from tests.programs import tier_policy
from tests.projections.history import DAY, START, History, append, program
from tests.projections.tables import catch_up, tables
from tests.running import Databases


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


POLICIES = {
    "rolling": tier_policy(rolling={"days": 30}, grace={"days": 3}),
    "quarter": tier_policy(calendar=CalendarUnit.CALENDAR_UNIT_QUARTER, basis="SPEND", downgrade="ONE_STEP"),
    "since": tier_policy(since_change={"days": 40}, basis="VISITS"),
}


def tiered(policy: str, seed: int = 1) -> History:
    """A history in a program with that policy, in which every basis reaches the upper tier now and then."""
    threshold = {"rolling": 500, "quarter": 50_000, "since": 3}[policy]
    definition = program(tier_policy=POLICIES[policy])
    definition.tiers[1].threshold = threshold
    definition.tiers.add(tier_id="platinum", threshold=threshold * 2)
    return History(definition, seed).live(200)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("policy", POLICIES)
def test_agrees_with_the_account_at_any_later_instant(
    database_url: str, datastore: LedgerDatastore, policy: str, seed: int
) -> None:
    """Promise 8: the view says what the account would say after its job had run, at every change ahead and beyond."""
    history = tiered(policy, seed)
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    ladder = history.program.ladder
    for member in list(history.accounts):
        ahead = [change.at for change in history.accounts[member].standing.ahead]
        for at in sorted(history.at + later for later in (0, DAY, 33 * DAY, 100 * DAY, 400 * DAY)) + ahead:
            expected = TierProgress()
            history.at = at
            before = history.accounts[member]
            history.settle(member)
            account = history.accounts[member]
            ladder.write_progress(expected, account.tier, account.standing, at)
            history.accounts[member] = before
            view = views.member(member, at)
            assert view is not None
            assert view.tier == expected
    assert any(isinstance(event.payload, TierChanged) for event in history.events)


@pytest.mark.parametrize("policy", POLICIES)
def test_pages_of_any_size_come_to_the_same(databases: Databases, policy: str) -> None:
    """Event by event, or all at once; and the check finds every standing as the accounts have it."""
    history = tiered(policy)
    found = []
    for page_events in (1, 17, 10_000):
        url = databases.url(databases.create())
        append(url, history.events)
        catch_up(url, page_events)
        found.append(tables(url, "tiers"))
    assert found[0] == found[1] == found[2]
    assert check(url, 1).ok


def test_due_finds_changes_of_tier(database_url: str, datastore: LedgerDatastore) -> None:
    """From the instant of the change on, until it is recorded."""
    history = History(program(tier_policy=POLICIES["rolling"], expiry=ExpiryPolicy()))
    member = history.enrol()
    history.sell(member, 60_000)
    (change,) = history.accounts[member].standing.ahead
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    long_after = change.at * 2
    assert views.due(change.at - 1, long_after, 10) == []
    assert views.due(change.at, long_after, 10) == [member]
    recorded = len(history.events)
    history.at = change.at
    history.settle(member)
    append(database_url, history.events[recorded:])
    catch_up(database_url)
    assert views.due(change.at, long_after, 10) == []
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT tier, since, next_change_at FROM views.tiers").fetchone()
    assert row == ("blue", change.at, None)
