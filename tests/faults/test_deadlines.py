"""Commands that wait too long: deadlines, cancelled calls, a full queue. A retry settles each of them."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import grpc
import psycopg
import pytest
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.errors_pb2 import ErrorReason

from tests.faults.load import CALL_TIMEOUT_S, as_command, load_program
from tests.model.in_process import without_replayed
from tests.proof import prove
from tests.running import Databases, ServerProcess, running, token
from tests.shop import Details, Shop, new_id

UNKNOWN_MEMBER = "members/00000000-0000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def own_server(databases: Databases) -> Iterator[ServerProcess]:
    """A server whose log a test may lock without holding up other tests."""
    with running(databases.url(databases.create())) as server:
        yield server


@pytest.fixture(scope="module")
def shop(own_server: ServerProcess) -> Iterator[Shop]:
    """A shop on it."""
    with own_server.channel() as channel:
        yield Shop(channel, token(own_server.database_url), load_program())


@contextmanager
def no_commits(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Nobody can append to the log for the time of a block."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT lock_log()")
        yield connection


def wait_until_blocked(database_url: str) -> None:
    """Returns when the writer waits for the log."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(2_000):
            row = connection.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database"
                " WHERE datname = current_database() AND relation = 'log_lock'::regclass AND NOT granted"
            ).fetchone()
            if row is not None and row[0]:
                return
            connection.execute("SELECT pg_sleep(0.005)")
    raise AssertionError("nobody waits for the log")


def recorded(database_url: str, *request_ids: str) -> int:
    """How many of some commands the log has."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM events WHERE request_id = ANY (%s)", ([UUID(one) for one in request_ids],)
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_deadline_shorter_than_the_commit(own_server: ServerProcess, shop: Shop) -> None:
    """The first command is under way when its deadline passes, so it happens; the one behind it never does."""
    member = shop.member()
    first, second = shop.sale_request(member, 500), shop.sale_request(member, 300)
    with no_commits(own_server.database_url):
        under_way = shop.pos.RecordSale.future(first, metadata=shop.metadata, timeout=2.0)
        wait_until_blocked(own_server.database_url)
        behind = shop.pos.RecordSale.future(second, metadata=shop.metadata, timeout=0.2)
        for call in (under_way, behind):
            assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    last = shop.sale(member, 100)
    assert last.outcome.position
    assert recorded(own_server.database_url, first.request_id) == 1
    assert recorded(own_server.database_url, second.request_id) == 0
    assert shop.record(first).outcome.replayed
    assert not shop.record(second).outcome.replayed
    assert prove(shop, member).available_points == 9


def test_client_cancels_after_sending(own_server: ServerProcess, shop: Shop) -> None:
    """A caller that goes away takes nothing back; asking again gives the answer that it did not wait for."""
    member = shop.member()
    request = shop.sale_request(member, 500)
    with no_commits(own_server.database_url):
        call = shop.pos.RecordSale.future(request, metadata=shop.metadata, timeout=CALL_TIMEOUT_S)
        wait_until_blocked(own_server.database_url)
        assert call.cancel()
        assert call.code() is grpc.StatusCode.CANCELLED
    first, again = shop.record(request), shop.record(request)
    assert first.outcome.replayed
    assert without_replayed(first) == without_replayed(again)
    assert prove(shop, member).available_points == 5


def test_queue_full(own_server: ServerProcess, shop: Shop) -> None:
    """Beyond its limit the server says so at once, takes nothing of that call, and goes on."""
    member = shop.member()
    sale = shop.sale_request(member, 500)
    refused = shop.sale_request(member, 300)
    with no_commits(own_server.database_url):
        under_way = shop.pos.RecordSale.future(sale, metadata=shop.metadata, timeout=CALL_TIMEOUT_S)
        wait_until_blocked(own_server.database_url)
        full = [
            shop.pos.SubmitBatch.future(_batch_of_strangers(shop), metadata=shop.metadata, timeout=CALL_TIMEOUT_S)
            for _ in range(21)
        ]
        overloaded = first_done(full)
        assert {result.error.reason for result in overloaded.result().results} == {ErrorReason.ERROR_REASON_OVERLOADED}
        with pytest.raises(grpc.RpcError) as caught:
            shop.record(refused)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = Details(caught.value)
        assert details.reason == "OVERLOADED"
        assert details.retry.retry_delay.ToMilliseconds() > 0
    assert under_way.result().receipt.earned_points == 5
    for call in full:
        if call is not overloaded:
            assert len(call.result().results) == 1_000
    assert recorded(own_server.database_url, refused.request_id) == 0
    assert shop.record(refused).receipt.earned_points == 3
    assert prove(shop, member).available_points == 8


def first_done(calls: list[Any]) -> Any:
    """The first of some calls that ends."""
    done: queue.Queue[Any] = queue.Queue()
    for call in calls:
        call.add_done_callback(done.put)
    return done.get(timeout=CALL_TIMEOUT_S)


def _batch_of_strangers(shop: Shop) -> pos.SubmitBatchRequest:
    """As many commands as a call may have; none of them comes to anything."""
    request = as_command(shop.sale_request(UNKNOWN_MEMBER, 100))
    batch = pos.SubmitBatchRequest(commands=[request] * 1_000)
    for command in batch.commands:
        command.record_sale.request_id = new_id()
    return batch
