"""Nobody tries out numbers: commands whose member is not found count as look-ups, those of members do not."""

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

import grpc
import pytest
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.commands_pb2 import RecordSaleRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.member_pb2 import Identifier, IdentifierType

from tests.programs import program
from tests.running import Databases, ServerProcess, running, token
from tests.shop import TIMEOUT_S, Details, Shop, command, refused

LOOKUPS = 5
"""The budget of a minute: one comes back every twelve seconds, which is longer than a test."""

Send = Callable[[Shop, Sequence[RecordSaleRequest]], list[tuple[str, int]]]


@pytest.fixture(scope="module")
def own_server(databases: Databases) -> Iterator[ServerProcess]:
    """A server with a small budget."""
    with running(databases.url(databases.create()), LOYALTY_RATE_LOOKUPS_PER_MINUTE=str(LOOKUPS)) as server:
        yield server


@pytest.fixture
def till(own_server: ServerProcess) -> Iterator[Shop]:
    """A till with a credential, and so a budget, of its own."""
    with own_server.channel() as channel:
        yield Shop(channel, token(own_server.database_url), program())


def card(shop: Shop, number: int) -> Identifier:
    """A card of the shop's program."""
    kind = IdentifierType.IDENTIFIER_TYPE_CARD
    return Identifier(type=kind, value=f"card-{number:06}", program=shop.program)


def told(results: Sequence[pos.CommandResult]) -> list[tuple[str, int]]:
    """The reason of each result, empty for a success, and after how many milliseconds to try again."""
    names = [ErrorReason.Name(result.error.reason).removeprefix("ERROR_REASON_") for result in results]
    return [
        ("" if name == "UNSPECIFIED" else name, result.error.retry_delay_ms)
        for name, result in zip(names, results, strict=True)
    ]


def one_by_one(shop: Shop, requests: Sequence[RecordSaleRequest]) -> list[tuple[str, int]]:
    """A call for each."""
    answers = []
    for request in requests:
        try:
            shop.record(request)
            answers.append(("", 0))
        except grpc.RpcError as error:
            details = Details(error)
            answers.append((details.reason, details.retry.retry_delay.ToMilliseconds()))
    return answers


def in_batches(shop: Shop, requests: Sequence[RecordSaleRequest]) -> list[tuple[str, int]]:
    """A batch for each."""
    return told([result for request in requests for result in shop.batch(request)])


def over_a_stream(shop: Shop, requests: Sequence[RecordSaleRequest]) -> list[tuple[str, int]]:
    """All over one call, each when the one before has its answer."""
    sent: SimpleQueue[pos.StreamCommandsRequest | None] = SimpleQueue()
    call = shop.pos.StreamCommands(iter(sent.get, None), metadata=shop.metadata, timeout=TIMEOUT_S)
    results: list[pos.CommandResult] = []
    for request in requests:
        sent.put(pos.StreamCommandsRequest(command=command(request)))
        results.append(next(call).result)
    sent.put(None)
    return told(results)


WAYS = pytest.mark.parametrize("send", [one_by_one, in_batches, over_a_stream])


@WAYS
def test_trying_out_numbers_is_stopped(till: Shop, own_server: ServerProcess, send: Send) -> None:
    """Beyond the budget nobody is told who is a member, however commands come. By name, and for others, all goes on."""
    member = till.enroll([card(till, 1)]).member
    unknown = [till.sale_request(card(till, 1_000 + number), 1_00) for number in range(LOOKUPS + 1)]
    assert {reason for reason, _ in send(till, unknown)} == {"MEMBER_NOT_FOUND"}
    known = till.sale_request(card(till, 1), 1_00)
    (reason, retry_ms), (another, _) = send(till, [known, unknown[0]])
    assert (reason, another) == ("RATE_LIMITED", "RATE_LIMITED")
    assert 0 < retry_ms <= 60_000 / LOOKUPS
    with refused("RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED):
        request = pos.LookupMemberRequest(identifier=card(till, 1))
        till.pos.LookupMember(request, metadata=till.metadata, timeout=TIMEOUT_S)
    assert send(till, [till.sale_request(member, 1_00)]) == [("", 0)]
    other = Shop(till.channel, token(own_server.database_url))
    assert send(other, [known]) == [("", 0)]


@WAYS
def test_a_till_that_serves_members_is_never_limited(till: Shop, send: Send) -> None:
    """Members identified by card are no look-ups, not even when the look-ups of the minute are used up."""
    till.enroll([card(till, 1)])
    sales = [till.sale_request(card(till, 1), 1_00) for _ in range(4 * LOOKUPS)]
    assert set(send(till, sales)) == {("", 0)}
    for _ in range(LOOKUPS):
        request = pos.LookupMemberRequest(identifier=card(till, 1))
        till.pos.LookupMember(request, metadata=till.metadata, timeout=TIMEOUT_S)
    assert set(send(till, [till.sale_request(card(till, 1), 1_00) for _ in range(LOOKUPS)])) == {("", 0)}


def test_a_batch_of_wrong_numbers_is_paid_for(till: Shop) -> None:
    """What is tried at once is waited for afterwards, as long as for so many look-ups."""
    till.enroll([card(till, 1)])
    wrong = 10 * LOOKUPS
    results = till.batch(*(till.sale_request(card(till, 1_000 + number), 1_00) for number in range(wrong)))
    assert {reason for reason, _ in told(results)} == {"MEMBER_NOT_FOUND"}
    ((reason, retry_ms),) = told(till.batch(till.sale_request(card(till, 1), 1_00)))
    assert reason == "RATE_LIMITED"
    assert 8 * 60_000 < retry_ms <= 9 * 60_000


def test_an_enrolment_that_finds_somebody_counts(till: Shop) -> None:
    """Whoever enrols numbers to see which are taken uses up the budget; new members are free."""
    for number in range(LOOKUPS + 3):
        till.enroll([card(till, number)])
    for number in range(LOOKUPS + 1):
        assert till.enroll([card(till, number)]).existed
    with refused("RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED):
        till.enroll([card(till, 0)])
    assert till.enroll().member


def test_a_request_id_tells_nothing_about_other_identifiers(till: Shop) -> None:
    """Sent again for another card, it is refused in the same way whether somebody has that card or not."""
    till.enroll([card(till, 1)])
    till.enroll([card(till, 2)])
    request = till.sale_request(card(till, 1), 10_00)
    till.record(request)
    for number in (2, 3):
        request.identifier.CopyFrom(card(till, number))
        with refused("REQUEST_ID_REUSED", grpc.StatusCode.INVALID_ARGUMENT, field="identifier"):
            till.record(request)
    request.identifier.CopyFrom(card(till, 1))
    assert till.record(request).outcome.replayed
