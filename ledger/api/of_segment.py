"""Reads of a segment: for those who may see it, and of one that was saved a moment ago too."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.crm_parts import CrmParts
from ledger.api.dispatch import wait_s
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.domain.names import program_of_segment
from ledger.views import ViewBehind

AnswerT = TypeVar("AnswerT")


async def of_segment(
    parts: CrmParts,
    name: str,
    read: Callable[[int, float], AnswerT | None],
    min_position: int,
    context: grpc.aio.ServicerContext[Any, Any],
) -> AnswerT:
    """What a read of a segment comes to, which is given a position and for how long to wait for it.

    Where it finds nothing and no position was asked for, what the log holds by now decides. Raises ApiError where the
    caller sees no such segment, or the views are behind.
    """
    unknown = ApiError.of(ErrorReason.ERROR_REASON_SEGMENT_NOT_FOUND, segment=name)
    if not PRINCIPAL.get().sees(program_of_segment(name)):
        raise unknown
    try:
        found = await asyncio.to_thread(read, min_position, wait_s(context))
        if found is None and not min_position:
            head = await asyncio.to_thread(parts.reader.head_position)
            found = await asyncio.to_thread(read, head, wait_s(context))
    except ViewBehind as behind:
        raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
    if found is None:
        raise unknown
    return found
