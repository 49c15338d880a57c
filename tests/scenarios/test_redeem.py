"""Redeeming: R1 to R3, R6, R8, R9 and R11 of the scenario book."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from loyalty.v1.commands_pb2 import PointsPayment, RecordSaleRequest, ReserveRewardRequest
from loyalty.v1.events_pb2 import ReleaseReason

from tests.conftest import OpenShop
from tests.programs import cashback, discount, program, spend
from tests.proof import prove
from tests.shop import Shop, instant, line, new_id, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def pay(points: int = 0, reward_id: str = "cashback") -> PointsPayment:
    """Pays with points; 0 for as many as possible."""
    return PointsPayment(reward_id=reward_id, points=points)


def later(start: str, **passed: float) -> str:
    """An instant that lies so long after another."""
    return (datetime.fromisoformat(start).astimezone(UTC) + timedelta(**passed)).isoformat()


def kinds(shop: Shop, member: str) -> list[str]:
    """The names of a member's events, in order."""
    return [event.WhichOneof("event") or "" for event in shop.events(member)]


@pytest.mark.parametrize(("start", "first", "second"), [(100, 40, 70), (41, 40, 2), (40, 40, 1)])
def test_r1_reserve_release_commit(open_shop: OpenShop, start: int, first: int, second: int) -> None:
    """A hold's points cannot be spent again; a release gives them back, a commit ends the hold for good."""
    shop = open_shop(program(rewards=[discount(first, "one"), discount(second, "two")]))
    member = shop.member()
    shop.adjust(member, start)
    reserved = shop.reserve(member, "one")
    assert reserved.points == first
    assert reserved.receipt.balance.available_points == start - first
    assert reserved.receipt.balance.held_points == first
    with refused("INSUFFICIENT_POINTS", available_points=start - first, needed_points=second):
        shop.reserve(member, "two")
    released = shop.release(reserved.hold).receipt
    assert released.balance.available_points == start
    assert released.balance.held_points == 0
    hold = shop.reserve(member, "one").hold
    committed = shop.commit(hold)
    assert (committed.redemption.points, committed.receipt.spent_points) == (first, first)
    assert committed.receipt.balance.available_points == start - first
    assert committed.receipt.balance.held_points == 0
    with refused("HOLD_COMMITTED"):
        shop.release(hold)
    with refused("HOLD_COMMITTED"):
        shop.commit(hold)
    with refused("HOLD_RELEASED"):
        shop.commit(reserved.hold)
    with refused("HOLD_RELEASED"):
        shop.release(reserved.hold)
    assert prove(shop, member).available_points == start - first


def test_r1_hold_redeemed_by_a_sale(open_shop: OpenShop) -> None:
    """A sale redeems a hold with it, once: neither the till nor another sale can use it again."""
    shop = open_shop(program(rewards=[discount(30, amount_minor=5_00)]))
    member = shop.member()
    shop.adjust(member, 100)
    hold = shop.reserve(member, "discount").hold
    sale = shop.sale(member, 20_00, holds=[hold])
    assert (sale.receipt.payable_minor, sale.receipt.reward_minor) == (15_00, 5_00)
    (redemption,) = sale.redemptions
    assert (redemption.hold, redemption.points, redemption.value_minor) == (hold, 30, 5_00)
    with refused("HOLD_COMMITTED"):
        shop.sale(member, 20_00, holds=[hold])
    with refused("HOLD_COMMITTED"):
        shop.commit(hold)
    assert prove(shop, member).available_points == 70 + 15


@pytest.mark.parametrize("quantity", [1, 3])
def test_r2_sent_twice(open_shop: OpenShop, quantity: int) -> None:
    """The same reservation sent again is the same hold with one lock, and says that it was a repetition."""
    shop = open_shop(program(rewards=[discount(20)]))
    member = shop.member()
    shop.adjust(member, 100)
    request_id = new_id()
    first = shop.reserve(member, "discount", quantity, request_id=request_id)
    again = shop.reserve(member, "discount", quantity, request_id=request_id)
    assert (first.outcome.replayed, again.outcome.replayed) == (False, True)
    again.outcome.replayed = False
    assert again == first
    assert shop.balance(member).held_points == 20 * quantity
    assert kinds(shop, member) == ["member_enrolled", "points_adjusted", "reward_reserved"]
    assert prove(shop, member).available_points == 100 - 20 * quantity


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"reward_id": "two"}, "reward_id"),
        ({"quantity": 2}, "quantity"),
        ({"cost_hint_points": 7}, "cost_hint_points"),
        ({"origin": {"terminal": "another"}}, "origin.terminal"),
        ({"origin": {"operator": "op-8"}}, "origin.operator"),
        ({"origin": {"offline": True}}, "origin.offline"),
    ],
)
def test_r2_other_body(open_shop: OpenShop, change: dict[str, Any], field: str) -> None:
    """The same request id with another body is refused, and the field that differs is named."""
    shop = open_shop(program(rewards=[discount(20, "one"), discount(20, "two")]))
    member = shop.member()
    shop.adjust(member, 100)
    request = ReserveRewardRequest(request_id=new_id(), origin=shop.origin(), member=member, reward_id="one")
    shop.pos.ReserveReward(request, metadata=shop.metadata)
    request.MergeFrom(ReserveRewardRequest(**change))
    head = shop.head()
    with refused("REQUEST_ID_REUSED", INVALID, field=field):
        shop.pos.ReserveReward(request, metadata=shop.metadata)
    request.ClearField("origin")
    other = shop.sale_request(member, 1_00, request_id=request.request_id)
    with refused("REQUEST_ID_REUSED", INVALID):
        shop.record(other)
    assert shop.balance(member).held_points == 20
    assert shop.events("", "CommandRefused", after=head) == []


def _sales(shop: Shop, member: str, request_id: str) -> list[tuple[RecordSaleRequest, str]]:
    """A sale as it was sent, and variants of it, each with the field in which it differs."""
    sold: dict[str, Any] = {"request_id": request_id}
    return [
        (shop.sale_request(member, [line(5_00), line(6_00)], **sold), ""),
        (shop.sale_request(member, [line(5_00), line(6_01)], **sold), "sale.lines[1].price_minor"),
        (shop.sale_request(member, [line(5_00)], **sold), "sale.lines"),
        (shop.sale_request(member, [line(5_00, "x"), line(6_00)], **sold), "sale.lines[0].sku"),
        (
            shop.sale_request(member, [line(5_00), line(6_00)], points_payment=pay(), **sold),
            "points_payment",
        ),
        (
            shop.sale_request(member, [line(5_00), line(6_00)], at="2024-01-01T00:00", **sold),
            "origin.occurred_at.seconds",
        ),
    ]


def test_r2_other_sale(open_shop: OpenShop) -> None:
    """The field that differs is named down to the line of the sale."""
    shop = open_shop(program(rewards=[cashback()]))
    member = shop.member()
    (first, _), *others = _sales(shop, member, new_id())
    first.origin.occurred_at.CopyFrom(instant("2024-01-02T00:00"))
    shop.record(first)
    for other, field in others:
        if not other.origin.HasField("occurred_at"):
            other.origin.occurred_at.CopyFrom(first.origin.occurred_at)
        with refused("REQUEST_ID_REUSED", INVALID, field=field):
            shop.record(other)
    assert prove(shop, member).available_points == 11


@pytest.mark.parametrize("timeout_s", [None, 30 * 60, 45, 30 * 86_400])
def test_r3_time_out(open_shop: OpenShop, timeout_s: int | None) -> None:
    """After the time-out the points are back, noticed or not; then an event says so and a commit is refused."""
    hold_timeout = Duration(seconds=timeout_s) if timeout_s else None
    shop = open_shop(program(rewards=[discount(40)], hold_timeout=hold_timeout))
    member = shop.member()
    start = "2024-01-10T12:00:00+00:00"
    shop.sale(member, 100_00, at="2024-01-10T11:00")
    reserved = shop.reserve(member, "discount", at=start)
    deadline = later(start, seconds=timeout_s or 30 * 60)
    assert reserved.expires_at == instant(deadline)
    before = shop.balance(member, later(deadline, microseconds=-1))
    assert (before.available_points, before.held_points) == (60, 40)
    at_deadline = shop.balance(member, deadline)
    assert (at_deadline.available_points, at_deadline.held_points) == (100, 0)
    assert shop.events(member, "RewardReleased") == []
    with refused("HOLD_EXPIRED"):
        shop.commit(reserved.hold, at=later(deadline, hours=2))
    (event,) = shop.events(member, "RewardReleased")
    released = event.reward_released
    assert released.hold == reserved.hold
    assert released.reason == ReleaseReason.RELEASE_REASON_TIMED_OUT
    assert released.effective_at == instant(deadline)
    assert event.transaction == ""
    file = shop.transaction(reserved.outcome.transaction)
    assert [other.position for other in file.events] == [reserved.outcome.position, event.position]
    with refused("HOLD_EXPIRED"):
        shop.release(reserved.hold, at=later(deadline, hours=3))
    with refused("HOLD_EXPIRED"):
        shop.sale(member, 1_00, holds=[reserved.hold])
    assert len(shop.events(member, "RewardReleased")) == 1
    assert prove(shop, member).available_points == 100


def test_r3_commit_just_in_time(open_shop: OpenShop) -> None:
    """A commit in the last microsecond of the hold succeeds; at the deadline itself it is too late."""
    shop = open_shop(program(rewards=[discount(40)]))
    member = shop.member()
    shop.sale(member, 100_00, at="2024-01-10T11:00")
    holds = [shop.reserve(member, "discount", at="2024-01-10T12:00").hold for _ in range(2)]
    shop.commit(holds[0], at="2024-01-10T12:29:59.999999")
    with refused("HOLD_EXPIRED"):
        shop.commit(holds[1], at="2024-01-10T12:30")
    assert prove(shop, member).available_points == 60


@pytest.mark.parametrize(
    ("balance", "value_minor", "step", "bill_minor", "cost"),
    [
        (100, 1_00, 1, 10_00, 10),
        (100, 1_00, 1, 10_99, 10),
        (100, 1_00, 1, 99, 0),
        (7, 1_00, 1, 10_00, 7),
        (100, 2_50, 30, 10_00, 90),
        (119, 2_50, 30, 100_00, 90),
        (0, 1_00, 1, 10_00, 0),
    ],
)
def test_r6_cost_is_what_the_bill_needs(
    open_shop: OpenShop, balance: int, value_minor: int, step: int, bill_minor: int, cost: int
) -> None:
    """As many whole steps are used as the bill needs and the balance has, and none more."""
    shop = open_shop(program(spend(1, 10**9), rewards=[cashback(value_minor, step)]))
    member = shop.member()
    if balance:
        shop.adjust(member, balance)
    sale = shop.sale(member, bill_minor, points_payment=pay())
    assert sale.receipt.spent_points == cost
    assert sale.receipt.reward_minor == cost // step * value_minor
    assert sale.receipt.payable_minor == bill_minor - cost // step * value_minor
    assert prove(shop, member).available_points == balance - cost


def test_r6_more_offered_than_the_bill_needs(open_shop: OpenShop) -> None:
    """100 points of 1.00 offered for a bill of 10.00 cost 10; offered without having them, they are refused."""
    shop = open_shop(program(rewards=[cashback()]))
    member = shop.member()
    shop.adjust(member, 100)
    assert shop.sale(member, 10_00, points_payment=pay(100)).receipt.spent_points == 10
    with refused("INSUFFICIENT_POINTS", available_points=100, needed_points=101):
        shop.sale(member, 500_00, points_payment=pay(101))
    assert prove(shop, member).available_points == 100 - 10 + 10


def test_r6_only_whole_steps(open_shop: OpenShop) -> None:
    """Points that are no whole number of steps are refused, and so is a reward that is no cashback."""
    shop = open_shop(program(rewards=[cashback(2_50, 30), discount(1)]))
    member = shop.member()
    shop.adjust(member, 100)
    with refused("REWARD_NOT_APPLICABLE", step_points=30):
        shop.sale(member, 10_00, points_payment=pay(40))
    with refused("REWARD_NOT_APPLICABLE"):
        shop.sale(member, 10_00, points_payment=pay(1, "discount"))
    with refused("REWARD_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        shop.sale(member, 10_00, points_payment=pay(1, "nothing"))
    assert prove(shop, member).available_points == 100


@pytest.mark.parametrize(("cost", "hint"), [(5, 1), (5, 500), (1, 0)])
@pytest.mark.parametrize("quantity", [1, 4])
def test_r8_the_program_sets_the_price(open_shop: OpenShop, cost: int, hint: int, quantity: int) -> None:
    """The reward's price is charged, whatever the till thinks that it costs."""
    shop = open_shop(program(rewards=[discount(cost)]))
    member = shop.member()
    shop.adjust(member, 50)
    reserved = shop.reserve(member, "discount", quantity, cost_hint_points=hint)
    assert reserved.points == cost * quantity
    assert shop.commit(reserved.hold).receipt.spent_points == cost * quantity
    assert prove(shop, member).available_points == 50 - cost * quantity


def test_r8_the_price_is_frozen(open_shop: OpenShop) -> None:
    """A hold keeps the price and value that the reward had when it was reserved."""
    shop = open_shop(program(rewards=[discount(5, amount_minor=3_00)]))
    member = shop.member()
    shop.adjust(member, 50)
    hold = shop.reserve(member, "discount").hold
    shop.publish(program(rewards=[discount(9, amount_minor=8_00)]))
    receipt = shop.sale(member, 10_00, holds=[hold]).receipt
    assert (receipt.spent_points, receipt.reward_minor) == (5, 3_00)
    assert shop.reserve(member, "discount").points == 9
    assert prove(shop, member).available_points == 50 - 5 + 7 - 9


@pytest.mark.parametrize(("earned", "spent"), [(10, 5), (10, 10), (3, 1)])
def test_r9_earn_and_spend_in_one_sale(open_shop: OpenShop, earned: int, spent: int) -> None:
    """Both movements appear, in the receipt and as events of their own, and not their difference."""
    shop = open_shop(program(rewards=[cashback(1)]))
    member = shop.member()
    shop.adjust(member, 20)
    sale = shop.sale(member, earned * 1_00, points_payment=pay(spent))
    assert (sale.receipt.earned_points, sale.receipt.spent_points) == (earned, spent)
    (redeemed,) = shop.events(member, "PointsRedeemed")
    (recorded,) = shop.events(member, "SaleRecorded")
    assert redeemed.points_redeemed.redemption.points == spent
    assert recorded.sale_recorded.lots[0].points == earned
    assert redeemed.transaction == recorded.transaction == sale.outcome.transaction
    account = prove(shop, member)
    assert account.available_points == 20 + earned - spent


def test_r9_a_sale_does_not_pay_with_its_own_points(open_shop: OpenShop) -> None:
    """What a sale earns can be spent at the next one, not at itself."""
    shop = open_shop(program(rewards=[cashback()]))
    member = shop.member()
    with refused("INSUFFICIENT_POINTS", available_points=0, needed_points=5):
        shop.sale(member, 10_00, points_payment=pay(5))
    assert shop.sale(member, 10_00, points_payment=pay()).receipt.spent_points == 0
    assert prove(shop, member).available_points == 10


@pytest.mark.parametrize(
    ("value_minor", "bill_minor", "points", "off_minor"),
    [(2_00, 100_00, 20, 40_00), (2_00, 100_00, 50, 100_00), (5, 1_00, 3, 15)],
)
@pytest.mark.parametrize("by", ["payment", "hold"])
def test_r11_cashback(
    open_shop: OpenShop, value_minor: int, bill_minor: int, points: int, off_minor: int, by: str
) -> None:
    """Each point takes its value off the bill, down to nothing to pay, and the bill still earns in full."""
    shop = open_shop(program(spend(1, 10_00), rewards=[cashback(value_minor)]))
    member = shop.member()
    shop.adjust(member, 60)
    if by == "hold":
        hold = shop.reserve(member, "cashback", points).hold
        sale = shop.sale(member, bill_minor, holds=[hold])
    else:
        sale = shop.sale(member, bill_minor, points_payment=pay(points))
    assert sale.receipt.reward_minor == off_minor
    assert sale.receipt.payable_minor == bill_minor - off_minor
    assert sale.receipt.spent_points == points
    assert sale.receipt.earned_points == bill_minor // 10_00
    assert prove(shop, member).available_points == 60 - points + bill_minor // 10_00


def test_r11_a_hold_beyond_the_bill_is_refused(open_shop: OpenShop) -> None:
    """A hold on more cashback than the bill needs does not fit it; nothing of the sale is recorded."""
    shop = open_shop(program(rewards=[cashback(2_00)]))
    member = shop.member()
    shop.adjust(member, 60)
    hold = shop.reserve(member, "cashback", 51).hold
    with refused("REWARD_NOT_APPLICABLE", value_minor=102_00, payable_minor=100_00):
        shop.sale(member, 100_00, holds=[hold])
    assert shop.balance(member).held_points == 51
    assert shop.events(member, "SaleRecorded", "PointsRedeemed") == []
    shop.release(hold)
    assert prove(shop, member).available_points == 60


def test_r11_discount_first_then_cashback(open_shop: OpenShop) -> None:
    """Cashback pays what a discount reward leaves, in whatever order the till names the holds."""
    shop = open_shop(program(rewards=[cashback(2_00), discount(10, percent_hundredths=50_00, maximum_minor=30_00)]))
    member = shop.member()
    shop.adjust(member, 60)
    holds = [
        shop.reserve(member, "cashback", 20).hold,
        shop.reserve(member, "discount").hold,
    ]
    receipt = shop.sale(member, 100_00, holds=holds).receipt
    assert (receipt.payable_minor, receipt.reward_minor) == (30_00, 70_00)
    assert (receipt.earned_points, receipt.spent_points) == (70, 30)
    assert prove(shop, member).available_points == 60 - 30 + 70


def test_holds_are_of_one_member(open_shop: OpenShop) -> None:
    """A hold that is unknown, or of somebody else, is not found."""
    shop = open_shop(program(rewards=[discount(5)]))
    owner, other = shop.member(), shop.member()
    shop.adjust(owner, 5)
    hold = shop.reserve(owner, "discount").hold
    stolen = f"{other}/holds/{hold.rpartition('/')[2]}"
    not_found = grpc.StatusCode.NOT_FOUND
    for name in (stolen, f"{owner}/holds/{new_id()}"):
        with refused("HOLD_NOT_FOUND", not_found):
            shop.commit(name)
        with refused("HOLD_NOT_FOUND", not_found):
            shop.release(name)
    with refused("HOLD_NOT_FOUND", not_found):
        shop.sale(other, 10_00, holds=[hold])
    assert shop.balance(owner).held_points == 5
