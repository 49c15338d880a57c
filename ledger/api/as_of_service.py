"""States of the past, as AuditService answers from them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final, NamedTuple
from uuid import UUID

import grpc
from loyalty.v1 import as_of_pb2 as pb
from loyalty.v1.audit_service_pb2_grpc import AuditServiceServicer
from loyalty.v1.books_pb2 import AsOf
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.as_of import position_as_of
from ledger.api.binding import sees
from ledger.api.check import CHECKS
from ledger.api.dispatch import wait_s
from ledger.api.errors import ApiError
from ledger.api.known_program import check_known
from ledger.as_of.histories import Histories, Unchanged
from ledger.as_of.question import Question
from ledger.as_of.sides import Late, NoMember, Sides
from ledger.as_of.state import differences, state_of
from ledger.as_of.totals import Sum, Totals
from ledger.books.line import Books
from ledger.domain.instant import from_timestamp, set_timestamp, to_timestamp
from ledger.domain.names import last_id, transaction_name
from ledger.domain.refusal import InvariantBroken
from ledger.domain.rounding import INT64_MAX
from ledger.views import EventReader, ViewBehind
from ledger.writer.writer import Clock

MEMBERS_AT_ONCE: Final = 100
"""Members whose events are read before the call looks whether its client is still there."""

PROGRAM_STATES_MAX: Final = 4
"""Calls of GetProgramState at once. Each may read the whole log."""

Context = grpc.aio.ServicerContext[Any, Any]


class Folded(NamedTuple):
    """What some members come to on both sides."""

    believed: Totals
    known: Totals
    late: int


class AsOfService(AuditServiceServicer):
    """The part of AuditService that is about states of the past. Each call: check, read, fold, convert."""

    def __init__(self, histories: Histories, books: Books, reader: EventReader, clock: Clock) -> None:
        self._histories = histories
        self._positions = books
        self._events = reader
        self._time = clock
        self._program_states = 0

    async def GetMemberState(self, request: pb.GetMemberStateRequest, context: Context) -> pb.GetMemberStateResponse:
        """What a member had, as it was believed and as it is known."""
        now = self._time()
        CHECKS[pb.GetMemberStateRequest](request, now)
        question, head = await self._question(request, now)
        if not await sees(self._events, request.member):
            raise _no_member(request.member)
        return await asyncio.to_thread(self._member_state, request.member, question, head)

    async def GetProgramState(self, request: pb.GetProgramStateRequest, context: Context) -> pb.GetProgramStateResponse:
        """What the members of a program had together, by tier."""
        now = self._time()
        CHECKS[pb.GetProgramStateRequest](request, now)
        question, head = await self._question(request, now)
        await check_known(request.program, self._events)
        response = pb.GetProgramStateResponse(
            program=request.program, position=question.position, head_position=head, at=to_timestamp(question.at)
        )
        with self._room():
            if question.by_effect:
                members = await self._views_say(self._histories.enrolled, request.program, head, wait_s(context))
                folded = await self._fold(members, question, head)
                response.known.CopyFrom(_program_state(folded.known))
                response.total_late_transactions = folded.late
            else:
                unchanged: Unchanged = await self._views_say(
                    self._histories.unchanged, request.program, question.position, question.at, wait_s(context)
                )
                folded = await self._fold(unchanged.others, question, question.position)
                folded.believed.merge(unchanged.totals)
            response.believed.CopyFrom(_program_state(folded.believed))
        return response

    async def _question(
        self, request: pb.GetMemberStateRequest | pb.GetProgramStateRequest, now: int
    ) -> tuple[Question, int]:
        """As of when, and the end of the log. Raises ApiError."""
        by_effect = request.HasField("effective_at")
        as_of, at = request.as_of, from_timestamp(request.effective_at)
        if by_effect and as_of.WhichOneof("instant") is None and at < now:
            as_of = AsOf(recorded_at=request.effective_at)
        position, instant = await position_as_of(as_of, self._events, self._positions, now)
        head = await asyncio.to_thread(self._events.head_position)
        return Question(position, at if by_effect else instant, by_effect), head

    def _member_state(self, name: str, question: Question, head: int) -> pb.GetMemberStateResponse:
        """Both sides of a member's state. Raises ApiError."""
        sides = Sides(last_id(name), question)
        try:
            for event in self._histories.member(last_id(name), head):
                sides.add(event)
            sides.check()
        except NoMember:
            raise _no_member(name) from None
        except InvariantBroken as error:
            raise _broken(error) from error
        if sides.is_empty:
            raise _no_member(name)
        response = pb.GetMemberStateResponse(
            member=name,
            program=sides.known.program,
            position=question.position,
            head_position=head,
            known=state_of(sides.known, question.at, sides.believed_events + sides.late_events),
            late_transactions=map(_late, sides.late),
            total_late_transactions=sides.late_total,
        )
        set_timestamp(response.at, question.at)
        if sides.believed_events:
            response.believed.CopyFrom(state_of(sides.believed, question.at, sides.believed_events))
        response.differences.extend(differences(response.believed, response.known))
        return response

    async def _fold(self, members: Sequence[UUID], question: Question, until: int) -> Folded:
        """What members come to, some at a time, so that a call whose client has gone ends."""
        folded = Folded(Totals(), Totals(), 0)
        for first in range(0, len(members), MEMBERS_AT_ONCE):
            some = members[first : first + MEMBERS_AT_ONCE]
            more = await asyncio.to_thread(self._fold_some, some, question, until)
            folded.believed.merge(more.believed)
            folded.known.merge(more.known)
            folded = folded._replace(late=folded.late + more.late)
        return folded

    def _fold_some(self, members: Sequence[UUID], question: Question, until: int) -> Folded:
        believed, known, late = Totals(), Totals(), 0
        events = self._histories.members(members, until)
        try:
            for member, own in groupby(events, key=lambda event: event.stream_id):
                sides = Sides(member, question)
                for event in own:
                    sides.add(event)
                sides.check()
                if sides.believed_events:
                    believed.add(sides.believed, question.at)
                known.add(sides.known, question.at)
                late += sides.late_total
        except InvariantBroken as error:
            raise _broken(error) from error
        return Folded(believed, known, late)

    async def _views_say(self, read: Any, *asked: Any) -> Any:
        try:
            return await asyncio.to_thread(read, *asked)
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Has room for one more call for the time of a block. Raises ApiError when there is none."""
        if self._program_states >= PROGRAM_STATES_MAX:
            raise ApiError.of(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"The server works out {PROGRAM_STATES_MAX} states of programs, as many as it does at once."
                " Retry after the delay.",
            )
        self._program_states += 1
        try:
            yield
        finally:
            self._program_states -= 1


def _no_member(name: str) -> ApiError:
    return ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=name)


def _broken(error: InvariantBroken) -> ApiError:
    return ApiError.of(ErrorReason.ERROR_REASON_DATA_CORRUPT, where=str(error))


def _late(late: Late) -> pb.LateTransaction:
    return pb.LateTransaction(
        transaction=transaction_name(late.transaction),
        type=late.type,
        position=late.position,
        effective_at=to_timestamp(late.effective_at),
        recorded_at=to_timestamp(late.recorded_at),
        points=late.points,
        store=late.store,
    )


def _program_state(totals: Totals) -> pb.ProgramState:
    """The totals as a message. Raises ApiError where they do not fit into 64 bits."""
    every = totals.all
    if max(map(abs, (*every, every.total))) > INT64_MAX:
        raise ApiError.of(ErrorReason.ERROR_REASON_OVERFLOW)
    return pb.ProgramState(
        total=_member_totals("", every),
        tiers=[_member_totals(tier, totals.by_tier[tier]) for tier in sorted(totals.by_tier)],
    )


def _member_totals(tier: str, one: Sum) -> pb.MemberTotals:
    return pb.MemberTotals(
        tier=tier,
        members=one.members,
        active_points=one.active,
        pending_points=one.pending,
        held_points=one.held,
        owed_points=one.owed,
        total_points=one.total,
    )
