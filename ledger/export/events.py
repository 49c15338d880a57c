"""The export of events: exact bytes, with the tree and the checkpoints that prove them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from psycopg import Connection, Cursor, sql

from ledger.export.archived import whole_events
from ledger.export.folder import ExportError, ExportFolder, Plan, Progress
from ledger.export.rows import Column, RowStream, Selection
from ledger.proof.manifest import (
    CHECKPOINT,
    CHECKPOINTS,
    EVENT_COLUMNS,
    EVENTS,
    ExportedFile,
    Format,
    event_file,
    file_ranges,
)
from ledger.proof.merkle import HASH_BYTES
from ledger.proof.tile_files import tile_name, tile_width
from ledger.proof.tree import TILE_HEIGHT, TILE_NODES, TileKey
from ledger.store.archive import Archive
from ledger.store.seal import read_tiles, sealed_size

_STORED_AS: Final = {"position": "notification_id", "stream_id": "originator_id", "version": "originator_version"}
_TYPES: Final = {
    **dict.fromkeys(("position", "version", "recorded_at"), "bigint"),
    **dict.fromkeys(("stream_id", "request_id", "transaction_id"), "uuid"),
    **dict.fromkeys(("topic", "sale_reference"), "text"),
    "state": "bytea",
}
_COLUMNS: Final = [Column(name, _TYPES[name]) for name in EVENT_COLUMNS]
_EXPRESSIONS: Final = [sql.Identifier(_STORED_AS.get(name, name)) for name in EVENT_COLUMNS]

_NEWEST: Final = "SELECT size, note FROM log_checkpoints ORDER BY size DESC LIMIT 1"
_OF_SIZE: Final = "SELECT note FROM log_checkpoints WHERE size = %s"
_CHECKPOINTS: Final = """
SELECT size, signed_at, note FROM log_checkpoints WHERE size BETWEEN %s AND %s OR size = %s ORDER BY size
"""

TILES_AT_ONCE: Final = 512

EXTRA_ROWS: Final = 1 << 40
"""More rows than a file has positions, which only a damaged log has, are exported too: the verifier names them."""


def plan_events(cursor: Cursor[Any], kind: Format, first: int, last: int | None) -> Plan:
    """What to export for a range: up to the newest checkpoint unless told otherwise. Raises ExportError."""
    row = cursor.execute(_NEWEST).fetchone()
    size = row[0] if row is not None else sealed_size(cursor)
    if not size:
        raise ExportError("nothing of the log is sealed yet: run the server, or wait")
    last = size if last is None else last
    if last > size:
        raise ExportError(f"the log is sealed up to position {size}: choose an --until up to that, or wait")
    if not 1 <= first <= last:
        raise ExportError(f"there is no range from position {first} to {last}")
    return Plan(
        exported=EVENTS,
        format=kind,
        first_position=first,
        last_position=last,
        tree_size=size,
        is_signed=row is not None,
    )


def export_events(
    connection: Connection[Any], folder: ExportFolder, plan: Plan, archive: Archive, progress: Progress
) -> Plan:
    """Writes the files of events that are not there yet; returns the plan with all of them. Raises Archived."""
    ranges = file_ranges(plan.first_position, plan.last_position)
    of = plan.last_position - plan.first_position + 1
    for first, last in ranges[len(plan.files) :]:
        with connection.transaction():
            # One snapshot: events may be archived while this goes on.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            selection = Selection(_COLUMNS, _EXPRESSIONS, whole_events(connection, archive, first, last))
            stream = RowStream(connection.cursor(), selection, plan.format)
            for file in stream.write(folder, iter([event_file(first, plan.format)]), EXTRA_ROWS):
                plan = folder.done(plan, replace(file, first_position=first, last_position=last))
        progress(last - plan.first_position + 1, of)
    return plan


def export_proof(connection: Connection[Any], folder: ExportFolder, plan: Plan) -> tuple[str, ExportedFile | None]:
    """Writes tiles and checkpoints; returns the log's name, and the file of checkpoints where there are any."""
    with connection.cursor(binary=True) as cursor:
        _export_tiles(cursor, folder, plan)
    if not plan.is_signed:
        return "", None
    with connection.cursor() as cursor:
        row = cursor.execute(_OF_SIZE, (plan.tree_size,)).fetchone()
    if row is None:
        raise ExportError(f"the checkpoint of {plan.tree_size} is not in the log any more: export anew")
    folder.write(CHECKPOINT, row[0].encode())
    rows = 0
    with folder.open(CHECKPOINTS) as file, connection.transaction(), connection.cursor("checkpoints") as cursor:
        cursor.execute(_CHECKPOINTS, (plan.first_position, plan.last_position, plan.tree_size))
        for size, signed_at, note in cursor:
            file.write(json.dumps({"size": size, "signed_at": signed_at, "note": note}).encode() + b"\n")
            rows += 1
    # A checkpoint that was tampered with is exported as it is: the verifier says so.
    origin = row[0].partition("\n")[0]
    return origin, ExportedFile(name=CHECKPOINTS, sha256=file.sha256, size_bytes=file.size_bytes, rows=rows)


def _export_tiles(cursor: Cursor[Any], folder: ExportFolder, plan: Plan) -> None:
    for keys in _tile_keys(plan):
        for key, tile in read_tiles(cursor, keys).items():
            width = tile_width(key, plan.tree_size)
            folder.write_tile(tile_name(key, width), tile[: width * HASH_BYTES])


def _tile_keys(plan: Plan) -> Iterator[Sequence[TileKey]]:
    """The tiles over the range's events, all those above, and the one at the right edge."""
    begin, end = (plan.first_position - 1) // TILE_NODES, -(-plan.last_position // TILE_NODES)
    yield from _pages(0, begin, end)
    if plan.tree_size % TILE_NODES and plan.tree_size // TILE_NODES >= end:
        yield [(0, plan.tree_size // TILE_NODES)]
    level = 1
    while nodes := plan.tree_size >> TILE_HEIGHT * level:
        yield from _pages(level, 0, -(-nodes // TILE_NODES))
        level += 1


def _pages(level: int, begin: int, end: int) -> Iterator[Sequence[TileKey]]:
    for first in range(begin, end, TILES_AT_ONCE):
        yield [(level, index) for index in range(first, min(first + TILES_AT_ONCE, end))]
