"""StreamCommands under faults: a client that sends what was not answered again loses nothing, whatever ended it."""

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Final
from uuid import UUID

import grpc
import psycopg
import pytest
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.commands_pb2 import RecordSaleRequest
from psycopg.conninfo import conninfo_to_dict

from tests.faults.proxy import WAIT_S, Cut, Point, Proxy
from tests.faults.test_cut import through
from tests.model.in_process import without_replayed
from tests.programs import program
from tests.proof import prove
from tests.running import Databases, ServerProcess, token
from tests.shop import Shop, command

SALES: Final = 60

ANSWERED: Final = 10
"""Results that the client waits for before it sends the rest, in whose midst the stream breaks."""

Answers = dict[str, pos.RecordSaleResponse]


def send(shop: Shop, sales: Sequence[RecordSaleRequest], answers: Answers) -> Iterator[grpc.Call]:
    """Sends sales over one stream, adds each answer, and gives the call back after each."""
    sent: SimpleQueue[pos.StreamCommandsRequest | None] = SimpleQueue()
    for sale in sales[:ANSWERED]:
        sent.put(pos.StreamCommandsRequest(command=command(sale)))
    call = shop.pos.StreamCommands(iter(sent.get, None), metadata=shop.metadata, timeout=WAIT_S)
    try:
        for number, response in enumerate(call, 1):
            assert response.result.WhichOneof("result") == "record_sale", response.result
            answers[response.result.request_id] = response.result.record_sale
            if number == ANSWERED:
                for sale in sales[ANSWERED:]:
                    sent.put(pos.StreamCommandsRequest(command=command(sale)))
            if number == len(sales):
                sent.put(None)
            yield call
    finally:
        sent.put(None)
        call.cancel()


def break_off(shop: Shop, sales: Sequence[RecordSaleRequest], end: Callable[[grpc.Call], object]) -> Answers:
    """What was answered of a stream that ends in its midst."""
    answers: Answers = {}
    try:
        for call in send(shop, sales, answers):
            if len(answers) == ANSWERED:
                end(call)
    except grpc.RpcError:
        return answers
    raise AssertionError("it was over before it broke")


def settle(shop: Shop, url: str, sales: Sequence[RecordSaleRequest], first: Answers) -> None:
    """Sends again what was not answered, then all: each is applied once, and answered the same each time."""
    answers = dict(first)
    if left := [sale for sale in sales if sale.request_id not in first]:
        for _ in send(shop, left, answers):
            pass
    assert answers.keys() == {sale.request_id for sale in sales}
    for sale in sales:
        again = shop.record(sale)
        assert again.outcome.replayed
        assert without_replayed(again) == without_replayed(answers[sale.request_id])
    with psycopg.connect(url) as connection:
        ids = [UUID(sale.request_id) for sale in sales]
        row = connection.execute("SELECT count(*) FROM events WHERE request_id = ANY (%s)", (ids,)).fetchone()
    assert row == (SALES,)
    for member in {sale.member for sale in sales}:
        assert prove(shop, member).available_points == sum(sale.member == member for sale in sales)


def sales_in(shop: Shop) -> list[RecordSaleRequest]:
    """Sales of 1.00 to three members in turn."""
    members = [shop.member() for _ in range(3)]
    return [shop.sale_request(members[number % 3], 1_00) for number in range(SALES)]


def test_the_client_goes_away(database_url: str) -> None:
    """Its call is cut off; what the server had taken is written or not, and nobody told."""
    with ServerProcess(database_url) as server, server.channel() as channel, server.channel() as another:
        shop = Shop(channel, token(database_url), program())
        sales = sales_in(shop)
        answers = break_off(shop, sales, lambda call: call.cancel())
        settle(on(shop, another), database_url, sales, answers)


def test_the_server_is_killed(database_url: str) -> None:
    """And another one takes its place."""
    with ServerProcess(database_url) as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), program())
        sales = sales_in(shop)
        answers = break_off(shop, sales, lambda _: server.kill())
        server.start()
        with server.channel() as another:
            settle(on(shop, another), database_url, sales, answers)


@pytest.mark.parametrize("cut", list(Cut))
def test_the_database_is_cut_off(databases: Databases, cut: Cut) -> None:
    """The stream outlives it: the writer finds out what became of its commands, and every one is answered."""
    url = databases.tcp_url(databases.create())
    port = int(str(conninfo_to_dict(url)["port"]))
    with Proxy(port) as proxy, ServerProcess(through(proxy, url)) as server, server.channel() as channel:
        shop = Shop(channel, token(url), program())
        sales = sales_in(shop)
        answers: Answers = {}
        for _ in send(shop, sales, answers):
            if len(answers) == ANSWERED - 1:
                proxy.arm(Point.APPEND, cut)
            if len(answers) == SALES - 1 and cut is Cut.LATE:
                proxy.deliver()
        assert proxy.fired.is_set()
        settle(shop, url, sales, answers)


def on(shop: Shop, channel: grpc.Channel) -> Shop:
    """The same till on another channel."""
    other = Shop(channel, "")
    other.metadata, other.program, other.terminal = shop.metadata, shop.program, shop.terminal
    return other
