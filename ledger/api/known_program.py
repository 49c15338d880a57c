"""Programs that a caller may ask about."""

import asyncio

from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.program_pb2 import Program

from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.views import EventReader


def unknown_program(program: str) -> ApiError:
    """The answer where a program is not there, or is not the caller's."""
    return ApiError.of(ErrorReason.ERROR_REASON_PROGRAM_NOT_FOUND, program=program)


async def check_known(program: str, log: EventReader) -> Program:
    """The first version of a program: its currency and time zone are those of all.

    Raises ApiError where the caller may not know the program, or nobody does.
    """
    page = await asyncio.to_thread(log.read_events, 0, 0, program, ("ProgramPublished",), None, None, 1)
    if not PRINCIPAL.get().sees(program) or not page.events:
        raise unknown_program(program)
    return page.events[0].program_published.request.program
