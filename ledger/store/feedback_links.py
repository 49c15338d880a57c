"""Feedback links: whoever has the token of one can say something about a transaction."""

from hashlib import sha256
from secrets import token_urlsafe
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from ledger.store.datastore import LedgerDatastore

TOKEN_BYTES: Final = 32
"""Random bytes of a token: nobody guesses it, so its hash needs no salt."""


class Link(NamedTuple):
    """What a token stands for."""

    member_id: UUID
    transaction_id: UUID
    expires_at: int


class FeedbackLinks:
    """Every call blocks on the database."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def add(self, link: Link) -> str | None:
        """Makes a link and returns its token; None where nothing is known of the person any more."""
        token = token_urlsafe(TOKEN_BYTES)
        try:
            with self._datastore.pool.connection() as connection:
                connection.execute(
                    "INSERT INTO profile.feedback_links (token_hash, member_id, transaction_id, expires_at)"
                    " VALUES (%s, %s, %s, %s)",
                    (_hash(token), *link),
                )
        except psycopg.errors.ForeignKeyViolation:
            return None
        return token

    def find(self, token: str) -> Link | None:
        """What a token stands for; None where it is nobody's, or the member is erased."""
        with self._datastore.pool.connection() as connection:
            row = (
                connection.cursor(row_factory=tuple_row)
                .execute(
                    "SELECT member_id, transaction_id, expires_at FROM profile.feedback_links WHERE token_hash = %s",
                    (_hash(token),),
                )
                .fetchone()
            )
        return Link(*row) if row is not None else None


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
