"""Credentials: who may call, as what, from where. Only hashes of secrets are kept."""

import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final, Literal, NamedTuple, get_args

import psycopg
from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import ConnectionPool

Role = Literal["pos", "manager", "auditor", "crm", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

SECRET_BYTES: Final = 32

ID_LETTERS: Final = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without 0, 1, i, l and o, so that an id survives being read out over the phone."""

ID_LENGTH: Final = 6

_PREFIX: Final[dict[Role, str]] = {
    "pos": "t",  # a terminal
    "manager": "m",
    "auditor": "a",
    "crm": "c",
    "admin": "s",  # the system's own people
}

_TOKEN: Final = re.compile(rf"([a-z]-[{ID_LETTERS}]{{{ID_LENGTH}}})\.([A-Za-z0-9_-]{{43}})")

_ADD: Final = """
INSERT INTO credentials (credential_id, secret_hash, role, store, terminal, program)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

_FIND: Final = """
SELECT credential_id, role, store, terminal, program, secret_hash
FROM credentials WHERE credential_id = ANY (%s) AND revoked_at IS NULL
"""

_LIST: Final = """
SELECT credential_id, role, store, terminal, program, created_at, revoked_at
FROM credentials ORDER BY created_at, credential_id
"""

_REVOKE: Final = """
UPDATE credentials SET revoked_at = coalesce(revoked_at, now()) WHERE credential_id = %s
"""


class Principal(NamedTuple):
    """Who calls. None means not bound: any store, any terminal, any program and none by default."""

    credential_id: str
    role: Role
    store: str | None
    terminal: str | None
    program: str | None
    """programs/{program}"""

    def sees(self, program: str) -> bool:
        """Whether what belongs to a program is this caller's business."""
        return self.program in (None, program)


class Credential(NamedTuple):
    """What the database keeps of a credential that is valid."""

    principal: Principal
    secret_hash: bytes

    def has(self, secret: str) -> bool:
        """Whether the secret is the right one, in a time that does not tell how nearly."""
        return compare_digest(self.secret_hash, hash_secret(secret))


class Listed(NamedTuple):
    """A credential as its operator sees it."""

    principal: Principal
    created_at: datetime
    revoked_at: datetime | None


class Token(NamedTuple):
    """What a caller sends: `<credential_id>.<secret>`."""

    credential_id: str
    secret: str


def parse_token(text: str) -> Token | None:
    """The parts of a token; None when it cannot be one."""
    match = _TOKEN.fullmatch(text)
    return Token(match[1], match[2]) if match is not None else None


def hash_secret(secret: str) -> bytes:
    """SHA-256: a secret is 256 random bits, which nobody can try out, so slowness adds nothing."""
    return sha256(secret.encode()).digest()


class Credentials:
    """The table of credentials. Each method blocks on the database and raises psycopg.Error."""

    def __init__(self, pool: ConnectionPool[Any], *, timeout_s: float = 5.0) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    def add(
        self,
        role: Role,
        store: str | None = None,
        terminal: str | None = None,
        program: str | None = None,
    ) -> str:
        """Makes a credential and returns its token, which cannot be had again."""
        secret = urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        hashed = hash_secret(secret)
        with self._cursor() as cursor:
            while True:
                letters = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
                credential_id = f"{_PREFIX[role]}-{letters}"
                cursor.execute(_ADD, (credential_id, hashed, role, store, terminal, program))
                if cursor.rowcount:  # the id was free
                    return f"{credential_id}.{secret}"

    def find(self, credential_ids: Collection[str]) -> dict[str, Credential]:
        """Those of some credentials that exist and are not revoked, by id."""
        try:
            return self._find(credential_ids)
        except psycopg.OperationalError:
            if self._pool.closed:
                raise
            # After a restart of the database the pool still has its connections of before.
            self._pool.check()
            return self._find(credential_ids)

    def listed(self) -> list[Listed]:
        """All credentials, the revoked ones too, oldest first."""
        with self._cursor() as cursor:
            rows = cursor.execute(_LIST).fetchall()
        return [Listed(Principal(*row[:5]), row[5], row[6]) for row in rows]

    def revoke(self, credential_id: str) -> bool:
        """Ends a credential for good; False when there is none. Revoking again changes nothing.

        Servers notice within `ledger.api.authentication.CACHE_S`.
        """
        with self._cursor() as cursor:
            cursor.execute(_REVOKE, (credential_id,))
            return cursor.rowcount == 1

    def _find(self, credential_ids: Collection[str]) -> dict[str, Credential]:
        with self._cursor() as cursor:
            rows = cursor.execute(_FIND, (list(credential_ids),)).fetchall()
        return {row[0]: Credential(Principal(*row[:5]), row[5]) for row in rows}

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[TupleRow]]:
        with (
            self._pool.connection(timeout=self._timeout_s) as connection,
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            yield cursor
