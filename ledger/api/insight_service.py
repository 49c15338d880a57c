"""Buying insight, as CrmService answers it."""

import asyncio
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
from ledger.insight import ProgramUnknown, TookTooLong
from ledger.views import ViewBehind
from ledger.writer.writer import Clock

READERS_MAX: Final = 2
"""Questions that are answered at once: each may keep a core of the database busy for seconds. The others wait."""

TIME_MAX_S: Final = 300.0
"""How long a question takes at most, where its caller gives no shorter deadline."""

Context = grpc.aio.ServicerContext[Any, Any]
RequestT = TypeVar("RequestT")
PartT = TypeVar("PartT")


class InsightService(CrmPart):
    """The part of CrmService that is about what members buy. Each call: check, read, pass on."""

    def __init__(self, parts: CrmParts, clock: Clock) -> None:
        super().__init__(parts, clock)
        self._readers = asyncio.Semaphore(READERS_MAX)

    async def ReadSalesFigures(
        self, request: pb.ReadSalesFiguresRequest, context: Context
    ) -> AsyncIterator[pb.ReadSalesFiguresResponse]:
        """What was sold."""
        async for part in self._answer(request, context, self._parts.insight.sales):
            yield part

    async def ReadOfferFigures(
        self, request: pb.ReadOfferFiguresRequest, context: Context
    ) -> AsyncIterator[pb.ReadOfferFiguresResponse]:
        """What offers did."""
        async for part in self._answer(request, context, self._parts.insight.offers):
            yield part

    async def ReadPairs(self, request: pb.ReadPairsRequest, context: Context) -> AsyncIterator[pb.ReadPairsResponse]:
        """What is bought together."""
        async for part in self._answer(request, context, self._parts.insight.pairs):
            yield part

    async def ReadWonAndLost(
        self, request: pb.ReadWonAndLostRequest, context: Context
    ) -> AsyncIterator[pb.ReadWonAndLostResponse]:
        """Members won and lost."""
        async for part in self._answer(request, context, self._parts.insight.won_and_lost):
            yield part

    async def ReadDemand(self, request: pb.ReadDemandRequest, context: Context) -> AsyncIterator[pb.ReadDemandResponse]:
        """Demand by store."""
        async for part in self._answer(request, context, self._parts.insight.demand):
            yield part

    async def _answer(
        self, request: Any, context: Context, read: Callable[[Any, float, float], Iterator[PartT]]
    ) -> AsyncIterator[PartT]:
        """The parts of an answer. Raises ApiError."""
        CHECKS[type(request)](request, self._clock())
        if not PRINCIPAL.get().sees(request.program):
            raise unknown_program(request.program)
        async with self._readers:
            left_s = remaining_s(context)
            timeout_s = TIME_MAX_S if left_s is None else min(left_s, TIME_MAX_S)
            parts = read(request, wait_s(context), timeout_s)
            try:
                while (part := await _next(parts)) is not None:
                    yield part
            except ViewBehind as behind:
                raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
            except ProgramUnknown:
                raise unknown_program(request.program) from None
            except TookTooLong:
                raise ApiError.of(
                    ErrorReason.ERROR_REASON_DEADLINE_PASSED,
                    "The figures were not read in time. Ask for a shorter period or fewer lines, or allow more time.",
                ) from None
            except OverflowError:
                raise ApiError.of(ErrorReason.ERROR_REASON_OVERFLOW) from None
            finally:
                await asyncio.to_thread(_close, parts)


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
