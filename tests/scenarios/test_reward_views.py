"""What CRM and tills see of vouchers, entitlements and stock."""

import grpc
import pytest
from loyalty.v1.crm_service_pb2 import ListVouchersRequest
from loyalty.v1.expiry_pb2 import CalendarPeriod
from loyalty.v1.reward_pb2 import EventSeat, PriorityService, VoucherState

from tests.conftest import OpenShop
from tests.programs import discount, entitlement, program, voucher
from tests.proof import prove
from tests.rights import entitlements_of, left_in, vouchers_of
from tests.running import running, token
from tests.shop import TIMEOUT_S, Details, Shop, instant, new_id, refused

NOT_FOUND = grpc.StatusCode.NOT_FOUND

REWARDS = [
    voucher(5, validity=CalendarPeriod(days=10)),
    voucher(0, "card", value_minor=25_00),
    voucher(0, "coded", code_pool="cinema"),
    entitlement("seat", 5, event_seat=EventSeat(event="tasting"), terms={"stock": 12}),
    entitlement("lounge", 0, priority_service=PriorityService(service="lounge", times=2)),
    discount(5, terms={"stock": 3}),
]


def open_with(open_shop: OpenShop) -> tuple[Shop, str]:
    """A shop with the rewards, and a member with 100 points."""
    shop = open_shop(program(rewards=REWARDS, time_zone="UTC"))
    member = shop.member()
    shop.adjust(member, 100)
    return shop, member


def test_vouchers_are_shown_as_they_are_now(open_shop: OpenShop) -> None:
    """Used, taken back and expired ones too; an expiry that nobody has recorded shows; codes do not."""
    shop, member = open_with(open_shop)
    gone = shop.grant(member, "voucher", at="2026-03-01T12:00").redemption.vouchers[0]
    first, second, third = shop.grant(member, "voucher", 3).redemption.vouchers
    card = shop.grant(member, "card").redemption.vouchers[0]
    shop.sale(member, 10_00, voucher_codes=[first.code, card.code])
    shop.revoke(second.name)
    states = {
        one.name: VoucherState.Name(one.state).rpartition("_")[2] for one in vouchers_of(shop, member, page_size=2)
    }
    assert states == {
        card.name: "ISSUED",
        third.name: "ISSUED",
        second.name: "REVOKED",
        first.name: "USED",
        gone.name: "EXPIRED",
    }
    shown = {one.name: one for one in vouchers_of(shop, member, "ISSUED", page_size=1)}
    assert shown.keys() == {card.name, third.name}
    assert shown[card.name].left_minor == 16_00
    assert shown[third.name].expires_at == third.expires_at
    assert (shown[third.name].reward.reward_id, shown[third.name].code_hash) == ("voucher", "")
    (expired,) = vouchers_of(shop, member, "EXPIRED")
    assert expired.expires_at == instant("2026-03-12T00:00")
    prove(shop, member)


def test_an_expiry_that_nobody_recorded_shows(open_shop: OpenShop) -> None:
    """The member has done nothing since."""
    shop, member = open_with(open_shop)
    shop.grant(member, "voucher", at="2026-03-01T12:00")
    assert [one.state for one in vouchers_of(shop, member)] == [VoucherState.VOUCHER_STATE_EXPIRED]
    assert not vouchers_of(shop, member, "ISSUED")
    assert not shop.events(member, "VoucherExpired")
    prove(shop, member)


def test_what_a_return_gives_back_shows(open_shop: OpenShop) -> None:
    """A card is full again, and its reversal takes it away."""
    shop, member = open_with(open_shop)
    given = shop.grant(member, "card")
    sale = shop.sale(member, 25_00, voucher_codes=[given.redemption.vouchers[0].code])
    assert [(one.left_minor, one.state) for one in vouchers_of(shop, member)] == [(0, VoucherState.VOUCHER_STATE_USED)]
    shop.give_back(sale.outcome.transaction)
    assert [one.left_minor for one in vouchers_of(shop, member, "ISSUED")] == [25_00]
    shop.reverse(given.outcome.transaction)
    assert [one.state for one in vouchers_of(shop, member)] == [VoucherState.VOUCHER_STATE_REVOKED]
    prove(shop, member)


def test_entitlements_are_shown_as_they_are_now(open_shop: OpenShop) -> None:
    """With how often they were used."""
    shop, member = open_with(open_shop)
    (lounge,) = shop.grant(member, "lounge").redemption.entitlements
    seats = shop.grant(member, "seat", 2).redemption.entitlements
    shop.use(lounge)
    shop.use(seats[0])
    shop.revoke_entitlement(seats[1])
    shown = {one.name: one for one in entitlements_of(shop, member, page_size=2)}
    assert [one.used_times for one in shown.values()] == [0, 1, 1]
    assert [one.name for one in entitlements_of(shop, member, "ISSUED")] == [lounge]
    assert [one.name for one in entitlements_of(shop, member, "USED")] == [seats[0]]
    assert [one.name for one in entitlements_of(shop, member, "REVOKED")] == [seats[1]]
    prove(shop, member)


def test_a_till_shows_how_many_are_left(open_shop: OpenShop) -> None:
    """12 seats: reservations count until they end, whether or not that is recorded."""
    shop, member = open_with(open_shop)
    shop.upload_codes("cinema", "CINE-0001", "CINE-0002", "CINE-0003")
    assert left_in(shop) == {
        "voucher": None, "card": None, "coded": 3, "seat": 12, "lounge": None, "discount": 3,
    }  # fmt: skip
    shop.grant(member, "seat", 2)
    shop.reserve(member, "seat")
    shop.reserve(member, "discount", at="2026-03-01T12:00")  # its time ran out long ago
    shop.release(shop.reserve(member, "discount").hold)
    shop.reverse(shop.grant(member, "seat").outcome.transaction)
    shop.grant(member, "coded", 2)
    left = left_in(shop)
    assert (left["seat"], left["discount"], left["coded"]) == (9, 3, 1)
    shop.publish(program(name=shop.program, rewards=[discount(5, terms={"stock": 5})], time_zone="UTC"))
    assert left_in(shop) == {"discount": 5}
    prove(shop, member)


def test_bad_input(open_shop: OpenShop) -> None:
    """Members, programs and tokens that are none."""
    shop, member = open_with(open_shop)
    shop.grant(member, "voucher", 3)
    for call in (vouchers_of, entitlements_of):
        with refused("MEMBER_NOT_FOUND", NOT_FOUND):
            call(shop, f"members/{new_id()}")
        with pytest.raises(grpc.RpcError) as error:
            call(shop, member, page_token="!")
        assert Details(error.value).fields == ["page_token"]
    shop.program = "programs/nobody"
    with refused("PROGRAM_NOT_FOUND", NOT_FOUND):
        left_in(shop)


def test_another_programs_credential_sees_nothing(database_url: str) -> None:
    """A till that is bound to one program is answered as if there were no other."""
    with running(database_url) as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), program(rewards=REWARDS))
        member = shop.member()
        shop.grant(member, "voucher")
        other = Shop(channel, token(database_url), program())
        bound = Shop(channel, token(database_url, "crm", program=other.program))
        with refused("MEMBER_NOT_FOUND", NOT_FOUND):
            request = ListVouchersRequest(member=member)
            bound.crm.ListVouchers(request, metadata=bound.metadata, timeout=TIMEOUT_S)
        with refused("MEMBER_NOT_FOUND", NOT_FOUND):
            bound.grant(member, "voucher")
