"""Grants: rewards that are given for no points, and rewards that give points."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from loyalty.v1.expiry_pb2 import CalendarPeriod
from loyalty.v1.program_pb2 import ClawBack, Program, ReturnPolicy
from loyalty.v1.reward_pb2 import EventSeat, Reward

from tests.conftest import OpenShop
from tests.programs import discount, entitlement, limit, pending, program, rolling, tiers, voucher
from tests.proof import prove
from tests.shop import Details, Shop, instant, line, new_id, refused

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT

SEAT = entitlement("seat", 0, event_seat=EventSeat(event="tasting"), terms={"stock": 2})


def gift(points: int, reward_id: str = "gift", cost_points: int = 0, **fields: object) -> Reward:
    """A reward that is so many points."""
    return Reward(reward_id=reward_id, cost_points=cost_points, points=points, **fields)  # type: ignore[arg-type]  # as given


def open_with(open_shop: OpenShop, *rewards: Reward, **fields: object) -> tuple[Shop, str]:
    """A shop with some rewards, and a member."""
    shop = open_shop(program(rewards=rewards, time_zone="UTC", **fields))
    return shop, shop.member()


def test_a_voucher_is_given_for_no_points(open_shop: OpenShop) -> None:
    """Its code comes with the answer, again with a retry, and is in no event."""
    shop, member = open_with(open_shop, voucher(0, validity=CalendarPeriod(days=10)))
    request_id = new_id()
    given = shop.grant(member, "voucher", 2, request_id=request_id, at="2026-03-01T12:00")
    again = shop.grant(member, "voucher", 2, request_id=request_id, at="2026-03-01T12:00")
    assert (given.redemption.points, given.redemption.quantity, given.receipt.earned_points) == (0, 2, 0)
    codes = [one.code for one in given.redemption.vouchers]
    assert len(set(codes)) == 2
    assert again.outcome.replayed
    assert [one.code for one in again.redemption.vouchers] == codes
    assert [one.expires_at for one in given.redemption.vouchers] == [instant("2026-03-12T00:00")] * 2
    sale = shop.sale(member, 10_00, voucher_codes=codes[:1], at="2026-03-11T12:00")
    assert (sale.receipt.payable_minor, sale.receipt.earned_points) == (9_00, 9)
    with refused("VOUCHER_EXPIRED"):
        shop.sale(member, 10_00, voucher_codes=codes[1:], at="2026-03-12T00:00")
    assert not any(code in str(event) for code in codes for event in shop.events(member))
    assert prove(shop, member).available_points == 9


def test_who_may_have_what(open_shop: OpenShop) -> None:
    """Stock, a member's limit and a pool of codes hold; what takes something off a sale cannot be given."""
    once = voucher(0, "once", terms={"limits": [limit("ever", times=1)]})
    shop, member = open_with(open_shop, SEAT, once, discount(5), voucher(0, "coded", code_pool="cinema"))
    other = shop.member()
    shop.grant(member, "once")
    with refused("LIMIT_REACHED", limit="reward/once/ever/times", left=0):
        shop.grant(member, "once")
    shop.grant(other, "once")
    shop.grant(member, "seat", 2)
    with refused("OUT_OF_STOCK", reward_id="seat", left=0):
        shop.grant(other, "seat")
    shop.upload_codes("cinema", "CINE-0001", "CINE-0002")
    assert [one.code for one in shop.grant(member, "coded").redemption.vouchers] == ["CINE-0001"]
    with refused("OUT_OF_STOCK", left=1):
        shop.grant(member, "coded", 2)
    assert [one.code for one in shop.grant(other, "coded").redemption.vouchers] == ["CINE-0002"]
    with refused("REWARD_NOT_APPLICABLE", reward_id="discount"):
        shop.grant(member, "discount")
    with refused("REWARD_NOT_FOUND", NOT_FOUND):
        shop.grant(member, "nothing")
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        shop.grant(f"members/{new_id()}", "once")
    for one in (member, other):
        prove(shop, one)


def test_a_warranty_needs_its_goods(open_shop: OpenShop) -> None:
    """It cannot be given without a sale."""
    warranty = entitlement("warranty", 10)
    warranty.entitlement.extended_warranty.only.skus.append("tv")
    warranty.entitlement.extended_warranty.period.years = 2
    shop, member = open_with(open_shop, warranty)
    with refused("REWARD_NOT_APPLICABLE", reward_id="warranty"):
        shop.grant(member, "warranty")
    prove(shop, member)


def test_what_is_only_given_cannot_be_bought(open_shop: OpenShop) -> None:
    """A reward without a price has none for points."""
    shop, member = open_with(open_shop, voucher(0))
    shop.adjust(member, 100)
    with refused("REWARD_NOT_APPLICABLE", reward_id="voucher"):
        shop.reserve(member, "voucher")
    prove(shop, member)


def test_a_grant_taken_back_is_as_if_it_had_never_been(open_shop: OpenShop) -> None:
    """Stock and limits are free again, points are gone; what was used already stays."""
    seat = entitlement("seat", 0, event_seat=EventSeat(event="tasting"), terms={"stock": 1})
    once = voucher(0, "once", terms={"limits": [limit("ever", times=1)]})
    shop, member = open_with(open_shop, seat, once, gift(50))
    for reward_id in ("seat", "once", "gift"):
        given = shop.grant(member, reward_id)
        shop.reverse(given.outcome.transaction)
        with refused("ALREADY_REVERSED"):
            shop.reverse(given.outcome.transaction)
    assert prove(shop, member).available_points == 0
    shop.grant(member, "seat")
    used = shop.grant(member, "once")
    shop.sale(member, 10_00, voucher_codes=[used.redemption.vouchers[0].code])
    with refused("VOUCHER_USED"):
        shop.reverse(used.outcome.transaction)
    prove(shop, member)


def test_the_last_seat_is_given_once(open_shop: OpenShop) -> None:
    """By ten managers at the same time: two seats."""
    shop, member = open_with(open_shop, SEAT)
    members = [member, *(shop.member() for _ in range(9))]

    def give(one: str) -> str:
        try:
            return shop.grant(one, "seat").redemption.entitlements[0]
        except grpc.RpcError as error:
            return Details(error).reason

    with ThreadPoolExecutor(10) as threads:
        seats = list(threads.map(give, members))
    assert seats.count("OUT_OF_STOCK") == 8
    prove(shop, member)


def test_points_are_given(open_shop: OpenShop) -> None:
    """Active at once, with the program's expiry; they repay what is owed first and count for no tier."""
    shop, member = open_with(
        open_shop, gift(50), tiers=tiers(blue=0, gold=100), pending=pending(10), expiry=rolling(days=30)
    )
    given = shop.grant(member, "gift", 3, at="2026-03-01T12:00")
    assert (given.receipt.earned_points, given.redemption.issued_points) == (150, 150)
    assert (given.receipt.balance.available_points, given.receipt.tier.tier) == (150, "blue")
    assert given.receipt.balance.next_expiry.expires_at == instant("2026-04-01T00:00")
    assert given.receipt.texts[0].lines[:2] == ["You earned 150 points.", "You have 150 points to spend."]
    explained = shop.explain(given.outcome.transaction)
    assert [lot.points for lot in explained.lots] == [150]
    assert [one.redemption.issued_points for one in explained.redemptions] == [150]
    assert "gift: 150 points given." in explained.texts[0].lines
    assert prove(shop, member).available_points == 0  # they have expired since


def test_points_given_repay_what_is_owed(open_shop: OpenShop) -> None:
    """First of all."""
    policy = ReturnPolicy(claw_back=ClawBack.CLAW_BACK_NEGATIVE)
    shop, member = open_with(open_shop, gift(50), discount(100), returns=policy)
    sale = shop.sale(member, 100_00)
    shop.commit(shop.reserve(member, "discount").hold)
    shop.give_back(sale.outcome.transaction)
    assert shop.grant(member, "gift").receipt.balance.available_points == -50
    last = shop.grant(member, "gift", 2)
    assert last.receipt.balance.available_points == 50
    shop.reverse(last.outcome.transaction)
    assert prove(shop, member).available_points == -50


@pytest.mark.parametrize("in_sale", [False, True])
def test_points_are_bought_with_points(open_shop: OpenShop, in_sale: bool) -> None:
    """A reward like any other: both movements are shown, and a reversal undoes both."""
    shop, member = open_with(open_shop, gift(7, cost_points=10))
    shop.adjust(member, 100)
    hold = shop.reserve(member, "gift", 2).hold
    done = shop.sale(member, 5_00, holds=[hold]) if in_sale else shop.commit(hold)
    assert (done.receipt.spent_points, done.receipt.earned_points) == (20, 14 + 5 * in_sale)
    assert prove(shop, member).available_points == 94 + 5 * in_sale
    if in_sale:  # what a sale bought is not of its goods
        assert shop.give_back(done.outcome.transaction).receipt.clawed_back_points == 5
    shop.reverse(done.outcome.transaction)
    assert prove(shop, member).available_points == 100


def test_a_voucher_gives_points_in_the_sale_that_it_is_used_in(open_shop: OpenShop) -> None:
    """Once, beside what the sale earns. They go when all of the sale comes back, and the voucher can be used again."""
    shop, member = open_with(open_shop, voucher(0, "bonus", points=200))
    code = shop.grant(member, "bonus").redemption.vouchers[0].code
    basket = [line(10_00, "a"), line(5_00, "b")]
    assert shop.quote(member, basket, voucher_codes=[code]).receipt.earned_points == 215
    sale = shop.sale(member, basket, voucher_codes=[code])
    assert (sale.receipt.earned_points, sale.receipt.payable_minor) == (215, 15_00)
    assert {award.rule: award.points for award in sale.awards} == {"spend": 15, "reward/bonus": 200}
    assert "bonus: 200 points." in shop.explain(sale.outcome.transaction).texts[0].lines
    with refused("VOUCHER_USED"):
        shop.sale(member, basket, voucher_codes=[code])
    assert shop.give_back(sale.outcome.transaction, ["1"]).receipt.clawed_back_points == 10
    assert shop.give_back(sale.outcome.transaction, ["2"]).receipt.clawed_back_points == 205
    second = shop.sale(member, basket, voucher_codes=[code])
    assert second.receipt.earned_points == 215
    shop.reverse(second.outcome.transaction)
    assert prove(shop, member).available_points == 0


def test_receipts_print_codes_and_what_was_used(open_shop: OpenShop) -> None:
    """In both languages."""
    terms = {"display_name": {"en": "Gift card", "hi": "गिफ़्ट कार्ड"}}
    card = voucher(0, "card", terms=terms, value_minor=25_00, validity=CalendarPeriod(days=10), start_days=1)
    shop, member = open_with(open_shop, card, SEAT)
    given = shop.grant(member, "card", at="2026-03-01T12:00")
    code = given.redemption.vouchers[0].code
    english, hindi = (list(text.lines) for text in given.receipt.texts)
    assert english[:2] == [
        f"Your voucher for Gift card: {code}.",
        "Valid from 2 March 2026 through 12 March 2026.",
    ]
    assert hindi[:2] == [
        f"गिफ़्ट कार्ड के लिए आपका वाउचर: {code}।",
        "2 मार्च 2026 से 12 मार्च 2026 तक मान्य।",
    ]
    sale = shop.sale(member, 10_00, voucher_codes=[code], at="2026-03-02T12:00")
    printed = [text for text in sale.receipt.texts[0].lines if "Gift card" in text]
    assert printed == ["Used: Gift card.", "Left on Gift card: EUR 15.00."]
    seats = shop.grant(member, "seat", 2)
    assert seats.receipt.texts[0].lines[0] == "For you: seat, number: 2."
    many = shop.grant(member, "card", 12).receipt.texts[0].lines
    assert sum(text.startswith("Your voucher for Gift card") for text in many) == 10
    assert "More vouchers for Gift card: 2." in many
    prove(shop, member)


def test_bad_input(open_shop: OpenShop) -> None:
    """All fields at fault at once; a reused request id is named."""
    shop, member = open_with(open_shop, voucher(0))
    with pytest.raises(grpc.RpcError) as error:
        shop.grant("members/nobody", "", -1)
    assert Details(error.value).fields == ["member", "reward_id", "quantity"]
    request_id = new_id()
    shop.grant(member, "voucher", request_id=request_id)
    with refused("REQUEST_ID_REUSED", INVALID, field="quantity"):
        shop.grant(member, "voucher", 2, request_id=request_id)
    prove(shop, member)


@pytest.mark.parametrize(
    ("reward", "field"),
    [
        (gift(0), "points"),
        (gift(10, cost_points=-1), "cost_points"),
        (gift(10, cost_points=10), "points"),
        (discount(0), "cost_points"),
        (voucher(0, points=-1), "voucher.points"),
    ],
)
def test_what_cannot_be_published(open_shop: OpenShop, reward: Reward, field: str) -> None:
    """Points of a reward are more than 0; only what can be given may have no price."""
    definition: Program = program(rewards=[reward])
    with pytest.raises(grpc.RpcError) as error:
        open_shop(definition)
    assert Details(error.value).fields == [f"program.rewards[0].{field}"]
