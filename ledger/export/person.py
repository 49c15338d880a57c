"""All that is known about a person, as one JSON document.

There is no list of what that is: it has every table and view that has a member, and every event of theirs. What a later
release comes to know about people is in it as well.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from loyalty.v1.commands_pb2 import EnrollMemberRequest, UpdateMemberRequest
from loyalty.v1.events_pb2 import Event
from loyalty.v1.member_pb2 import IdentifierType
from psycopg import Cursor, sql
from psycopg.rows import TupleRow, tuple_row

from ledger.domain.instant import FOREVER, to_timestamp
from ledger.domain.names import member_name
from ledger.store.datastore import LedgerDatastore
from ledger.views import EventReader

PAGE_ROWS: Final = 500

POLL_S: Final = 0.02

_RELATIONS: Final = """
SELECT n.nspname, c.relname,
       array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attname <> 'member_id')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE (n.nspname = 'views' AND c.relkind = 'v')
   OR (n.nspname IN ('profile', 'estimates', 'public') AND c.relkind IN ('r', 'p'))
GROUP BY 1, 2
HAVING bool_or(a.attname = 'member_id')
ORDER BY 1, 2
"""
"""Where there is something about members. What is behind the views has it too, in tables of their own."""

_REACHED: Final = "SELECT coalesce(min(position), 0) FROM views.positions"

_SHOWN: Final[Mapping[tuple[str, str], Callable[[Any], Any]]] = {
    ("identifiers", "type"): lambda number: IdentifierType.Name(number).removeprefix("IDENTIFIER_TYPE_"),
    ("identifier_times", "type"): lambda number: IdentifierType.Name(number).removeprefix("IDENTIFIER_TYPE_"),
    ("enrollments", "request"): lambda raw: _message(EnrollMemberRequest.FromString(raw)),
    ("updates", "request"): lambda raw: _message(UpdateMemberRequest.FromString(raw)),
}
"""Columns that mean more than they say."""

LEFT_OUT: Final = (
    "the values of sensitive attributes, and the codes of vouchers: they are for managers and administrators"
)
"""What a document says that does not have everything."""


class PersonExport:
    """Reads everything about a person. Every call blocks on the database."""

    def __init__(self, datastore: LedgerDatastore, reader: EventReader) -> None:
        """The datastore's plans need not be point look-ups: views differ."""
        self._datastore = datastore
        self._reader = reader

    def wait_for(self, position: int, timeout_s: float) -> int:
        """Waits until every view has reached a position; returns where the last one is by then."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self._datastore.pool.connection() as connection:
                row = connection.cursor(row_factory=tuple_row).execute(_REACHED).fetchone()
            reached: int = row[0] if row is not None else 0
            if reached >= position or time.monotonic() >= deadline:
                return reached
            time.sleep(POLL_S)

    def document(self, member_id: UUID, now: int, attributes: Collection[str] | None = None) -> Iterator[str]:
        """The document, piece by piece.

        `attributes` are those whose values the reader may see, who then sees no codes of vouchers either: these are as
        good as money. None is for a reader who sees everything.
        """
        member = member_name(member_id)
        yield f'{{"member":{json.dumps(member)},"exported_at":{json.dumps(_instant(now))}'
        if attributes is not None:
            yield f',"left_out":{json.dumps(LEFT_OUT)}'
        for schema, relations in self._relations(member_id, attributes).items():
            yield f",{json.dumps(schema)}:{json.dumps(relations, ensure_ascii=False)}"
        yield ',"events":['
        for number, event in enumerate(self._events(member)):
            yield ("," if number else "") + json.dumps(_message(event), ensure_ascii=False)
        yield "]}"

    def _relations(
        self, member_id: UUID, attributes: Collection[str] | None
    ) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """The member's rows of all tables and views, of one moment, by schema and name.

        Read at once: whoever takes the document slowly must not keep a transaction open.
        """
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        with self._datastore.pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=tuple_row)
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for schema, relation, columns in cursor.execute(_RELATIONS).fetchall():
                rows = list(_rows(cursor, schema, relation, columns, member_id))
                if attributes is not None:
                    _leave_out(relation, rows, attributes)
                found.setdefault(schema, {})[relation] = rows
        return found

    def _events(self, member: str) -> Iterator[Event]:
        after = 0
        while True:
            page = self._reader.read_events(after, 0, member, (), None, None, PAGE_ROWS)
            yield from page.events
            if page.scanned_to >= page.head or page.scanned_to == after:
                return
            after = page.scanned_to


def _rows(
    cursor: Cursor[TupleRow], schema: str, relation: str, columns: Sequence[str], member_id: UUID
) -> Iterator[dict[str, Any]]:
    """The member's rows of a table or view, by column. What means nothing to people is left out: hashes and bytes."""
    select = sql.SQL("SELECT {} FROM {} WHERE member_id = %s").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(schema, relation)
    )
    for row in cursor.execute(select, (member_id,)).fetchall():
        shown = {column: _shown(relation, column, value) for column, value in zip(columns, row, strict=True)}
        yield {column: value for column, value in shown.items() if value is not None}


def _leave_out(relation: str, rows: Sequence[dict[str, Any]], attributes: Collection[str]) -> None:
    """Takes what not every reader may see out of rows."""
    for row in rows:
        match relation:
            case "attributes" if row["attribute"] not in attributes:
                row.pop("value", None)
            case "updates":
                for one in row["request"].get("attributes", ()):
                    if one["attribute_id"] not in attributes:
                        one.pop("value", None)
            case "voucher_codes":
                del row["code"]
            case _:
                pass


def _shown(relation: str, column: str, value: Any) -> Any:
    """A value as JSON has it; None for what is left out."""
    show = _SHOWN.get((relation, column))
    if show is not None:
        return show(value)
    if isinstance(value, bytes):
        return None
    if isinstance(value, int) and column.endswith("_at"):
        return _instant(value)
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    return str(value)


def _instant(at: int) -> str | None:
    return to_timestamp(at).ToJsonString() if 0 < at < FOREVER else None


def _message(message: Any) -> dict[str, Any]:
    shown: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return shown
