"""The same against a real server, through gRPC: fewer examples, and every layer in between."""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    ExtendExpiryRequest,
    ReinstatePointsRequest,
    SetTierFloorRequest,
    SettlePendingRequest,
)
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.pos_service_pb2 import SubmitBatchRequest
from loyalty.v1.program_pb2 import Program

from tests.model.commands import AnyStep, CrashStep, steps
from tests.model.effort import examples
from tests.model.in_process import Answered, Refusal
from tests.model.programs import rules
from tests.model.scheme import Rules
from tests.model.test_model import Run
from tests.proof import fold
from tests.running import Databases, running, token
from tests.shop import TIMEOUT_S, Details, Shop, command, instant

STARTS = tuple(instant(text).ToMicroseconds() for text in ("2003-01-30T12:00", "2004-02-28T23:59:59"))
"""Long ago, because a real server takes no sale of tomorrow."""


MANAGERS = (AdjustPointsRequest, SettlePendingRequest, SetTierFloorRequest, ExtendExpiryRequest, ReinstatePointsRequest)


class Remote:
    """A server, as a run of the model asks it."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def restart(self) -> None:
        """A real server is not restarted for each example."""

    def publish(self, program: Program) -> None:
        """Publishes a program."""
        self.shop.publish(program)

    def send(self, *requests: Message) -> list[Answered]:
        """What some requests are answered: commands of tills in batches, those of managers each by itself."""
        answers: list[Answered] = []
        batch: list[Any] = []
        for request in requests:
            if isinstance(request, MANAGERS):
                answers += self._batch(batch)
                batch = []
                answers.append(self._by_hand(request))
            else:
                batch.append(request)
        return answers + self._batch(batch)

    def _batch(self, requests: Sequence[Any]) -> list[Answered]:
        if not requests:
            return []
        commands = [command(request) for request in requests]
        response = self.shop.pos.SubmitBatch(
            SubmitBatchRequest(commands=commands), metadata=self.shop.metadata, timeout=TIMEOUT_S
        )
        answers: list[Answered] = []
        for result in response.results:
            kind = result.WhichOneof("result") or ""
            if kind == "error":
                reason = ErrorReason.Name(result.error.reason).removeprefix("ERROR_REASON_")
                answers.append(Refusal(reason, tuple(sorted(result.error.metadata.items()))))
            else:
                answers.append(getattr(result, kind))
        return answers

    def _by_hand(self, request: Message) -> Answered:
        programs = self.shop.programs
        call: Any = getattr(programs, type(request).__name__.removesuffix("Request"))
        try:
            response: Message = call(request, metadata=self.shop.metadata, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            info = Details(error).info
            return Refusal(info.reason, tuple(sorted(info.metadata.items())))
        return response


@pytest.fixture(scope="module")
def remotes(databases: Databases) -> Iterator[list[Remote]]:
    """Two servers on one database."""
    url = databases.url(databases.create())
    with running(url) as one, running(url) as other, one.channel() as channel, other.channel() as other_channel:
        secret = token(url)
        yield [Remote(Shop(channel, secret)), Remote(Shop(other_channel, secret))]


@examples(25)
@given(program=rules(), start=st.sampled_from(STARTS), commands=steps())
def test_model_over_grpc(remotes: list[Remote], program: Rules, start: int, commands: list[AnyStep]) -> None:
    """Every answer of the service is the model's, over two processes."""
    run = Run(remotes, [program], start)
    for step in commands:
        if not isinstance(step, CrashStep):
            run.take(step)
    run.flush()
    for member in run.members:
        account = fold(remotes[0].shop, member)
        run.world.pass_time(member, run.planner.at)
        assert account.available(run.planner.at) == run.world.purses[member].available(run.planner.at)
