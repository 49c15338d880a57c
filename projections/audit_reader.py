"""The audit trail as AuditService reads it: see ledger.views.AuditTrail."""

import json
from collections.abc import Sequence
from typing import Any, Final

from loyalty.v1.audit_trail_pb2 import AuditEntry, ListedAuditEntry
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.instant import to_timestamp
from ledger.store.datastore import LedgerDatastore
from ledger.views import AuditPage, AuditQuestion, ViewBehind
from projections.reader import first_recorded_at, head_position
from projections.sql import statements
from projections.tries import tries

_SQL: Final = statements("audit_trail.sql")["entries"]

_CONDITIONS: Final = {
    "credential": b"AND t.actor = %(actor)b",
    "operator": b"AND t.operator = %(actor)b AND t.operator <> ''",
    "member": b"AND t.member_id = %(member)b AND t.member_id IS NOT NULL",
    "method": b"AND t.method = %(method)b",
    "kind": b"AND t.kind = %(kind)b",
}
"""The conditions that a question may have, so that each has a plan of its own with the index that fits."""


class PostgresAuditTrail:
    """Reads the trail. The datastore should be made with POINT_LOOKUPS."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def entries(
        self, question: AuditQuestion, before: tuple[int, int], limit: int, min_position: int, timeout_s: float
    ) -> AuditPage:
        """Entries before an event's entry, newest first, at `min_position` or later. Raises ViewBehind."""
        position = 0
        for _ in tries(timeout_s):
            page = self._entries(question, before, limit)
            if page.position >= min_position:
                return page
            position = page.position
        raise ViewBehind(position)

    def _entries(self, question: AuditQuestion, before: tuple[int, int], limit: int) -> AuditPage:
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            first, last = _span(cursor, question)
            parameters = {
                "before": before[0],
                "before_entry": before[1],
                "first": first,
                "last": last,
                "limit": limit + 1,
                "actor": question.actor,
                "member": question.member,
                "method": question.method,
                "kind": question.kind,
            }
            rows = cursor.execute(_statement(question), parameters, prepare=True).fetchall()
        shown = [row for row in rows[:limit] if row[1] is not None]
        return AuditPage(
            [_listed(row) for row in shown],
            (shown[-1][1], shown[-1][2]) if len(rows) > limit else None,
            rows[0][0] if rows else 0,
        )


def _statement(question: AuditQuestion) -> bytes:
    by_credential = question.actor.startswith(("credentials/", "databaseRoles/")) or question.actor == "server"
    asked = {
        "credential": bool(question.actor) and by_credential,
        "operator": bool(question.actor) and not by_credential,
        "member": question.member is not None,
        "method": bool(question.method),
        "kind": bool(question.kind),
    }
    conditions = b" ".join(condition for name, condition in _CONDITIONS.items() if asked[name])
    return _SQL.replace(b"{conditions}", conditions)


def _span(cursor: Cursor[Any], question: AuditQuestion) -> tuple[int, int]:
    """The positions of what was recorded within the question's time."""
    first, last = 1, 2**63 - 1
    if question.recorded_from is None and question.recorded_until is None:
        return first, last
    head = head_position(cursor)
    if question.recorded_from is not None:
        first = first_recorded_at(cursor, question.recorded_from, 0, head)
    if question.recorded_until is not None:
        last = first_recorded_at(cursor, question.recorded_until, 0, head) - 1
    return first, last


def _listed(row: Sequence[Any]) -> ListedAuditEntry:
    entry = AuditEntry(
        kind=row[4],
        actor=row[5],
        role=row[6],
        operator=row[7],
        method=row[8],
        resource=row[9],
        store=row[10],
        terminal=row[11],
        network=row[12],
        reason=row[13],
        count=row[14],
        first_at=to_timestamp(row[15]),
        last_at=to_timestamp(row[16]),
        details=json.loads(row[17]),
    )
    return ListedAuditEntry(entry=entry, position=row[1], recorded_at=to_timestamp(row[3]))
