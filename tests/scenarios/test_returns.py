"""Returns: T1 to T8, T10 and T12 of the scenario book."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.earning_pb2 import Basis, LineFilter
from loyalty.v1.pos_service_pb2 import RecordSaleResponse
from loyalty.v1.program_pb2 import ClawBack, Program, RestoreExpired, ReturnPolicy, UnknownSale
from loyalty.v1.sale_pb2 import ReturnLine, SaleDiscount

from tests.conftest import OpenShop
from tests.programs import MONTH, YEAR, cashback, discount, end_of, pending, program, rolling, spend
from tests.proof import fold, prove
from tests.running import ServerProcess, token
from tests.shop import Shop, instant, line, new_id, refused

CLAMP = ReturnPolicy(claw_back=ClawBack.CLAW_BACK_CLAMP)
NEGATIVE = ReturnPolicy(claw_back=ClawBack.CLAW_BACK_NEGATIVE)
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def pay(points: int) -> PointsPayment:
    """Pays with points."""
    return PointsPayment(reward_id="cashback", points=points)


def give_back(shop: Shop, sale: RecordSaleResponse, *lines: str | ReturnLine, **fields: Any) -> Any:
    """Returns lines of a sale, or all that is left of it."""
    return shop.give_back(sale.outcome.transaction, lines, **fields)


@pytest.mark.parametrize(
    ("prices", "points", "returned", "taken"),
    [
        ((10_00, 10_00, 20_00), (7, 4_00), "3", 35),
        ((10_00, 10_00, 20_00), (7, 4_00), "1", 17),
        ((1_00, 99_00), (3, 10_00), "1", 0),
        ((33_33, 66_67), (1, 1_00), "2", 66),
    ],
)
def test_t1_claw_back_by_line(
    open_shop: OpenShop,
    prices: tuple[int, ...],
    points: tuple[int, int],
    returned: str,
    taken: int,
) -> None:
    """A line takes its part of the points with it, fraction dropped."""
    shop = open_shop(program(spend(*points)))
    member = shop.member()
    sale = shop.sale(member, [line(price) for price in prices])
    earned = sum(prices) // points[1] * points[0]
    assert sale.receipt.earned_points == earned
    response = give_back(shop, sale, returned)
    assert response.returned_minor == prices[int(returned) - 1]
    assert response.receipt.clawed_back_points == taken
    assert prove(shop, member).available_points == earned - taken


@pytest.mark.parametrize(
    ("rule", "returned", "taken"),
    [
        (spend(only=LineFilter(skus=["a"])), "1", 10),
        (spend(only=LineFilter(skus=["a"])), "2", 0),
        (spend(excluding=LineFilter(skus=["a"])), "2", 20),
        (spend(basis=Basis.BASIS_BEFORE_DISCOUNT), "1", 10),
        (spend(basis=Basis.BASIS_AFTER_DISCOUNT), "1", 5),
    ],
)
def test_t1_only_lines_that_earned(open_shop: OpenShop, rule: Any, returned: str, taken: int) -> None:
    """What a line earned goes with it, on the basis on which it was earned; a line that earned nothing takes none."""
    shop = open_shop(program(rule))
    member = shop.member()
    sale = shop.sale(
        member,
        [line(10_00, "a"), line(20_00, "b")],
        discounts=[SaleDiscount(amount_minor=5_00, line_ids=["1"])],
    )
    earned = sale.receipt.earned_points
    # The filtered rules count line 1 at what was paid for it.
    expected = taken if rule.spend.basis or taken != 10 else 5
    assert give_back(shop, sale, returned).receipt.clawed_back_points == expected
    rest = give_back(shop, sale).receipt.clawed_back_points
    assert expected + rest == earned
    assert prove(shop, member).available_points == 0


@pytest.mark.parametrize(
    ("points", "quantity", "taken"), [((5, 1_00), 5, 500), ((5, 1_00), 1, 100), ((1, 3_00), 3, 19)]
)
def test_t2_never_taken_twice(open_shop: OpenShop, points: tuple[int, int], quantity: int, taken: int) -> None:
    """Half of a sale takes half of its points; what came back cannot come back again."""
    shop = open_shop(program(spend(*points)))
    member = shop.member()
    sale = shop.sale(member, [line(200_00, quantity=10)])
    earned = sale.receipt.earned_points
    part = ReturnLine(line_id="1", quantity=quantity)
    assert give_back(shop, sale, part).receipt.clawed_back_points == taken
    assert shop.balance(member).available_points == earned - taken
    left_minor = 200_00 * (10 - quantity) // 10
    with refused("RETURN_EXCEEDS_SALE", line_id="1", left_quantity=10 - quantity, left_minor=left_minor):
        give_back(shop, sale, ReturnLine(line_id="1", quantity=11 - quantity))
    assert give_back(shop, sale).receipt.clawed_back_points == earned - taken
    assert prove(shop, member).available_points == 0


def test_t2_sent_again(open_shop: OpenShop) -> None:
    """A return that is sent again with its request id takes nothing more."""
    shop = open_shop(program(spend(5, 1_00)))
    member = shop.member()
    sale = shop.sale(member, [line(200_00, quantity=2)])
    request_id = new_id()
    part = ReturnLine(line_id="1", quantity=1)
    first = give_back(shop, sale, part, request_id=request_id)
    again = give_back(shop, sale, part, request_id=request_id)
    assert again.outcome.replayed
    assert again.receipt == first.receipt
    assert len(shop.events(member, "SaleReturned")) == 1
    assert prove(shop, member).available_points == 500


@pytest.mark.parametrize(
    ("price_minor", "quantity", "points"),
    [(10_00, 3, (1, 1_00)), (9_99, 7, (1, 1_00)), (100_00, 6, (7, 13_00)), (1, 3, (50, 1))],
)
def test_t3_partial_returns_add_up(
    open_shop: OpenShop, price_minor: int, quantity: int, points: tuple[int, int]
) -> None:
    """Unit by unit, money and points come to exactly the sale's; the last takes the remainder; one more is refused."""
    shop = open_shop(program(spend(*points)))
    member = shop.member()
    sale = shop.sale(member, [line(price_minor, quantity=quantity)])
    unit = ReturnLine(line_id="1", quantity=1)
    responses = [give_back(shop, sale, unit) for _ in range(quantity)]
    earned = sale.receipt.earned_points
    taken = [response.receipt.clawed_back_points for response in responses]
    money = [response.returned_minor for response in responses]
    assert (sum(taken), sum(money)) == (earned, price_minor)
    assert max(taken) - min(taken) <= max(1, points[0])
    assert all(sum(taken[: n + 1]) <= earned * (n + 1) / quantity for n in range(quantity))
    for more in ((), (unit,), ("1",)):
        with refused("RETURN_EXCEEDS_SALE", left_minor=0, left_quantity=0):
            give_back(shop, sale, *more)
    assert prove(shop, member).available_points == 0


def test_t3_lines_and_money(open_shop: OpenShop) -> None:
    """Lines and amounts of money may come back one by one; all of it together is the sale."""
    shop = open_shop(program(spend(7, 4_00)))
    member = shop.member()
    sale = shop.sale(member, [line(10_00), line(10_00), line(20_00)])
    part = ReturnLine(line_id="3", amount_minor=5_00)
    taken = [
        give_back(shop, sale, "2", "1").receipt.clawed_back_points,
        give_back(shop, sale, part).receipt.clawed_back_points,
        give_back(shop, sale, part).receipt.clawed_back_points,
        give_back(shop, sale, "3").receipt.clawed_back_points,
    ]
    assert taken == [35, 8, 9, 18]
    with refused("RETURN_EXCEEDS_SALE"):
        give_back(shop, sale)
    assert prove(shop, member).available_points == 0


def test_t3_a_refused_return_takes_nothing(open_shop: OpenShop) -> None:
    """A return of which one line is wrong is refused as a whole."""
    shop = open_shop(program())
    member, other = shop.member(), shop.member()
    sale = shop.sale(member, [line(10_00), line(20_00, quantity=2)])
    with refused("LINE_NOT_FOUND", line_id="7"):
        give_back(shop, sale, "1", "7")
    with refused("RETURN_EXCEEDS_SALE", line_id="2", left_quantity=2, left_minor=20_00):
        give_back(shop, sale, "1", ReturnLine(line_id="2", quantity=3))
    with refused("RETURN_EXCEEDS_SALE", line_id="2", left_quantity=2, left_minor=20_00):
        give_back(shop, sale, "1", ReturnLine(line_id="2", amount_minor=20_01))
    with refused("SALE_OF_OTHER_MEMBER"):
        give_back(shop, sale, member=other)
    assert shop.events(member, "SaleReturned") == []
    assert prove(shop, member).available_points == 30


@pytest.mark.parametrize(("start", "earned", "spent"), [(200, 70, 150), (150, 200, 150), (9, 0, 9)])
def test_t4_full_return(open_shop: OpenShop, start: int, earned: int, spent: int) -> None:
    """A full return takes what the sale earned and gives back what it spent; both are shown."""
    shop = open_shop(program(spend(max(earned, 1), 1_000_00), rewards=[cashback(1)]))
    member = shop.member()
    shop.adjust(member, start)
    price = 1_000_00 if earned else 999_00
    sale = shop.sale(member, price, points_payment=pay(spent))
    assert sale.receipt.balance.available_points == start + earned - spent
    receipt = give_back(shop, sale).receipt
    assert (receipt.clawed_back_points, receipt.restored_points) == (earned, spent)
    assert receipt.balance.available_points == start
    assert prove(shop, member).available_points == start


def test_t4_partial_returns_give_back_in_parts(open_shop: OpenShop) -> None:
    """What the sale spent comes back in proportion, and in the end all of it."""
    shop = open_shop(program(spend(1, 1_00), rewards=[cashback(10), discount(5, amount_minor=1_00)]))
    member = shop.member()
    shop.adjust(member, 105)
    hold = shop.reserve(member, "discount").hold
    sale = shop.sale(member, [line(31_00, quantity=3)], holds=[hold], points_payment=pay(95))
    assert (sale.receipt.earned_points, sale.receipt.spent_points) == (30, 100)
    unit = ReturnLine(line_id="1", quantity=1)
    receipts = [give_back(shop, sale, unit).receipt for _ in range(3)]
    assert [receipt.clawed_back_points for receipt in receipts] == [10, 10, 10]
    assert [receipt.restored_points for receipt in receipts] == [33, 33, 34]
    assert prove(shop, member).available_points == 105


@pytest.mark.parametrize(("earned", "spent"), [(150, 100), (150, 150), (10, 1)])
@pytest.mark.parametrize("policy", [CLAMP, NEGATIVE, ReturnPolicy()])
@pytest.mark.parametrize("by", ["return", "reversal"])
def test_t5_claw_back_of_spent_points(
    open_shop: OpenShop, earned: int, spent: int, policy: ReturnPolicy, by: str
) -> None:
    """Points that were spent already are forgiven and shown as a shortfall, or owed; once, however often it is sent."""
    shop = open_shop(program(returns=policy))
    member = shop.member()
    sale = shop.sale(member, earned * 1_00)
    shop.adjust(member, -spent)
    request_id = new_id()
    undo: Callable[..., Any] = shop.give_back if by == "return" else shop.reverse
    receipts = [undo(sale.outcome.transaction, request_id=request_id).receipt for _ in range(3)]
    assert receipts[0] == receipts[1] == receipts[2]
    may_owe = policy.claw_back == ClawBack.CLAW_BACK_NEGATIVE
    assert receipts[0].clawed_back_points == (earned if may_owe else earned - spent)
    assert receipts[0].shortfall_points == (0 if may_owe else spent)
    assert receipts[0].balance.available_points == (-spent if may_owe else 0)
    assert prove(shop, member).available_points == (-spent if may_owe else 0)


def test_t5_a_debt_cannot_be_spent(open_shop: OpenShop) -> None:
    """A member who owes points has none to spend, and the refusal says where they stand."""
    shop = open_shop(program(returns=NEGATIVE, rewards=[discount(1), cashback()]))
    member = shop.member()
    sale = shop.sale(member, 150_00)
    shop.adjust(member, -100)
    give_back(shop, sale)
    with refused("INSUFFICIENT_POINTS", available_points=-100, needed_points=1):
        shop.reserve(member, "discount")
    with refused("INSUFFICIENT_POINTS", available_points=-100, needed_points=1):
        shop.sale(member, 5_00, points_payment=pay(1))
    assert shop.sale(member, 5_00, points_payment=pay(0)).receipt.spent_points == 0
    assert prove(shop, member).available_points == -95


@pytest.mark.parametrize(("owed", "earns", "left"), [(100, (30, 80), 10), (100, (100,), 0), (1, (1, 1), 1)])
def test_t6_later_earnings_repay(open_shop: OpenShop, owed: int, earns: tuple[int, ...], left: int) -> None:
    """What is owed is repaid first, and what remains of the last earning expires as if nothing had been owed."""
    shop = open_shop(program(returns=NEGATIVE, expiry=end_of(YEAR), time_zone="UTC"))
    member = shop.member()
    sale = shop.sale(member, owed * 1_00, at="2023-01-10T12:00")
    shop.adjust(member, -owed, at="2023-01-11T12:00")
    give_back(shop, sale, at="2023-01-12T12:00")
    owing = -owed
    for number, points in enumerate(earns):
        receipt = shop.sale(member, points * 1_00, at=f"2024-0{number + 1}-01T12:00").receipt
        owing += points
        assert receipt.earned_points == points
        assert receipt.balance.available_points == owing
    assert owing == left
    assert shop.balance(member, "2024-12-31T23:59:59").available_points == left
    assert shop.balance(member, "2025-01-01T00:00").available_points == 0
    account = fold(shop, member)
    assert [(lot.number, lot.points) for lot in account.lots] == ([(1 + len(earns), left)] if left else [])
    prove(shop, member)


def test_t6_an_adjustment_repays_too(open_shop: OpenShop) -> None:
    """Points added by hand repay what is owed first as well."""
    shop = open_shop(program(returns=NEGATIVE))
    member = shop.member()
    sale = shop.sale(member, 50_00)
    shop.adjust(member, -50)
    give_back(shop, sale)
    assert shop.adjust(member, 20).receipt.balance.available_points == -30
    assert shop.adjust(member, 45).receipt.balance.available_points == 15
    assert prove(shop, member).available_points == 15


def _t8(shop: Shop) -> tuple[str, RecordSaleResponse]:
    """80 points of a lot that expires on 31 December, redeemed on 1 December."""
    member = shop.member()
    shop.sale(member, 100_00, at="2023-06-01T12:00")
    sale = shop.sale(member, 99_99, at="2023-12-01T12:00", points_payment=pay(80))
    assert sale.receipt.earned_points == 0
    return member, sale


def t8_program(**returns: Any) -> Program:
    """Points valid through the year, for whole hundreds."""
    return program(
        spend(100, 100_00),
        expiry=end_of(YEAR),
        time_zone="UTC",
        rewards=[cashback(1)],
        returns=ReturnPolicy(**returns),
    )


@pytest.mark.parametrize(
    "returns",
    [
        {},
        {"restore_expired": RestoreExpired.RESTORE_EXPIRED_FORFEIT},
        {"restore_expired": RestoreExpired.RESTORE_EXPIRED_GRACE, "grace_days": 30},
    ],
)
def test_t8_same_lot_same_date(open_shop: OpenShop, returns: dict[str, Any]) -> None:
    """Points that come back before their expiry go to the lot they came from, with its date."""
    shop = open_shop(t8_program(**returns))
    member, sale = _t8(shop)
    receipt = give_back(shop, sale, at="2023-12-15T12:00").receipt
    assert receipt.restored_points == 80
    assert receipt.balance.next_expiry.points == 100
    assert receipt.balance.next_expiry.expires_at == instant("2024-01-01T00:00")
    assert [(lot.number, lot.points) for lot in fold(shop, member).lots] == [(1, 100)]
    assert shop.balance(member, "2024-01-01T00:00").available_points == 0
    prove(shop, member)


def test_t8_last_spent_is_first_given_back(open_shop: OpenShop) -> None:
    """A partial return gives back what was spent last, which expires last; the full one each lot what was its own."""
    shop = open_shop(program(expiry=end_of(MONTH), time_zone="UTC", rewards=[cashback(1)]))
    member = shop.member()
    shop.sale(member, 30_00, at="2024-02-01T12:00")
    shop.publish(program(expiry=end_of(YEAR), time_zone="UTC", rewards=[cashback(1)]))
    shop.sale(member, 30_00, at="2024-02-02T12:00")
    lines = [line(40), line(40)]
    sale = shop.sale(member, lines, at="2024-02-03T12:00", points_payment=pay(50))
    lots = []
    for number in ("1", "2"):
        give_back(shop, sale, number, at="2024-02-04T12:00")
        lots.append([(lot.number, lot.points) for lot in fold(shop, member).lots])
    assert lots == [[(1, 5), (2, 30)], [(1, 30), (2, 30)]]
    assert shop.balance(member, "2024-03-01T00:00").available_points == 30
    prove(shop, member)


def test_t8_expired_meanwhile_forfeit(open_shop: OpenShop) -> None:
    """Points that come back after their expiry, in a program that forfeits them, are restored and expire at once."""
    shop = open_shop(t8_program())
    member, sale = _t8(shop)
    receipt = give_back(shop, sale, at="2024-01-05T12:00").receipt
    assert receipt.restored_points == 80
    assert receipt.balance.available_points == 0
    assert shop.adjust(member, 1, at="2024-01-06T12:00").receipt.balance.available_points == 1
    expired = [
        sum(part.points for part in event.points_expired.allocations) for event in shop.events(member, "PointsExpired")
    ]
    assert expired == [20, 80]
    assert {event.points_expired.effective_at.ToJsonString() for event in shop.events(member, "PointsExpired")} == {
        "2024-01-01T00:00:00Z"
    }
    prove(shop, member)


@pytest.mark.parametrize(
    ("days", "zone", "gone"),
    [
        (10, "UTC", "2024-01-16T00:00+00:00"),
        (1, "Asia/Kolkata", "2024-01-07T00:00+05:30"),
        (86, "Europe/Berlin", "2024-04-01T00:00+02:00"),
    ],
)
def test_t8_expired_meanwhile_grace(open_shop: OpenShop, days: int, zone: str, gone: str) -> None:
    """With grace they are valid for so many more days, which is recorded; the lot keeps its number."""
    definition = t8_program(restore_expired=RestoreExpired.RESTORE_EXPIRED_GRACE, grace_days=days)
    definition.time_zone = zone
    shop = open_shop(definition)
    member, sale = _t8(shop)
    receipt = give_back(shop, sale, at="2024-01-05T12:00").receipt
    assert receipt.balance.available_points == 80
    assert receipt.balance.next_expiry.expires_at == instant(gone)
    (event,) = shop.events(member, "SaleReturned")
    (restored,) = event.sale_returned.undo.restored
    assert (restored.lot, restored.points, restored.expires_at) == (1, 80, instant(gone))
    assert shop.balance(member, gone).available_points == 0
    prove(shop, member)


@pytest.mark.parametrize("price", [50, 1, 999])
def test_t12_equal_exchange(open_shop: OpenShop, price: int) -> None:
    """Bringing something back and taking something else of the same price leaves the points as they were."""
    shop = open_shop(program(spend(3, 1_00)))
    member = shop.member()
    sale = shop.sale(member, [line(price * 1_00, "old"), line(7_00, "other")])
    before = shop.balance(member).available_points
    taken = give_back(shop, sale, "1").receipt.clawed_back_points
    earned = shop.sale(member, [line(price * 1_00, "new")]).receipt.earned_points
    assert taken == earned == 3 * price
    assert prove(shop, member).available_points == before


def test_t10_unknown_sale_refused(open_shop: OpenShop) -> None:
    """A program may refuse a return whose sale it does not know; the refusal stays when the sale comes."""
    policy = ReturnPolicy(unknown_sale=UnknownSale.UNKNOWN_SALE_REFUSE)
    shop = open_shop(program(returns=policy))
    member = shop.member()
    request, request_id = shop.sale_request(member, 10_00), new_id()
    sale = f"transactions/{request.request_id}"
    with refused("SALE_NOT_FOUND"):
        shop.give_back(sale, member=member, request_id=request_id)
    shop.record(request)
    with refused("SALE_NOT_FOUND"):
        shop.give_back(sale, member=member, request_id=request_id)
    assert shop.give_back(sale, member=member).receipt.clawed_back_points == 10
    assert prove(shop, member).available_points == 0


def test_returns_of_sales_that_nobody_knows(open_shop: OpenShop) -> None:
    """Without a member, a return of an unknown sale has nobody to wait for."""
    shop = open_shop(program())
    with refused("TRANSACTION_NOT_FOUND", NOT_FOUND):
        shop.give_back(f"transactions/{new_id()}")
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        shop.give_back(f"transactions/{new_id()}", member=f"members/{new_id()}")


def test_return_by_receipt_alone(open_shop: OpenShop, server: ServerProcess, channel: grpc.Channel) -> None:
    """A till whose credential is bound to the program needs no more than the receipt."""
    shop = open_shop(program())
    member = shop.member()
    shop.sale(member, [line(5_00), line(6_00)], till=8)
    bound = Shop(channel, token(server.database_url, "pos", program=shop.program))
    response = bound.give_back(receipt=shop.reference(8), lines=["2"])
    assert (response.outcome.member, response.receipt.clawed_back_points) == (member, 6)
    with refused("TRANSACTION_NOT_FOUND", NOT_FOUND):
        bound.give_back(receipt=shop.reference(9))
    assert prove(shop, member).available_points == 5


def test_t7_pending_points_first(open_shop: OpenShop) -> None:
    """A return before activation cancels the pending points and leaves the active ones alone."""
    shop = open_shop(program(pending=pending(10), expiry=rolling(days=90), time_zone="UTC"))
    member = shop.member()
    shop.adjust(member, 25, at="2024-01-01T12:00")
    sale = shop.sale(member, 100_00, at="2024-01-01T12:00")
    assert sale.receipt.balance.pending_points == 100
    receipt = give_back(shop, sale, at="2024-01-05T12:00").receipt
    assert receipt.clawed_back_points == 100
    assert (receipt.balance.available_points, receipt.balance.pending_points) == (25, 0)
    assert shop.balance(member, "2024-01-11T00:00").available_points == 25
    prove(shop, member)


@pytest.mark.parametrize(
    ("zone", "sold", "days", "active", "gone"),
    [
        ("UTC", "2024-01-01T12:00", 10, "2024-01-11T00:00", "2024-04-11T00:00"),
        # Days of the calendar, also where one of them has 25 hours, or 23.
        ("Europe/Berlin", "2024-10-27T00:30+02:00", 1, "2024-10-28T00:00+01:00", "2025-01-27T00:00+01:00"),
        ("Europe/Berlin", "2024-03-30T23:30+01:00", 1, "2024-03-31T00:00+01:00", "2024-06-30T00:00+02:00"),
    ],
)
def test_x4_validity_counts_from_activation(
    open_shop: OpenShop, zone: str, sold: str, days: int, active: str, gone: str
) -> None:
    """Pending points become active at the start of their day, and are valid for 90 days from then."""
    shop = open_shop(program(pending=pending(days), expiry=rolling(days=90), time_zone=zone))
    member = shop.member()
    receipt = shop.sale(member, 5_00, at=sold).receipt
    assert (receipt.balance.available_points, receipt.balance.pending_points) == (0, 5)
    assert shop.balance(member, active).available_points == 5
    assert shop.balance(member, active).next_expiry.expires_at == instant(gone)
    assert shop.balance(member, gone).available_points == 0
    prove(shop, member)


def test_month_end_of_restored_points(open_shop: OpenShop) -> None:
    """A return in a later month gives points back to their own month, not to a new one."""
    shop = open_shop(program(spend(1, 1_00), expiry=end_of(MONTH, months=2), time_zone="UTC", rewards=[cashback(1)]))
    member = shop.member()
    shop.sale(member, 50_00, at="2024-01-15T12:00")
    sale = shop.sale(member, 30_00, at="2024-02-15T12:00", points_payment=pay(40))
    give_back(shop, sale, at="2024-03-15T12:00")
    balance = shop.balance(member, "2024-03-15T12:00")
    assert (balance.available_points, balance.next_expiry.points) == (50, 50)
    assert balance.next_expiry.expires_at == instant("2024-04-01T00:00")
    prove(shop, member)


@pytest.mark.parametrize("how", ["return", "reverse"])
def test_t4_a_sale_of_nothing_but_free_items(open_shop: OpenShop, how: str) -> None:
    """A sale whose lines come to nothing, in units and money, gives back what it spent like any other."""
    shop = open_shop(program(rewards=[discount(10, amount_minor=1_00)]))
    member = shop.member()
    shop.adjust(member, 10)
    hold = shop.reserve(member, "discount").hold
    sold = shop.sale(member, [line(1_00, quantity=0)], holds=[hold]).outcome.transaction
    undone = shop.give_back(sold) if how == "return" else shop.reverse(sold)
    assert (undone.receipt.restored_points, shop.balance(member).available_points) == (10, 10)
