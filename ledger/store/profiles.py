"""The profile store: the only place that holds personal data."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from loyalty.v1.commands_pb2 import EnrollMemberRequest
from loyalty.v1.member_pb2 import Profile
from psycopg import Cursor
from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow, tuple_row

from ledger.store.datastore import LedgerDatastore


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
    # A violated key would be in PostgreSQL's log, with the identifier.
    cursor.execute(
        "INSERT INTO profile.identifiers SELECT * FROM unnest(%b::text[], %b::int[], %b::text[], %b::uuid[])"
        " ON CONFLICT DO NOTHING",
        (
            [key[0] for key, _ in identifiers],
            [key[1] for key, _ in identifiers],
            [key[2] for key, _ in identifiers],
            [member_id for _, member_id in identifiers],
        ),
    )
    if cursor.rowcount != len(identifiers):
        raise UniqueViolation("an identifier has been taken meanwhile")
    cursor.execute(
        "INSERT INTO profile.enrollments SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::bytea[])",
        (
            [person.request_id for person in people],
            [person.member_id for person in people],
            [person.request.SerializeToString() for person in people],
        ),
    )


class NewText(NamedTuple):
    """What a member wrote."""

    request_id: UUID
    member_id: UUID
    text: str
    language_code: str
    recorded_at: int


def write_texts(cursor: Cursor[TupleRow], texts: Sequence[NewText]) -> None:
    """Writes what members wrote within the transaction that appends their feedback, of those who are known."""
    cursor.execute(
        "INSERT INTO profile.feedback_texts SELECT t.* FROM"
        " unnest(%b::uuid[], %b::uuid[], %b::text[], %b::text[], %b::bigint[])"
        " AS t (request_id, member_id, feedback_text, language_code, recorded_at)"
        " JOIN profile.members USING (member_id)",
        tuple(map(list, zip(*texts, strict=True))),
    )


def erase_people(cursor: Cursor[TupleRow], members: Sequence[UUID]) -> None:
    """Erases all that is known about some people: with its members, every table of the profile store loses its rows."""
    cursor.execute("DELETE FROM profile.members WHERE member_id = ANY (%b::uuid[])", (list(members),))


class Person(NamedTuple):
    """What a till may know of a member."""

    masked_name: str
    language_code: str


class Profiles:
    """Reads the profile store. Every call blocks on the database."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def member_by(self, key: tuple[str, int, str]) -> UUID | None:
        """The member with a normalised identifier (program, type, value)."""
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            row = cursor.execute(
                "SELECT member_id FROM profile.identifiers WHERE program = %s AND type = %s AND value = %s",
                key,
            ).fetchone()
        return row[0] if row is not None else None

    def feedback_texts(self, requests: Sequence[UUID]) -> dict[UUID, str]:
        """What members wrote, by the request id of the feedback, as far as it is still there."""
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            rows = cursor.execute(
                "SELECT request_id, feedback_text FROM profile.feedback_texts WHERE request_id = ANY (%s)",
                (list(requests),),
            )
            return dict(rows.fetchall())

    def get(self, member_id: UUID) -> Person | None:
        """What a till may know of a member; None when the person was erased or never known."""
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            row = cursor.execute(
                "SELECT given_name, family_name, language_code FROM profile.members WHERE member_id = %s",
                (member_id,),
            ).fetchone()
        if row is None:
            return None
        return Person(" ".join(mask(name) for name in row[:2] if name), row[2])


def mask(name: str) -> str:
    """A name with all but its first character hidden, whatever its length."""
    return f"{name[0]}***" if name else ""
