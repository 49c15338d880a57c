"""Reversing everything, the last first, leaves a member as they were."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from loyalty.v1.commands_pb2 import AdjustPointsRequest, EnrollMemberRequest, ReverseTransactionRequest

from tests.model.commands import (
    ActivityStep,
    AdjustStep,
    AnyStep,
    HoldStep,
    Planner,
    ReserveStep,
    SaleStep,
    SettleStep,
    origin,
    steps,
)
from tests.model.effort import examples
from tests.model.in_process import InProcess, Refusal, in_process
from tests.model.programs import definition, rules
from tests.model.scheme import Rules
from tests.running import Databases
from tests.shop import instant, new_id

NOW = instant("2035-01-01").ToMicroseconds()
START = instant("2024-05-05").ToMicroseconds()
STARTING_POINTS = 1_000
REVERSIBLE = (SaleStep, ActivityStep, SettleStep, AdjustStep, ReserveStep, HoldStep)


@pytest.fixture(scope="module")
def server(databases: Databases) -> Iterator[InProcess]:
    """A server."""
    with in_process(databases.url(databases.create()), lambda: NOW) as server:
        yield server


def lots(server: InProcess, member: str) -> list[tuple[int, int]]:
    """A member's lots and what is left in each."""
    account = server.replayed(UUID(member[8:]))
    account.check()
    assert not account.holds
    return sorted((lot.number, lot.points) for lot in account.lots)


@examples(40)
@given(program=rules(), commands=steps(late=False))
def test_all_undone(server: InProcess, program: Rules, commands: list[AnyStep]) -> None:
    """While no time passes, whatever can be reversed leaves no trace in lots, tier, debt, limits and remainders."""
    server.restart()
    name = f"programs/m-{new_id()}"
    server.publish(definition(program, name))
    enrolled: Any = server.send(EnrollMemberRequest(request_id=new_id(), program=name, origin=origin(START)))[0]
    member = str(enrolled.member)
    server.send(
        AdjustPointsRequest(
            request_id=new_id(), member=member, points=STARTING_POINTS, reason="start", origin=origin(START)
        )
    )
    before = lots(server, member)
    planner = Planner([member, member], START)
    done: list[str] = []
    for step in commands:
        if isinstance(step, REVERSIBLE):
            planned = planner.plan(replace(step, later=0))
            if planned is not None and not isinstance(server.send(planned.request)[0], Refusal):
                done.append(planned.request.request_id)
    for request_id in reversed(done):
        answer = server.send(
            ReverseTransactionRequest(request_id=new_id(), original_request_id=request_id, origin=origin(START))
        )[0]
        if isinstance(answer, Refusal):
            # A release gives back and is not reversible; a hold that was committed is not released by its reversal.
            assert answer.reason in ("NOT_REVERSIBLE", "HOLD_COMMITTED")
    account = server.replayed(UUID(member[8:]))
    assert lots(server, member) == before
    assert account.owed == 0
    assert account.standing.total == 0
    assert account.available(START) == STARTING_POINTS
    assert {value for values in account.counters.values() for _, value in values} <= {0}
    assert not any(account.cancelled.points.values())
