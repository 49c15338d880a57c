"""The profile store: the only place that holds personal data."""

from typing import NamedTuple
from uuid import UUID

from psycopg.rows import tuple_row

from ledger.store.datastore import LedgerDatastore


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
