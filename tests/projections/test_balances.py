"""Balances agree with the accounts that commands decide on, at any instant, whether or not a job has run."""

from uuid import UUID

import pytest
from loyalty.v1 import program_pb2 as p
from loyalty.v1.account_pb2 import Balance
from loyalty.v1.commands_pb2 import AdjustPointsRequest
from loyalty.v1.events_pb2 import PointsExpired, RewardReleased
from loyalty.v1.expiry_pb2 import PendingPolicy
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.case import Case
from ledger.domain.decide import settle_account
from ledger.domain.instant import MINUTE, from_timestamp
from ledger.store.datastore import LedgerDatastore
from ledger.views import ViewBehind
from projections.views import PostgresViews
from tests.projections.history import DAY, History, append, inactivity_program, program
from tests.projections.tables import catch_up


def settled_balance(history: History, member: UUID, at: int) -> Balance:
    """What the account itself says at an instant, once it has recorded what time has done."""
    case = Case(
        AdjustPointsRequest(), Origin(), history.new_id(), at, history.program,
        history.accounts[member], {},
    )  # fmt: skip
    settle_account(case)
    balance = Balance()
    case.account.write_balance(balance, at)
    return balance


def balance(views: PostgresViews, member: UUID, at: int) -> Balance:
    """What the view says."""
    view = views.member(member, at)
    assert view is not None
    return view.balance


@pytest.mark.parametrize("definition", [program(), inactivity_program()], ids=["rolling", "inactivity"])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_account_at_any_later_instant(
    database_url: str, datastore: LedgerDatastore, definition: p.Program, seed: int
) -> None:
    """Promise 8: the view, which nobody touches, says what the account would say after its job had run."""
    history = History(definition, seed).live(150)
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    for member, account in history.accounts.items():
        for later in (0, MINUTE, 31 * MINUTE, DAY, 20 * DAY, 45 * DAY, 200 * DAY):
            at = history.at + later
            assert balance(views, member, at) == settled_balance(history, member, at), later
        view = views.member(member, history.at)
        assert view is not None
        assert (view.tier.tier, view.tier.qualifying_amount) == (account.tier, account.standing.total)
        assert view.program == definition.name


def test_expired_without_a_job(database_url: str, datastore: LedgerDatastore) -> None:
    """X8: the points are there up to their deadline and gone from it on; recording it later changes no answer."""
    history = History(program(pending=PendingPolicy()))
    member = history.enrol()
    history.sell(member, 10_000)
    deadline = history.accounts[member].lots[0].expires_at
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)

    def answers() -> list[int]:
        return [balance(views, member, at).available_points for at in (deadline - 1, deadline, deadline + 1)]

    assert answers() == [100, 0, 0]
    assert balance(views, member, deadline - 1).next_expiry.points == 100
    recorded = len(history.events)
    history.at = deadline + 6 * 60 * MINUTE
    history.settle(member)
    assert isinstance(history.events[-1].payload, PointsExpired)
    assert from_timestamp(history.events[-1].payload.effective_at) == deadline
    append(database_url, history.events[recorded:], at=history.at)
    catch_up(database_url)
    assert answers() == [100, 0, 0]
    assert balance(views, member, deadline - 1).next_expiry.points == 100


def test_hold_that_timed_out_counts_as_given_back(database_url: str, datastore: LedgerDatastore) -> None:
    """A hold keeps its points up to its deadline, and recording the time-out changes nothing from there on."""
    history = History(program(pending=PendingPolicy()))
    member = history.enrol()
    history.sell(member, 10_000)
    hold = history.reserve(member)
    deadline = history.accounts[member].holds[str(hold)].expires_at
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    before, after = balance(views, member, deadline - 1), balance(views, member, deadline)
    assert (before.available_points, before.held_points) == (50, 50)
    assert (after.available_points, after.held_points) == (100, 0)
    recorded = len(history.events)
    history.at = deadline
    history.settle(member)
    assert isinstance(history.events[-1].payload, RewardReleased)
    append(database_url, history.events[recorded:], at=history.at)
    catch_up(database_url)
    assert balance(views, member, deadline) == after


def test_pending_points_become_active_by_time_alone(database_url: str, datastore: LedgerDatastore) -> None:
    """Activation is a matter of the instant asked for; there is no event for it."""
    history = History()
    member = history.enrol()
    history.sell(member, 10_000)
    active_from = history.accounts[member].lots[0].activates_at
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    before, after = balance(views, member, active_from - 1), balance(views, member, active_from)
    assert (before.available_points, before.pending_points) == (0, 100)
    assert (after.available_points, after.pending_points) == (100, 0)


def test_owed_points_make_the_balance_negative(database_url: str, datastore: LedgerDatastore) -> None:
    """R-like: what was spent and has to be taken back is owed, and later earnings repay it."""
    history = History(program(pending=PendingPolicy()))
    member = history.enrol()
    sale = history.sell(member, 10_000)
    history.commit(member, history.reserve(member, quantity=2))
    history.give_back(member, sale)
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    assert balance(views, member, history.at).available_points == -100
    recorded = len(history.events)
    history.sell(member, 13_000)
    append(database_url, history.events[recorded:])
    catch_up(database_url)
    assert balance(views, member, history.at).available_points == 30


def test_due_finds_deadlines_that_are_not_recorded(database_url: str, datastore: LedgerDatastore) -> None:
    """The sweeper is shown accounts with a lot or hold past its deadline, earliest first, until that is recorded."""
    history = History(program(pending=PendingPolicy()))
    lot, hold, nothing = history.enrol(), history.enrol(), history.enrol()
    history.sell(lot, 10_000)
    history.at += DAY
    history.sell(hold, 10_000)
    history.reserve(hold)
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    long_after = history.at + 100 * DAY
    lot_due = history.accounts[lot].lots[0].expires_at
    hold_due = next(iter(history.accounts[hold].holds.values())).expires_at
    assert views.due(hold_due - 1, long_after, 10) == []
    assert views.due(hold_due, long_after, 10) == [hold]
    assert views.due(lot_due, long_after, 10) == [hold, lot]
    assert views.due(lot_due, long_after, 1) == [hold]
    assert views.due(lot_due, 0, 10) == [], "an account that was touched since is left alone"
    recorded = len(history.events)
    history.at = long_after
    for member in (lot, hold, nothing):
        history.settle(member)
    append(database_url, history.events[recorded:], at=long_after)
    catch_up(database_url)
    assert views.due(long_after, long_after * 2, 10) == []


def test_due_finds_lots_that_follow_activity(database_url: str, datastore: LedgerDatastore) -> None:
    """A visit puts the deadline of all lots off."""
    history = History(inactivity_program())
    member = history.enrol()
    history.sell(member, 10_000)
    first = history.accounts[member].activity_expires_at
    history.at += 10 * DAY
    history.sell(member, 100)
    second = history.accounts[member].activity_expires_at
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    assert views.due(first, history.at * 2, 10) == []
    assert views.due(second - 1, history.at * 2, 10) == []
    assert views.due(second, history.at * 2, 10) == [member]


def test_unknown_member_and_view_behind(database_url: str, datastore: LedgerDatastore) -> None:
    """A member is unknown until the view has the enrolment, and a position that is not reached is said to be so."""
    history = History()
    member = history.enrol()
    append(database_url, history.events)
    views = PostgresViews(datastore)
    assert views.member(member, history.at) is None
    with pytest.raises(ViewBehind) as behind:
        views.member(member, history.at, min_position=2)
    assert behind.value.position == 0
    catch_up(database_url)
    view = views.member(member, history.at, min_position=2)
    assert view is not None
    assert view.position == 2


def test_snapshot_pages_hold_every_member_once(database_url: str, datastore: LedgerDatastore) -> None:
    """A feed's snapshot goes through all members in order of their ids, with what `member` says."""
    history = History().live(60, members=11)
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    seen = []
    page = views.snapshot(None, 4, history.at)
    while page.members:
        assert len(page.members) <= 4
        seen += page.members
        page = views.snapshot(UUID(page.members[-1].member[8:]), 4, history.at)
    assert page.position == len(history.events)
    assert [snapshot.member for snapshot in seen] == sorted(f"members/{m}" for m in history.accounts)
    for snapshot in seen:
        view = views.member(UUID(snapshot.member[8:]), history.at)
        assert view is not None
        assert (snapshot.balance, snapshot.tier) == (view.balance, view.tier)
