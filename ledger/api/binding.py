"""What a credential that is bound to a program may see: that program and nothing of the others."""

import asyncio

from ledger.api.interceptor import PRINCIPAL
from ledger.domain.names import program_in
from ledger.views import EventReader


async def sees(reader: EventReader, subject: str) -> bool:
    """Whether the caller may see a subject of the log: members/{member} or programs/{program}.

    The log says which program a member is in, so that no view can be behind. What has no subject, a reversal that
    waits for its command, tells of no member and no program: whoever knows its request id may see it.
    """
    principal = PRINCIPAL.get()
    if principal.program is None or not subject:
        return True
    return principal.sees(await program_of(reader, subject))


async def program_of(reader: EventReader, subject: str) -> str:
    """The program that a subject of the log is or belongs to; empty for what has no subject."""
    program = program_in(subject)
    if program or not subject or subject.startswith("trails/"):
        return program
    enrolments = await asyncio.to_thread(reader.read_events, 0, 0, subject, ("MemberEnrolled",), None, None, 1)
    return enrolments.events[0].member_enrolled.program if enrolments.events else ""
