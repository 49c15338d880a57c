"""PosService, beyond what the scenarios ask of it."""

from collections.abc import Callable
from queue import SimpleQueue
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
from loyalty.v1.sale_pb2 import ReturnLine, SaleDiscount

from tests.conftest import OpenShop
from tests.programs import YEAR, cashback, discount, end_of, program, spend, tiers
from tests.proof import prove
from tests.shop import TIMEOUT_S, Details, Shop, basket_w, command, line, new_id, refused

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


# -- SubmitBatch


def _result(results: list[pos.CommandResult], at: int) -> str:
    return results[at].WhichOneof("result") or ""


def test_batch_of_everything(open_shop: OpenShop) -> None:
    """A batch has a result for each command, in order; one that fails harms no other, and each sees those before it."""
    shop = open_shop(rich_program())
    card = identifier("CARD", "4000-1234")
    enroll = c.EnrollMemberRequest(request_id=new_id(), origin=shop.origin(), program=shop.program, identifiers=[card])
    sale = shop.sale_request(shop.here(card), 100_00)
    too_much = c.ReserveRewardRequest(
        request_id=new_id(),
        origin=shop.origin(),
        identifier=shop.here(card),
        reward_id="discount",
        quantity=500,
    )
    bad = shop.sale_request(shop.here(card), [line(1_00, quantity=-1), line(-5)])
    stranger = shop.sale_request(f"members/{new_id()}", 1_00)
    returned = c.ReturnSaleRequest(
        request_id=new_id(), origin=shop.origin(), transaction=f"transactions/{sale.request_id}"
    )
    reverse = c.ReverseTransactionRequest(request_id=new_id(), origin=shop.origin(), original_request_id=new_id())
    requests: list[Any] = [enroll, sale, too_much, bad, stranger, sale, returned, reverse]
    results = shop.batch(*requests)
    assert [result.request_id for result in results] == [request.request_id for request in requests]
    assert [_result(results, at) for at in range(len(results))] == [
        "enroll_member",
        "record_sale",
        "error",
        "error",
        "error",
        "record_sale",
        "return_sale",
        "reverse_transaction",
    ]
    assert results[1].record_sale.receipt.earned_points == 410
    assert not results[1].record_sale.receipt.texts
    assert results[5].record_sale.outcome.replayed
    assert results[5].record_sale.receipt == results[1].record_sale.receipt
    assert results[6].return_sale.receipt.clawed_back_points == 410
    assert results[7].reverse_transaction.blocked
    errors = [results[at].error for at in (2, 3, 4)]
    assert [ErrorReason.Name(error.reason) for error in errors] == [
        "ERROR_REASON_INSUFFICIENT_POINTS",
        "ERROR_REASON_INVALID_FIELD",
        "ERROR_REASON_MEMBER_NOT_FOUND",
    ]
    assert [error.code for error in errors] == [9, 3, 5]
    assert errors[0].metadata["needed_points"] == "3500"
    assert [violation.field for violation in errors[1].field_violations] == [
        "sale.lines[0].quantity",
        "sale.lines[1].price_minor",
    ]
    assert all(error.cashier_text_en and error.cashier_text_hi for error in errors)
    member = results[0].enroll_member.member
    assert prove(shop, member).available_points == 0


def test_batch_with_texts(open_shop: OpenShop) -> None:
    """Receipt texts are left out of a batch unless it asks for them."""
    shop = open_shop(program())
    member = shop.member()
    for with_texts, count in ((False, 0), (True, 2)):
        (result,) = shop.batch(shop.sale_request(member, 5_00), with_texts=with_texts)
        assert len(result.record_sale.receipt.texts) == count


def test_batch_sent_again(open_shop: OpenShop) -> None:
    """A batch that is sent again, like one command of it sent alone, changes nothing and has the same results."""
    shop = open_shop(program())
    members = [shop.member() for _ in range(3)]
    requests = [shop.sale_request(members[number % 3], (number + 1) * 1_00, till=number + 1) for number in range(60)]
    first = shop.batch(*requests)
    again = shop.batch(*requests)
    assert all(result.record_sale.outcome.replayed for result in again)
    for result in again:
        result.record_sale.outcome.replayed = False
    assert again == first
    assert shop.record(requests[7]).outcome.replayed
    assert sum(prove(shop, member).available_points for member in members) == 60 * 61 // 2


def test_batch_with_one_id_for_two_commands(open_shop: OpenShop) -> None:
    """In a batch too, a request id is of one command: the second one is refused and names the field."""
    shop = open_shop(program())
    member = shop.member()
    first = shop.sale_request(member, 5_00)
    other = shop.sale_request(member, 6_00, request_id=first.request_id)
    results = shop.batch(first, other)
    assert results[0].record_sale.receipt.earned_points == 5
    assert results[1].error.reason == ErrorReason.ERROR_REASON_REQUEST_ID_REUSED
    assert results[1].error.metadata["field"] == "sale.lines[0].price_minor"
    assert prove(shop, member).available_points == 5


def _code(result: pos.CommandResult) -> str:
    return ErrorReason.Name(result.error.reason).removeprefix("ERROR_REASON_")


def test_batch_with_a_reversal_before_its_sale(open_shop: OpenShop) -> None:
    """In one batch too, a reversal that comes first blocks its sale, and another one finds that it is reversed."""
    shop = open_shop(program())
    member = shop.member()
    sale = shop.sale_request(member, 5_00)
    reversals = [
        c.ReverseTransactionRequest(request_id=new_id(), origin=shop.origin(), original_request_id=sale.request_id)
        for _ in range(2)
    ]
    of_reversal = c.ReverseTransactionRequest(
        request_id=new_id(), origin=shop.origin(), original_request_id=reversals[0].request_id
    )
    results = shop.batch(reversals[0], sale, reversals[1], reversals[0], of_reversal)
    assert results[0].reverse_transaction.blocked
    assert results[3].reverse_transaction.outcome.replayed
    assert [_code(results[at]) for at in (1, 2, 4)] == [
        "REVERSED_BEFORE_ARRIVAL",
        "ALREADY_REVERSED",
        "NOT_REVERSIBLE",
    ]
    first = f"transactions/{reversals[0].request_id}"
    assert [results[at].error.metadata["reversal"] for at in (1, 2)] == [first, first]
    (event,) = shop.transaction(f"transactions/{sale.request_id}").events
    assert event.command_blocked.reversal == first
    assert prove(shop, member).available_points == 0


def test_batch_with_a_sale_and_its_reversal(open_shop: OpenShop) -> None:
    """A sale, its return, its reversal and the sale again, all in one batch, come to what they do one by one."""
    shop = open_shop(program())
    member = shop.member()
    sale = shop.sale_request(member, [line(5_00), line(6_00)], till=1)
    transaction = f"transactions/{sale.request_id}"
    returned = c.ReturnSaleRequest(
        request_id=new_id(),
        origin=shop.origin(),
        member=member,
        till=shop.reference(1),
        lines=[ReturnLine(line_id="1")],
    )
    reverse = c.ReverseTransactionRequest(request_id=new_id(), origin=shop.origin(), transaction=transaction)
    again = c.ReverseTransactionRequest(request_id=new_id(), origin=shop.origin(), transaction=transaction)
    copy = shop.sale_request(member, [line(5_00), line(6_00)], till=1)
    results = shop.batch(returned, sale, returned, reverse, again, copy)
    assert results[0].return_sale.waiting
    assert results[1].record_sale.receipt.clawed_back_points == 5
    assert results[2].return_sale.outcome.replayed
    assert results[3].reverse_transaction.receipt.clawed_back_points == 6
    assert _code(results[4]) == "ALREADY_REVERSED"
    assert results[5].record_sale.outcome.transaction == transaction
    assert prove(shop, member).available_points == 0


def test_batch_with_one_person_twice(open_shop: OpenShop) -> None:
    """Two enrolments of one person in a batch are one member; one request id is of one enrolment."""
    shop = open_shop(program())
    card, mail = identifier("CARD", "4000-1234"), identifier("EMAIL", "a@example.com")

    def enroll(request_id: str, *identifiers: Identifier) -> c.EnrollMemberRequest:
        return c.EnrollMemberRequest(
            request_id=request_id,
            origin=shop.origin(),
            program=shop.program,
            identifiers=identifiers,
        )

    first = new_id()
    results = shop.batch(enroll(first, card), enroll(new_id(), card, mail), enroll(first, card), enroll(first, mail))
    member = results[0].enroll_member.member
    assert [result.enroll_member.member for result in results[:3]] == [member] * 3
    assert [result.enroll_member.existed for result in results[:3]] == [False, True, False]
    assert results[2].enroll_member.outcome.replayed
    assert _code(results[3]) == "REQUEST_ID_REUSED"
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        lookup(shop, mail)


def test_batch_with_an_empty_item(open_shop: OpenShop) -> None:
    """An item without a command is an error of its own."""
    shop = open_shop(program())
    member = shop.member()
    commands = [c.Command(), command(shop.sale_request(member, 5_00))]
    response = shop.pos.SubmitBatch(
        pos.SubmitBatchRequest(commands=commands), metadata=shop.metadata, timeout=TIMEOUT_S
    )
    assert response.results[0].error.reason == ErrorReason.ERROR_REASON_INVALID_FIELD
    assert response.results[1].record_sale.receipt.earned_points == 5


# -- StreamCommands


def stream(shop: Shop, requests: list[Any]) -> list[pos.CommandResult]:
    """Sends commands over one stream, without waiting for any of them; returns the results as they came."""
    messages = (pos.StreamCommandsRequest(command=command(request)) for request in requests)
    call = shop.pos.StreamCommands(messages, metadata=shop.metadata, timeout=TIMEOUT_S)
    return [message.result for message in call]


def test_stream_of_many(open_shop: OpenShop) -> None:
    """A stream takes more commands than may be in flight at once, and answers each, by its request id."""
    shop = open_shop(program())
    members = [shop.member() for _ in range(5)]
    requests = [shop.sale_request(members[n % 5], (n + 1) * 1_00) for n in range(700)]
    results = {result.request_id: result for result in stream(shop, requests)}
    assert len(results) == len(requests)
    for request in requests:
        sale = results[request.request_id].record_sale
        assert sale.receipt.earned_points == request.sale.lines[0].price_minor // 1_00
        assert sale.outcome.member == request.member
        assert [text.language_code for text in sale.receipt.texts] == ["en", "hi"]
    assert sum(prove(shop, member).available_points for member in members) == 700 * 701 // 2


def test_stream_with_errors(open_shop: OpenShop) -> None:
    """A command that fails is an item of the stream, which goes on."""
    shop = open_shop(rich_program())
    member = shop.member()
    requests: list[Any] = [
        shop.sale_request(member, 10_00),
        shop.sale_request(member, -1),
        shop.sale_request(f"members/{new_id()}", 10_00),
        c.ReserveRewardRequest(request_id=new_id(), origin=shop.origin(), member=member, reward_id="nothing"),
        shop.sale_request(member, 10_00),
    ]
    results = {result.request_id: result for result in stream(shop, requests)}
    reasons = [results[request.request_id].error.reason for request in requests]
    assert [ErrorReason.Name(reason) for reason in reasons] == [
        "ERROR_REASON_UNSPECIFIED",
        "ERROR_REASON_INVALID_FIELD",
        "ERROR_REASON_MEMBER_NOT_FOUND",
        "ERROR_REASON_REWARD_NOT_FOUND",
        "ERROR_REASON_UNSPECIFIED",
    ]
    assert prove(shop, member).available_points == 82


def test_stream_answers_while_it_is_open(open_shop: OpenShop) -> None:
    """A till keeps its stream open and sends the next command when it has the last one's result."""
    shop = open_shop(program())
    member = shop.member()
    sent: SimpleQueue[pos.StreamCommandsRequest | None] = SimpleQueue()
    call = shop.pos.StreamCommands(iter(sent.get, None), metadata=shop.metadata, timeout=TIMEOUT_S)
    for balance in (5, 10, 15):
        sent.put(pos.StreamCommandsRequest(command=command(shop.sale_request(member, 5_00))))
        receipt = next(call).result.record_sale.receipt
        assert receipt.balance.available_points == balance
    sent.put(None)
    assert list(call) == []
