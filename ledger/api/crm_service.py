"""CrmService: what CRM systems call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from uuid import UUID

import grpc
from loyalty.v1 import crm_service_pb2 as pb
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.audit_service import BATCH_EVENTS_DEFAULT, BATCH_EVENTS_MAX
from ledger.api.binding import sees
from ledger.api.check import CHECKS
from ledger.api.dispatch import Dispatch, wait_s
from ledger.api.errors import ApiError
from ledger.api.members_service import MembersService
from ledger.api.paging import messages, number_before, page_size, page_token
from ledger.domain.names import last_id
from ledger.member_views import MemberViews
from ledger.store.profiles import Profiles
from ledger.store.programs import Programs
from ledger.views import EventReader, ViewBehind, Views
from ledger.writer.writer import Clock

TAIL_WAIT_S: Final = 1.0
"""How long a tail waits for news before it looks whether its consumer is still there."""

WATCHERS_MAX: Final = 32
"""Calls of WatchChanges at once. Each reads every change anew, over the connections that all reads share."""

Context = grpc.aio.ServicerContext[Any, Any]
MemberRequest = pb.ListStatementEntriesRequest | pb.ListVouchersRequest | pb.ListEntitlementsRequest
PageT = TypeVar("PageT")


class CrmService(MembersService):
    """Each call: check, read, convert."""

    def __init__(
        self,
        dispatch: Dispatch,
        views: Views,
        members: MemberViews,
        profiles: Profiles,
        programs: Programs,
        reader: EventReader,
        clock: Clock,
    ) -> None:
        self._dispatch = dispatch
        self._members = members
        self._profiles = profiles
        self._programs = programs
        self._views = views
        self._reader = reader
        self._clock = clock
        self._watchers = 0
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        """Who waits for the log to go beyond a position, one for all watchers that are there."""

    async def ListStatementEntries(
        self, request: pb.ListStatementEntriesRequest, context: Context
    ) -> pb.ListStatementEntriesResponse:
        """The lines of a member's statement, newest first."""
        CHECKS[pb.ListStatementEntriesRequest](request, self._clock())
        member_id = last_id(request.member)
        before = number_before(request.page_token, member_id, "statement")
        size = page_size(request.page_size)
        page = await self._read(request, context, self._views.statement, before, size)
        token = page_token(page.entries[-1].position, member_id) if page.has_more else ""
        return pb.ListStatementEntriesResponse(entries=page.entries, next_page_token=token, position=page.position)

    async def ListVouchers(self, request: pb.ListVouchersRequest, context: Context) -> pb.ListVouchersResponse:
        """The vouchers of a member, newest first."""
        now = self._clock()
        CHECKS[pb.ListVouchersRequest](request, now)
        member_id = last_id(request.member)
        before = number_before(request.page_token, member_id, "list")
        size = page_size(request.page_size)
        page = await self._read(request, context, self._views.vouchers, before, size, request.state, now)
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
        page = await self._read(request, context, self._views.entitlements, before, size, request.state, now)
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
        if page is None or not await sees(self._reader, request.member):
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=request.member)
        return page

    async def WatchChanges(
        self, request: pb.WatchChangesRequest, context: Context
    ) -> AsyncIterator[pb.WatchChangesResponse]:
        """A snapshot of all members, then every change.

        The tail starts behind the position that the first page of the snapshot reflected: a member whose page was
        read later may already show a change that the tail brings once more, and none is missing.
        """
        CHECKS[pb.WatchChangesRequest](request, self._clock())
        size = min(request.batch_size or BATCH_EVENTS_DEFAULT, BATCH_EVENTS_MAX)
        with self._watching():
            head = await asyncio.to_thread(self._reader.head_position)
            after = request.after_position
            if after > head:
                raise ApiError.of(
                    ErrorReason.ERROR_REASON_POSITION_IN_FUTURE,
                    position=str(after),
                    head_position=str(head),
                )
            if after == 0:
                last: UUID | None = None
                first = True
                while True:
                    page = await asyncio.to_thread(self._views.snapshot, last, size, self._clock())
                    after = page.position if first else after
                    first = False
                    head = await asyncio.to_thread(self._reader.head_position)
                    if not page.members:
                        break
                    last = last_id(page.members[-1].member)
                    yield pb.WatchChangesResponse(members=page.members, head_position=head)
                yield pb.WatchChangesResponse(position=after, head_position=head)
            while not context.done():
                tail = await asyncio.to_thread(self._reader.read_events, after, 0, "", (), None, None, size)
                if tail.scanned_to == after:
                    await self._news(after)
                    continue
                changed = [event for event in tail.events if not event.HasField("audit_recorded")]
                for changes, after in messages(tail._replace(events=changed)):
                    yield pb.WatchChangesResponse(changes=changes, position=after, head_position=tail.head)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Has room for one more watcher for the time of a block. Raises ApiError when there is none."""
        if self._watchers >= WATCHERS_MAX:
            raise ApiError.of(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"The server has {WATCHERS_MAX} watchers, as many as it takes. Retry after the delay.",
            )
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    async def _news(self, after: int) -> None:
        """Waits until the log goes beyond a position, or for TAIL_WAIT_S; one thread does so for all who are there."""
        waiting = self._waiting.get(after)
        if waiting is None:
            waiting = asyncio.ensure_future(asyncio.to_thread(self._reader.wait_for, after + 1, TAIL_WAIT_S))
            waiting.add_done_callback(lambda _: self._waiting.pop(after))
            self._waiting[after] = waiting
        await asyncio.shield(waiting)  # one watcher that goes away takes nothing from the others
