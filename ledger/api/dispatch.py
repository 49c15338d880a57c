"""The way from an asyncio handler to the writer's thread and back."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

import grpc
from google.protobuf.message import Message
from loyalty.v1.commands_pb2 import EnrollMemberRequest, RecordSaleRequest, UpdateMemberRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.member_pb2 import IdentifierType
from loyalty.v1.pos_service_pb2 import QuoteSaleRequest

from ledger.api.convert import WITH_WHO, WriteRequest, convert, convert_quote, program_named
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.api.noter import Noter
from ledger.api.rate import Rate, limited
from ledger.api.reply import api_error
from ledger.domain.names import member_name
from ledger.domain.refusal import Rejected
from ledger.store.credentials import Principal
from ledger.store.programs import Programs
from ledger.writer.command import Command, Existing, Failure, Unchanged
from ledger.writer.writer import Clock, Overloaded, Result, ShuttingDown, Writer

VIEW_SHARE: Final = 0.8
"""The part of a call's time that it may wait for a view: the rest is for saying that the view is behind."""

VIEW_WAIT_S: Final = 5.0
"""How long a read waits for min_position at most, when the call has no earlier deadline."""

Context = grpc.aio.ServicerContext[Any, Any]


class Dispatch:
    """Makes requests into commands, hands them to the writer and awaits what they come to."""

    def __init__(self, writer: Writer, programs: Programs, lookups: Rate, noter: Noter, clock: Clock) -> None:
        """`lookups` is the budget that look-ups by identifier share with commands whose member is not found."""
        self._writer = writer
        self._programs = programs
        self._lookups = lookups
        self._noter = noter
        self._clock = clock
        self._answers: deque[tuple[asyncio.Future[Sequence[Result]], Sequence[Result]]] = deque()
        self._is_woken = False

    async def settle(self, request: WriteRequest, context: Context) -> Result:
        """What one request comes to."""
        regions = await self._regions([request])
        principal = PRINCIPAL.get()
        command = convert(request, principal, self._clock(), regions=regions, deadline=deadline_of(context))
        self._check_rate(command, principal)
        return (await self._settle_counted([command], principal, context))[0]

    async def quote(self, request: QuoteSaleRequest, context: Context) -> Result:
        """What a sale would come to."""
        regions = await self._regions([request.sale])
        principal = PRINCIPAL.get()
        command = convert_quote(request, principal, self._clock(), regions=regions, deadline=deadline_of(context))
        if not has_codes(command):
            return (await self.settle_all([command]))[0]  # the gate counts its identifier
        self._check_rate(command, principal)
        return (await self._settle_counted([command], principal, context))[0]

    async def settle_each(
        self, requests: Sequence[WriteRequest], context: Context, deadline: float | None
    ) -> list[Result | ApiError]:
        """What each of some requests comes to, or why it is no command. They go to the writer as one group."""
        principal, now = PRINCIPAL.get(), self._clock()
        regions = await self._regions(requests)
        commands: list[Command] = []
        settled: list[Result | ApiError | None] = []
        for request in requests:
            try:
                command = convert(request, principal, now, regions=regions, deadline=deadline)
                self._check_rate(command, principal)
                commands.append(command)
                settled.append(None)
            except ApiError as error:
                self._noter.refused(error.reason, principal, method_of(request), request, context.peer)
                settled.append(error)
        results = iter(await self._settle_counted(commands, principal, context) if commands else ())
        return [next(results) if error is None else error for error in settled]

    async def _regions(self, requests: Sequence[WriteRequest]) -> dict[str, str]:
        """The default regions of the programs whose members some requests identify by what may be a phone number."""
        principal = PRINCIPAL.get()
        programs = {
            program_named(request, principal)
            for request in requests
            if isinstance(request, EnrollMemberRequest | UpdateMemberRequest)
            or (isinstance(request, WITH_WHO) and request.WhichOneof("who") == "identifier")
        }
        return {program: await self.region(program) for program in programs if program}

    async def region(self, program: str) -> str:
        """The default region of a program; empty where there is no such program: the writer will say so."""
        known = self._programs.cached(program)
        if known is None:
            known = await asyncio.to_thread(self._programs.newest, program)
        return known.definition.default_region if known is not None else ""

    def _check_rate(self, command: Command, principal: Principal) -> None:
        """Refuses a credential that has tried out more identifiers and voucher codes than it may."""
        if _identifies(command) or has_codes(command):
            wait_s = self._lookups.debt_s(principal.credential_id)
            if wait_s:
                raise limited(wait_s)

    async def _settle_counted(
        self, commands: Sequence[Command], principal: Principal, context: Context
    ) -> Sequence[Result]:
        """What some commands come to. What only tells whether an identifier or code is somebody's counts as a look-up.

        A sale to the member who has the identifier is free, so a till that serves members is never limited, and whoever
        tries out numbers is. What was decided together is counted in full: a batch of wrong numbers is paid for by
        waiting as long as for as many look-ups. An answer that names a member, and of which nothing is recorded, is a
        read of personal data.
        """
        results = await self.settle_all(commands)
        for command, result in zip(commands, results, strict=True):
            if _only_tells(command, result):
                self._lookups.charge(principal.credential_id)
            self._note_named(command, result, principal, method_of(command.request), context)
        return results

    async def settle_upserts(self, upserts: Sequence[Sequence[Command]]) -> Sequence[Result]:
        """What some upserts come to: the results of all their commands, in order. They go to the writer as one group.

        External ids are the caller's own, and a file has a million of them: what they lead to is no look-up. What an
        upsert that came to nothing tells of other identifiers is one.
        """
        principal = PRINCIPAL.get()
        wait_s = self._lookups.debt_s(principal.credential_id)
        if wait_s and any(_adds_others(commands[-1]) for commands in upserts):
            raise limited(wait_s)
        results = await self.settle_all([command for commands in upserts for command in commands])
        left = iter(results)
        for commands in upserts:
            *_, update = commands
            *_, result = [next(left) for _ in commands]
            if _tells_of_others(update, result, is_enrolled=len(commands) > 1):
                self._lookups.charge(principal.credential_id)
        return results

    def _note_named(
        self, command: Command, result: Result, principal: Principal, method: str, context: Context
    ) -> None:
        """Notes the member whom an answer names to who knew only an identifier, where no event has the command."""
        if isinstance(result, Existing) or (isinstance(result, Unchanged) and command.identifier is not None):
            self._noter.read(principal, method, member_name(result.member), context.peer())

    async def settle_all(self, commands: Sequence[Command]) -> Sequence[Result]:
        """What some commands come to, in order. They go to the writer as one group."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Result]] = loop.create_future()

        def answer(results: Sequence[Result]) -> None:
            # In the writer's thread. The loop is woken once for all groups of a batch.
            self._answers.append((future, results))
            if not self._is_woken:
                self._is_woken = True
                loop.call_soon_threadsafe(self._hand_out)

        try:
            self._writer.submit(commands, answer)
        except (Overloaded, ShuttingDown) as error:
            raise api_error(error) from None
        return await future

    def _hand_out(self) -> None:
        """Gives every answer that has arrived to who awaits it."""
        self._is_woken = False  # first, so that an answer that arrives meanwhile wakes the loop again
        while self._answers:
            future, results = self._answers.popleft()
            if not future.done():  # the caller may have gone
                future.set_result(results)


def method_of(request: Message) -> str:
    """The RPC that a command of a batch stands for."""
    service = "CrmService" if isinstance(request, UpdateMemberRequest) else "PosService"
    return f"loyalty.v1.{service}/{request.DESCRIPTOR.name.removesuffix('Request')}"


def has_codes(command: Command) -> bool:
    """Whether a command comes with voucher codes."""
    return isinstance(command.request, RecordSaleRequest) and bool(command.request.voucher_codes)


def _identifies(command: Command) -> bool:
    """Whether a command comes with identifiers of a person."""
    return (
        command.identifier is not None
        or (command.person is not None and bool(command.person.identifiers))
        or (command.change is not None and bool(command.change.add))
    )


def _adds_others(command: Command) -> bool:
    """Whether an update brings identifiers that are not the caller's own."""
    return command.change is not None and any(key[1] != _OWN for key in command.change.add)


def _only_tells(command: Command, result: Result) -> bool:
    """Whether a command did nothing but tell whether an identifier, or a voucher code, is somebody's.

    An update is refused for its etag or its attributes once its identifiers are found, or free: that tells as much.
    """
    if (reason := _reason(result)) is not None:
        telling = _TELLING if command.change is None else _TELLING_OF_UPDATES
        return reason == _WRONG_CODE or (_identifies(command) and reason in telling)
    if isinstance(result, Unchanged):
        return command.identifier is not None and command.identifier.type != _OWN
    return _identifies(command) and isinstance(result, Existing)


def _tells_of_others(update: Command, result: Result, *, is_enrolled: bool) -> bool:
    """Whether an upsert did nothing but tell whether identifiers that are not the caller's own are somebody's.

    `is_enrolled` says that it would have enrolled: who is still not found then has an identifier of somebody else.
    """
    reason = _reason(result)
    tells = reason in _TELLING_OF_UPDATES and (is_enrolled or reason != ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND)
    return tells and _adds_others(update)


def _reason(result: Result) -> ErrorReason.ValueType | None:
    """Why a command was refused without a trace; None for one that was not."""
    return result.error.reason if isinstance(result, Failure) and isinstance(result.error, Rejected) else None


_OWN: Final = IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID
"""What a CRM system gives members itself: nobody can be found by trying these out who was not known before."""

_TELLING: Final = frozenset({ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, ErrorReason.ERROR_REASON_IDENTIFIER_TAKEN})

_TELLING_OF_UPDATES: Final = _TELLING | {
    ErrorReason.ERROR_REASON_ETAG_MISMATCH,
    ErrorReason.ERROR_REASON_INVALID_FIELD,
}

_WRONG_CODE: Final = ErrorReason.ERROR_REASON_VOUCHER_NOT_FOUND


def deadline_of(context: Context) -> float | None:
    """The call's deadline on the monotonic clock. Raises ApiError when it has passed already."""
    remaining = remaining_s(context)
    if remaining is None:
        return None
    if remaining <= 0:
        raise ApiError.of(ErrorReason.ERROR_REASON_DEADLINE_PASSED)
    return time.monotonic() + remaining


def remaining_s(context: Context) -> float | None:
    """Seconds until the call's deadline; None without one, which the stubs of gRPC do not know."""
    return cast("float | None", context.time_remaining())


def wait_s(context: Context) -> float:
    """How long a read waits for min_position."""
    remaining = remaining_s(context)
    return VIEW_WAIT_S if remaining is None else min(remaining * VIEW_SHARE, VIEW_WAIT_S)
