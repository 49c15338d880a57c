"""Two servers that work on the same things at the same moment: the second decides anew, on all that changed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.origin_pb2 import Origin, TillReference
from loyalty.v1.sale_pb2 import ReturnLine, Sale

from ledger.store.recorder import RecordedEvent, Session
from tests.model.in_process import InProcess, Refusal, in_process, without_replayed
from tests.programs import program
from tests.running import Databases
from tests.shop import instant, line, new_id

NOW = instant("2030-01-01").ToMicroseconds()


@pytest.fixture(scope="module")
def servers(databases: Databases) -> Iterator[list[InProcess]]:
    """Two servers on one database."""
    url = databases.url(databases.create())
    with in_process(url, lambda: NOW) as one, in_process(url, lambda: NOW) as other:
        yield [one, other]


@pytest.fixture
def member(servers: list[InProcess]) -> str:
    """A member with a sale of two lines behind them, which neither server remembers."""
    definition = program(name=f"programs/p-{new_id()}", currency="EUR", time_zone="UTC", default_region="DE")
    servers[0].publish(definition)
    answer: Any = servers[0].send(c.EnrollMemberRequest(request_id=new_id(), program=definition.name))[0]
    return str(answer.member)


def sale_of(member: str, **fields: Any) -> c.RecordSaleRequest:
    """A sale of two lines."""
    return c.RecordSaleRequest(request_id=new_id(), member=member, sale=Sale(lines=[line(1_000), line(500)]), **fields)


def between_look_ups(monkeypatch: pytest.MonkeyPatch, after: int, happens: Callable[[], object]) -> None:
    """Has something happen after a server's so-manieth look-up."""
    fetch = Session.fetch
    count = 0

    def fetch_then(session: Session, *keys: Any) -> Sequence[RecordedEvent]:
        nonlocal count
        rows = fetch(session, *keys)
        count += 1
        if count == after:
            happens()
        return rows

    monkeypatch.setattr(Session, "fetch", fetch_then)


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("kind", ["return", "return by receipt", "reversal"])
def test_same_goods_are_taken_back_once(
    servers: list[InProcess], member: str, monkeypatch: pytest.MonkeyPatch, kind: str, after: int
) -> None:
    """Another server takes the goods back while this one is still looking things up."""
    till = TillReference(business_date="2029-12-31", sequence=1)
    origin = Origin(store="s-1", terminal=new_id()[:8], till=till)
    sale = sale_of(member, origin=origin)
    servers[0].send(sale)
    servers[1].restart()

    def again() -> Any:
        request_id = new_id()
        if kind == "reversal":
            return c.ReverseTransactionRequest(request_id=request_id, original_request_id=sale.request_id)
        request = c.ReturnSaleRequest(request_id=request_id, lines=[ReturnLine(line_id="1")])
        if kind == "return":
            request.transaction = f"transactions/{sale.request_id}"
        else:
            request.member = member
            request.till.CopyFrom(c.SaleReference(store=origin.store, terminal=origin.terminal, till=till))
        return request

    answers: list[Any] = []
    between_look_ups(monkeypatch, after, lambda: answers.extend(servers[0].send(again())))
    late = servers[1].send(again())[0]
    monkeypatch.undo()
    if not answers:
        answers.extend(servers[0].send(again()))
    refused = [answer for answer in (late, *answers) if isinstance(answer, Refusal)]
    assert [answer.reason for answer in refused] == [
        "ALREADY_REVERSED" if kind == "reversal" else "RETURN_EXCEEDS_SALE"
    ]
    account = servers[0].replayed(UUID(member[8:]))
    account.check()
    assert account.available(NOW) == (0 if kind == "reversal" else 5)


def test_return_waits_only_for_a_sale_that_is_not_there(
    servers: list[InProcess], member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sale that another server records while its return looks for it is found."""
    card = Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=new_id())
    account = servers[0].replayed(UUID(member[8:]))
    card.program = account.program
    enrolled: Any = servers[0].send(
        c.EnrollMemberRequest(request_id=new_id(), program=account.program, identifiers=[card])
    )[0]
    sale = sale_of(enrolled.member)
    back = c.ReturnSaleRequest(request_id=new_id(), identifier=card, transaction=f"transactions/{sale.request_id}")
    servers[1].restart()
    between_look_ups(monkeypatch, 1, lambda: servers[0].send(sale))
    answer: Any = servers[1].send(back)[0]
    assert not answer.waiting
    assert answer.receipt.clawed_back_points == 15


def test_receipt_sent_again_under_another_id(servers: list[InProcess], member: str) -> None:
    """A till that lost its memory gets the first answer, alone and among others."""
    origin = Origin(store="s-1", terminal=new_id()[:8], till=TillReference(business_date="2029-12-31", sequence=7))
    origin.occurred_at.FromMicroseconds(NOW)
    first = sale_of(member, origin=origin)
    answer: Any = servers[0].send(first)[0]
    for server in servers:
        again = c.RecordSaleRequest()
        again.CopyFrom(first)
        again.request_id = new_id()
        other = sale_of(member)
        repeated, fresh = server.send(again, other)
        assert without_replayed(repeated) == answer
        assert fresh.outcome.transaction == f"transactions/{other.request_id}"  # type: ignore[union-attr]  # a sale


def test_same_batch_blocks_and_repeats(servers: list[InProcess], member: str) -> None:
    """Within one batch it is as one after the other: a reversal blocks what comes behind it, and once."""
    sale = sale_of(member)
    reversals = [
        c.ReverseTransactionRequest(request_id=new_id(), original_request_id=sale.request_id) for _ in range(2)
    ]
    blocked, late, second = servers[0].send(reversals[0], sale, reversals[1])
    assert blocked.blocked  # type: ignore[union-attr]  # a reversal
    assert isinstance(late, Refusal)
    assert late.reason == "REVERSED_BEFORE_ARRIVAL"
    assert isinstance(second, Refusal)
    assert second.reason == "ALREADY_REVERSED"
    assert servers[1].send(sale)[0] == late


def test_same_batch_with_another_person(servers: list[InProcess], member: str) -> None:
    """The same enrolment id for somebody else is noticed also when the first is not on disk yet."""
    name = servers[0].replayed(UUID(member[8:])).program
    request = c.EnrollMemberRequest(request_id=new_id(), program=name)
    request.profile.given_name = "Asha"
    other = c.EnrollMemberRequest()
    other.CopyFrom(request)
    other.profile.given_name = "Ravi"
    first, second, third = servers[0].send(request, other, request)
    assert not isinstance(first, Refusal)
    assert isinstance(second, Refusal)
    assert dict(second.metadata)["field"] == "profile.given_name"
    assert third.outcome.replayed  # type: ignore[union-attr]  # an enrolment


def test_time_out_in_the_batch_of_its_reservation(servers: list[InProcess]) -> None:
    """A hold that runs out between two commands of its own batch has run out, and was not committed."""
    name = f"programs/p-{new_id()}"
    definition = program(name=name, currency="EUR", time_zone="UTC", default_region="DE")
    definition.rewards.add(reward_id="cash").cashback.points = 1
    definition.rewards[0].cashback.value_minor = 100
    servers[0].publish(definition)
    member: Any = servers[0].send(c.EnrollMemberRequest(request_id=new_id(), program=name))[0]

    def at(hours: int) -> Origin:
        origin = Origin()
        origin.occurred_at.FromMicroseconds(NOW - (10 - hours) * 3_600_000_000)
        return origin

    reserve = c.ReserveRewardRequest(
        request_id=new_id(), member=member.member, reward_id="cash", quantity=5, origin=at(1)
    )
    hold = f"{member.member}/holds/{reserve.request_id}"
    *_, committed = servers[0].send(
        sale_of(member.member, origin=at(0)),
        reserve,
        sale_of(member.member, origin=at(2)),
        c.CommitRewardRequest(request_id=new_id(), hold=hold, origin=at(3)),
    )
    assert isinstance(committed, Refusal)
    assert committed.reason == "HOLD_EXPIRED"
