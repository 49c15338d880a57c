"""A server process without the process: writers on a real database, asked as the API asks them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.program_pb2 import Program as Definition
from loyalty.v1.program_service_pb2 import (
    AdjustPointsResponse,
    ExtendExpiryResponse,
    PublishProgramResponse,
    ReinstatePointsResponse,
    SetTierFloorResponse,
    SettlePendingResponse,
)

from ledger.api.convert import convert
from ledger.api.errors import ApiError
from ledger.api.reply import reply
from ledger.domain.account import Account
from ledger.store.credentials import Principal
from ledger.store.datastore import POINT_LOOKUPS, LedgerDatastore
from ledger.store.recorder import LedgerRecorder
from ledger.writer.command import Command
from ledger.writer.writer import Clock, Result, Writer
from tests.shop import new_id

ADMIN: Final = Principal("s-test", "admin", None, None, None)

ANSWER_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Refusal:
    """A command that failed, as a client sees it."""

    reason: str
    metadata: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, error: ApiError) -> "Refusal":
        """The refusal that an error is."""
        name = ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
        return cls(name, tuple(sorted(error.metadata.items())))


Answered = Message | Refusal


class InProcess:
    """Connections to a database, and the writer of one server after the other on them."""

    def __init__(self, database_url: str, clock: Clock) -> None:
        self.datastore = LedgerDatastore(database_url, options=POINT_LOOKUPS)
        self.datastore.pool.open()
        self.recorder = LedgerRecorder(self.datastore)
        self.clock = clock
        self.writer = self._new_writer()

    def _new_writer(self) -> Writer:
        writer = Writer(self.recorder, self.clock)
        writer.start()
        return writer

    def restart(self) -> None:
        """Another writer, which knows nothing, in place of this one."""
        self.writer.stop()
        self.writer = self._new_writer()

    def close(self) -> None:
        """Ends the writer and closes the connections."""
        self.writer.stop()
        self.datastore.close()

    def command(self, request: Any, *, deadline: float | None = None) -> Command:
        """A request as a command; the request stays as it is."""
        own = type(request)()
        own.CopyFrom(request)
        return convert(own, ADMIN, self.clock(), regions={}, deadline=deadline)

    def submit(self, commands: Sequence[Command]) -> Callable[[], Sequence[Result]]:
        """Hands commands to the writer as one group; returns what waits for their results."""
        answered = threading.Event()
        results: list[Result] = []

        def answer(given: Sequence[Result]) -> None:
            results.extend(given)
            answered.set()

        self.writer.submit(commands, answer)

        def wait() -> Sequence[Result]:
            if not answered.wait(ANSWER_TIMEOUT_S):
                raise TimeoutError("the writer does not answer")
            return results

        return wait

    def send(self, *requests: Message) -> list[Answered]:
        """What some requests, sent as one batch, are answered."""
        commands = [self.command(request) for request in requests]
        return [answered(result) for result in self.submit(commands)()]

    def publish(self, program: Definition) -> None:
        """Publishes a program."""
        outcome = self.send(c.PublishProgramRequest(request_id=new_id(), program=program))[0]
        assert not isinstance(outcome, Refusal), outcome

    def replayed(self, account_id: UUID) -> Account:
        """An account from its events alone."""
        account = Account(account_id)
        for event in self.events(account_id):
            account.apply(event)
        return account

    def events(self, account_id: UUID) -> list[Any]:
        """An account's events, in order."""
        with self.recorder.session() as session:
            return [row.payload for row in session.fetch({account_id: 0}) if row.found_by_stream]


RESPONSES: Final[dict[type[Message], type[Any]]] = {
    c.EnrollMemberRequest: pos.EnrollMemberResponse,
    c.RecordSaleRequest: pos.RecordSaleResponse,
    c.ReserveRewardRequest: pos.ReserveRewardResponse,
    c.CommitRewardRequest: pos.CommitRewardResponse,
    c.ReleaseRewardRequest: pos.ReleaseRewardResponse,
    c.ReturnSaleRequest: pos.ReturnSaleResponse,
    c.ReverseTransactionRequest: pos.ReverseTransactionResponse,
    c.PublishProgramRequest: PublishProgramResponse,
    c.AdjustPointsRequest: AdjustPointsResponse,
    c.RecordActivityRequest: pos.RecordActivityResponse,
    c.SettlePendingRequest: SettlePendingResponse,
    c.ExtendExpiryRequest: ExtendExpiryResponse,
    c.ReinstatePointsRequest: ReinstatePointsResponse,
    c.SetTierFloorRequest: SetTierFloorResponse,
}


def answered(result: Result) -> Answered:
    """A result as a client sees it. Raises what would become an incident."""
    try:
        response: Message = reply(RESPONSES[type(result.command.request)](), result, with_texts=False)
    except ApiError as error:
        return Refusal.of(error)
    return response


def without_replayed(answer: Any) -> Any:
    """An answer with all but the flag that says that it is a repetition."""
    if isinstance(answer, Refusal):
        return answer
    copy: Any = type(answer)()
    copy.CopyFrom(answer)
    copy.outcome.replayed = False  # every response to a write has an outcome
    return copy


@contextmanager
def in_process(database_url: str, clock: Clock) -> Iterator[InProcess]:
    """A writer for the time of a block."""
    process = InProcess(database_url, clock)
    try:
        yield process
    finally:
        process.close()
