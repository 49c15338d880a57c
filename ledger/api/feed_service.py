"""The feed: snapshot and tail, as CrmService answers."""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

import grpc
from loyalty.v1 import crm_service_pb2 as pb
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.audit_service import BATCH_EVENTS_DEFAULT, BATCH_EVENTS_MAX
from ledger.api.check import CHECKS
from ledger.api.consumer_service import ConsumerService, in_future, other_log
from ledger.api.crm_parts import CrmParts
from ledger.api.errors import ApiError
from ledger.api.paging import EVENT_BYTES_MAX, page_token
from ledger.domain.names import last_id
from ledger.store.topics import Archived
from ledger.store.wire import tag_of, varint
from ledger.views import Change
from ledger.writer.writer import Clock

SCHEMA_VERSION: Final = 1
"""Of the feed. feed.proto says what changes it."""

TAIL_WAIT_S: Final = 1.0
"""How long a tail waits for news before it looks whether its consumer is still there."""

WATCHERS_MAX: Final = 32
"""Calls of WatchChanges at once. Each reads every change anew, over the connections that all reads share."""

_CHANGES: Final = tag_of(pb.WatchChangesResponse.DESCRIPTOR.fields_by_name["changes"])

Context = grpc.aio.ServicerContext[Any, Any]


class _Feed(NamedTuple):
    """What one call of WatchChanges gets."""

    log_id: str
    program: str
    types: Sequence[str]
    size: int
    """Entries of a message."""
    consumer_id: str
    """Empty for none."""
    stream: int
    """Which of the consumer's streams it is."""

    def message(self, changes: bytes, position: int, head: int) -> bytes:
        """A WatchChangesResponse whose changes are encoded already: encoded messages are put together by joining."""
        rest = pb.WatchChangesResponse(
            position=position, head_position=head, log_id=self.log_id, schema_version=SCHEMA_VERSION
        )
        return changes + rest.SerializeToString()


class FeedService(ConsumerService):
    """The part of CrmService that tells what has changed."""

    def __init__(self, parts: CrmParts, clock: Clock) -> None:
        super().__init__(parts, clock)
        self._watchers = 0
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        """Who waits for the log to go beyond a position, one for all watchers that are there."""

    async def WatchChanges(  # type: ignore[override]  # the changes are encoded as they are stored, not built and encoded
        self, request: pb.WatchChangesRequest, context: Context
    ) -> AsyncIterator[pb.WatchChangesResponse | bytes]:
        """A snapshot of all members, then every change."""
        CHECKS[pb.WatchChangesRequest](request, self._clock())
        with self._watching():
            log_id = await self._log_id(request.log_id)
            feed, after = await self._begin(request, log_id)
            is_told = after == 0
            if is_told:
                async with aclosing(self._snapshot(feed, request.snapshot_page_token)) as pages:
                    async for page, start in pages:
                        yield page
                        after = start
            while not context.done():
                await self._stay(feed)
                messages, scanned_to = await asyncio.to_thread(self._tail, feed, after)
                for message in messages:
                    yield message
                if scanned_to == after:
                    if not is_told:  # whoever is up to date hears so, and need not wait for news to know
                        yield feed.message(b"", after, after)
                    await self._news(after)
                after, is_told = scanned_to, True

    async def _begin(self, request: pb.WatchChangesRequest, log_id: str) -> tuple[_Feed, int]:
        """What a call gets, and behind which position it begins. A consumer's older stream ends. Raises ApiError."""
        size = min(request.batch_size or BATCH_EVENTS_DEFAULT, BATCH_EVENTS_MAX)
        after = request.after_position
        if not request.consumer:
            await self._refuse_future(after)
            return _Feed(log_id, await self._own(request.program), request.types, size, "", 0), after
        consumer = await self._consumer(request.consumer)
        if not after and not request.snapshot_page_token:
            if consumer.position and consumer.log_id != log_id:
                raise other_log(log_id)
            after = consumer.position
        await self._refuse_future(after)
        stream = await asyncio.to_thread(self._parts.consumers.take_over, consumer.consumer_id, self._clock())
        if stream is None:
            raise ApiError.of(ErrorReason.ERROR_REASON_CONSUMER_NOT_FOUND, consumer=request.consumer)
        feed = _Feed(log_id, consumer.program, consumer.types, size, consumer.consumer_id, stream)
        return feed, after

    async def _snapshot(self, feed: _Feed, token: str) -> AsyncGenerator[tuple[pb.WatchChangesResponse, int], None]:
        """The pages of a snapshot, each with the position that the tail begins behind.

        That is the position which the first page reflected: a member whose page was read later may already show a
        change that the tail brings once more, and none is missing. At the end comes a page without members.
        """
        last: UUID | None = None
        start = -1
        if token:
            start, last = _snapshot_place(token)
            await self._refuse_future(start)
        while True:
            await self._stay(feed)
            page = await asyncio.to_thread(self._parts.views.snapshot, last, feed.size, self._clock(), feed.program)
            start = page.position if start < 0 else start
            message = pb.WatchChangesResponse(
                members=page.members,
                head_position=await asyncio.to_thread(self._parts.reader.head_position),
                log_id=feed.log_id,
                schema_version=SCHEMA_VERSION,
            )
            if not page.members:
                message.position = start
                yield message, start
                return
            last = last_id(page.members[-1].member)
            message.snapshot_page_token = page_token(start, last)
            yield message, start

    def _tail(self, feed: _Feed, after: int) -> tuple[list[bytes], int]:
        """Messages with the next changes, and up to where they go. Blocks on the database. Raises ApiError."""
        try:
            page = self._parts.changes.read(after, feed.types, feed.program, feed.size)
        except Archived as archived:
            raise ApiError.of(ErrorReason.ERROR_REASON_CHANGES_ARCHIVED, position=after, where=str(archived)) from None
        if page.head < after:
            raise in_future(after, page.head)
        if page.scanned_to == after:
            return [], after
        parts = _parts(page.changes, page.scanned_to)
        return [feed.message(changes, position, page.head) for changes, position in parts], page.scanned_to

    async def _stay(self, feed: _Feed) -> None:
        """Notes that a consumer is there. Raises ApiError where a newer stream of it has taken over."""
        if not feed.consumer_id:
            return
        if not await asyncio.to_thread(self._parts.consumers.stays, feed.consumer_id, feed.stream, self._clock()):
            raise ApiError.of(ErrorReason.ERROR_REASON_CONSUMER_TAKEN_OVER, consumer=f"consumers/{feed.consumer_id}")

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
            waiting = asyncio.ensure_future(asyncio.to_thread(self._parts.reader.wait_for, after + 1, TAIL_WAIT_S))
            waiting.add_done_callback(lambda _: self._waiting.pop(after))
            self._waiting[after] = waiting
        await asyncio.shield(waiting)  # one watcher that goes away takes nothing from the others


def _parts(changes: Iterable[Change], scanned_to: int) -> Iterator[tuple[bytes, int]]:
    """Changes as the encoded field of messages that every client can take, each with the position to go on behind."""
    part: list[bytes] = []
    size = last = 0
    for position, content in changes:
        size += len(content)
        if part and size > EVENT_BYTES_MAX:
            yield b"".join(part), last
            part, size = [], len(content)
        part += (_CHANGES, varint(len(content)), content)
        last = position
    yield b"".join(part), scanned_to


def _snapshot_place(token: str) -> tuple[int, UUID]:
    """Where a snapshot goes on: behind which position its tail begins, and behind which member its pages."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        return int.from_bytes(raw[:8], "big"), UUID(bytes=raw[8:])
    except (ValueError, binascii.Error):
        raise ApiError.invalid(
            [("snapshot_page_token", "is not a token of a snapshot: send it as it came, or none")]
        ) from None
