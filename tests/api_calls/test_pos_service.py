"""PosService, beyond what the scenarios ask of it."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.account_pb2 import LocalizedText, Receipt
from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.earning_pb2 import LineFilter
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.member_pb2 import Identifier, IdentifierType, Profile
from loyalty.v1.program_pb2 import Program, Store
from loyalty.v1.sale_pb2 import SaleDiscount

from tests.conftest import OpenShop
from tests.programs import YEAR, cashback, discount, end_of, program, spend, tiers
from tests.proof import prove
from tests.shop import TIMEOUT_S, Details, Shop, basket_w, line, new_id, refused

NOT_FOUND = grpc.StatusCode.NOT_FOUND
DEVANAGARI = range(0x900, 0x980)


def rich_program(**fields: Any) -> Program:
    """A program with a bit of everything."""
    return program(
        spend(4, 1_00, excluding=LineFilter(labels=["red"])),
        spend(1, 10_00, rule_id="more"),
        expiry=end_of(YEAR),
        tiers=tiers(base=0, top=500),
        rewards=[cashback(10), discount(7, percent_hundredths=10_00)],
        **fields,
    )


def identifier(kind: str, value: str) -> Identifier:
    """An identifier."""
    return Identifier(type=IdentifierType.Value(f"IDENTIFIER_TYPE_{kind}"), value=value)


def lookup(shop: Shop, found_by: Identifier, **fields: Any) -> pos.LookupMemberResponse:
    """Looks a member up."""
    request = pos.LookupMemberRequest(identifier=shop.here(found_by), **fields)
    return shop.pos.LookupMember(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def without_texts(receipt: Receipt) -> Receipt:
    """A receipt's figures."""
    figures = Receipt()
    figures.CopyFrom(receipt)
    figures.ClearField("texts")
    return figures


# -- QuoteSale


SALES: list[dict[str, Any]] = [
    {},
    {"discounts": [SaleDiscount(amount_minor=15_21)]},
    {"points_payment": PointsPayment(reward_id="cashback")},
    {"points_payment": PointsPayment(reward_id="cashback", points=33)},
    {"with_hold": True},
    {"with_hold": True, "points_payment": PointsPayment(reward_id="cashback", points=80)},
]


@pytest.mark.parametrize("fields", SALES)
def test_quote_equals_record(open_shop: OpenShop, fields: dict[str, Any]) -> None:
    """A quote has the figures that the sale then gets, to the last one, and writes nothing."""
    shop = open_shop(rich_program())
    member = shop.member()
    shop.adjust(member, 90, at="2024-05-01T10:00")
    if "with_hold" in fields:
        hold = shop.reserve(member, "discount", at="2024-05-01T10:00").hold
        fields = {**fields, "holds": [hold]}
        del fields["with_hold"]
    request = shop.sale_request(member, basket_w(), at="2024-05-01T10:01", till=1, **fields)
    head = shop.head()
    quotes = [shop.pos.QuoteSale(pos.QuoteSaleRequest(sale=request), metadata=shop.metadata) for _ in range(2)]
    assert shop.written(head) == []
    sale = shop.record(request)
    for quote in quotes:
        assert without_texts(quote.receipt) == without_texts(sale.receipt)
        assert quote.awards == sale.awards
        assert quote.redemptions == sale.redemptions
    prove(shop, member)


def test_quote_without_request_id(open_shop: OpenShop) -> None:
    """A quote needs no request id, and refuses as the sale would, which is no outcome of it."""
    shop = open_shop(rich_program())
    member = shop.member()
    head = shop.head()
    request = shop.sale_request(member, 9_00, points_payment=PointsPayment(reward_id="cashback", points=5))
    with refused("INSUFFICIENT_POINTS", available_points=0, needed_points=5):
        shop.pos.QuoteSale(pos.QuoteSaleRequest(sale=request), metadata=shop.metadata)
    assert shop.written(head) == []
    shop.adjust(member, 5)
    assert shop.record(request).receipt.spent_points == 5
    request.request_id = ""
    request.ClearField("points_payment")
    quote = shop.pos.QuoteSale(pos.QuoteSaleRequest(sale=request), metadata=shop.metadata)
    assert quote.receipt.earned_points == 36


def test_a_refused_quote_names_no_transaction(open_shop: OpenShop) -> None:
    """It has made none; what it would be refused for is said all the same."""
    shop = open_shop(rich_program())
    member = shop.member()
    payment = PointsPayment(reward_id="cashback", points=10)
    with pytest.raises(grpc.RpcError) as caught:
        shop.quote(member, 100_00, points_payment=payment)
    details = Details(caught.value)
    assert details.reason == "INSUFFICIENT_POINTS"
    assert dict(details.info.metadata) == {"available_points": "0", "needed_points": "10"}
    request_id = new_id()
    with refused("INSUFFICIENT_POINTS", transaction=f"transactions/{request_id}"):
        shop.sale(member, 100_00, points_payment=payment, request_id=request_id)


def test_quote_says_what_would_be(open_shop: OpenShop) -> None:
    """The texts of a quote speak of the future, those of the sale of the past."""
    shop = open_shop(program())
    member = shop.member()
    quoted, sold = shop.quote(member, 9_00).receipt, shop.sale(member, 9_00).receipt
    assert quoted.texts[0].lines[0] == "You will earn 9 points."
    assert sold.texts[0].lines[0] == "You earned 9 points."
    assert quoted.texts[1].lines[0] != sold.texts[1].lines[0]


# -- receipts


def test_receipt_texts(open_shop: OpenShop) -> None:
    """A receipt comes in English and in Hindi, with figures, tier names and the last day of validity."""
    definition = rich_program()
    definition.tiers[1].display_name.CopyFrom(LocalizedText(en="Gold", hi="गोल्ड"))
    shop = open_shop(definition)
    member = shop.member()
    shop.adjust(member, 10, at="2024-05-01T10:00")
    payment = PointsPayment(reward_id="cashback", points=3)
    receipt = shop.sale(member, 100_00, at="2024-05-01T10:01", points_payment=payment).receipt
    english, hindi = receipt.texts
    assert (english.language_code, hindi.language_code) == ("en", "hi")
    assert list(english.lines) == [
        "You earned 410 points.",
        "You used 3 points.",
        "Taken off by rewards: EUR 0.30.",
        "Left to pay: EUR 99.70.",
        "You have 417 points to spend.",
        "417 points are valid through 31 December 2024.",
        "Your tier: base.",
        "Earn 90 more points to reach Gold.",
    ]
    assert len(hindi.lines) == len(english.lines)
    assert all(any(ord(sign) in DEVANAGARI for sign in text) for text in hindi.lines)
    assert "410" in hindi.lines[0]
    assert "गोल्ड" in hindi.lines[-1]


def test_every_reply_has_both_languages(open_shop: OpenShop) -> None:
    """Whatever a till does, there is something to print in both languages."""
    shop = open_shop(rich_program())
    enrolled = shop.enroll()
    member = enrolled.member
    shop.adjust(member, 100)
    sales = [shop.sale(member, 10_00) for _ in range(2)]
    holds = [shop.reserve(member, "discount") for _ in range(2)]
    for response in (
        enrolled,
        *sales,
        *holds,
        shop.commit(holds[0].hold),
        shop.release(holds[1].hold),
        shop.give_back(sales[0].outcome.transaction),
        shop.reverse(sales[1].outcome.transaction),
        shop.adjust(member, 1),
        shop.quote(member, 1_00),
    ):
        texts = response.receipt.texts
        assert [text.language_code for text in texts] == ["en", "hi"]
        assert all(text.lines for text in texts)


# -- LookupMember


KNOWN_BY = [
    (identifier("CARD", "4000-1234"), identifier("CARD", "4000-1234")),
    (identifier("PHONE", "+49 30 901820"), identifier("PHONE", "030 / 90 18 20")),
    (identifier("EMAIL", "asha@example.com"), identifier("EMAIL", "Asha@Example.COM")),
    (identifier("QR_TOKEN", "q/8f7+secret=="), identifier("QR_TOKEN", "q/8f7+secret==")),
    (identifier("EXTERNAL_ID", "crm:42"), identifier("EXTERNAL_ID", "crm:42")),
]


@pytest.mark.parametrize(("enrolled", "asked"), KNOWN_BY)
def test_lookup(open_shop: OpenShop, enrolled: Identifier, asked: Identifier) -> None:
    """A member is found by any identifier, in any of its forms, with the name masked and the balance of the moment."""
    shop = open_shop(rich_program())
    profile = Profile(given_name="Asha", family_name="Rao", language_code="hi")
    member = shop.enroll([enrolled], profile=profile).member
    sale = shop.sale(member, 200_00)
    found = lookup(shop, asked, min_position=sale.outcome.position)
    assert (found.member, found.masked_name) == (member, "A*** R***")
    assert found.language_code == "hi"
    assert found.balance.available_points == sale.receipt.balance.available_points
    assert found.tier == sale.receipt.tier
    assert found.position >= sale.outcome.position
    by_identifier = pos.GetBalanceRequest(identifier=shop.here(asked), min_position=found.position)
    balance = shop.pos.GetBalance(by_identifier, metadata=shop.metadata)
    assert (balance.member, balance.tier) == (member, found.tier)


@pytest.mark.parametrize("asked", [asked for _, asked in KNOWN_BY])
def test_lookup_of_nobody(open_shop: OpenShop, asked: Identifier) -> None:
    """An identifier that nobody has, or somebody of another program, finds nobody."""
    other = open_shop(program())
    other.enroll([asked])
    shop = open_shop(program())
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        lookup(shop, asked)
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        shop.sale(shop.here(asked), 1_00)


def test_identifiers_in_commands(open_shop: OpenShop) -> None:
    """Sales, reservations and returns name the member by any identifier, too; the events name the member."""
    shop = open_shop(rich_program())
    card = identifier("CARD", "4000-1234")
    member = shop.enroll([card]).member
    sale = shop.sale(shop.here(card), 50_00)
    reserve = c.ReserveRewardRequest(
        request_id=new_id(), origin=shop.origin(), identifier=shop.here(card), reward_id="discount"
    )
    reserved = shop.pos.ReserveReward(reserve, metadata=shop.metadata)
    returned = c.ReturnSaleRequest(
        request_id=new_id(),
        origin=shop.origin(),
        identifier=shop.here(card),
        transaction=sale.outcome.transaction,
    )
    response = shop.pos.ReturnSale(returned, metadata=shop.metadata)
    again = shop.pos.ReturnSale(returned, metadata=shop.metadata)
    assert again.outcome.replayed
    assert {sale.outcome.member, reserved.outcome.member, response.outcome.member} == {member}
    (event,) = shop.events(member, "SaleRecorded")
    assert event.sale_recorded.request.member == member
    prove(shop, member)


# -- reading


def test_min_position_reads_your_writes(open_shop: OpenShop) -> None:
    """A balance asked with the position of a write reflects it."""
    shop = open_shop(program())
    member = shop.member()
    for number in range(1, 21):
        position = shop.sale(member, 1_00).outcome.position
        request = pos.GetBalanceRequest(member=member, min_position=position)
        response = shop.pos.GetBalance(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        assert response.balance.available_points == number
        assert response.position >= position


def test_min_position_that_never_comes(open_shop: OpenShop) -> None:
    """A position that the log has not reached is not waited for without end; the refusal says how far the view is."""
    shop = open_shop(program())
    member = shop.member()
    request = pos.GetBalanceRequest(member=member, min_position=shop.head() + 1_000)
    with refused("VIEW_BEHIND"):
        shop.pos.GetBalance(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def test_balance_of_nobody(open_shop: OpenShop) -> None:
    """A member who does not exist has no balance."""
    shop = open_shop(program())
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        shop.balance(f"members/{new_id()}")


def test_transaction(open_shop: OpenShop) -> None:
    """A transaction is its command's event and all that followed from it, in order."""
    shop = open_shop(rich_program())
    member = shop.member()
    shop.adjust(member, 50)
    hold = shop.reserve(member, "discount")
    payment = PointsPayment(reward_id="cashback", points=10)
    sale = shop.sale(member, [line(100_00), line(100_00)], holds=[hold.hold], points_payment=payment)
    returned = shop.give_back(sale.outcome.transaction, ["1"])
    shop.reverse(sale.outcome.transaction)
    shop.sale(member, 9_00)
    file = shop.transaction(sale.outcome.transaction)
    assert file.name == sale.outcome.transaction
    assert [event.WhichOneof("event") for event in file.events] == [
        "points_redeemed",
        "points_redeemed",
        "sale_recorded",
        "tier_changed",
        "sale_returned",
        "transaction_reversed",
    ]
    positions = [event.position for event in file.events]
    assert positions == sorted(set(positions))
    assert sale.outcome.position in positions
    (main,) = [event for event in file.events if event.HasField("sale_recorded")]
    assert main.sale_recorded.receipt == without_texts(sale.receipt)
    assert main.recorded_at == sale.outcome.recorded_at
    of_return = shop.transaction(returned.outcome.transaction).events
    assert [event.WhichOneof("event") for event in of_return] == ["sale_returned", "tier_changed"]


def test_transaction_of_a_refusal(open_shop: OpenShop) -> None:
    """A refused command has a transaction as well: a till that lost the reply learns what came of it."""
    shop = open_shop(rich_program())
    member = shop.member()
    request_id = new_id()
    with refused("INSUFFICIENT_POINTS", transaction=f"transactions/{request_id}"):
        shop.reserve(member, "discount", request_id=request_id)
    (event,) = shop.transaction(f"transactions/{request_id}").events
    refusal = event.command_refused
    assert refusal.reason == ErrorReason.ERROR_REASON_INSUFFICIENT_POINTS
    assert refusal.reserve_reward.reward_id == "discount"
    assert dict(refusal.metadata) == {"available_points": "0", "needed_points": "7"}
    with refused("TRANSACTION_NOT_FOUND", NOT_FOUND):
        shop.transaction(f"transactions/{new_id()}")


# -- stores


@pytest.mark.parametrize("call", ["enroll", "sale", "quote", "reserve", "return", "reverse"])
def test_unknown_store(open_shop: OpenShop, call: str) -> None:
    """A program that lists its stores takes commands from no other; the same command passes once it is listed."""
    stores = [Store(store_id="s-1"), Store(store_id="s-2")]
    shop = open_shop(rich_program(stores=stores))
    member = shop.member()
    sale = shop.sale(member, 20_00)
    calls: dict[str, Callable[[], object]] = {
        "enroll": shop.enroll,
        "sale": lambda: shop.sale(member, 1_00),
        "quote": lambda: shop.quote(member, 1_00),
        "reserve": lambda: shop.reserve(member, "discount"),
        "return": lambda: shop.give_back(sale.outcome.transaction),
        "reverse": lambda: shop.reverse(sale.outcome.transaction),
    }
    shop.store = "s-3"
    head = shop.head()
    with refused("STORE_NOT_FOUND", NOT_FOUND, store="s-3"):
        calls[call]()
    assert shop.written(head) == []
    shop.publish(rich_program(stores=[*stores, Store(store_id="s-3")]))
    calls[call]()
