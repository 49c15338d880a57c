"""The feed's consumers, as CrmService answers."""

import asyncio
from typing import Any, Final

import grpc
from loyalty.v1 import feed_pb2 as pb
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.check import CHECKS
from ledger.api.crm_parts import CrmPart
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.api.known_program import check_known
from ledger.api.paging import name_after, name_token, page_size
from ledger.domain.instant import set_timestamp
from ledger.store.consumers import CONSUMERS_MAX, KnownConsumer, TooManyConsumers

CONSUMERS: Final = "consumers"
"""Whose page tokens those of ListConsumers are."""

Context = grpc.aio.ServicerContext[Any, Any]


class ConsumerService(CrmPart):
    """The part of CrmService that keeps consumers' positions."""

    async def CreateConsumer(self, request: pb.CreateConsumerRequest, context: Context) -> pb.CreateConsumerResponse:
        """Makes a consumer, or answers with the same that is there."""
        now = self._clock()
        CHECKS[pb.CreateConsumerRequest](request, now)
        program, types = await self._own(request.program), sorted(set(request.types))
        log_id = await self._log_id("")
        try:
            consumer = await asyncio.to_thread(self._parts.consumers.add, request.consumer_id, program, types, now)
        except TooManyConsumers:
            raise ApiError.of(ErrorReason.ERROR_REASON_TOO_MANY_CONSUMERS, limit=CONSUMERS_MAX) from None
        if (consumer.program, consumer.types) != (program, types):
            raise ApiError.of(ErrorReason.ERROR_REASON_CONSUMER_EXISTS, consumer=f"consumers/{request.consumer_id}")
        return pb.CreateConsumerResponse(consumer=_message(consumer), log_id=log_id)

    async def AcknowledgeChanges(
        self, request: pb.AcknowledgeChangesRequest, context: Context
    ) -> pb.AcknowledgeChangesResponse:
        """Moves a consumer's position."""
        now = self._clock()
        CHECKS[pb.AcknowledgeChangesRequest](request, now)
        await self._log_id(request.log_id)
        await self._refuse_future(request.position)
        known = await self._consumer(request.consumer)
        consumer = await asyncio.to_thread(
            self._parts.consumers.acknowledge, known.consumer_id, request.position, now, reset=request.reset
        )
        return pb.AcknowledgeChangesResponse(consumer=_message(consumer or known))

    async def ListConsumers(self, request: pb.ListConsumersRequest, context: Context) -> pb.ListConsumersResponse:
        """The consumers that the caller may see."""
        now = self._clock()
        CHECKS[pb.ListConsumersRequest](request, now)
        after, size = name_after(request.page_token, CONSUMERS), page_size(request.page_size)
        log_id = await self._log_id("")
        principal = PRINCIPAL.get()
        consumers = await asyncio.to_thread(self._parts.consumers.all, now)
        seen = [one for one in consumers if one.consumer_id > after and principal.sees(one.program)]
        return pb.ListConsumersResponse(
            consumers=map(_message, seen[:size]),
            log_id=log_id,
            next_page_token=name_token(seen[size - 1].consumer_id, CONSUMERS) if len(seen) > size else "",
        )

    async def DeleteConsumer(self, request: pb.DeleteConsumerRequest, context: Context) -> pb.DeleteConsumerResponse:
        """Forgets a consumer."""
        CHECKS[pb.DeleteConsumerRequest](request, self._clock())
        consumer = await self._consumer(request.name)
        await asyncio.to_thread(self._parts.consumers.remove, consumer.consumer_id)
        return pb.DeleteConsumerResponse()

    async def _consumer(self, name: str) -> KnownConsumer:
        """A consumer that the caller may see. Raises ApiError."""
        consumer = await asyncio.to_thread(self._parts.consumers.find, name.removeprefix("consumers/"), self._clock())
        if consumer is None or not PRINCIPAL.get().sees(consumer.program):
            raise ApiError.of(ErrorReason.ERROR_REASON_CONSUMER_NOT_FOUND, consumer=name)
        return consumer

    async def _own(self, program: str) -> str:
        """The program that is asked for, or that of the caller's credential; empty for all. Raises ApiError."""
        principal = PRINCIPAL.get()
        if program and not principal.sees(program):
            raise ApiError.of(
                ErrorReason.ERROR_REASON_NOT_ALLOWED,
                f"The credential is bound to another program than {program}. Use another credential.",
            )
        if program:
            await check_known(program, self._parts.reader)
        return program or principal.program or ""

    async def _log_id(self, asked: str) -> str:
        """The log's id. Raises ApiError where another one is asked for."""
        log_id = await asyncio.to_thread(self._parts.consumers.log_id)
        if asked not in ("", log_id):
            raise other_log(log_id)
        return log_id

    async def _refuse_future(self, position: int) -> None:
        """Raises ApiError for a position that was never handed out."""
        head = await asyncio.to_thread(self._parts.reader.head_position)
        if position > head:
            raise in_future(position, head)


def in_future(position: int, head: int) -> ApiError:
    """The error of a position behind the end of the log."""
    return ApiError.of(ErrorReason.ERROR_REASON_POSITION_IN_FUTURE, position=position, head_position=head)


def other_log(log_id: str) -> ApiError:
    """The error of a position that is in another log than this one."""
    return ApiError.of(ErrorReason.ERROR_REASON_OTHER_LOG, log_id=log_id)


def _message(consumer: KnownConsumer) -> pb.Consumer:
    message = pb.Consumer(
        name=f"consumers/{consumer.consumer_id}",
        program=consumer.program,
        types=consumer.types,
        log_id=consumer.log_id,
        position=consumer.position,
        head_position=consumer.head,
        lag_events=max(consumer.lag_events, 0),
        lag_ms=consumer.lag_us // 1_000,
    )
    set_timestamp(message.created_at, consumer.created_at)
    if consumer.seen_at:
        set_timestamp(message.seen_at, consumer.seen_at)
    return message
