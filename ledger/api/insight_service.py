"""Buying insight, as CrmService answers it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, TypeVar

import grpc
from loyalty.v1 import insight_pb2 as pb
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.check import CHECKS
from ledger.api.crm_parts import CrmPart, CrmParts
from ledger.api.dispatch import remaining_s, wait_s
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.api.known_program import unknown_program
from ledger.insight import SLOW_READER_S, ProgramUnknown, TookTooLong
from ledger.views import ViewBehind
from ledger.writer.writer import Clock

READERS_MAX: Final = 2
"""Questions that are answered at once: each may keep a core of the database busy for seconds. The others wait."""

TIME_MAX_S: Final = 300.0
"""How long a question takes at most, waiting for others included, where its caller gives no shorter deadline."""

Context = grpc.aio.ServicerContext[Any, Any]
RequestT = TypeVar("RequestT")
PartT = TypeVar("PartT")


class InsightService(CrmPart):
    """The part of CrmService that is about what members buy. Each call: check, read, pass on.

    Each returns the one generator that reads, so that it is what is told that a call has ended.
    """

    def __init__(self, parts: CrmParts, clock: Clock) -> None:
        super().__init__(parts, clock)
        self._readers = asyncio.Semaphore(READERS_MAX)

    def ReadSalesFigures(
        self, request: pb.ReadSalesFiguresRequest, context: Context
    ) -> AsyncIterator[pb.ReadSalesFiguresResponse]:
        """What was sold."""
        return self._answer(request, context, self._parts.insight.sales)

    def ReadOfferFigures(
        self, request: pb.ReadOfferFiguresRequest, context: Context
    ) -> AsyncIterator[pb.ReadOfferFiguresResponse]:
        """What offers did."""
        return self._answer(request, context, self._parts.insight.offers)

    def ReadPairs(self, request: pb.ReadPairsRequest, context: Context) -> AsyncIterator[pb.ReadPairsResponse]:
        """What is bought together."""
        return self._answer(request, context, self._parts.insight.pairs)

    def ReadWonAndLost(
        self, request: pb.ReadWonAndLostRequest, context: Context
    ) -> AsyncIterator[pb.ReadWonAndLostResponse]:
        """Members won and lost."""
        return self._answer(request, context, self._parts.insight.won_and_lost)

    def ReadDemand(self, request: pb.ReadDemandRequest, context: Context) -> AsyncIterator[pb.ReadDemandResponse]:
        """Demand by store."""
        return self._answer(request, context, self._parts.insight.demand)

    async def _answer(
        self, request: Any, context: Context, read: Callable[[Any, float, float], Iterator[PartT]]
    ) -> AsyncIterator[PartT]:
        """The parts of an answer. Raises ApiError."""
        CHECKS[type(request)](request, self._clock())
        if not PRINCIPAL.get().sees(request.program):
            raise unknown_program(request.program)
        left_s = remaining_s(context)
        until = time.monotonic() + (TIME_MAX_S if left_s is None else min(left_s, TIME_MAX_S))
        try:
            async with asyncio.timeout(until - time.monotonic()), self._readers:
                parts = read(request, wait_s(context), until - time.monotonic())
                try:
                    while (part := await _next(parts)) is not None:
                        async with asyncio.timeout(SLOW_READER_S):
                            yield part
                finally:
                    await asyncio.to_thread(_close, parts)
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        except ProgramUnknown:
            raise unknown_program(request.program) from None
        except (TookTooLong, TimeoutError):
            raise ApiError.of(
                ErrorReason.ERROR_REASON_DEADLINE_PASSED,
                f"The figures were not read in time: at most {TIME_MAX_S:.0f} s for all, {SLOW_READER_S:.0f} s for"
                " a message. Ask for a shorter period or fewer lines, allow more time, or read on without a pause.",
            ) from None
        except OverflowError:
            raise ApiError.of(ErrorReason.ERROR_REASON_OVERFLOW) from None


async def _next(parts: Iterator[PartT]) -> PartT | None:
    """The next part, from a thread; None at the end. A call that goes away waits until the thread is done."""
    step = asyncio.ensure_future(asyncio.to_thread(next, parts, None))
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step])
        raise


def _close(parts: Any) -> None:
    parts.close()
