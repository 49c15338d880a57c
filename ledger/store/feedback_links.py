"""Feedback links: whoever has the token of one can say something about a transaction."""

from hashlib import sha256
from secrets import token_urlsafe
from typing import Final, NamedTuple
from uuid import UUID

from psycopg.rows import tuple_row

from ledger.store.datastore import LedgerDatastore

TOKEN_BYTES: Final = 32
"""Random bytes of a token: nobody guesses it, so its hash needs no salt."""

LINKS_MAX: Final = 20
"""Links of one transaction that can be used at a time."""


class TooManyLinks(Exception):
    """A transaction has LINKS_MAX links that can still be used."""


class Link(NamedTuple):
    """What a token stands for."""

    member_id: UUID
    transaction_id: UUID
    expires_at: int


class FeedbackLinks:
    """Every call blocks on the database."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def add(self, link: Link, now: int) -> str | None:
        """Makes a link and returns its token; None where nothing is known of the person any more.

        Raises TooManyLinks.
        """
        token = token_urlsafe(TOKEN_BYTES)
        with self._datastore.pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=tuple_row)
            # Whoever makes a link for the same member at the same time, or erases them, waits.
            cursor.execute("SELECT FROM profile.members WHERE member_id = %s FOR NO KEY UPDATE", (link.member_id,))
            if cursor.fetchone() is None:
                return None
            cursor.execute(
                "SELECT count(*) FROM profile.feedback_links"
                " WHERE member_id = %s AND transaction_id = %s AND expires_at > %s",
                (link.member_id, link.transaction_id, now),
            )
            if cursor.fetchall()[0][0] >= LINKS_MAX:
                raise TooManyLinks
            cursor.execute(
                "INSERT INTO profile.feedback_links (token_hash, member_id, transaction_id, expires_at)"
                " VALUES (%s, %s, %s, %s)",
                (_hash(token), *link),
            )
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
