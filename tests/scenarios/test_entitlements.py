"""Entitlements: a seat at an event, a longer warranty, priority service; and what returns do to what a sale bought."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from loyalty.v1.commands_pb2 import UseEntitlementRequest
from loyalty.v1.earning_pb2 import LineFilter
from loyalty.v1.expiry_pb2 import CalendarPeriod
from loyalty.v1.reward_pb2 import (
    Entitlement,
    EntitlementState,
    EventSeat,
    ExtendedWarranty,
    PriorityService,
    Reward,
)

from tests.conftest import OpenShop
from tests.programs import discount, entitlement, program, voucher
from tests.proof import prove
from tests.shop import Details, Shop, instant, line, new_id, refused

SEAT = entitlement(
    "seat", event_seat=EventSeat(event="tasting-7", ends_at=instant("2030-05-01T20:00")), terms={"stock": 2}
)
WARRANTY = entitlement(
    "warranty",
    10,
    extended_warranty=ExtendedWarranty(only=LineFilter(skus=["tv"]), period=CalendarPeriod(years=2)),
)
LOUNGE = entitlement(
    "lounge", priority_service=PriorityService(service="lounge", times=2), validity=CalendarPeriod(days=30)
)


def open_with(open_shop: OpenShop, *rewards: Reward) -> tuple[Shop, str]:
    """A shop with some rewards, and a member with 100 points."""
    shop = open_shop(program(rewards=rewards, time_zone="UTC"))
    return shop, rich(shop)


def rich(shop: Shop) -> str:
    """A member with 100 points."""
    member = shop.member()
    shop.adjust(member, 100, at="2026-01-01T00:00")
    return member


def buy(shop: Shop, member: str, reward_id: str, at: str | None = None) -> str:
    """Buys an entitlement with points."""
    (name,) = shop.commit(shop.reserve(member, reward_id, at=at).hold, at=at).redemption.entitlements
    return name


def issued(shop: Shop, member: str) -> list[Entitlement]:
    """The entitlements that a member was issued, as they were then."""
    return [event.entitlement_issued.entitlement for event in shop.events(member, "EntitlementIssued")]


def test_a_seat_admits_once_and_capacity_is_exact(open_shop: OpenShop) -> None:
    """Two seats, ten members: two get one. A seat that is taken back can be bought again."""
    shop, member = open_with(open_shop, SEAT)
    members = [member, *(rich(shop) for _ in range(9))]

    def attend(one: str) -> str:
        try:
            return buy(shop, one, "seat")
        except grpc.RpcError as error:
            return Details(error).reason

    with ThreadPoolExecutor(10) as threads:
        seats = list(threads.map(attend, members))
    taken = [seat for seat in seats if seat.startswith("members/")]
    assert (len(taken), seats.count("OUT_OF_STOCK")) == (2, 8)
    request_id = new_id()
    used = shop.use(taken[0], request_id=request_id)
    assert used.entitlement.state == EntitlementState.ENTITLEMENT_STATE_USED
    assert shop.use(taken[0], request_id=request_id).outcome.replayed
    with refused("ENTITLEMENT_NOT_USABLE", state="USED"):
        shop.use(taken[0])
    shop.revoke_entitlement(taken[1])
    with refused("ENTITLEMENT_NOT_USABLE", state="REVOKED"):
        shop.use(taken[1])
    buy(shop, members[seats.index("OUT_OF_STOCK")], "seat")
    for seat in taken:
        prove(shop, seat.partition("/entitlements/")[0])


def test_a_seat_ends_with_the_event(open_shop: OpenShop) -> None:
    """Doors close at 20:00."""
    shop, member = open_with(open_shop, SEAT)
    seat = buy(shop, member, "seat")
    (entitled,) = issued(shop, member)
    assert (entitled.name, entitled.expires_at) == (seat, instant("2030-05-01T20:00"))
    with refused("ENTITLEMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        shop.use(f"{rich(shop)}/entitlements/{seat[-36:]}")


def test_priority_service_so_many_times_for_so_long(open_shop: OpenShop) -> None:
    """Two visits within 30 days."""
    shop, member = open_with(open_shop, LOUNGE)
    first, second = (buy(shop, member, "lounge", at="2026-03-01T12:00") for _ in range(2))
    once = shop.use(first, at="2026-03-01T12:00")
    assert once.entitlement.used_times == 1
    assert list(once.receipt.texts[0].lines)[:2] == ["Used: lounge.", "Left on lounge: 1."]
    shop.use(first, at="2026-03-31T23:59:59")
    with refused("ENTITLEMENT_NOT_USABLE", state="USED"):
        shop.use(first, at="2026-03-31T23:59:59")
    with refused("ENTITLEMENT_NOT_USABLE", state="EXPIRED", expires_at="2026-04-01T00:00:00Z"):
        shop.use(second, at="2026-04-01T00:00")
    (batched,) = shop.batch(UseEntitlementRequest(request_id=new_id(), origin=shop.origin(), entitlement=second))
    assert batched.error.metadata["state"] == "EXPIRED"
    prove(shop, member)


def test_a_warranty_belongs_to_goods_and_ends_with_them(open_shop: OpenShop) -> None:
    """It names sale and product. When they come back it is gone, and its points are back; with other goods not."""
    shop, member = open_with(open_shop, WARRANTY)
    with refused("REWARD_NOT_APPLICABLE"):
        shop.commit(shop.reserve(member, "warranty").hold)
    with refused("REWARD_NOT_APPLICABLE"):
        shop.sale(member, [line(5_00, "cable")], holds=[shop.reserve(member, "warranty").hold])
    start = shop.balance(member).available_points + 20
    hold = shop.reserve(member, "warranty").hold
    basket = [line(5_00, "cable"), line(500_00, "tv")]
    sale = shop.sale(member, basket, holds=[hold], at="2026-03-01T12:00")
    (entitled,) = issued(shop, member)
    assert (entitled.sale, entitled.line_id, entitled.sku) == (sale.outcome.transaction, "2", "tv")
    assert entitled.expires_at == instant("2028-03-02T00:00")
    assert list(sale.redemptions[0].entitlements) == [entitled.name]
    cable = shop.give_back(sale.outcome.transaction, ["1"])
    assert (cable.receipt.clawed_back_points, cable.receipt.restored_points) == (5, 0)
    screen = shop.give_back(sale.outcome.transaction, ["2"])
    assert (screen.receipt.clawed_back_points, screen.receipt.restored_points) == (500, 10)
    with refused("ENTITLEMENT_NOT_USABLE", state="REVOKED"):
        shop.use(entitled.name)
    shop.reverse(sale.outcome.transaction)
    assert shop.balance(member).available_points == start - 20
    prove(shop, member)


def test_a_return_leaves_what_the_sale_issued(open_shop: OpenShop) -> None:
    """A voucher bought in a sale is not of its goods: only discounts come back with them. A reversal undoes all."""
    shop, member = open_with(open_shop, voucher(7), discount(3))
    holds = [shop.reserve(member, reward_id).hold for reward_id in ("voucher", "discount")]
    sale = shop.sale(member, 10_00, holds=holds)
    back = shop.give_back(sale.outcome.transaction)
    assert (back.receipt.clawed_back_points, back.receipt.restored_points) == (9, 3)
    code = next(issue.code for redemption in sale.redemptions for issue in redemption.vouchers)
    assert shop.quote(member, 10_00, voucher_codes=[code]).receipt.payable_minor == 9_00
    shop.reverse(sale.outcome.transaction)
    assert prove(shop, member).available_points == 100
    with refused("VOUCHER_REVOKED"):
        shop.sale(member, 10_00, voucher_codes=[code])


@pytest.mark.parametrize("reward_id", ["seat", "lounge"])
def test_reversing_the_purchase_takes_the_entitlement_back(open_shop: OpenShop, reward_id: str) -> None:
    """Unless it was used."""
    shop, member = open_with(open_shop, SEAT, LOUNGE)
    committed = shop.commit(shop.reserve(member, reward_id).hold)
    shop.reverse(committed.outcome.transaction)
    with refused("ENTITLEMENT_NOT_USABLE", state="REVOKED"):
        shop.use(committed.redemption.entitlements[0])
    committed = shop.commit(shop.reserve(member, reward_id).hold)
    shop.use(committed.redemption.entitlements[0])
    with refused("ENTITLEMENT_NOT_USABLE"):
        shop.reverse(committed.outcome.transaction)
    assert prove(shop, member).available_points == 99
