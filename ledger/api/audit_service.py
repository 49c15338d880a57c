"""AuditService: what auditors call."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from loyalty.v1 import audit_service_pb2 as pb
from loyalty.v1 import proof_pb2
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.as_of_service import AsOfService
from ledger.api.books_service import BooksService
from ledger.api.check import CHECKS
from ledger.api.errors import ApiError
from ledger.api.paging import messages, number_before, page_size, page_token
from ledger.api.proofs import CHECKPOINTS, checkpoint_message, consistency_message, inclusion_message, proved
from ledger.api.trail_service import TrailService
from ledger.as_of.histories import Histories
from ledger.books.line import Books
from ledger.domain.instant import from_timestamp
from ledger.store.proofs import Proofs
from ledger.views import AuditTrail, EventReader
from ledger.writer.writer import Clock

BATCH_EVENTS_DEFAULT: Final = 500

BATCH_EVENTS_MAX: Final = 2_000
"""Events, or members of a snapshot, in one message. Whoever asks for more gets as many (AIP-158)."""

Context = grpc.aio.ServicerContext[Any, Any]


class AuditService(BooksService, AsOfService, TrailService):
    """Each call: check, read, convert. Books, states of the past and who did what are in the classes it is made of."""

    def __init__(
        self,
        reader: EventReader,
        books: Books,
        histories: Histories,
        proofs: Proofs,
        trail: AuditTrail,
        clock: Clock,
    ) -> None:
        BooksService.__init__(self, books, reader, clock)
        AsOfService.__init__(self, histories, books, reader, clock)
        self._reader = reader
        self._proofs = proofs
        self._trail = trail
        self._clock = clock

    async def ReadEvents(self, request: pb.ReadEventsRequest, context: Context) -> AsyncIterator[pb.ReadEventsResponse]:
        """Events in the order of the log, in batches, up to the end that the log has now."""
        CHECKS[pb.ReadEventsRequest](request, self._clock())
        head = await asyncio.to_thread(self._reader.head_position)
        until = min(request.until_position or head, head)
        if request.after_position > head:
            raise ApiError.of(
                ErrorReason.ERROR_REASON_POSITION_IN_FUTURE,
                position=str(request.after_position),
                head_position=str(head),
            )
        after = request.after_position
        while after < until:
            page = await asyncio.to_thread(
                self._reader.read_events,
                after,
                until,
                request.subject,
                request.types,
                from_timestamp(request.recorded_from) if request.HasField("recorded_from") else None,
                from_timestamp(request.recorded_until) if request.HasField("recorded_until") else None,
                min(request.batch_size or BATCH_EVENTS_DEFAULT, BATCH_EVENTS_MAX),
            )
            after = page.scanned_to
            for events, position in messages(page):
                if events or position >= until:
                    yield pb.ReadEventsResponse(events=events, position=position, head_position=page.head)

    async def GetCheckpoint(
        self, request: proof_pb2.GetCheckpointRequest, context: Context
    ) -> proof_pb2.GetCheckpointResponse:
        """The newest checkpoint, or the first of at least a size."""
        CHECKS[proof_pb2.GetCheckpointRequest](request, self._clock())
        kept = await proved(self._proofs.checkpoint, request.min_size)
        return proof_pb2.GetCheckpointResponse(checkpoint=checkpoint_message(kept))

    async def ListCheckpoints(
        self, request: proof_pb2.ListCheckpointsRequest, context: Context
    ) -> proof_pb2.ListCheckpointsResponse:
        """The checkpoints, newest first."""
        CHECKS[proof_pb2.ListCheckpointsRequest](request, self._clock())
        before, size = number_before(request.page_token, CHECKPOINTS, "log"), page_size(request.page_size)
        found = await proved(self._proofs.checkpoints, before, size + 1)
        page = found[:size]
        return proof_pb2.ListCheckpointsResponse(
            checkpoints=map(checkpoint_message, page),
            next_page_token=page_token(page[-1].size, CHECKPOINTS) if len(found) > size else "",
        )

    async def ProveInclusion(
        self, request: proof_pb2.ProveInclusionRequest, context: Context
    ) -> proof_pb2.ProveInclusionResponse:
        """The proof that an event is in the log."""
        CHECKS[proof_pb2.ProveInclusionRequest](request, self._clock())
        proof = await proved(self._proofs.inclusion, request.position, request.tree_size)
        return inclusion_message(request.position, proof)

    async def ProveConsistency(
        self, request: proof_pb2.ProveConsistencyRequest, context: Context
    ) -> proof_pb2.ProveConsistencyResponse:
        """The proof that the log only had events appended to it."""
        CHECKS[proof_pb2.ProveConsistencyRequest](request, self._clock())
        proof = await proved(self._proofs.consistency, request.old_size, request.tree_size)
        return consistency_message(request.old_size, proof)
