"""PosService: SubmitBatch and StreamCommands, beyond what the scenarios ask of them."""

from queue import SimpleQueue
from typing import Any

from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.member_pb2 import Identifier
from loyalty.v1.sale_pb2 import ReturnLine

from tests.api_calls.test_pos_service import NOT_FOUND, identifier, lookup, rich_program
from tests.conftest import OpenShop
from tests.programs import program
from tests.proof import prove
from tests.shop import TIMEOUT_S, Shop, command, line, new_id, refused


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
