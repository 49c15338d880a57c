"""The audit trail, as AuditService answers from it."""

import asyncio
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import grpc
from loyalty.v1 import audit_trail_pb2 as pb
from loyalty.v1.audit_service_pb2_grpc import AuditServiceServicer
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.check import CHECKS
from ledger.api.dispatch import wait_s
from ledger.api.errors import ApiError
from ledger.api.paging import number_before, page_size, page_token
from ledger.domain.instant import from_timestamp
from ledger.domain.names import last_id
from ledger.views import AuditQuestion, AuditTrail, ViewBehind
from ledger.writer.writer import Clock

ENTRY_BITS: int = 10
"""Of the number in a page token: an event has fewer than 1,024 entries."""

Context = grpc.aio.ServicerContext[Any, Any]


class TrailService(AuditServiceServicer):
    """The part of AuditService that is about who did what."""

    _trail: AuditTrail
    _clock: Clock

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        """The entries of the audit trail, newest first."""
        CHECKS[pb.ListAuditEntriesRequest](request, self._clock())
        question = _question(request)
        owner = _owner(question)
        before = divmod(number_before(request.page_token, owner, "list"), 1 << ENTRY_BITS)
        size = page_size(request.page_size)
        try:
            page = await asyncio.to_thread(
                self._trail.entries, question, before, size, request.min_position, wait_s(context)
            )
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        token = ""
        if page.next_before is not None:
            position, entry = page.next_before
            token = page_token((position << ENTRY_BITS) + entry, owner)
        return pb.ListAuditEntriesResponse(entries=page.entries, next_page_token=token, position=page.position)


def _question(request: pb.ListAuditEntriesRequest) -> AuditQuestion:
    return AuditQuestion(
        request.actor,
        last_id(request.member) if request.member else None,
        request.method,
        request.kind,
        from_timestamp(request.recorded_from) if request.HasField("recorded_from") else None,
        from_timestamp(request.recorded_until) if request.HasField("recorded_until") else None,
    )


def _owner(question: AuditQuestion) -> UUID:
    """What makes the page tokens of a list its own: its conditions."""
    return uuid5(NAMESPACE_URL, f"loyalty:audit:{question!r}")
