"""The profile store: the only place that holds personal data."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow
from loyalty.v1.commands_pb2 import EnrollMemberRequest
from loyalty.v1.member_pb2 import Profile


class NewPerson(NamedTuple):
    """A person who was enrolled."""

    request_id: UUID
    member_id: UUID
    program: str
    identifiers: Sequence[tuple[str, int, str]]
    profile: Profile
    request: EnrollMemberRequest


def write_people(cursor: Cursor[TupleRow], people: Sequence[NewPerson]) -> None:
    """Writes new people within the transaction that appends their enrolments.

    Raises psycopg.errors.UniqueViolation when an identifier has been taken meanwhile.
    """
    cursor.execute(
        "INSERT INTO profile.members SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[])",
        (
            [person.member_id for person in people],
            [person.program for person in people],
            [person.profile.given_name for person in people],
            [person.profile.family_name for person in people],
            [person.profile.language_code or "en" for person in people],
        ),
    )
    identifiers = [(key, person.member_id) for person in people for key in person.identifiers]
    cursor.execute(
        "INSERT INTO profile.identifiers SELECT * FROM unnest(%b::text[], %b::int[], %b::text[], %b::uuid[])",
        (
            [key[0] for key, _ in identifiers],
            [key[1] for key, _ in identifiers],
            [key[2] for key, _ in identifiers],
            [member_id for _, member_id in identifiers],
        ),
    )
    cursor.execute(
        "INSERT INTO profile.enrollments SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::bytea[])",
        (
            [person.request_id for person in people],
            [person.member_id for person in people],
            [person.request.SerializeToString() for person in people],
        ),
    )
