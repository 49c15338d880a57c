"""Segments, as CrmService answers about them."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import grpc
from loyalty.v1 import segment_pb2 as commands
from loyalty.v1 import segment_reads_pb2 as pb
from loyalty.v1.attribute_pb2 import AttributeDefinition
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import Event

from ledger.api.binding import sees
from ledger.api.check import CHECKS
from ledger.api.crm_parts import CrmPart
from ledger.api.dispatch import remaining_s, wait_s
from ledger.api.erased import check_not_erased
from ledger.api.errors import ApiError, Violation
from ledger.api.interceptor import PRINCIPAL
from ledger.api.known_program import check_known
from ledger.api.of_segment import of_segment
from ledger.api.paging import id_after, name_after, name_token, number_before, page_size, page_token
from ledger.api.reply import reply
from ledger.domain.instant import from_timestamp, to_timestamp
from ledger.domain.names import last_id, member_name, program_of_segment
from ledger.domain.segments.criteria import Criteria
from ledger.domain.segments.problems import problems
from ledger.segment_views import PREVIEWS_MAX, MembershipPage, Preview, PreviewsFull
from ledger.views import ViewBehind

SAMPLE_DEFAULT: Final = 10

PREVIEW_S: Final = 60.0
"""How long a preview may take and wait, when the call has no earlier deadline."""

Context = grpc.aio.ServicerContext[Any, Any]
ResultT = TypeVar("ResultT")


class SegmentService(CrmPart):
    """The part of CrmService that is about segments."""

    async def SaveSegment(self, request: commands.SaveSegmentRequest, context: Context) -> pb.SaveSegmentResponse:
        """Makes or changes a segment."""
        CHECKS[commands.SaveSegmentRequest](request, self._clock())
        request.DiscardUnknownFields()  # what this server does not know it has not checked
        if not (await self._earlier(request)).HasField("segment_saved"):
            await self._check(request.segment)
        if request.validate_only:
            return pb.SaveSegmentResponse(segment=request.segment)
        request.segment.ClearField("version")
        return reply(pb.SaveSegmentResponse(), await self._parts.dispatch.settle(request, context))

    async def DeleteSegment(self, request: commands.DeleteSegmentRequest, context: Context) -> pb.DeleteSegmentResponse:
        """Deletes a segment."""
        return reply(pb.DeleteSegmentResponse(), await self._parts.dispatch.settle(request, context))

    async def SetSegmentMembers(
        self, request: commands.SetSegmentMembersRequest, context: Context
    ) -> pb.SetSegmentMembersResponse:
        """Puts members on a segment's list, or takes them off it."""
        CHECKS[commands.SetSegmentMembersRequest](request, self._clock())
        self._check_sees(request.name)
        earlier = await self._earlier(request)
        listed = earlier.segment_listed.request if earlier.HasField("segment_listed") else None
        found = await asyncio.to_thread(self._name_members, request, listed)
        if found:
            raise ApiError.invalid(found)
        if request.validate_only:
            return pb.SetSegmentMembersResponse()
        return reply(pb.SetSegmentMembersResponse(), await self._parts.dispatch.settle(request, context))

    async def GetSegment(self, request: pb.GetSegmentRequest, context: Context) -> pb.GetSegmentResponse:
        """A segment."""
        CHECKS[pb.GetSegmentRequest](request, self._clock())
        state, position = await self._state(request.name, context, request.min_position)
        return pb.GetSegmentResponse(segment=state, position=position)

    async def ListSegments(self, request: pb.ListSegmentsRequest, _context: Context) -> pb.ListSegmentsResponse:
        """The segments of a program."""
        CHECKS[pb.ListSegmentsRequest](request, self._clock())
        await check_known(request.program, self._parts.reader)
        size = page_size(request.page_size)
        after = name_after(request.page_token, request.program)
        states = await asyncio.to_thread(self._parts.segments.segments, request.program, after, size + 1)
        token = ""
        if len(states) > size:
            token = name_token(states[size - 1].segment.name.rpartition("/")[2], request.program)
        return pb.ListSegmentsResponse(segments=states[:size], next_page_token=token)

    async def PreviewSegment(self, request: pb.PreviewSegmentRequest, context: Context) -> pb.PreviewSegmentResponse:
        """How many members a segment would have."""
        CHECKS[pb.PreviewSegmentRequest](request, self._clock())
        await self._check(request.segment)
        left = remaining_s(context)
        timeout_s = PREVIEW_S if left is None else min(left, PREVIEW_S)
        found = await self._preview(request.segment, request.sample_size or SAMPLE_DEFAULT, timeout_s)
        return pb.PreviewSegmentResponse(
            member_count=found.members,
            total_count=found.total,
            sample=[member_name(member) for member in found.sample],
            failed_count=found.failed,
            error=found.error,
        )

    async def ExplainSegment(self, request: pb.ExplainSegmentRequest, context: Context) -> pb.ExplainSegmentResponse:
        """Why a member is in a segment, or is not."""
        CHECKS[pb.ExplainSegmentRequest](request, self._clock())
        state, _ = await self._state(request.name, context)
        segment, member_id = state.segment, last_id(request.member)
        criteria = _criteria(segment, self._parts.fact_kinds)
        facts, measures = (criteria.facts, criteria.measures) if criteria is not None else (frozenset(), {})
        values = await asyncio.to_thread(
            self._parts.segments.facts,
            program_of_segment(request.name),
            member_id,
            self._clock(),
            facts,
            measures,
        )
        if values is None and await sees(self._parts.reader, request.member):
            await check_not_erased(self._parts.reader, request.member)
        if values is None:
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=request.member)
        standing = await asyncio.to_thread(self._parts.segments.standing, request.name, member_id)
        response = pb.ExplainSegmentResponse(
            is_member=standing.entered_at is not None and standing.left_at is None, is_listed=standing.is_listed
        )
        if standing.entered_at is not None:
            response.entered_at.CopyFrom(to_timestamp(standing.entered_at))
        if standing.left_at is not None:
            response.left_at.CopyFrom(to_timestamp(standing.left_at))
        if criteria is not None:
            shown = await self._shown(criteria, program_of_segment(request.name))
            response.clause.CopyFrom(criteria.explain(dict(values), shown))
            response.holds = response.clause.holds
            if criteria.attributes or not criteria.names_attributes:  # that a clause holds may tell what it asks for
                method = "loyalty.v1.CrmService/ExplainSegment"
                self._parts.noter.read(PRINCIPAL.get(), method, request.member, context.peer())
        return response

    async def ListSegmentMembers(
        self, request: pb.ListSegmentMembersRequest, context: Context
    ) -> pb.ListSegmentMembersResponse:
        """Who is in a segment, or was at an instant."""
        CHECKS[pb.ListSegmentMembersRequest](request, self._clock())
        as_of = from_timestamp(request.as_of) if request.HasField("as_of") else None
        after, size = id_after(request.page_token, request.name), page_size(request.page_size)
        read = partial(self._parts.segments.members, request.name, after, size, as_of)
        page = await of_segment(self._parts, request.name, read, request.min_position, context)
        token = name_token(page.memberships[-1].member[-36:], request.name) if page.has_more else ""
        return pb.ListSegmentMembersResponse(members=page.memberships, next_page_token=token, position=page.position)

    async def ListMemberSegments(
        self, request: pb.ListMemberSegmentsRequest, context: Context
    ) -> pb.ListMemberSegmentsResponse:
        """The segments that a member is in and was in."""
        CHECKS[pb.ListMemberSegmentsRequest](request, self._clock())
        member_id = last_id(request.member)
        before = number_before(request.page_token, member_id, "list")
        known = await asyncio.to_thread(self._parts.reader.read_events, 0, 0, request.member, (), None, None, 1)
        if not known.events or not await sees(self._parts.reader, request.member):
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=request.member)

        def read() -> MembershipPage:
            return self._parts.segments.of_member(
                member_id,
                before,
                page_size(request.page_size),
                request.min_position,
                wait_s(context),
                current_only=request.current_only,
            )

        page = await _waited(read)
        token = page_token(page.memberships[-1].entered_position, member_id) if page.has_more else ""
        return pb.ListMemberSegmentsResponse(
            memberships=page.memberships, next_page_token=token, position=page.position
        )

    async def _preview(self, segment: commands.Segment, sample_size: int, timeout_s: float) -> Preview:
        """What a segment would come to, once it is its turn. Raises ApiError."""
        try:
            begun = asyncio.wrap_future(self._parts.previews.begin(segment, sample_size, timeout_s))
        except PreviewsFull:
            raise ApiError.of(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"The server has {PREVIEWS_MAX} previews in hand, as many as it takes. Retry after the delay.",
            ) from None
        begun.add_done_callback(_look)
        try:
            return await asyncio.shield(begun)  # who goes away keeps their place: there are never more in hand
        except TimeoutError:
            raise ApiError.of(ErrorReason.ERROR_REASON_DEADLINE_PASSED) from None

    async def _check(self, segment: commands.Segment) -> None:
        """Raises ApiError with all that is wrong with a segment."""
        program = program_of_segment(segment.name)
        await check_known(program, self._parts.reader)
        attributes = await self._attributes(program)
        sensitive = [name for name, definition in attributes.items() if definition.is_sensitive]
        hidden = None if PRINCIPAL.get().sees_sensitive else sensitive
        found = problems(segment, self._parts.fact_kinds, attributes, hidden)
        if found:
            raise ApiError.invalid([(f"segment.{path}", what) for path, what in found])

    async def _shown(self, criteria: Criteria, program: str) -> list[str]:
        """The attributes that an expression names and the caller may see."""
        if PRINCIPAL.get().sees_sensitive or not criteria.attributes:
            return criteria.attributes
        attributes = await self._attributes(program)
        # What the program does not know any more may have been sensitive.
        return [name for name in criteria.attributes if name in attributes and not attributes[name].is_sensitive]

    async def _attributes(self, program: str) -> Mapping[str, AttributeDefinition]:
        """The attributes that a program has now."""
        known = await asyncio.to_thread(self._parts.programs.newest, program)
        return known.attributes if known is not None else {}

    async def _earlier(self, request: commands.SaveSegmentRequest | commands.SetSegmentMembersRequest) -> Event:
        """What was recorded for a command that is sent again; empty for a new one.

        It is answered as it was, even if it would not be right any more.
        """
        if request.validate_only:
            return Event()
        events = await asyncio.to_thread(self._parts.reader.transaction, UUID(request.request_id))
        return events[0] if events else Event()

    def _name_members(
        self, request: commands.SetSegmentMembersRequest, earlier: commands.SetSegmentMembersRequest | None
    ) -> list[Violation]:
        """Puts members in place of external ids; returns what is wrong with those that a request names.

        One that is sent again means whom it meant `earlier`, whoever has its external ids by now. Nothing recorded says
        what those were, so that others in their places are not found out.
        """
        program = program_of_segment(request.name)
        added = [last_id(member) for member in request.add]
        strangers = set(self._parts.segments.strangers(program, added)) if earlier is None else ()
        what = "is no member of the program, or is erased"
        found = [(f"add[{at}]", what) for at, member in enumerate(added) if member in strangers]
        values = [value.strip() for value in (*request.add_external_ids, *request.remove_external_ids)]
        known = self._parts.segments.by_external_id(program, values) if values and earlier is None else {}
        for field in ("add", "remove"):
            names = getattr(request, field)
            meant = getattr(earlier, field) if earlier is not None else ()
            for at, value in enumerate(getattr(request, f"{field}_external_ids")):
                if earlier is not None:
                    names.extend(meant[len(names) : len(names) + 1])
                elif (member := known.get(value.strip())) is not None:
                    names.extend({member_name(member)}.difference(names))
                else:
                    found.append((f"{field}_external_ids[{at}]", "is the external id of no member of the program"))
            request.ClearField(f"{field}_external_ids")  # type: ignore[arg-type]  # the name of a field
        return found

    def _check_sees(self, name: str) -> None:
        if not PRINCIPAL.get().sees(program_of_segment(name)):
            raise _unknown(name)

    async def _state(self, name: str, context: Context, min_position: int = 0) -> tuple[pb.SegmentState, int]:
        return await of_segment(self._parts, name, partial(self._parts.segments.segment, name), min_position, context)


async def _waited(read: Callable[..., ResultT], *asked: Any) -> ResultT:
    """What a read that may wait for a position comes to. Raises ApiError."""
    try:
        return await asyncio.to_thread(read, *asked)
    except ViewBehind as behind:
        raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None


def _look(begun: asyncio.Future[Preview]) -> None:
    """Takes note of how a preview ended: where the caller has gone it would be logged as an exception of nobody's."""
    if not begun.cancelled():
        begun.exception()


def _unknown(name: str) -> ApiError:
    return ApiError.of(ErrorReason.ERROR_REASON_SEGMENT_NOT_FOUND, segment=name)


def _criteria(segment: commands.Segment, kinds: Mapping[str, str]) -> Criteria | None:
    return Criteria(segment, kinds) if segment.expression else None
