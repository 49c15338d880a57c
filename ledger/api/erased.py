"""Members who are erased: whoever asks for them is told so."""

import asyncio

from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.errors import ApiError
from ledger.domain.effect import effective_at
from ledger.domain.instant import from_timestamp, instant_text
from ledger.views import EventReader


async def check_not_erased(reader: EventReader, member: str) -> None:
    """Raises ApiError where a member is erased. The log says so, so that no view can be behind."""
    erased = await asyncio.to_thread(reader.read_events, 0, 0, member, ("MemberErased",), None, None, 1)
    for event in erased.events:
        at = effective_at(event.member_erased, from_timestamp(event.recorded_at))
        raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_ERASED, erased_at=instant_text(at))
