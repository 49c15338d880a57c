"""Credentials: who may call, as what, from where. Only hashes of secrets are kept."""

import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final, Literal, LiteralString, NamedTuple, get_args

import psycopg
from psycopg import Connection, Cursor
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import ConnectionPool

from ledger.domain.names import credential_name
from ledger.store.actions import record_action

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
INSERT INTO credentials (credential_id, secret_hash, role, store, terminal, program, personal_data)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""

_FIND: Final = """
SELECT credential_id, role, store, terminal, program, personal_data, secret_hash, revoked_at IS NOT NULL
FROM credentials WHERE credential_id = ANY (%s)
"""

_LIST: Final = """
SELECT credential_id, role, store, terminal, program, personal_data, created_at, revoked_at
FROM credentials ORDER BY created_at, credential_id
"""

_STATE: Final = "SELECT role, revoked_at IS NOT NULL FROM credentials WHERE credential_id = %s"

_REVOKE: Final = "UPDATE credentials SET revoked_at = now() WHERE credential_id = %s AND revoked_at IS NULL"


class Principal(NamedTuple):
    """Who calls. None means not bound: any store, any terminal, any program and none by default."""

    credential_id: str
    role: Role
    store: str | None
    terminal: str | None
    program: str | None
    """programs/{program}"""
    personal_data: bool = False
    """Whether an auditor was granted personal data. Other roles have what their work needs."""

    @property
    def may_identify(self) -> bool:
        """Whether this caller may be told whom an identifier belongs to."""
        return self.personal_data or self.role != "auditor"

    @property
    def sees_sensitive(self) -> bool:
        """Whether it may see attributes that the program calls sensitive."""
        return self.role in ("manager", "admin")

    def sees(self, program: str) -> bool:
        """Whether what belongs to a program is this caller's business."""
        return self.program in (None, program)


class Credential(NamedTuple):
    """What the database keeps of a credential."""

    principal: Principal
    secret_hash: bytes
    is_revoked: bool = False

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
        *,
        personal_data: bool = False,
    ) -> str:
        """Makes a credential and returns its token, which cannot be had again. The log says so."""
        secret = urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        while True:
            letters = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
            made = Principal(f"{_PREFIX[role]}-{letters}", role, store, terminal, program, personal_data)
            with suppress(psycopg.errors.UniqueViolation):  # somebody has that id
                self._insert(made, hash_secret(secret))
                return f"{made.credential_id}.{secret}"

    def _insert(self, made: Principal, secret_hash: bytes) -> None:
        row = (made.credential_id, secret_hash, *made[1:])
        with self._connection() as connection:
            record_action(
                connection,
                "loyalty terminals add",
                credential_name(made.credential_id),
                _details(made),
                lambda cursor: _execute(cursor, _ADD, row),
            )

    def find(self, credential_ids: Collection[str]) -> dict[str, Credential]:
        """Those of some credentials that exist, by id."""
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
        return [Listed(Principal(*row[:6]), row[6], row[7]) for row in rows]

    def revoke(self, credential_id: str) -> bool:
        """Ends a credential for good; False when there is none. Revoking again changes nothing. The log says so.

        Servers notice within `ledger.api.authentication.CACHE_S`.
        """
        with self._connection() as connection:
            row = connection.cursor(row_factory=tuple_row).execute(_STATE, (credential_id,)).fetchone()
            if row is not None and not row[1]:
                record_action(
                    connection,
                    "loyalty terminals revoke",
                    credential_name(credential_id),
                    {"role": row[0]},
                    lambda cursor: _execute(cursor, _REVOKE, (credential_id,)),
                )
        return row is not None

    def _find(self, credential_ids: Collection[str]) -> dict[str, Credential]:
        with self._cursor() as cursor:
            rows = cursor.execute(_FIND, (list(credential_ids),)).fetchall()
        return {row[0]: Credential(Principal(*row[:6]), row[6], row[7]) for row in rows}

    def _connection(self) -> AbstractContextManager[Connection[Any]]:
        return self._pool.connection(timeout=self._timeout_s)

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[TupleRow]]:
        with self._connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            yield cursor


def _details(made: Principal) -> dict[str, str]:
    """What the log says of a new credential: what it may do."""
    bound = {name: value for name in ("role", "store", "terminal", "program") if (value := getattr(made, name))}
    return {**bound, "personal_data": "granted"} if made.personal_data else bound


def _execute(cursor: Cursor[TupleRow], query: LiteralString, parameters: tuple[Any, ...]) -> None:
    cursor.execute(query, parameters)
