"""ProgramService: what the programme manager calls."""

import asyncio
from typing import Any

import grpc
from loyalty.v1 import program_service_pb2 as pb
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    ExtendExpiryRequest,
    GrantRewardRequest,
    PublishProgramRequest,
    ReinstatePointsRequest,
    RevokeEntitlementRequest,
    RevokeVoucherRequest,
    SetTierFloorRequest,
    SettlePendingRequest,
    UploadVoucherCodesRequest,
)
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.program_service_pb2_grpc import ProgramServiceServicer

from ledger.api.check import CHECKS
from ledger.api.codes import codes_of
from ledger.api.dispatch import Dispatch, wait_s
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.api.paging import number_before, page_size, page_token
from ledger.api.reply import reply
from ledger.domain.names import program_stream
from ledger.domain.publish import problems
from ledger.store.programs import Programs
from ledger.store.vouchers import VoucherCodes
from ledger.views import ViewBehind, Views
from ledger.writer.writer import Clock

Context = grpc.aio.ServicerContext[Any, Any]


class ProgramService(ProgramServiceServicer):
    """Each call: check, convert, one call, convert."""

    def __init__(self, dispatch: Dispatch, programs: Programs, views: Views, codes: VoucherCodes, clock: Clock) -> None:
        self._dispatch = dispatch
        self._views = views
        self._programs = programs
        self._codes = codes
        self._clock = clock

    async def PublishProgram(self, request: PublishProgramRequest, context: Context) -> pb.PublishProgramResponse:
        """Publishes a program as its next version."""
        CHECKS[PublishProgramRequest](request, self._clock())
        request.DiscardUnknownFields()  # what this server does not know it has not checked
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

    async def ListProgramVersions(
        self, request: pb.ListProgramVersionsRequest, context: Context
    ) -> pb.ListProgramVersionsResponse:
        """The versions of a program, newest first."""
        CHECKS[pb.ListProgramVersionsRequest](request, self._clock())
        owner = program_stream(request.program)
        before = number_before(request.page_token, owner, "program")
        size = page_size(request.page_size)
        versions = await asyncio.to_thread(self._programs.versions, request.program, before, size)
        if not PRINCIPAL.get().sees(request.program) or (not versions and not request.page_token):
            raise ApiError.of(ErrorReason.ERROR_REASON_PROGRAM_NOT_FOUND, program=request.program)
        oldest = versions[-1].version if versions else 1
        token = page_token(oldest, owner) if oldest > 1 else ""
        return pb.ListProgramVersionsResponse(versions=versions, next_page_token=token)

    async def ListRewards(self, request: pb.ListRewardsRequest, context: Context) -> pb.ListRewardsResponse:
        """The rewards in force, with what is left of them."""
        now = self._clock()
        CHECKS[pb.ListRewardsRequest](request, now)
        owner = program_stream(request.program)
        first = number_before(request.page_token, owner, "catalogue") if request.page_token else 0
        behind = first + page_size(request.page_size)
        try:
            catalogue = await asyncio.to_thread(
                self._views.catalogue, request.program, now, request.min_position, wait_s(context)
            )
        except ViewBehind as error:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(error.position)) from None
        if catalogue is None or not PRINCIPAL.get().sees(request.program):
            raise ApiError.of(ErrorReason.ERROR_REASON_PROGRAM_NOT_FOUND, program=request.program)
        return pb.ListRewardsResponse(
            rewards=catalogue.entries[first:behind],
            next_page_token=page_token(behind, owner) if behind < len(catalogue.entries) else "",
            program_version=catalogue.version,
            position=catalogue.position,
        )

    async def AdjustPoints(self, request: AdjustPointsRequest, context: Context) -> pb.AdjustPointsResponse:
        """Adjusts points by hand."""
        return reply(pb.AdjustPointsResponse(), await self._dispatch.settle(request, context))

    async def SettlePending(self, request: SettlePendingRequest, context: Context) -> pb.SettlePendingResponse:
        """Activates or cancels pending points."""
        return reply(pb.SettlePendingResponse(), await self._dispatch.settle(request, context))

    async def GrantReward(self, request: GrantRewardRequest, context: Context) -> pb.GrantRewardResponse:
        """Gives a member a reward for no points."""
        result = await self._dispatch.settle(request, context)
        return reply(pb.GrantRewardResponse(), result, codes=await codes_of(self._codes, [result]))

    async def RevokeVoucher(self, request: RevokeVoucherRequest, context: Context) -> pb.RevokeVoucherResponse:
        """Takes a voucher back."""
        return reply(pb.RevokeVoucherResponse(), await self._dispatch.settle(request, context))

    async def ExtendExpiry(self, request: ExtendExpiryRequest, context: Context) -> pb.ExtendExpiryResponse:
        """Lets points expire later."""
        return reply(pb.ExtendExpiryResponse(), await self._dispatch.settle(request, context))

    async def ReinstatePoints(self, request: ReinstatePointsRequest, context: Context) -> pb.ReinstatePointsResponse:
        """Gives expired points back."""
        return reply(pb.ReinstatePointsResponse(), await self._dispatch.settle(request, context))

    async def RevokeEntitlement(
        self, request: RevokeEntitlementRequest, context: Context
    ) -> pb.RevokeEntitlementResponse:
        """Takes an entitlement back."""
        return reply(pb.RevokeEntitlementResponse(), await self._dispatch.settle(request, context))

    async def UploadVoucherCodes(
        self, request: UploadVoucherCodesRequest, context: Context
    ) -> pb.UploadVoucherCodesResponse:
        """Adds codes to a pool."""
        return reply(pb.UploadVoucherCodesResponse(), await self._dispatch.settle(request, context))

    async def SetTierFloor(self, request: SetTierFloorRequest, context: Context) -> pb.SetTierFloorResponse:
        """Pins a member's tier, or lets go of it."""
        return reply(pb.SetTierFloorResponse(), await self._dispatch.settle(request, context))
