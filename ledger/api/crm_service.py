"""CrmService: what CRM systems call."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from loyalty.v1 import crm_service_pb2 as pb
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.binding import sees
from ledger.api.check import CHECKS
from ledger.api.dispatch import wait_s
from ledger.api.errors import ApiError
from ledger.api.feed_service import FeedService
from ledger.api.feedback_service import FeedbackService
from ledger.api.insight_service import InsightService
from ledger.api.members_service import MembersService
from ledger.api.paging import number_before, page_size, page_token
from ledger.api.person_service import PersonService
from ledger.api.segment_service import SegmentService
from ledger.api.value_service import ValueService
from ledger.domain.names import last_id
from ledger.views import ViewBehind

Context = grpc.aio.ServicerContext[Any, Any]
MemberRequest = pb.ListStatementEntriesRequest | pb.ListVouchersRequest | pb.ListEntitlementsRequest
PageT = TypeVar("PageT")


class CrmService(
    FeedService, ValueService, PersonService, FeedbackService, InsightService, SegmentService, MembersService
):
    """Each call: check, read, convert. Most are in the classes that it is made of."""

    async def ListStatementEntries(
        self, request: pb.ListStatementEntriesRequest, context: Context
    ) -> pb.ListStatementEntriesResponse:
        """The lines of a member's statement, newest first."""
        CHECKS[pb.ListStatementEntriesRequest](request, self._clock())
        member_id = last_id(request.member)
        before = number_before(request.page_token, member_id, "statement")
        size = page_size(request.page_size)
        page = await self._read(request, context, self._parts.views.statement, before, size)
        token = page_token(page.entries[-1].position, member_id) if page.has_more else ""
        return pb.ListStatementEntriesResponse(entries=page.entries, next_page_token=token, position=page.position)

    async def ListVouchers(self, request: pb.ListVouchersRequest, context: Context) -> pb.ListVouchersResponse:
        """The vouchers of a member, newest first."""
        now = self._clock()
        CHECKS[pb.ListVouchersRequest](request, now)
        member_id = last_id(request.member)
        before = number_before(request.page_token, member_id, "list")
        size = page_size(request.page_size)
        page = await self._read(request, context, self._parts.views.vouchers, before, size, request.state, now)
        token = page_token(page.next_before, member_id) if page.next_before else ""
        return pb.ListVouchersResponse(vouchers=page.vouchers, next_page_token=token, position=page.position)

    async def ListEntitlements(
        self, request: pb.ListEntitlementsRequest, context: Context
    ) -> pb.ListEntitlementsResponse:
        """The entitlements of a member, newest first."""
        now = self._clock()
        CHECKS[pb.ListEntitlementsRequest](request, now)
        member_id = last_id(request.member)
        before = number_before(request.page_token, member_id, "list")
        size = page_size(request.page_size)
        page = await self._read(request, context, self._parts.views.entitlements, before, size, request.state, now)
        token = page_token(page.next_before, member_id) if page.next_before else ""
        return pb.ListEntitlementsResponse(
            entitlements=page.entitlements, next_page_token=token, position=page.position
        )

    async def _read(
        self, request: MemberRequest, context: Context, read: Callable[..., PageT | None], *asked: int
    ) -> PageT:
        """A page of what a member has, at min_position or later. Raises ApiError."""
        timeout_s = wait_s(context)
        try:
            page = await asyncio.to_thread(read, last_id(request.member), *asked, request.min_position, timeout_s)
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        if page is None or not await sees(self._parts.reader, request.member):
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=request.member)
        return page
