"""Statements: every movement has its line, and each line the exact total after it."""

from loyalty.v1.crm_service_pb2 import StatementEntry
from loyalty.v1.expiry_pb2 import PendingPolicy

from ledger.domain.instant import from_timestamp
from ledger.domain.names import transaction_name
from ledger.store.datastore import LedgerDatastore
from projections.runner import END
from projections.views import PostgresViews
from tests.projections.history import START, History, append, program
from tests.projections.tables import catch_up


def lines(views: PostgresViews, history: History, page: int = 1_000) -> list[StatementEntry]:
    """All lines of the only member, oldest first, read in pages."""
    (member,) = history.accounts
    found: list[StatementEntry] = []
    before = END
    while True:
        answer = views.statement(member, before, page)
        assert answer is not None
        found += answer.entries
        if not answer.has_more:
            return found[::-1]
        before = answer.entries[-1].position


def test_a_line_for_each_movement(database_url: str, datastore: LedgerDatastore) -> None:
    """Sale, hold, redemption, return and expiry, with what each changes and leaves."""
    history = History(program(pending=PendingPolicy()))
    member = history.enrol()
    sale = history.sell(member, 10_000, 5_000)
    hold = history.reserve(member)
    commit = history.commit(member, hold)
    timed_out = history.reserve(member)
    hold_due = history.accounts[member].holds[str(timed_out)].expires_at
    lot_due = history.accounts[member].lots[0].expires_at
    back = history.give_back(member, sale, "2")
    history.at = lot_due + 1
    history.settle(member)
    append(database_url, history.events)
    catch_up(database_url, 3)
    found = lines(PostgresViews(datastore), history)
    told = [(line.type, line.points, line.total_points, line.transaction) for line in found]
    assert told == [
        ("SaleRecorded", 150, 150, transaction_name(sale)),
        ("RewardReserved", 0, 150, transaction_name(hold)),
        ("PointsRedeemed", -50, 100, transaction_name(commit)),
        ("RewardReserved", 0, 100, transaction_name(timed_out)),
        ("SaleReturned", -50, 50, transaction_name(back)),
        ("RewardReleased", 0, 50, ""),
        ("PointsExpired", -50, 0, ""),
    ]
    assert [from_timestamp(line.effective_at) for line in found[-2:]] == [hold_due, lot_due]
    assert from_timestamp(found[0].effective_at) == START
    assert found[0].store.startswith("store-")


def test_release_by_reversal_names_the_reversal(database_url: str, datastore: LedgerDatastore) -> None:
    """What ended the hold was the reversal, which is recorded right behind it."""
    history = History(program(pending=PendingPolicy()))
    member = history.enrol()
    history.sell(member, 10_000)
    reversal = history.reverse(member, history.reserve(member))
    append(database_url, history.events)
    catch_up(database_url, 1)
    released = lines(PostgresViews(datastore), history)[-2]
    assert (released.type, released.transaction) == ("RewardReleased", transaction_name(reversal))


def test_totals_are_the_sums_and_the_accounts(database_url: str, datastore: LedgerDatastore) -> None:
    """Over any history each total is the one before plus the line's points, and the last is the account's."""
    history = History().live(150, members=1)
    append(database_url, history.events)
    catch_up(database_url, 11)
    found = lines(PostgresViews(datastore), history, page=7)
    assert len(found) > 100
    total = 0
    for line in found:
        total += line.points
        assert line.total_points == total
    (account,) = history.accounts.values()
    held = sum(hold.points for hold in account.holds.values())
    assert total == account.lot_points + held - account.owed
    assert [line.position for line in found] == sorted({line.position for line in found})
