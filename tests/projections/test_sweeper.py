"""The clock process: what it records of members who do nothing, in any number of copies."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.consent_pb2 import EraseMemberRequest, ErasureReason

from ledger.domain.names import member_name
from ledger.store.datastore import POINT_LOOKUPS, LedgerDatastore
from ledger.store.recorder import LedgerRecorder
from ledger.writer.sweeper import SETTLE_AFTER, SWEEP_ACCOUNTS_MAX, Sweeper
from ledger.writer.writer import Writer
from projections.check import check
from projections.views import PostgresViews
from tests.projections.history import DAY, History, append
from tests.projections.rewarded import with_rewards
from tests.projections.tables import catch_up

EXPIRIES = b"SELECT topic, count(*) FROM events WHERE topic LIKE '%%-expired/1' GROUP BY topic ORDER BY topic"

ERASED = ErasureReason.ERASURE_REASON_MEMBER_REQUEST


@contextmanager
def sweeper(database_url: str, now: int) -> Iterator[tuple[Sweeper, PostgresViews]]:
    """A clock process of its own whose clock stands still. Its thread is not started: the test says when it sweeps."""
    with LedgerDatastore(database_url, options=POINT_LOOKUPS) as datastore:
        writer = Writer(LedgerRecorder(datastore), lambda: now)
        writer.start()
        views = PostgresViews(datastore)
        try:
            yield Sweeper(writer, views.due, views.due_notices, lambda: now), views
        finally:
            writer.stop()


def recorded(database_url: str) -> list[tuple[str, int]]:
    """How many expiries of vouchers and entitlements the log has."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(EXPIRIES.replace(b"%%", b"%")).fetchall()


def test_what_expires_is_recorded_once_by_any_number_of_copies(database_url: str) -> None:
    """Three at the same time, and once more with views that are behind; then there is nothing left to do."""
    history = History(with_rewards())
    for number in range(5):
        member = history.enrol()
        for reward_id in ("five", "lounge", "card")[: number % 3 + 1]:
            request = c.GrantRewardRequest(member=member_name(member), reward_id=reward_id, quantity=2, reason="x")
            history.run(member, request)
    append(database_url, history.events)
    catch_up(database_url)
    early = history.at + 5 * DAY
    late = history.at + 60 * DAY
    with sweeper(database_url, early) as (before, views):
        assert before.sweep(views.due) == 0
    with ExitStack() as stack:
        copies = [stack.enter_context(sweeper(database_url, late)) for _ in range(3)]
        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(lambda copy: copy[0].sweep(copy[1].due), copies)) == [5, 5, 5]
        expected = [("entitlement-expired/1", 6), ("voucher-expired/1", 10)]
        assert recorded(database_url) == expected
        assert copies[0][0].sweep(copies[0][1].due) == 5, "the views have not followed"
        assert recorded(database_url) == expected
        catch_up(database_url)
        assert copies[0][1].due(late - SETTLE_AFTER, late, SWEEP_ACCOUNTS_MAX) == []
    result = check(database_url, 1)
    assert result.ok, "\n".join(result.lines())


def test_what_erased_members_leave_expires(database_url: str) -> None:
    """Their points and vouchers are in the books until then; a sweep with views that are behind finds nothing to do."""
    history = History(with_rewards())
    member = history.enrol()
    history.run(member, c.GrantRewardRequest(member=member_name(member), reward_id="five", reason="x"))
    history.adjust(member, 40)
    history.run(member, EraseMemberRequest(member=member_name(member), reason=ERASED))
    append(database_url, history.events)
    catch_up(database_url)
    with sweeper(database_url, history.at + 60 * DAY) as (copy, views):
        assert [copy.sweep(views.due), copy.sweep(views.due)] == [1, 1]
        catch_up(database_url)
        assert copy.sweep(views.due) == 0
    assert recorded(database_url) == [("voucher-expired/1", 1)]
    result = check(database_url, 1)
    assert result.ok, "\n".join(result.lines())
