"""The export of a view: all of its rows at one moment, or those of a range of positions."""

from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from psycopg import Connection, Cursor, sql

from ledger.export.folder import ExportError, ExportFolder, Plan, Progress
from ledger.export.rows import Column, RowStream, Selection
from ledger.proof.manifest import Format

FILE_ROWS: Final = 250_000

_NAMES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = 'views'::regnamespace AND relkind = 'v' ORDER BY relname
"""
_COLUMNS: Final = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = (SELECT oid FROM pg_class WHERE relnamespace = 'views'::regnamespace AND relname = %s)
    AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
"""
_POSITION: Final = "SELECT coalesce(min(position), 0) FROM views.positions"


def export_view(
    connection: Connection[Any],
    folder: ExportFolder,
    view: str,
    kind: Format,
    first: int | None,
    last: int | None,
    progress: Progress,
) -> Plan:
    """Writes the rows of a view as they are at one moment. Raises ExportError."""
    with connection.transaction():
        cursor = connection.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        columns = _columns(cursor, view)
        if (first is not None or last is not None) and "position" not in [column.name for column in columns]:
            raise ExportError(f"{view} has no positions: leave out --from and --until")
        row = cursor.execute(_POSITION).fetchone()
        reached = row[0] if row is not None else 0
        plan = Plan(
            exported=view,
            format=kind,
            first_position=first if first is not None else 1,
            last_position=min(last, reached) if last is not None else reached,
            tree_size=0,
            is_signed=False,
        )
        plan = folder.begin(plan)
        names = (f"rows/{number:06}.{kind}" for number in count(1))
        stream = RowStream(connection.cursor(), _selection(view, columns, first, last), kind)
        rows = 0
        for file in stream.write(folder, names, FILE_ROWS):
            plan = folder.done(plan, file)
            rows += file.rows
            progress(rows, rows)
    return plan


def _columns(cursor: Cursor[Any], view: str) -> Sequence[Column]:
    columns = [Column(*row) for row in cursor.execute(_COLUMNS, (view,)).fetchall()]
    if not columns:
        names = ", ".join(name for (name,) in cursor.execute(_NAMES).fetchall())
        raise ExportError(f"there is no view {view!r}: export events, or one of {names}")
    return columns


def _selection(view: str, columns: Sequence[Column], first: int | None, last: int | None) -> Selection:
    conditions = [
        sql.SQL("position {} {}").format(sql.SQL(sign), sql.Literal(limit))
        for sign, limit in ((">=", first), ("<=", last))
        if limit is not None
    ]
    where = sql.SQL("WHERE {} ").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL("")
    order = sql.SQL(", ").join(sql.SQL(str(number)) for number in range(1, len(columns) + 1))
    source = sql.SQL("FROM {} {}ORDER BY {}").format(sql.Identifier("views", view), where, order)
    return Selection(columns, [sql.Identifier(column.name) for column in columns], source)
