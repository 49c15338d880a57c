"""PosService: what tills call."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

import grpc
from google.protobuf.message import Message
from loyalty.v1 import pos_service_pb2 as pb
from loyalty.v1.commands_pb2 import (
    Command as CommandMessage,
)
from loyalty.v1.commands_pb2 import (
    CommitRewardRequest,
    EnrollMemberRequest,
    RecordActivityRequest,
    RecordSaleRequest,
    ReleaseRewardRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    ReverseTransactionRequest,
    UseEntitlementRequest,
)
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import Event
from loyalty.v1.pos_service_pb2_grpc import PosServiceServicer
from loyalty.v1.program_pb2 import Program

from ledger.api.binding import program_of, sees
from ledger.api.check import CHECKS, check_batch
from ledger.api.codes import codes_of
from ledger.api.dispatch import Dispatch, deadline_of, wait_s
from ledger.api.errors import ApiError
from ledger.api.explain import explain, main_of, version_of
from ledger.api.identifiers import normalise
from ledger.api.interceptor import PRINCIPAL
from ledger.api.reply import reply, shorten, write_result
from ledger.domain.instant import from_timestamp
from ledger.domain.names import last_id, member_name
from ledger.person_views import Held, People
from ledger.store.profiles import Profiles
from ledger.store.programs import Programs
from ledger.store.vouchers import VoucherCodes
from ledger.views import EventReader, MemberView, ViewBehind, Views
from ledger.writer.command import IdentifierKey
from ledger.writer.writer import Clock

STREAM_IN_FLIGHT_MAX: Final = 256
"""Commands of one stream whose results the client has not taken yet; then the stream is read no further."""

RESULTS_BYTES_MAX: Final = 3 * 1024 * 1024
"""Results of a batch: gRPC clients take messages of 4 MiB unless told otherwise, and all of it is on disk by then."""

_NO_COMMAND: Final = ApiError.invalid([("command", "is missing: set one of its fields")])

Context = grpc.aio.ServicerContext[Any, Any]


class PosService(PosServiceServicer):
    """Each call: check, convert, one call to the writer or the views, convert."""

    def __init__(
        self,
        dispatch: Dispatch,
        profiles: Profiles,
        programs: Programs,
        views: Views,
        reader: EventReader,
        codes: VoucherCodes,
        people: People,
        clock: Clock,
    ) -> None:
        self._dispatch = dispatch
        self._profiles = profiles
        self._programs = programs
        self._codes = codes
        self._people = people
        self._views = views
        self._reader = reader
        self._clock = clock

    async def EnrollMember(self, request: EnrollMemberRequest, context: Context) -> pb.EnrollMemberResponse:
        """Makes a member."""
        return reply(pb.EnrollMemberResponse(), await self._dispatch.settle(request, context))

    async def LookupMember(self, request: pb.LookupMemberRequest, context: Context) -> pb.LookupMemberResponse:
        """Finds a member by identifier."""
        CHECKS[pb.LookupMemberRequest](request, self._clock())
        member_id = await self._member_by(request.identifier)
        now = self._clock()
        view, profile = await asyncio.gather(
            self._view(member_id, now, request.min_position, context),
            asyncio.to_thread(self._profiles.get, member_id),
        )
        held = await self._held(member_id, now, request.min_position, context)
        return pb.LookupMemberResponse(
            member=member_name(member_id),
            masked_name=profile.masked_name if profile is not None else "",
            language_code=profile.language_code if profile is not None else "",
            balance=view.balance,
            tier=view.tier,
            tier_benefits=view.tier_benefits,
            position=view.position,
            consents=held.consents,
        )

    async def QuoteSale(self, request: pb.QuoteSaleRequest, context: Context) -> pb.QuoteSaleResponse:
        """What RecordSale would answer."""
        return reply(pb.QuoteSaleResponse(), await self._dispatch.quote(request, context))

    async def RecordSale(self, request: RecordSaleRequest, context: Context) -> pb.RecordSaleResponse:
        """Records a paid sale."""
        result = await self._dispatch.settle(request, context)
        return reply(pb.RecordSaleResponse(), result, codes=await codes_of(self._codes, [result]))

    async def ReserveReward(self, request: ReserveRewardRequest, context: Context) -> pb.ReserveRewardResponse:
        """Sets points aside."""
        return reply(pb.ReserveRewardResponse(), await self._dispatch.settle(request, context))

    async def CommitReward(self, request: CommitRewardRequest, context: Context) -> pb.CommitRewardResponse:
        """Redeems a hold."""
        result = await self._dispatch.settle(request, context)
        return reply(pb.CommitRewardResponse(), result, codes=await codes_of(self._codes, [result]))

    async def ReleaseReward(self, request: ReleaseRewardRequest, context: Context) -> pb.ReleaseRewardResponse:
        """Gives a hold's points back."""
        return reply(pb.ReleaseRewardResponse(), await self._dispatch.settle(request, context))

    async def ReturnSale(self, request: ReturnSaleRequest, context: Context) -> pb.ReturnSaleResponse:
        """Takes lines of a sale back."""
        return reply(pb.ReturnSaleResponse(), await self._dispatch.settle(request, context))

    async def ReverseTransaction(
        self, request: ReverseTransactionRequest, context: Context
    ) -> pb.ReverseTransactionResponse:
        """Voids an earlier command."""
        return reply(pb.ReverseTransactionResponse(), await self._dispatch.settle(request, context))

    async def RecordActivity(self, request: RecordActivityRequest, context: Context) -> pb.RecordActivityResponse:
        """Records something other than a sale."""
        return reply(pb.RecordActivityResponse(), await self._dispatch.settle(request, context))

    async def UseEntitlement(self, request: UseEntitlementRequest, context: Context) -> pb.UseEntitlementResponse:
        """Uses an entitlement, once."""
        return reply(pb.UseEntitlementResponse(), await self._dispatch.settle(request, context))

    async def GetTransaction(self, request: pb.GetTransactionRequest, context: Context) -> pb.GetTransactionResponse:
        """The outcome of an earlier command."""
        CHECKS[pb.GetTransactionRequest](request, self._clock())
        return pb.GetTransactionResponse(name=request.name, events=await self._transaction(request.name))

    async def ExplainTransaction(
        self, request: pb.ExplainTransactionRequest, context: Context
    ) -> pb.ExplainTransactionResponse:
        """Why an earlier command came to what it did."""
        CHECKS[pb.ExplainTransactionRequest](request, self._clock())
        events = await self._transaction(request.name)
        main = main_of(request.name, events)
        definition = None
        if version := version_of(main):
            program = await program_of(self._reader, main.subject)
            definition = await asyncio.to_thread(self._programs.definition, program, version)
        explanation = await asyncio.to_thread(explain, request.name, events, definition or Program())
        return pb.ExplainTransactionResponse(explanation=explanation)

    async def GetBalance(self, request: pb.GetBalanceRequest, context: Context) -> pb.GetBalanceResponse:
        """A member's balance and tier."""
        now = self._clock()
        CHECKS[pb.GetBalanceRequest](request, now)
        if request.WhichOneof("who") == "member":
            member_id = last_id(request.member)
        else:
            member_id = await self._member_by(request.identifier)
        at = from_timestamp(request.as_of) if request.HasField("as_of") else now
        view = await self._view(member_id, at, request.min_position, context)
        return pb.GetBalanceResponse(
            member=member_name(member_id),
            balance=view.balance,
            tier=view.tier,
            tier_benefits=view.tier_benefits,
            position=view.position,
            expiry_schedule=view.expiries,
        )

    async def SubmitBatch(self, request: pb.SubmitBatchRequest, context: Context) -> pb.SubmitBatchResponse:
        """Many commands, each for itself."""
        check_batch(request)
        response = pb.SubmitBatchResponse()
        await self._settle(
            request.commands, response.results, context, deadline_of(context), with_texts=request.with_texts
        )
        if response.ByteSize() > RESULTS_BYTES_MAX:
            shorten(response.results)
        return response

    async def StreamCommands(
        self,
        request_iterator: AsyncIterator[pb.StreamCommandsRequest],
        context: Context,
    ) -> AsyncIterator[pb.StreamCommandsResponse]:
        """Commands and results over one call, results as they come."""
        results: asyncio.Queue[pb.CommandResult | None] = asyncio.Queue()
        room = asyncio.Semaphore(STREAM_IN_FLIGHT_MAX)

        async def one(item: CommandMessage) -> None:
            response = pb.SubmitBatchResponse()
            await self._settle([item], response.results, context, None, with_texts=True)
            results.put_nowait(response.results[0])

        async def read() -> None:
            try:
                async with asyncio.TaskGroup() as tasks:
                    async for message in request_iterator:
                        await room.acquire()
                        tasks.create_task(one(message.command))
            finally:
                results.put_nowait(None)

        reading = asyncio.create_task(read())
        try:
            while (result := await results.get()) is not None:
                yield pb.StreamCommandsResponse(result=result)
                room.release()
            await reading
        finally:
            reading.cancel()

    async def _settle(
        self,
        items: Sequence[CommandMessage],
        results: Any,
        context: Context,
        deadline: float | None,
        *,
        with_texts: bool,
    ) -> None:
        """Adds the result of each item to a repeated field of results, in order."""
        kinds = [item.WhichOneof("command") for item in items]
        requests = [getattr(item, kind) for item, kind in zip(items, kinds, strict=True) if kind is not None]
        try:
            results_or_errors = await self._dispatch.settle_each(requests, context, deadline)
        except ApiError as error:
            results_or_errors = [error] * len(requests)
        codes = await codes_of(self._codes, results_or_errors)
        settled = iter(results_or_errors)
        for item, kind in zip(items, kinds, strict=True):
            result = _NO_COMMAND if kind is None else next(settled)
            if isinstance(result, ApiError):
                request_id = "" if kind is None else getattr(item, kind).request_id
                results.add(request_id=request_id, error=result.item_error())
            else:
                write_result(results.add(), result, codes=codes, with_texts=with_texts)

    async def _transaction(self, name: str) -> Sequence[Event]:
        """The events of a transaction that the caller may see."""
        events = await asyncio.to_thread(self._reader.transaction, last_id(name))
        if not events or not await sees(self._reader, events[0].subject):
            raise ApiError.of(ErrorReason.ERROR_REASON_TRANSACTION_NOT_FOUND, transaction=name)
        return events

    async def _member_by(self, identifier: Message) -> UUID:
        bound = PRINCIPAL.get().program or ""
        program = identifier.program or bound  # type: ignore[attr-defined]  # an Identifier
        region = await self._dispatch.region(program) if program else ""
        if bound and program != bound:
            raise ApiError.of(ErrorReason.ERROR_REASON_NOT_ALLOWED, field="identifier.program")
        key = IdentifierKey(*normalise(identifier, program, region, "identifier"))  # type: ignore[arg-type]
        member_id = await asyncio.to_thread(self._profiles.member_by, key)
        if member_id is None:
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND)
        return member_id

    async def _held(self, member_id: UUID, at: int, min_position: int, context: Context) -> Held:
        try:
            return await asyncio.to_thread(self._people.held, member_id, at, min_position, wait_s(context))
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None

    async def _view(self, member_id: UUID, at: int, min_position: int, context: Context) -> MemberView:
        timeout_s = wait_s(context)
        try:
            view = await asyncio.to_thread(self._views.member, member_id, at, min_position, timeout_s)
            if view is None:  # or enrolled a moment ago: what the log holds by now decides
                head = await asyncio.to_thread(self._reader.head_position)
                view = await asyncio.to_thread(self._views.member, member_id, at, head, timeout_s)
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        if view is None or not PRINCIPAL.get().sees(view.program):
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=member_name(member_id))
        return view
