"""What is taken back: stock and limits are free again, once, and vouchers however long ago they were used."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from loyalty.v1.account_pb2 import IssuedVoucher
from loyalty.v1.earning_pb2 import LineFilter
from loyalty.v1.expiry_pb2 import CalendarPeriod
from loyalty.v1.program_pb2 import ReturnPolicy
from loyalty.v1.reward_pb2 import EventSeat, ExtendedWarranty, PriorityService, Reward, VoucherState
from loyalty.v1.sale_pb2 import ReturnLine

from ledger.domain.voucher import CLOSED_KEPT
from tests.conftest import OpenShop
from tests.programs import cashback, discount, entitlement, limit, program, voucher
from tests.proof import fold, prove
from tests.rights import left_in, vouchers_of
from tests.shop import Shop, line, refused

ONCE = limit("ever", times=1)


def seat(stock: int, *, cost_points: int = 1) -> Reward:
    """A seat, of so many."""
    return entitlement("seat", cost_points, event_seat=EventSeat(event="tasting"), terms={"stock": stock})


def warranty(stock: int, **terms: object) -> Reward:
    """A warranty for a tv."""
    terms_of_tv = ExtendedWarranty(only=LineFilter(skus=["tv"]), period=CalendarPeriod(years=2))
    return entitlement("warranty", 10, extended_warranty=terms_of_tv, terms={"stock": stock, **terms})


def open_with(open_shop: OpenShop, *rewards: Reward, **fields: object) -> tuple[Shop, str]:
    """A shop with some rewards, and a member with 100 points."""
    shop = open_shop(program(rewards=rewards, time_zone="UTC", **fields))
    return shop, rich(shop)


def rich(shop: Shop) -> str:
    """A member with 100 points."""
    member = shop.member()
    shop.adjust(member, 100, at="2026-01-01T00:00")
    return member


def buy(shop: Shop, member: str, how: str, reward_id: str) -> tuple[str, str]:
    """Gets a voucher or an entitlement; returns the transaction and its name."""
    if how == "granted":
        granted = shop.grant(member, reward_id)
        transaction, redemption = granted.outcome.transaction, granted.redemption
    elif how == "committed":
        committed = shop.commit(shop.reserve(member, reward_id).hold)
        transaction, redemption = committed.outcome.transaction, committed.redemption
    else:
        sale = shop.sale(member, [line(500_00, "tv", line_id="1")], holds=[shop.reserve(member, reward_id).hold])
        transaction, redemption = sale.outcome.transaction, sale.redemptions[0]
    names = [*redemption.entitlements, *(issued.name for issued in redemption.vouchers)]
    return transaction, names[0]


def revoke(shop: Shop, name: str) -> None:
    """Takes a voucher or an entitlement back, as a manager."""
    if "/vouchers/" in name:
        shop.revoke(name)
    else:
        shop.revoke_entitlement(name)


def close(shop: Shop, member: str, number: int, reward_id: str = "voucher") -> None:
    """Lets a member have so many of a reward, and takes them back."""
    redemption = shop.grant(member, reward_id, number).redemption
    for name in (*redemption.entitlements, *(issued.name for issued in redemption.vouchers)):
        revoke(shop, name)


@pytest.mark.parametrize("stock", [1, 3])
@pytest.mark.parametrize(
    ("how", "reward_id"),
    [
        ("committed", "seat"),
        ("granted", "seat"),
        ("sold", "seat"),
        ("sold", "warranty"),
        ("committed", "voucher"),
        ("granted", "voucher"),
        ("sold", "voucher"),
    ],
)
def test_what_was_taken_back_is_back_in_stock_once(open_shop: OpenShop, how: str, reward_id: str, stock: int) -> None:
    """Not once more when its purchase is reversed, though another member may have it by then."""
    shop, member = open_with(open_shop, seat(stock), warranty(stock), voucher(1, terms={"stock": stock}))
    other = rich(shop)
    transaction, name = buy(shop, member, how, reward_id)
    revoke(shop, name)
    assert left_in(shop)[reward_id] == stock
    buy(shop, other, "sold", reward_id)
    shop.reverse(transaction)
    assert left_in(shop)[reward_id] == stock - 1
    assert prove(shop, member).available_points == 100
    prove(shop, other)


def test_the_reversal_gives_back_what_no_manager_took(open_shop: OpenShop) -> None:
    """Of five two are taken back, one of them of each kind: the reversal gives back the other three, and the limit."""
    terms = {"stock": 5, "limits": [limit("ever", times=5)]}
    shop, member = open_with(
        open_shop, voucher(1, terms=terms), entitlement("seat", event_seat=EventSeat(event="tasting"), terms=terms)
    )
    for reward_id in ("voucher", "seat"):
        done = shop.commit(shop.reserve(member, reward_id, 5).hold)
        names = [*done.redemption.entitlements, *(issued.name for issued in done.redemption.vouchers)]
        for name in names[1:3]:
            revoke(shop, name)
        assert left_in(shop)[reward_id] == 2
        with refused("LIMIT_REACHED"):  # what was taken back was had
            shop.reserve(member, reward_id)
        shop.reverse(done.outcome.transaction)
        assert left_in(shop)[reward_id] == 5
        shop.grant(member, reward_id, 5)
    prove(shop, member)


def test_what_was_used_stays_taken(open_shop: OpenShop) -> None:
    """A gift card with something left and a service that was used once too."""
    lounge = entitlement("lounge", priority_service=PriorityService(service="l", times=2), terms={"stock": 2})
    shop, member = open_with(open_shop, voucher(0, "card", value_minor=25_00, terms={"stock": 2}), lounge)
    card = shop.grant(member, "card").redemption.vouchers[0]
    (visits,) = shop.grant(member, "lounge").redemption.entitlements
    shop.sale(member, 10_00, voucher_codes=[card.code])
    shop.use(visits)
    shop.revoke(card.name)
    shop.revoke_entitlement(visits)
    assert left_in(shop) == {"card": 1, "lounge": 1}
    prove(shop, member)


def test_a_card_that_is_full_again_is_back_in_stock(open_shop: OpenShop) -> None:
    """All that it paid for came back, so it counts as not used."""
    shop, member = open_with(open_shop, voucher(0, "card", value_minor=25_00, terms={"stock": 1}))
    card = shop.grant(member, "card").redemption.vouchers[0]
    shop.give_back(shop.sale(member, 10_00, voucher_codes=[card.code]).outcome.transaction)
    shop.revoke(card.name)
    assert left_in(shop) == {"card": 1}
    prove(shop, member)


@pytest.mark.parametrize("reward_id", ["voucher", "seat"])
def test_what_has_expired_stays_taken(open_shop: OpenShop, reward_id: str) -> None:
    """Nobody used it, but nobody else could have it either. A reversal of its purchase gives it back."""
    terms, validity = {"stock": 2}, CalendarPeriod(days=1)
    event = EventSeat(event="tasting")
    shop, member = open_with(
        open_shop,
        voucher(1, validity=validity, terms=terms),
        entitlement("seat", event_seat=event, validity=validity, terms=terms),
    )
    at = "2026-02-01T12:00"
    done = shop.commit(shop.reserve(member, reward_id, at=at).hold, at=at)
    shop.sale(member, 1_00)
    assert len(shop.events(member, "VoucherExpired", "EntitlementExpired")) == 1
    assert left_in(shop)[reward_id] == 1
    shop.reverse(done.outcome.transaction)
    assert left_in(shop)[reward_id] == 2
    assert not shop.events(member, "VoucherRevoked", "EntitlementRevoked")
    prove(shop, member)


@pytest.mark.parametrize("ends", ["released", "reversed", "timed out"])
def test_a_hold_that_ends_after_a_revocation(open_shop: OpenShop, ends: str) -> None:
    """Each of them gives back what it took itself."""
    shop, member = open_with(open_shop, seat(3), hold_timeout=Duration(seconds=60))
    _, name = buy(shop, member, "granted", "seat")
    at = "2026-02-01T12:00" if ends == "timed out" else None
    reserved = shop.reserve(member, "seat", at=at)
    revoke(shop, name)
    if ends == "released":
        shop.release(reserved.hold)
    elif ends == "reversed":
        shop.reverse(reserved.outcome.transaction)
    assert left_in(shop) == {"seat": 3}
    shop.grant(member, "seat", 3)
    with refused("OUT_OF_STOCK"):
        shop.grant(member, "seat")
    prove(shop, member)


# -- goods that come back


@pytest.mark.parametrize("reward", [discount(5), cashback(5, 5, "discount")])
@pytest.mark.parametrize("of_all", [False, True])
def test_a_complete_return_gives_stock_and_limits_back(open_shop: OpenShop, reward: Reward, of_all: bool) -> None:
    """As its reversal would, and a reversal that follows does not once more. A part of it is not enough."""
    redeemed = Reward()
    redeemed.CopyFrom(reward)
    redeemed.stock = 1
    redeemed.limits.append(limit("ever", times=1, of_all=of_all))
    shop, member = open_with(open_shop, redeemed)
    basket = [line(10_00, "a", line_id="1"), line(10_00, "b", line_id="2")]
    sale = shop.sale(member, basket, holds=[shop.reserve(member, "discount").hold]).outcome.transaction
    shop.give_back(sale, ["1"])
    assert left_in(shop) == {"discount": 0}
    shop.give_back(sale, ["2"])
    assert left_in(shop) == {"discount": 1}
    again = shop.sale(member, 10_00, holds=[shop.reserve(member, "discount").hold])
    shop.reverse(sale)
    assert left_in(shop) == {"discount": 0}
    with refused("OUT_OF_STOCK"):
        shop.reserve(member, "discount")
    shop.reverse(again.outcome.transaction)
    assert left_in(shop) == {"discount": 1}
    assert prove(shop, member).available_points == 100
    assert {value for values in fold(shop, member).counters.values() for _, value in values} <= {0}


def test_points_paid_with_make_room(open_shop: OpenShop) -> None:
    """Once all of the sale is back; so does a return that waited for its sale."""
    reward = cashback()
    reward.limits.append(limit("year", points=5))
    shop, member = open_with(open_shop, reward)
    pay: dict[str, Any] = {"points_payment": {"reward_id": "cashback", "points": 5}, "at": "2026-03-02T12:00"}
    shop.give_back(shop.sale(member, 10_00, **pay).outcome.transaction, at="2026-03-02T12:00")
    request = shop.sale_request(member, 10_00, **pay)
    shop.give_back(f"transactions/{request.request_id}", member=member, at="2026-03-02T12:00")
    shop.record(request)
    shop.sale(member, 10_00, **pay)
    with refused("LIMIT_REACHED", limit="reward/cashback/year/points", left=0):
        shop.sale(member, 10_00, **pay)
    prove(shop, member)


def test_what_the_sale_issued_stays_taken(open_shop: OpenShop) -> None:
    """A voucher and points are not of its goods: the return leaves them, and their stock and limits with them."""
    gift = Reward(reward_id="gift", cost_points=9, points=5, stock=1, limits=[ONCE])
    shop, member = open_with(open_shop, voucher(7, terms={"stock": 1, "limits": [ONCE]}), gift)
    holds = [shop.reserve(member, reward_id).hold for reward_id in ("voucher", "gift")]
    sale = shop.sale(member, 10_00, holds=holds).outcome.transaction
    shop.give_back(sale)
    assert left_in(shop) == {"voucher": 0, "gift": 0}
    shop.reverse(sale)
    assert left_in(shop) == {"voucher": 1, "gift": 1}
    assert prove(shop, member).available_points == 100
    for reward_id in ("voucher", "gift"):
        shop.grant(member, reward_id)
    prove(shop, member)


def test_a_warranty_is_back_in_stock_with_its_goods(open_shop: OpenShop) -> None:
    """And can be bought once more; the reversal of the sale gives back nothing twice."""
    shop, member = open_with(open_shop, warranty(1, limits=[ONCE]))
    basket = [line(5_00, "cable", line_id="1"), line(500_00, "tv", line_id="2")]
    sale = shop.sale(member, basket, holds=[shop.reserve(member, "warranty").hold]).outcome.transaction
    assert shop.give_back(sale, ["2"]).receipt.restored_points == 10
    assert left_in(shop) == {"warranty": 1}
    second = shop.sale(member, basket, holds=[shop.reserve(member, "warranty").hold]).outcome.transaction
    shop.give_back(sale, ["1"])
    shop.reverse(sale)
    assert left_in(shop) == {"warranty": 0}
    with refused("OUT_OF_STOCK"):
        shop.reserve(member, "warranty")
    shop.reverse(second)
    assert left_in(shop) == {"warranty": 1}
    assert prove(shop, member).available_points == 100


def test_a_warranty_of_two_of_which_one_was_taken_back(open_shop: OpenShop) -> None:
    """The other ends with the goods, each is in stock once, and the points are back once."""
    shop, member = open_with(open_shop, warranty(2, limits=[limit("ever", times=2)]))
    hold = shop.reserve(member, "warranty", 2).hold
    sale = shop.sale(member, [line(500_00, "tv", line_id="1", quantity=2), line(1_00)], holds=[hold])
    one, other = sale.redemptions[0].entitlements
    shop.revoke_entitlement(one)
    assert left_in(shop) == {"warranty": 1}
    assert shop.give_back(sale.outcome.transaction, [ReturnLine(line_id="1", quantity=1)]).receipt.restored_points == 0
    assert shop.give_back(sale.outcome.transaction, ["1"]).receipt.restored_points == 20
    assert left_in(shop) == {"warranty": 2}
    with refused("ENTITLEMENT_NOT_USABLE", state="REVOKED"):
        shop.use(other)
    assert shop.give_back(sale.outcome.transaction).receipt.restored_points == 0
    shop.reverse(sale.outcome.transaction)
    assert left_in(shop) == {"warranty": 2}
    assert prove(shop, member).available_points == 100


# -- what an account forgets


def test_the_last_to_be_used_is_the_last_to_be_forgotten(open_shop: OpenShop) -> None:
    """51 vouchers: 50 are taken back, then the one that was issued first is used. Its return gives it back."""
    shop, member = open_with(open_shop, voucher(0), cashback())
    first, *others = shop.grant(member, "voucher", CLOSED_KEPT + 1).redemption.vouchers
    for one in others:
        shop.revoke(one.name)
    sale = shop.sale(member, 10_00, voucher_codes=[first.code])
    with refused("VOUCHER_USED"):
        shop.sale(member, 10_00, voucher_codes=[first.code])
    prove(shop, member)
    shop.give_back(sale.outcome.transaction)
    assert shop.sale(member, 10_00, voucher_codes=[first.code]).receipt.payable_minor == 9_00
    prove(shop, member)


@pytest.mark.parametrize("how", ["return", "reversal"])
def test_a_forgotten_voucher_is_given_back(open_shop: OpenShop, how: str) -> None:
    """However long ago the sale was, it can be used again, and a gift card holds what that sale took of it."""
    shop, member = open_with(open_shop, voucher(0), voucher(0, "card", value_minor=25_00))
    plain = shop.grant(member, "voucher").redemption.vouchers[0]
    card = shop.grant(member, "card").redemption.vouchers[0]
    sale = shop.sale(member, 11_00, voucher_codes=[plain.code, card.code])
    other = shop.sale(member, 20_00, voucher_codes=[card.code])
    assert (sale.receipt.payable_minor, other.receipt.payable_minor) == (0, 5_00)
    close(shop, member, CLOSED_KEPT)
    assert not {plain.name, card.name} & fold(shop, member).vouchers.keys()
    for one in (sale, other):
        undo = shop.give_back if how == "return" else shop.reverse
        undo(one.outcome.transaction)
        prove(shop, member)
    shown = {one.name: one.left_minor for one in vouchers_of(shop, member, "ISSUED")}
    assert shown == {plain.name: 0, card.name: 25_00}
    assert shop.sale(member, 31_00, voucher_codes=[plain.code, card.code]).receipt.payable_minor == 5_00
    prove(shop, member)


def test_a_forgotten_voucher_that_expired_meanwhile(open_shop: OpenShop) -> None:
    """Expires at once, as any other; a program that keeps vouchers does not give it back at all."""
    shop, member = open_with(open_shop, voucher(0, validity=CalendarPeriod(days=1)), voucher(0, "other"))
    used = _used_and_forgotten(shop, member, "other", at="2026-02-01T12:00")
    shop.give_back(used[0])
    assert [one.state for one in vouchers_of(shop, member) if one.name == used[1].name] == [
        VoucherState.VOUCHER_STATE_EXPIRED
    ]
    prove(shop, member)
    keeps = ReturnPolicy(keeps_vouchers=True)
    shop.publish(program(name=shop.program, rewards=[voucher(0)], returns=keeps, time_zone="UTC"))
    kept = _used_and_forgotten(shop, member, "voucher")
    shop.give_back(kept[0])
    assert not vouchers_of(shop, member, "ISSUED")
    prove(shop, member)


def _used_and_forgotten(shop: Shop, member: str, others: str, at: str | None = None) -> tuple[str, IssuedVoucher]:
    """A sale, and the voucher that was used in it."""
    issued = shop.grant(member, "voucher", at=at).redemption.vouchers[0]
    sale = shop.sale(member, 10_00, voucher_codes=[issued.code], at=at)
    close(shop, member, CLOSED_KEPT, others)
    return sale.outcome.transaction, issued


@pytest.mark.parametrize("reward_id", ["voucher", "seat"])
def test_the_purchase_of_what_is_forgotten_cannot_be_reversed(open_shop: OpenShop, reward_id: str) -> None:
    """Nobody knows whether it was used, and the till is told so. Nothing has changed."""
    shop, member = open_with(open_shop, voucher(terms={"stock": 100}), seat(100))
    transaction, name = buy(shop, member, "committed", reward_id)
    revoke(shop, name)
    close(shop, member, CLOSED_KEPT - 1, reward_id)
    shop.reverse(transaction)
    transaction, name = buy(shop, member, "committed", reward_id)
    revoke(shop, name)
    close(shop, member, CLOSED_KEPT, reward_id)
    with refused("REWARD_FORGOTTEN", issued=name):
        shop.reverse(transaction)
    assert left_in(shop)[reward_id] == 100
    assert prove(shop, member).available_points == 99


def test_a_reversal_forgets_nothing_that_it_needs(open_shop: OpenShop) -> None:
    """More than an account remembers are closed by it: those taken back before, and the voucher that the sale used."""
    shop, member = open_with(open_shop, voucher(1, terms={"stock": 100}), voucher(0, "own"))
    own = shop.grant(member, "own").redemption.vouchers[0]
    hold = shop.reserve(member, "voucher", CLOSED_KEPT + 10).hold
    sale = shop.sale(member, 10_00, holds=[hold], voucher_codes=[own.code])
    (names,) = ([one.name for one in redeemed.vouchers] for redeemed in sale.redemptions if redeemed.vouchers)
    for name in names[-3:]:
        shop.revoke(name)
    assert left_in(shop)["voucher"] == 100 - CLOSED_KEPT - 7
    shop.reverse(sale.outcome.transaction)
    assert left_in(shop)["voucher"] == 100
    assert [one.name for one in vouchers_of(shop, member, "ISSUED")] == [own.name]
    assert prove(shop, member).available_points == 100


def test_a_warranty_that_went_back_long_ago(open_shop: OpenShop) -> None:
    """Its sale can be reversed all the same: nobody had used it."""
    shop, member = open_with(open_shop, warranty(1), seat(100))
    basket = [line(5_00, line_id="1"), line(500_00, "tv", line_id="2")]
    sale = shop.sale(member, basket, holds=[shop.reserve(member, "warranty").hold])
    shop.give_back(sale.outcome.transaction, ["2"])
    close(shop, member, CLOSED_KEPT, "seat")
    shop.reverse(sale.outcome.transaction)
    assert left_in(shop) == {"warranty": 1, "seat": 100}
    assert prove(shop, member).available_points == 100
