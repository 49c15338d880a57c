"""Consents, erasure and access, as CrmService answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from loyalty.v1 import person_pb2 as pb
from loyalty.v1.consent_pb2 import EraseMemberRequest, RecordConsentsRequest
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.binding import sees
from ledger.api.check import CHECKS
from ledger.api.crm_parts import CrmPart
from ledger.api.dispatch import wait_s
from ledger.api.erased import check_not_erased
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.api.paging import number_before, page_size, page_token
from ledger.api.reply import reply
from ledger.domain.instant import from_timestamp
from ledger.domain.names import last_id
from ledger.views import ViewBehind

PART_CHARACTERS: Final = 256 * 1024
"""Of a document, in one message: at most four bytes each."""

Context = grpc.aio.ServicerContext[Any, Any]


class PersonService(CrmPart):
    """The part of CrmService that is about what a person agreed to and what is known about them."""

    async def RecordConsents(self, request: RecordConsentsRequest, context: Context) -> pb.RecordConsentsResponse:
        """Records what a member decided."""
        return reply(pb.RecordConsentsResponse(), await self._parts.dispatch.settle(request, context))

    async def EraseMember(self, request: EraseMemberRequest, context: Context) -> pb.EraseMemberResponse:
        """Erases a person."""
        return reply(pb.EraseMemberResponse(), await self._parts.dispatch.settle(request, context))

    async def ListConsents(self, request: pb.ListConsentsRequest, context: Context) -> pb.ListConsentsResponse:
        """What holds, and all decisions."""
        now = self._clock()
        CHECKS[pb.ListConsentsRequest](request, now)
        member_id = last_id(request.member)
        before = number_before(request.page_token, member_id, "list")
        size = page_size(request.page_size)
        at = from_timestamp(request.as_of) if request.HasField("as_of") else now
        await self._check_known(request.member)
        try:
            page = await asyncio.to_thread(
                self._parts.people.consents, member_id, at, before, size, request.min_position, wait_s(context)
            )
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        token = page_token(page.decisions[-1].position, member_id) if page.has_more else ""
        return pb.ListConsentsResponse(
            held=page.held, decisions=page.decisions, next_page_token=token, position=page.position
        )

    async def ExportMember(
        self, request: pb.ExportMemberRequest, context: Context
    ) -> AsyncIterator[pb.ExportMemberResponse]:
        """All that is known about a person, as one JSON document."""
        CHECKS[pb.ExportMemberRequest](request, self._clock())
        program = await self._check_known(request.member)
        await check_not_erased(self._parts.reader, request.member)
        head = await asyncio.to_thread(self._parts.reader.head_position)
        reached = await asyncio.to_thread(self._parts.person_export.wait_for, head, wait_s(context))
        if reached < head:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(reached))
        principal = PRINCIPAL.get()
        attributes = None if principal.sees_sensitive else await asyncio.to_thread(self._ordinary_attributes, program)
        self._parts.noter.read(principal, "loyalty.v1.CrmService/ExportMember", request.member, context.peer())
        pieces = self._parts.person_export.document(last_id(request.member), self._clock(), attributes)
        part: list[str] = []
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            part.append(piece)
            if sum(map(len, part)) >= PART_CHARACTERS:
                for response in _parts("".join(part)):
                    yield response
                part.clear()
        for response in _parts("".join(part)):
            yield response

    def _ordinary_attributes(self, name: str) -> frozenset[str]:
        """The attributes of a program whose values are not sensitive. What it does not know any more may have been."""
        program = self._parts.programs.newest(name)
        definitions = program.attributes.values() if program is not None else ()
        return frozenset(one.attribute_id for one in definitions if not one.is_sensitive)

    async def _check_known(self, member: str) -> str:
        """The member's program. Raises ApiError where nobody, or nobody whom the caller may see, is that member."""
        enrolments = await asyncio.to_thread(
            self._parts.reader.read_events, 0, 0, member, ("MemberEnrolled",), None, None, 1
        )
        if not enrolments.events or not await sees(self._parts.reader, member):
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=member)
        return enrolments.events[0].member_enrolled.program


def _parts(text: str) -> list[pb.ExportMemberResponse]:
    return [
        pb.ExportMemberResponse(document_part=text[at : at + PART_CHARACTERS].encode())
        for at in range(0, len(text), PART_CHARACTERS)
    ]
