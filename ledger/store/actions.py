"""What operators do to the service with commands on its database: in the log before, or together with, its effect."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg
from loyalty.v1.audit_trail_pb2 import AuditEntry, AuditKind, RecordAuditRequest
from loyalty.v1.origin_pb2 import Origin
from psycopg import Connection, Cursor
from psycopg.rows import TupleRow, tuple_row
from uuid_utils.compat import uuid7

from ledger.domain.instant import set_timestamp
from ledger.domain.names import trail_name
from ledger.domain.record_audit import record_audit
from ledger.store.arrays import register_arrays
from ledger.store.datastore import CONNECT_TIMEOUT_S
from ledger.store.recorder import Session

SERVER: Final = "server"
"""Who did what the service found out by itself."""


def record_action(
    connection: Connection[Any],
    method: str,
    resource: str,
    details: Mapping[str, str],
    besides: Callable[[Cursor[TupleRow]], None] | None = None,
    *,
    actor: str = "",
) -> None:
    """Appends an administrative action; `besides` is its effect, in the same transaction.

    The actor is the role that the database knows the connection by, unless it is named. The connection must be one that
    knows our arrays. Raises psycopg.Error.
    """
    now = time.time_ns() // 1_000
    request_id = uuid7()
    entry = AuditEntry(
        kind=AuditKind.AUDIT_KIND_ADMINISTRATION,
        actor=actor or _actor(connection),
        method=method,
        resource=resource,
        count=1,
        details=details,
    )
    set_timestamp(entry.first_at, now)
    set_timestamp(entry.last_at, now)
    request = RecordAuditRequest(request_id=str(request_id), trail=trail_name(request_id), number=1, entries=[entry])
    origin = Origin()
    set_timestamp(origin.occurred_at, now)
    Session(connection).append([record_audit(request, request_id, origin)], now, besides=besides)


def record_action_in(database_url: str, method: str, resource: str, details: Mapping[str, str]) -> bool:
    """Appends an administrative action that has its effect elsewhere. Raises psycopg.Error.

    False where the database is a standby or its role may only read: the effect is then read from there at most.
    """
    with psycopg.connect(database_url, autocommit=True, connect_timeout=int(CONNECT_TIMEOUT_S)) as connection:
        register_arrays(connection)
        try:
            record_action(connection, method, resource, details)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
            return False
    return True


def _actor(connection: Connection[Any]) -> str:
    row = connection.cursor(row_factory=tuple_row).execute("SELECT session_user").fetchone()
    return f"databaseRoles/{row[0]}" if row is not None else ""
