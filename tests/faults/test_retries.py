"""C1-C3, C11: the same command again, at once, later, elsewhere, after a restart: one effect, one answer."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.consent_pb2 import EraseMemberRequest, ErasureReason, RecordConsentsRequest
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType, Profile
from loyalty.v1.pos_service_pb2 import SubmitBatchRequest
from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import Cashback, Reward
from loyalty.v1.sale_pb2 import SaleDiscount

from tests import people
from tests.model.in_process import without_replayed
from tests.programs import program, voucher
from tests.proof import prove
from tests.running import Databases, ServerProcess, running, token
from tests.shop import TIMEOUT_S, Details, Shop, line, new_id

AT_ONCE = 50

OTHER = ErasureReason.ERASURE_REASON_OTHER

Change = Callable[[Any], None]


def definition() -> Program:
    """A program in which each command can succeed."""
    cash = Reward(reward_id="cash", cashback=Cashback(points=1, value_minor=100))
    return program(rewards=[cash, voucher(0)], consents=[people.purpose()])


@pytest.fixture(scope="module")
def servers(databases: Databases) -> Iterator[list[ServerProcess]]:
    """Two servers on one database."""
    url = databases.url(databases.create())
    with running(url) as one, running(url) as other:
        yield [one, other]


@pytest.fixture(scope="module")
def shops(servers: list[ServerProcess]) -> Iterator[list[Shop]]:
    """The same program at both."""
    secret = token(servers[0].database_url)
    with servers[0].channel() as one, servers[1].channel() as other:
        first = Shop(
            one,
            secret,
            definition(),
        )
        second = Shop(other, secret)
        second.program, second.terminal = first.program, first.terminal
        yield [first, second]


def call(shop: Shop, request: Any) -> Any:
    """The answer to a request of any kind."""
    name = type(request).__name__.removesuffix("Request")
    service: Any = shop.programs if name in ("PublishProgram", "AdjustPoints", "GrantReward") else shop.pos
    if name in ("RecordConsents", "EraseMember", "RecordFeedback"):
        service = shop.crm
    return getattr(service, name)(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def refusal(shop: Shop, request: Any) -> Details:
    """Why a request is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        call(shop, request)
    return Details(caught.value)


def phone() -> Identifier:
    """A phone number that nobody has."""
    return Identifier(type=IdentifierType.IDENTIFIER_TYPE_PHONE, value=f"+4930{int(new_id()[:7], 16) % 10**8:08}")


def requests(shop: Shop) -> dict[str, Any]:
    """A command of each kind that has not been sent yet and will succeed."""
    member = shop.member()
    bought = shop.sale(member, [line(1_000), line(500)]).outcome.transaction
    holds = [shop.reserve(member, "cash", 2).hold for _ in range(2)]
    reversed_sale = shop.sale(member, 300).outcome.transaction
    common: dict[str, Any] = {"origin": shop.origin()}
    published = program(name=f"programs/p-{new_id()}", currency="EUR", time_zone="UTC", default_region="DE")
    return {
        "enroll": c.EnrollMemberRequest(
            request_id=new_id(),
            program=shop.program,
            identifiers=[phone()],
            profile=Profile(given_name="Asha", family_name="Rao", language_code="hi"),
            **common,
        ),
        "sale": shop.sale_request(member, [line(1_000, "A"), line(500, "B")], till=int(new_id()[:6], 16) + 1),
        "reserve": c.ReserveRewardRequest(request_id=new_id(), member=member, reward_id="cash", quantity=3, **common),
        "commit": c.CommitRewardRequest(request_id=new_id(), hold=holds[0], **common),
        "release": c.ReleaseRewardRequest(request_id=new_id(), hold=holds[1], **common),
        "return": c.ReturnSaleRequest(request_id=new_id(), transaction=bought, **common),
        "reverse": c.ReverseTransactionRequest(request_id=new_id(), transaction=reversed_sale, **common),
        "tombstone": c.ReverseTransactionRequest(request_id=new_id(), original_request_id=new_id(), **common),
        "adjust": c.AdjustPointsRequest(request_id=new_id(), member=member, points=5, reason="birthday", **common),
        "grant": c.GrantRewardRequest(
            request_id=new_id(), member=member, reward_id="voucher", quantity=2, reason="birthday", **common
        ),
        "consents": RecordConsentsRequest(request_id=new_id(), member=member, changes=[people.gives()], **common),
        "erase": EraseMemberRequest(request_id=new_id(), member=shop.member(), reason=OTHER, **common),
        "feedback": RecordFeedbackRequest(
            request_id=new_id(), member=member, transaction=bought, rating=4, text="Good", **common
        ),
        "publish": c.PublishProgramRequest(request_id=new_id(), program=published, **common),
    }


KINDS = (
    "enroll",
    "sale",
    "reserve",
    "commit",
    "release",
    "return",
    "reverse",
    "tombstone",
    "adjust",
    "grant",
    "consents",
    "erase",
    "feedback",
    "publish",
)


@pytest.mark.parametrize("kind", KINDS)
def test_same_command_at_once(shops: list[Shop], kind: str) -> None:
    """Fifty times in parallel over two servers: one is the first, and all answers are equal."""
    request = requests(shops[0])[kind]
    before = shops[0].head()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(lambda number: call(shops[number % 2], request), range(AT_ONCE)))
    assert sum(not answer.outcome.replayed for answer in answers) == 1
    assert {without_replayed(answer).SerializeToString(deterministic=True) for answer in answers} == {
        without_replayed(answers[0]).SerializeToString(deterministic=True)
    }
    transaction = shops[0].transaction(answers[0].outcome.transaction)
    assert all(event.position > before for event in transaction.events)
    mains = [event for event in transaction.events if event.transaction == transaction.name]
    assert len({event.position for event in mains}) == len(mains)


def _set(path: str, value: Any) -> Change:
    """A change of one field."""

    def change(request: Any) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            request = getattr(request, parent)
        if isinstance(value, Message):
            getattr(request, name).CopyFrom(value)
        elif isinstance(value, list):
            request.ClearField(name)
            getattr(request, name).extend(value)
        else:
            setattr(request, name, value)

    return change


CHANGES: dict[str, list[tuple[str, Change]]] = {
    "enroll": [
        ("origin.operator", _set("origin.operator", "op-8")),
        ("profile.given_name", _set("profile.given_name", "Ravi")),
        ("profile.language_code", _set("profile.language_code", "en")),
        ("identifiers[0].value", lambda request: request.identifiers[0].MergeFrom(phone())),
        ("identifiers", lambda request: request.identifiers.append(phone())),
    ],
    "sale": [
        ("sale.lines[1].price_minor", lambda request: setattr(request.sale.lines[1], "price_minor", 501)),
        ("sale.lines[0].sku", lambda request: setattr(request.sale.lines[0], "sku", "C")),
        ("sale.lines", lambda request: request.sale.lines.append(line(1))),
        ("sale.discounts", lambda request: request.sale.discounts.append(SaleDiscount(amount_minor=1))),
        ("points_payment", lambda request: setattr(request.points_payment, "reward_id", "cash")),
        ("origin.terminal", _set("origin.terminal", "t-other")),
        ("origin.till.sequence", lambda request: setattr(request.origin.till, "sequence", 10**9)),
        ("origin.offline", _set("origin.offline", True)),
        ("origin.occurred_at.seconds", lambda request: request.origin.occurred_at.FromSeconds(1_600_000_000)),
    ],
    "reserve": [("quantity", _set("quantity", 4)), ("cost_hint_points", _set("cost_hint_points", 9))],
    "commit": [("hold", lambda request: setattr(request, "hold", request.hold[:-36] + new_id()))],
    "release": [("origin.store", _set("origin.store", "s-2"))],
    "return": [("lines", lambda request: request.lines.add(line_id="1"))],
    "reverse": [("reason", _set("reason", c.ReversalReason.REVERSAL_REASON_MALFUNCTION))],
    "tombstone": [("original_request_id", lambda request: setattr(request, "original_request_id", new_id()))],
    "adjust": [("points", _set("points", 6)), ("reason", _set("reason", "name day"))],
    "grant": [("quantity", _set("quantity", 3)), ("reward_id", _set("reward_id", "cash"))],
    "consents": [("changes[0].channel", _set("changes", [people.gives(channel="SMS")]))],
    "erase": [("reason", _set("reason", ErasureReason.ERASURE_REASON_MEMBER_REQUEST))],
    "feedback": [("rating", _set("rating", 3)), ("text", _set("text", "Bad")), ("sku", _set("sku", "B"))],
    "publish": [("program.pending", _set("program.pending.days", 3))],
}


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, changes in CHANGES.items() for field, _ in changes]
)
def test_same_id_with_another_payload(shops: list[Shop], kind: str, field: str) -> None:
    """It is refused and says which field differs; the first answer stands."""
    request = requests(shops[0])[kind]
    first = call(shops[0], request)
    other = type(request)()
    other.CopyFrom(request)
    dict(CHANGES[kind])[field](other)
    for shop in shops:
        details = refusal(shop, other)
        assert details.code is grpc.StatusCode.INVALID_ARGUMENT
        assert details.reason == "REQUEST_ID_REUSED"
        assert details.info.metadata["field"] == field
        assert without_replayed(call(shop, request)) == without_replayed(first)


def test_same_id_for_another_kind_of_command(shops: list[Shop]) -> None:
    """An id belongs to one command, whatever it was."""
    every = requests(shops[0])
    call(shops[0], every["sale"])
    for kind in KINDS:
        if kind not in ("sale", "publish"):
            every[kind].request_id = every["sale"].request_id
            details = refusal(shops[1], every[kind])
            assert (details.reason, details.info.metadata["field"]) == ("REQUEST_ID_REUSED", "request_id")


def test_retries_after_a_restart(database_url: str) -> None:
    """C2, C3, C11: each kind of command, and refusals that would now pass, are answered as before by a new process."""
    with running(database_url) as server:
        secret = token(database_url)
        with server.channel() as channel:
            shop = Shop(
                channel,
                secret,
                definition(),
            )
            every = requests(shop)
            first = {kind: call(shop, request) for kind, request in every.items()}
            poor = shop.member()
            wanted = c.ReserveRewardRequest(
                request_id=new_id(), origin=shop.origin(), member=poor, reward_id="cash", quantity=50
            )
            refused = refusal(shop, wanted)
            assert refused.reason == "INSUFFICIENT_POINTS"
            shop.sale(poor, 100_00)
            assert refusal(shop, wanted).info == refused.info
            name, members = shop.program, [poor, every["sale"].member]
        server.kill()
        server.start()
        with server.channel() as channel:
            shop = Shop(channel, secret)
            shop.program = name
            for _ in range(3):
                for kind, request in every.items():
                    answer = call(shop, request)
                    assert answer.outcome.replayed, kind
                    assert without_replayed(answer) == without_replayed(first[kind]), kind
                assert refusal(shop, wanted).info == refused.info
            for member in members:
                prove(shop, member)
            assert prove(shop, poor).available_points == 100


def test_sale_on_two_servers_and_in_a_batch(shops: list[Shop]) -> None:
    """C1, C3: however it is uploaded again, a sale counts once."""
    member = shops[0].member()
    request = shops[0].sale_request(member, 50_00)
    answers = [call(shop, request) for shop in (*shops, *shops)]
    batch = [c.Command(record_sale=request)] * 3
    for shop in shops:
        results = shop.pos.SubmitBatch(_batch(batch), metadata=shop.metadata, timeout=TIMEOUT_S).results
        answers += [result.record_sale for result in results]
    assert all(answer.receipt.earned_points == 50 for answer in answers)
    assert len(shops[0].events(member, "SaleRecorded")) == 1
    assert prove(shops[0], member).available_points == 50


def _batch(commands: list[c.Command]) -> Any:
    """A batch."""
    return SubmitBatchRequest(commands=commands)
