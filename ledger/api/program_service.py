"""ProgramService: what the programme manager calls."""

import asyncio
from typing import Any

import grpc
from loyalty.v1 import program_service_pb2 as pb
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    PublishProgramRequest,
    SetTierFloorRequest,
    SettlePendingRequest,
)
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.program_service_pb2_grpc import ProgramServiceServicer

from ledger.api.check import CHECKS
from ledger.api.dispatch import Dispatch
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.api.reply import reply
from ledger.domain.publish import problems
from ledger.store.programs import Programs
from ledger.writer.writer import Clock

Context = grpc.aio.ServicerContext[Any, Any]


class ProgramService(ProgramServiceServicer):
    """Each call: check, convert, one call, convert."""

    def __init__(self, dispatch: Dispatch, programs: Programs, clock: Clock) -> None:
        self._dispatch = dispatch
        self._programs = programs
        self._clock = clock

    async def PublishProgram(self, request: PublishProgramRequest, context: Context) -> pb.PublishProgramResponse:
        """Publishes a program as its next version."""
        CHECKS[PublishProgramRequest](request, self._clock())
        found = await asyncio.to_thread(problems, request.program)
        if found:
            raise ApiError.invalid([(f"program.{path}", what) for path, what in found])
        if request.validate_only:
            return pb.PublishProgramResponse(program=request.program)
        return reply(pb.PublishProgramResponse(), await self._dispatch.settle(request, context))

    async def GetProgram(self, request: pb.GetProgramRequest, context: Context) -> pb.GetProgramResponse:
        """A version of a program."""
        CHECKS[pb.GetProgramRequest](request, self._clock())
        program = await asyncio.to_thread(self._programs.definition, request.name, request.version)
        if program is None or not PRINCIPAL.get().sees(request.name):
            raise ApiError.of(ErrorReason.ERROR_REASON_PROGRAM_NOT_FOUND, program=request.name)
        return pb.GetProgramResponse(program=program)

    async def AdjustPoints(self, request: AdjustPointsRequest, context: Context) -> pb.AdjustPointsResponse:
        """Adjusts points by hand."""
        return reply(pb.AdjustPointsResponse(), await self._dispatch.settle(request, context))

    async def SettlePending(self, request: SettlePendingRequest, context: Context) -> pb.SettlePendingResponse:
        """Activates or cancels pending points."""
        return reply(pb.SettlePendingResponse(), await self._dispatch.settle(request, context))

    async def SetTierFloor(self, request: SetTierFloorRequest, context: Context) -> pb.SetTierFloorResponse:
        """Pins a member's tier, or lets go of it."""
        return reply(pb.SetTierFloorResponse(), await self._dispatch.settle(request, context))
