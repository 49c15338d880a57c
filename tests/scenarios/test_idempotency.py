"""Idempotency, concurrency and order: C1, C4 to C6 and C11 of the scenario book."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import permutations
from threading import Barrier
from typing import Any

import grpc
import pytest
from loyalty.v1.commands_pb2 import PointsPayment, RecordSaleRequest
from loyalty.v1.pos_service_pb2 import RecordSaleResponse
from loyalty.v1.sale_pb2 import ReturnLine

from tests.conftest import OpenShop
from tests.programs import YEAR, cashback, discount, end_of, program, tiers
from tests.proof import fold, prove
from tests.running import running, token
from tests.shop import TIMEOUT_S, Details, Shop, line, new_id, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Channels of one process share a connection unless they are told not to."""


# -- C1: once


@pytest.mark.parametrize("points", [50, 1, 1_234_567])
def test_c1_the_same_request(open_shop: OpenShop, points: int) -> None:
    """A sale that is sent again with its request id has one effect, one line of history and one answer."""
    shop = open_shop(program())
    member = shop.member()
    request = shop.sale_request(member, points * 1_00)
    answers = [shop.record(request) for _ in range(3)]
    assert [answer.outcome.replayed for answer in answers] == [False, True, True]
    for answer in answers:
        answer.outcome.replayed = False
    assert answers[0] == answers[1] == answers[2]
    assert len(shop.events(member, "SaleRecorded")) == 1
    assert prove(shop, member).available_points == points


@pytest.mark.parametrize("fields", [{}, {"at": "2024-05-01T10:00"}])
def test_c1_the_same_receipt(open_shop: OpenShop, fields: dict[str, Any]) -> None:
    """A receipt that is sent again under a new request id gets the first answer, and nothing is added."""
    shop = open_shop(program())
    member = shop.member()
    first = shop.sale(member, 50_00, till=17, **fields)
    again = shop.sale(member, 50_00, till=17, **fields)
    assert again.outcome.transaction == first.outcome.transaction
    assert again.outcome.replayed
    assert again.receipt == first.receipt
    assert shop.sale(member, 50_00, till=18).receipt.balance.available_points == 100
    assert len(shop.events(member, "SaleRecorded")) == 2
    assert prove(shop, member).available_points == 100


def _other_receipts(shop: Shop, member: str, other: str) -> Iterator[RecordSaleRequest]:
    yield shop.sale_request(member, 50_01, till=17)
    yield shop.sale_request(member, [line(50_00), line(0)], till=17)
    yield shop.sale_request(member, [line(50_00, "a")], till=17)
    yield shop.sale_request(other, 50_00, till=17)


def test_c1_another_sale_with_that_receipt(open_shop: OpenShop) -> None:
    """Another sale under a receipt number that is used is refused, for ever, and the first sale is named."""
    shop = open_shop(program())
    member, other = shop.member(), shop.member()
    first = shop.sale(member, 50_00, till=17)
    for request in _other_receipts(shop, member, other):
        for _ in range(2):
            with refused("TILL_REFERENCE_REUSED", transaction=first.outcome.transaction):
                shop.record(request)
        refusal = shop.transaction(f"transactions/{request.request_id}").events
        assert [event.WhichOneof("event") for event in refusal] == ["command_refused"]
    assert shop.sale(member, 50_00, till=17).outcome.transaction == first.outcome.transaction
    assert prove(shop, member).available_points == 50
    assert prove(shop, other).available_points == 0


def test_c1_a_receipt_is_of_one_till(open_shop: OpenShop) -> None:
    """The number belongs to its till, store, day and program: elsewhere it is another receipt."""
    shop = open_shop(program())
    member = shop.member()
    requests = [shop.sale_request(member, 50_00, till=17) for _ in range(4)]
    requests[1].origin.terminal = "another"
    requests[2].origin.store = "s-2"
    requests[3].origin.till.business_date = "2026-02-01"
    assert [shop.record(request).outcome.replayed for request in requests] == [False] * 4
    elsewhere = Shop(shop.channel, shop.metadata[0][1].removeprefix("Bearer "), program())
    elsewhere.terminal = shop.terminal
    stranger = elsewhere.member()
    assert not elsewhere.sale(stranger, 50_00, till=17).outcome.replayed
    assert prove(shop, member).available_points == 200


def test_c1_a_refused_sale_leaves_its_receipt_free(open_shop: OpenShop) -> None:
    """A sale that was refused used no receipt number: the till may correct it and send it again."""
    shop = open_shop(program(rewards=[cashback()]))
    member = shop.member()
    payment = PointsPayment(reward_id="cashback", points=5)
    with refused("INSUFFICIENT_POINTS"):
        shop.sale(member, 50_00, till=17, points_payment=payment)
    assert shop.sale(member, 50_00, till=17).receipt.earned_points == 50
    assert prove(shop, member).available_points == 50


def test_c1_at_the_same_moment(open_shop: OpenShop) -> None:
    """Twenty copies of a receipt at once, half of them under the same request id, are one sale."""
    shop = open_shop(program())
    member = shop.member()
    request_id = new_id()
    requests = [
        shop.sale_request(member, 50_00, till=17, request_id=request_id if number % 2 else "", at="2026-01-31")
        for number in range(20)
    ]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(shop.record, requests))
    assert len({answer.outcome.transaction for answer in answers}) == 1
    assert [answer.outcome.replayed for answer in answers].count(False) == 1
    assert prove(shop, member).available_points == 50


# -- C4 and C5: no double spend

Spend = Callable[[Shop, str], Any]


def _pay(shop: Shop, member: str) -> Any:
    payment = PointsPayment(reward_id="cashback", points=100)
    return shop.sale(member, 1_00, points_payment=payment)


def _reserve(shop: Shop, member: str) -> Any:
    return shop.reserve(member, "discount")


def _take_off(shop: Shop, member: str) -> Any:
    return shop.adjust(member, -100)


SPENDS = [_pay, _reserve, _take_off]


def _all_at_once(calls: Sequence[Callable[[], object]]) -> Counter[str]:
    """How the calls ended, by reason; "" for those that succeeded."""
    together = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> str:
        together.wait(TIMEOUT_S)
        try:
            call()
        except grpc.RpcError as error:
            return Details(error).reason
        return ""

    with ThreadPoolExecutor(len(calls)) as pool:
        return Counter(pool.map(run, calls))


def _rewards() -> Any:
    return program(rewards=[cashback(1), discount(100)])


@contextmanager
def _two_servers(database_url: str) -> Iterator[list[Shop]]:
    """Four connections, two to each of two servers on one database: one shop, that all of them sell in."""
    admin = token(database_url)
    with ExitStack() as stack:
        servers = [stack.enter_context(running(database_url)) for _ in range(2)]
        channels = [
            stack.enter_context(grpc.insecure_channel(server.address, OWN_CONNECTION))
            for server in servers
            for _ in range(2)
        ]
        shops = [Shop(channel, admin) for channel in channels]
        shops[0].publish(_rewards())
        for shop in shops:
            shop.program = shops[0].program
        yield shops


def test_c4_no_double_spend_across_servers(database_url: str) -> None:
    """Of 20 spends of 100 on a balance of 100, over 4 connections and 2 servers, one succeeds, whatever their kind."""
    with _two_servers(database_url) as shops:
        for number, spends in enumerate([[_pay], [_reserve], [_take_off], SPENDS]):
            member = shops[number].member()
            shops[number].adjust(member, 100)
            calls = [partial(spends[n % len(spends)], shops[n % 4], member) for n in range(20)]
            assert _all_at_once(calls) == {"": 1, "INSUFFICIENT_POINTS": 19}
            balance = prove(shops[0], member)
            earned = len(shops[0].events(member, "SaleRecorded"))
            assert balance.available_points == earned
            assert len(shops[0].events(member, "CommandRefused")) == 19


def test_c4_both_servers_answer_the_same(database_url: str) -> None:
    """A retry to the other server, and a receipt that both get at once, are one sale there too."""
    with _two_servers(database_url) as (one, _, other, _):
        member = one.member()
        request = one.sale_request(member, 50_00)
        first = one.record(request)
        again = other.record(request)
        assert again.outcome.replayed
        assert again.receipt == first.receipt
        requests = [one.sale_request(member, 7_00, till=1) for _ in range(10)]
        ends = _all_at_once([partial((one, other)[n % 2].record, request) for n, request in enumerate(requests)])
        assert ends == {"": 10}
        assert prove(other, member).available_points == 57


@pytest.mark.parametrize("first", SPENDS)
@pytest.mark.parametrize("second", SPENDS)
def test_c5_two_spends_at_the_same_moment(open_shop: OpenShop, first: Spend, second: Spend) -> None:
    """Of two spends of all points at the same moment one is committed and one refused."""
    shop = open_shop(_rewards())
    member = shop.member()
    shop.adjust(member, 100)
    calls = [partial(first, shop, member), partial(second, shop, member)]
    assert _all_at_once(calls) == {"": 1, "INSUFFICIENT_POINTS": 1}
    balance = prove(shop, member)
    assert balance.available_points == len(shop.events(member, "SaleRecorded"))


@pytest.mark.parametrize("action", ["commit", "release", "either"])
def test_c5_one_hold_ends_once(open_shop: OpenShop, action: str) -> None:
    """Of ten commits or releases of one hold at the same moment, one ends it."""
    shop = open_shop(_rewards())
    member = shop.member()
    shop.adjust(member, 100)
    hold = shop.reserve(member, "discount").hold
    ways: dict[str, list[Callable[[str], Any]]] = {
        "commit": [shop.commit],
        "release": [shop.release],
        "either": [shop.commit, shop.release],
    }
    ends = _all_at_once([partial(way, hold) for way in ways[action] * 5])
    assert ends[""] == 1
    assert set(ends) <= {"", "HOLD_COMMITTED", "HOLD_RELEASED"}
    committed = len(shop.events(member, "PointsRedeemed"))
    assert prove(shop, member).available_points == (0 if committed else 100)


# -- C6: any order

Step = Callable[[], object]


def _story(shop: Shop, member: str, by: str, lines: tuple[str, ...]) -> list[Step]:
    """A sale, another sale a day later, and a return of the first one a day after that."""
    first = shop.sale_request(member, [line(120_00), line(30_00)], till=1, at="2024-03-01T10:00")
    second = shop.sale_request(member, 70_00, till=2, at="2024-03-02T10:00")
    sale = f"transactions/{first.request_id}" if by == "transaction" else ""
    receipt = shop.reference(1) if by == "receipt" else None
    returned: list[str | ReturnLine] = [*lines]
    return [
        lambda: shop.record(first),
        lambda: shop.record(second),
        lambda: shop.give_back(sale, returned, member=member, receipt=receipt, at="2024-03-03T10:00"),
    ]


@pytest.mark.parametrize("by", ["transaction", "receipt"])
@pytest.mark.parametrize(("lines", "left"), [((), 70), (("1",), 100), (("2",), 190)])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_c6_any_order(open_shop: OpenShop, by: str, lines: tuple[str, ...], left: int, order: tuple[int, ...]) -> None:
    """Two sales and a return that arrive days late, in any order, come to the balance and tier of the right order."""
    shop = open_shop(program(expiry=end_of(YEAR), time_zone="UTC", tiers=tiers(base=0, mid=100, top=200)))
    member = shop.member()
    steps = _story(shop, member, by, lines)
    for number in order:
        steps[number]()
    account = fold(shop, member)
    assert (account.standing.total, account.awaited) == (left, ())
    assert account.tier == ("mid" if left >= 100 else "base")
    balance = shop.balance(member, "2024-03-05T10:00")
    assert (balance.available_points, balance.next_expiry.points) == (left, left)
    assert shop.balance(member, "2025-01-01T00:00").available_points == 0
    assert len(shop.events(member, "SaleReturned")) == 1
    prove(shop, member)


def test_c6_the_till_is_told(open_shop: OpenShop) -> None:
    """A return that came first says that it waits; the sale's receipt then shows what it took."""
    shop = open_shop(program(rewards=[cashback(1)]))
    member = shop.member()
    shop.adjust(member, 40)
    request = shop.sale_request(member, 100_00, points_payment=PointsPayment(reward_id="cashback", points=40))
    request_id = new_id()

    def give_back() -> Any:
        return shop.give_back(f"transactions/{request.request_id}", member=member, request_id=request_id)

    waiting = give_back()
    assert (waiting.waiting, waiting.receipt.clawed_back_points) == (True, 0)
    sale: RecordSaleResponse = shop.record(request)
    assert (sale.receipt.earned_points, sale.receipt.clawed_back_points) == (100, 100)
    assert (sale.receipt.spent_points, sale.receipt.restored_points) == (40, 40)
    assert sale.receipt.balance.available_points == 40
    again = give_back()
    assert (again.waiting, again.outcome.replayed) == (True, True)
    with refused("RETURN_EXCEEDS_SALE"):
        shop.give_back(sale.outcome.transaction)
    assert prove(shop, member).available_points == 40


def test_c6_two_returns_wait(open_shop: OpenShop) -> None:
    """Several returns wait for one sale and are applied in the order in which they came; what is too much is not."""
    shop = open_shop(program())
    member = shop.member()
    request = shop.sale_request(member, [line(10_00), line(20_00)])
    sale = f"transactions/{request.request_id}"
    for lines in (["2"], ["1"], ["1"]):
        assert shop.give_back(sale, lines, member=member).waiting
    receipt = shop.record(request).receipt
    assert receipt.clawed_back_points == 30
    assert len(shop.events(member, "SaleReturned")) == 2
    assert prove(shop, member).available_points == 0


# -- C11: a refusal is an outcome


def test_c11_still_refused(open_shop: OpenShop) -> None:
    """A refusal is the answer to its request id for ever, also when the same command would pass by now."""
    shop = open_shop(program(rewards=[cashback(1), discount(100)]))
    member = shop.member()
    ids = [new_id() for _ in range(3)]
    payment = PointsPayment(reward_id="cashback", points=100)
    sale = shop.sale_request(member, 5_00, request_id=ids[1], points_payment=payment)
    attempts: list[Callable[[], object]] = [
        lambda: shop.reserve(member, "discount", request_id=ids[0]),
        lambda: shop.record(sale),
        lambda: shop.adjust(member, -100, request_id=ids[2]),
    ]
    for attempt in attempts:
        with refused("INSUFFICIENT_POINTS", available_points=0, needed_points=100):
            attempt()
    shop.adjust(member, 1_000)
    for attempt in attempts * 2:
        with refused("INSUFFICIENT_POINTS", available_points=0, needed_points=100):
            attempt()
    assert len(shop.events(member, "CommandRefused")) == 3
    assert shop.reserve(member, "discount").points == 100
    assert prove(shop, member).available_points == 900


def test_c11_with_another_body(open_shop: OpenShop) -> None:
    """The request id of a refusal is used: another command cannot have it."""
    shop = open_shop(program(rewards=[discount(100)]))
    member = shop.member()
    request_id = new_id()
    with refused("INSUFFICIENT_POINTS"):
        shop.reserve(member, "discount", request_id=request_id)
    with refused("REQUEST_ID_REUSED", INVALID, field="quantity"):
        shop.reserve(member, "discount", 2, request_id=request_id)
    with refused("REQUEST_ID_REUSED", INVALID, field="request_id"):
        shop.sale(member, 5_00, request_id=request_id)


def test_c11_what_was_never_decided(open_shop: OpenShop) -> None:
    """A command about something that is not there was not decided: it may succeed once that exists."""
    shop = open_shop(program())
    member = shop.member()
    request_id = new_id()
    with refused("REWARD_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        shop.reserve(member, "discount", request_id=request_id)
    shop.publish(program(rewards=[discount(100)]))
    shop.adjust(member, 100)
    assert shop.reserve(member, "discount", request_id=request_id).points == 100
