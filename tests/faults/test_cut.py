"""C10: the connection to PostgreSQL is cut around INSERT and COMMIT. Each command is applied once."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.commands_pb2 import EnrollMemberRequest, RecordSaleRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.sale_pb2 import Sale
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.writer import writer
from tests.faults.load import Journal, as_command, load_program, prove_all, retry_unknown, tills, verify
from tests.faults.proxy import WAIT_S, Cut, Point, Proxy
from tests.model.in_process import answered, in_process, without_replayed
from tests.programs import program
from tests.proof import prove
from tests.running import Databases, running, token
from tests.shop import Shop, instant, line, new_id

NOW = instant("2030-01-01").ToMicroseconds()


@pytest.fixture(scope="module")
def url(databases: Databases) -> str:
    """A database of this module."""
    return databases.tcp_url(databases.create())


@pytest.fixture(scope="module")
def proxy(url: str) -> Iterator[Proxy]:
    """A proxy in front of it."""
    with Proxy(int(str(conninfo_to_dict(url)["port"]))) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> str:
    """The address of a database by way of the proxy, which does not speak TLS."""
    return make_conninfo(url, port=proxy.port, sslmode="disable", gssencmode="disable")


@pytest.fixture(scope="module")
def shop(proxy: Proxy, url: str) -> Iterator[Shop]:
    """A shop on a server that reaches its database by way of the proxy."""
    with running(through(proxy, url)) as server, server.channel() as channel:
        yield Shop(channel, token(url), load_program())


def count(url: str, *request_ids: str) -> int:
    """How many main events the log has of some commands."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM events WHERE request_id = ANY (%s)", ([UUID(one) for one in request_ids],)
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("cut", list(Cut))
def test_c10_unary(shop: Shop, proxy: Proxy, url: str, cut: Cut) -> None:
    """One statement in autocommit: the writer finds out by itself what became of it."""
    member = shop.member()
    request = shop.sale_request(member, 700)
    proxy.arm(Point.APPEND, cut)
    first = shop.record(request)
    assert proxy.fired.is_set()
    if cut is Cut.LATE:
        proxy.deliver()
    again = shop.record(request)
    assert again.outcome.replayed
    assert without_replayed(again) == without_replayed(first)
    assert count(url, request.request_id) == 1
    assert prove(shop, member).available_points == 7


@pytest.mark.parametrize("cut", list(Cut))
@pytest.mark.parametrize("point", list(Point))
def test_c10_batch(shop: Shop, proxy: Proxy, url: str, point: Point, cut: Cut) -> None:
    """A transaction with enrolments: people and events come to be together or not at all, and once."""
    member = shop.member()
    cards = [Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=new_id()) for _ in range(2)]
    requests: list[Any] = [
        pos_enroll(shop, cards[0]),
        shop.sale_request(member, 500),
        shop.sale_request(cards[0], 300),
        pos_enroll(shop, cards[1]),
    ]
    requests[2].identifier.program = shop.program
    batch = pos.SubmitBatchRequest(commands=[as_command(request) for request in requests])
    proxy.arm(point, cut)
    call = shop.pos.SubmitBatch.future(batch, metadata=shop.metadata, timeout=WAIT_S)
    assert proxy.fired.wait(WAIT_S)
    if cut is Cut.LATE:
        proxy.deliver()  # the second attempt waits for the locks of the first
    first = call.result()
    again = shop.pos.SubmitBatch(batch, metadata=shop.metadata, timeout=WAIT_S)
    for one, other in zip(first.results, again.results, strict=True):
        kind = one.WhichOneof("result") or ""
        assert kind != "error", one
        answer = getattr(other, kind)
        assert answer.outcome.replayed
        assert without_replayed(answer) == without_replayed(getattr(one, kind))
    assert count(url, *(request.request_id for request in requests)) == len(requests)
    assert prove(shop, member).available_points == 5
    assert prove(shop, first.results[0].enroll_member.member).available_points == 3
    with psycopg.connect(url) as connection:
        people = connection.execute(
            "SELECT member_id FROM profile.identifiers WHERE value = ANY (%s)", ([card.value for card in cards],)
        ).fetchall()
    members = {first.results[at].enroll_member.member for at in (0, 3)}
    assert {f"members/{row[0]}" for row in people} == members


def pos_enroll(shop: Shop, card: Identifier) -> Any:
    """An enrolment with a card."""
    return EnrollMemberRequest(request_id=new_id(), origin=shop.origin(), program=shop.program, identifiers=[card])


@pytest.mark.parametrize("cut", list(Cut))
@pytest.mark.parametrize("point", list(Point))
def test_c10_locked(proxy: Proxy, url: str, monkeypatch: pytest.MonkeyPatch, point: Point, cut: Cut) -> None:
    """A batch that lost too many races locks the log and commits last: a lost COMMIT leaves nothing in memory."""
    monkeypatch.setattr(writer, "OPTIMISTIC_ATTEMPTS_MAX", 0)
    with in_process(through(proxy, url), lambda: NOW) as ledger:
        definition = program(name=f"programs/p-{new_id()}", currency="EUR", time_zone="UTC", default_region="DE")
        ledger.publish(definition)
        enrolled = ledger.send(pos_enroll_in(definition.name))[0]
        sale = sale_in(enrolled.member, 500)  # type: ignore[union-attr]  # an enrolment's response
        ledger.send(sale_in(enrolled.member, 200))  # type: ignore[union-attr]  # as above
        proxy.arm(point, cut)
        wait = ledger.submit([ledger.command(sale)])
        assert proxy.fired.wait(WAIT_S)
        if cut is Cut.LATE:
            proxy.deliver()  # the second attempt waits for the lock of the first
        first = answered(wait()[0])
        again = ledger.send(sale)[0]
        assert without_replayed(again) == without_replayed(first)
        account = ledger.replayed(UUID(enrolled.member[8:]))  # type: ignore[union-attr]  # as above
        account.check()
        assert account.available(NOW) == 7
    assert count(url, sale.request_id) == 1


def pos_enroll_in(name: str) -> Any:
    """An enrolment in a program."""
    return EnrollMemberRequest(request_id=new_id(), program=name)


def sale_in(member: str, price_minor: int) -> Any:
    """A sale of one line."""
    return RecordSaleRequest(request_id=new_id(), member=member, sale=Sale(lines=[line(price_minor)]))


def test_sessions_terminated(database_url: str) -> None:
    """Each of the server's sessions is ended in turn, under load, as an administrator or a fail-over would."""
    journal = Journal()
    with running(database_url) as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), load_program())
        members = [shop.member() for _ in range(3)]
        with psycopg.connect(database_url, autocommit=True) as connection, tills([shop], members, journal):
            journal.wait_for(50)
            sessions = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
            assert sessions
            for (pid,) in sessions:
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
                journal.wait_for(20)
        assert not journal.wrong
        verify(database_url, journal)
        retry_unknown(shop, journal)
        verify(database_url, journal)
        prove_all(shop, members)


def test_slow_network(shop: Shop, proxy: Proxy, url: str) -> None:
    """A database far away makes batches larger, not wrong."""
    journal = Journal()
    members = [shop.member() for _ in range(3)]
    proxy.delay_s = 0.02
    try:
        with tills([shop], members, journal):
            journal.wait_for(100)
    finally:
        proxy.delay_s = 0.0
    retry_unknown(shop, journal)
    prove_all(shop, members)
    assert count(url, *journal.sent) == len(journal.sent)


def test_cut_under_load(database_url: str, databases: Databases) -> None:
    """Every kind of cut while several tills send: the log is what the tills were told."""
    url = databases.tcp_url(str(conninfo_to_dict(database_url)["dbname"]))
    journal = Journal()
    with (
        Proxy(databases.postgres.port) as proxy,
        running(through(proxy, url)) as server,
        server.channel() as channel,
    ):
        shop = Shop(channel, token(url), load_program())
        members = [shop.member() for _ in range(3)]
        with tills([shop], members, journal):
            for point in Point:
                for cut in Cut:
                    proxy.arm(point, cut)
                    assert proxy.fired.wait(WAIT_S)
                    if cut is Cut.LATE:
                        proxy.deliver()
                    journal.wait_for(10)
        assert not journal.wrong
        verify(url, journal)
        retry_unknown(shop, journal)
        verify(url, journal)
        prove_all(shop, members)
