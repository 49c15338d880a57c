"""C8 and C9: servers and PostgreSQL are killed at full load. A retry settles what was not answered."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.commands_pb2 import EnrollMemberRequest
from loyalty.v1.crm_service_pb2 import ListStatementEntriesRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.program_service_pb2 import GetProgramRequest
from loyalty.v1.proof_pb2 import ListCheckpointsRequest

from tests.faults.load import UNKNOWN, Journal, load_program, open_channel, prove_all, retry_unknown, tills, verify
from tests.running import Databases, ServerProcess, running, token
from tests.shop import TIMEOUT_S, Shop, new_id

ROUNDS = 2
COMMANDS_A_ROUND = 120


AWAY_TIMEOUT_S = 10.0
"""Longer than a server tries to reach its database."""


@pytest.fixture
def own_databases() -> Iterator[Databases]:
    """A PostgreSQL that a test may stop. Not below pytest's folder, which every other run of pytest closes again."""
    with tempfile.TemporaryDirectory(prefix="loyalty-") as path:
        Path(path).chmod(0o755)
        databases = Databases(Path(path) / "postgres", durable=True)
        yield databases
        databases.stop()


def keep_address(server: ServerProcess) -> None:
    """Has a server come back where it was, as tills expect."""
    server.environment["LOYALTY_ADDRESS"] = server.address


def shop_on(channel: grpc.Channel, database_url: str, like: Shop | None = None) -> Shop:
    """A shop on a server: a new one, or another till of the same program."""
    shop = Shop(channel, token(database_url))
    if like is None:
        shop.publish(load_program())
    else:
        shop.program = like.program
    return shop


def settle_all(shop: Shop, database_url: str, journal: Journal, members: list[str]) -> None:
    """Everything that must hold once the load is over: the log, every retry, the views."""
    verify(database_url, journal)
    retry_unknown(shop, journal)
    verify(database_url, journal)
    prove_all(shop, members)


def test_c8_server_killed(database_url: str) -> None:
    """SIGKILL at full load, again and again."""
    journal = Journal()
    with running(database_url) as server, open_channel(server.address) as channel:
        keep_address(server)
        shop = shop_on(channel, database_url)
        members = [shop.member() for _ in range(4)]
        with tills([shop], members, journal):
            for _ in range(ROUNDS):
                journal.wait_for(COMMANDS_A_ROUND)
                server.kill()
                server.start()
            journal.wait_for(COMMANDS_A_ROUND)
        assert not journal.wrong
        settle_all(shop, database_url, journal, members)


def test_c8_one_of_two_servers_killed(database_url: str) -> None:
    """The other server goes on, on the same accounts, and answers for the killed one."""
    journal = Journal()
    with (
        running(database_url) as one,
        running(database_url) as other,
        open_channel(one.address) as channel,
        open_channel(other.address) as other_channel,
    ):
        shop = shop_on(channel, database_url)
        second = shop_on(other_channel, database_url, like=shop)
        members = [shop.member() for _ in range(2)]
        with tills([shop, second], members, journal):
            journal.wait_for(2 * COMMANDS_A_ROUND)
            one.kill()
            journal.wait_for(COMMANDS_A_ROUND)
        assert not journal.wrong
        settle_all(second, database_url, journal, members)


def test_c9_database_killed(own_databases: Databases) -> None:
    """PostgreSQL stopped as by a power cut, twice; the server comes back, and nobody is told anything wrong."""
    database_url = own_databases.url(own_databases.create())
    journal = Journal()
    with running(database_url) as server, open_channel(server.address) as channel:
        shop = shop_on(channel, database_url)
        members = [shop.member() for _ in range(4)]
        with tills([shop], members, journal):
            for _ in range(2):
                journal.wait_for(COMMANDS_A_ROUND)
                own_databases.postgres.stop("immediate")
                own_databases.postgres.start()
            journal.wait_for(COMMANDS_A_ROUND)
        assert not journal.wrong
        settle_all(shop, database_url, journal, members)


def test_graceful_stop_under_load(database_url: str) -> None:
    """SIGTERM: what was taken is answered, nothing acknowledged is lost, the rest is UNAVAILABLE."""
    journal = Journal()
    with running(database_url) as server, open_channel(server.address) as channel:
        keep_address(server)
        shop = shop_on(channel, database_url)
        members = [shop.member() for _ in range(4)]
        with tills([shop], members, journal):
            journal.wait_for(COMMANDS_A_ROUND)
            assert server.stop() == 0
            verify(database_url, journal)
            server.start()
            journal.wait_for(COMMANDS_A_ROUND)
        assert not journal.wrong
        settle_all(shop, database_url, journal, members)


def test_every_call_while_the_database_is_away(own_databases: Databases) -> None:
    """Reads too, and commands that need a look-up first: UNAVAILABLE, never a definite answer; then all work again."""
    database_url = own_databases.url(own_databases.create())
    with running(database_url) as server, open_channel(server.address) as channel:
        shop = shop_on(channel, database_url)
        card = Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=new_id(), program=shop.program)
        member = shop.enroll([card]).member
        sale = shop.sale(member, 500)
        calls: list[tuple[Callable[..., Any], Message]] = [
            (shop.pos.LookupMember, pos.LookupMemberRequest(identifier=card)),
            (shop.pos.GetBalance, pos.GetBalanceRequest(member=member)),
            (shop.pos.GetBalance, pos.GetBalanceRequest(identifier=card)),
            (shop.pos.GetTransaction, pos.GetTransactionRequest(name=sale.outcome.transaction)),
            (shop.programs.GetProgram, GetProgramRequest(name=shop.program)),
            (shop.pos.QuoteSale, pos.QuoteSaleRequest(sale=shop.sale_request(card, 100))),
            (shop.pos.RecordSale, shop.sale_request(card, 100)),
            (
                shop.pos.EnrollMember,
                EnrollMemberRequest(request_id=new_id(), program=shop.program, origin=shop.origin()),
            ),
            (shop.crm.ListStatementEntries, ListStatementEntriesRequest(member=member)),
            (shop.audit.ReadEvents, ReadEventsRequest(subject=member)),
            (shop.audit.ListCheckpoints, ListCheckpointsRequest()),
        ]
        own_databases.postgres.stop("immediate")
        with ThreadPoolExecutor(len(calls)) as threads:
            codes = list(threads.map(lambda each: _code(each[0], each[1], shop), calls))
        own_databases.postgres.start()
        names = [type(request).__name__ for _, request in calls]
        assert [each for each in zip(names, codes, strict=True) if each[1] not in UNKNOWN] == []
        for call, request in calls:
            _until_available(call, request, shop)


def _code(call: Callable[..., Any], request: Message, shop: Shop) -> grpc.StatusCode:
    """How a call fails."""
    with pytest.raises(grpc.RpcError) as caught:
        _complete(call(request, metadata=shop.metadata, timeout=AWAY_TIMEOUT_S))
    return caught.value.code()


def _until_available(call: Callable[..., Any], request: Message, shop: Shop) -> None:
    """Calls until the answer is one; only UNAVAILABLE may come before it."""
    for _ in range(100):
        try:
            _complete(call(request, metadata=shop.metadata, timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            assert error.code() in UNKNOWN, error  # noqa: PT017 - the loop goes on for these
        else:
            return
    raise AssertionError("the server does not recover")


def _complete(answer: Any) -> None:
    """Reads an answer that is a stream to its end."""
    if not isinstance(answer, Message):
        list(answer)
