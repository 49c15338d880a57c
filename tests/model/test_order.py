"""Order independence: the same facts in any order of arrival come to the same points (C6).

Sales, their returns and their reversals promise it in programs whose rules look at the sale alone: no limits, caps,
carry-over or conditions on tiers, all of which look at what came before; and no promotions that take points away, whose
part in a return can outweigh what comes back. Where members spend, it needs points that do not expire meanwhile and a
program that lets them owe: a claw-back that is clamped forgives what is not there just then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.sale_pb2 import ReturnLine, Sale

from ledger.domain.account import Account
from ledger.domain.program import Program
from tests.model.commands import a_line, origin, places, sale_line
from tests.model.dates import US, Expiry
from tests.model.effort import examples
from tests.model.in_process import InProcess, in_process
from tests.model.programs import definition, rules
from tests.model.scheme import Line, Place, Promotion, Rule, Rules, Spend, Terms
from tests.running import Databases
from tests.shop import instant, new_id

NOW: Final = instant("2035-01-01").ToMicroseconds()
START: Final = instant("2024-02-20T20:15").ToMicroseconds()
HOUR: Final = 3_600 * US
SPAN: Final = 30 * 24 * HOUR
LONG: Final = (Expiry(), Expiry("days", 365), Expiry("months", 12), Expiry("years", 1))
SHORT: Final = (Expiry("days", 1), Expiry("days", 10), Expiry("month"))
STARTING_POINTS: Final = 100


@pytest.fixture(scope="module")
def server(databases: Databases) -> Iterator[InProcess]:
    """A server."""
    with in_process(databases.url(databases.create()), lambda: NOW) as server:
        yield server


@dataclass(frozen=True)
class Facts:
    """A sale, how many units of each of its lines come back, one by one, and whether it is reversed."""

    later: int
    lines: tuple[Line, ...]
    units_back: tuple[int, ...]
    is_reversed: bool
    place: Place


def facts() -> st.SearchStrategy[list[Facts]]:
    """Some sales."""
    sale = st.builds(
        Facts,
        later=st.integers(0, SPAN // HOUR).map(lambda hours: hours * HOUR),
        lines=st.lists(a_line(), min_size=1, max_size=3).map(tuple),
        units_back=st.tuples(*[st.integers(0, 3)] * 3),
        is_reversed=st.sampled_from((False, False, True)),
        place=places(),
    )
    return st.lists(sale, min_size=1, max_size=4)


@st.composite
def promising(draw: st.DrawFn) -> Rules:
    """Programs that promise it."""
    found = draw(rules())
    return replace(
        found,
        earning=tuple(_alone(rule) for rule in found.earning),
        promotions=tuple(
            replace(promotion, terms=_own(promotion.terms)) for promotion in found.promotions if _adds(promotion)
        ),
        caps=(),
        expiry=draw(st.sampled_from(LONG)),
        returns_wait=True,
    )


def _alone(rule: Rule) -> Rule:
    kind = replace(rule.kind, carries=False) if isinstance(rule.kind, Spend) else rule.kind
    return replace(rule, kind=kind, terms=_own(rule.terms))


def _own(terms: Terms) -> Terms:
    return replace(terms, when=replace(terms.when, tiers=frozenset()), limits=(), expiry=None)


def _adds(promotion: Promotion) -> bool:
    return promotion.effect == "plus" or (promotion.effect == "times" and promotion.number > 1_000)


def messages(member: str, sales: Sequence[Facts]) -> list[Message]:
    """The facts of a member as commands, in the order in which they happened."""
    dated: list[tuple[int, Message]] = []
    for fact in sales:
        at = START + fact.later
        sale = c.RecordSaleRequest(
            request_id=new_id(),
            origin=origin(at, fact.place),
            member=member,
            sale=Sale(lines=[sale_line(line) for line in fact.lines]),
        )
        dated.append((at, sale))
        for number, (line, units) in enumerate(zip(fact.lines, fact.units_back, strict=False), 1):
            for unit in range(min(units, line.quantity)):
                back = c.ReturnSaleRequest(
                    request_id=new_id(),
                    origin=origin(at + (unit + 1) * HOUR),
                    member=member,
                    transaction=f"transactions/{sale.request_id}",
                    lines=[ReturnLine(line_id=str(number), quantity=1)],
                )
                dated.append((at + (unit + 1) * HOUR, back))
        if fact.is_reversed:
            reversal = c.ReverseTransactionRequest(
                request_id=new_id(), origin=origin(at + 4 * HOUR), original_request_id=sale.request_id
            )
            dated.append((at + 4 * HOUR, reversal))
    return [message for _, message in sorted(dated, key=lambda one: one[0])]


def enrolled(server: InProcess, program: Rules, members: int = 2) -> list[str]:
    """New members of a new program."""
    server.restart()
    name = f"programs/o-{new_id()}"
    server.publish(definition(program, name))
    answers: list[Any] = [
        server.send(c.EnrollMemberRequest(request_id=new_id(), origin=origin(START), program=name))[0]
        for _ in range(members)
    ]
    return [str(answer.member) for answer in answers]


def account(server: InProcess, member: str) -> Account:
    """A member's account."""
    found = server.replayed(UUID(member[8:]))
    found.check()
    assert not any(lot.points < 0 for lot in found.lots)
    return found


def assert_same_standing(program: Rules, one: Account, other: Account) -> None:
    """What counts towards tiers, at the last instant at which either account was looked at."""
    ladder = Program(definition(program, "programs/o")).ladder
    at = max(one.standing.as_of, other.standing.as_of)
    assert ladder.amount(one.tier, one.standing, at) == ladder.amount(other.tier, other.standing, at)


@examples(60)
@given(program=promising(), sales=facts(), data=st.data())
def test_any_order_of_arrival(server: InProcess, program: Rules, sales: list[Facts], data: st.DataObject) -> None:
    """Available, pending and qualifying points are the same now and later."""
    in_order, shuffled = enrolled(server, program)
    for message in messages(in_order, sales):
        server.send(message)
    for message in data.draw(st.permutations(messages(shuffled, sales))):
        server.send(message)
    one, other = account(server, in_order), account(server, shuffled)
    assert_same_standing(program, one, other)
    assert one.balance == other.balance
    for days in (0, 20, 100, 380, 500):
        at = START + SPAN + days * 24 * HOUR
        assert one.available(at) == other.available(at)


@examples(60)
@given(program=promising(), expiry=st.sampled_from(SHORT), sales=facts(), data=st.data())
def test_any_order_where_points_expire(
    server: InProcess, program: Rules, expiry: Expiry, sales: list[Facts], data: st.DataObject
) -> None:
    """A return or reversal that arrives after the expiry of its sale's points comes to the same as in time."""
    found: list[Account] = []
    in_order, shuffled = enrolled(server, replace(program, expiry=expiry))
    for member in (in_order, shuffled):
        commands = messages(member, sales)
        for message in commands if member == in_order else data.draw(st.permutations(commands)):
            server.send(message)
        found.append(account(server, member))
    one, other = found
    assert_same_standing(program, one, other)
    for days in (0, 3, 12, 100):
        at = START + SPAN + days * 24 * HOUR
        assert one.available(at) == other.available(at)


@examples(60)
@given(program=promising(), sales=facts(), spent=st.integers(1, STARTING_POINTS), data=st.data())
def test_any_order_with_debts(
    server: InProcess, program: Rules, sales: list[Facts], spent: int, data: st.DataObject
) -> None:
    """So is the sum of points of members who spend meanwhile, where they may owe."""
    in_order, shuffled = enrolled(server, replace(program, may_owe=True, expiry=Expiry()))
    for member in (in_order, shuffled):
        commands = messages(member, sales)
        server.send(_adjust(member, STARTING_POINTS))
        if member == shuffled:
            commands = data.draw(st.permutations(commands))
        spend_after = data.draw(st.integers(0, len(commands)))
        for message in (*commands[:spend_after], _adjust(member, -spent), *commands[spend_after:]):
            server.send(message)
    one, other = account(server, in_order), account(server, shuffled)
    assert_same_standing(program, one, other)
    assert one.balance == other.balance


def _adjust(member: str, points: int) -> Message:
    return c.AdjustPointsRequest(request_id=new_id(), origin=origin(START), member=member, points=points, reason="test")
