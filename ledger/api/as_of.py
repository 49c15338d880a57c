"""As of when something is read: the position and the instant that a request names."""

import asyncio

from loyalty.v1.books_pb2 import AsOf
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.errors import ApiError
from ledger.books.line import Books
from ledger.domain.instant import from_timestamp
from ledger.views import EventReader


async def position_as_of(as_of: AsOf, log: EventReader, books: Books, now: int) -> tuple[int, int]:
    """The position to read as of, and the instant that it stands for. Raises ApiError where it lies in the future."""
    head = await asyncio.to_thread(log.head_position)
    match as_of.WhichOneof("instant"):
        case "position":
            if as_of.position > head:
                raise ApiError(
                    ErrorReason.ERROR_REASON_POSITION_IN_FUTURE,
                    metadata={"position": str(as_of.position), "head_position": str(head)},
                    field_violations=[("as_of.position", f"must not be behind the end of the log, {head}")],
                )
            return as_of.position, await asyncio.to_thread(books.recorded_at, as_of.position)
        case "recorded_at":
            instant = from_timestamp(as_of.recorded_at)
            if instant > now:
                raise ApiError.invalid([("as_of.recorded_at", "must not be in the future")])
            return await asyncio.to_thread(books.position_at, instant), instant
        case None:
            return head, now
