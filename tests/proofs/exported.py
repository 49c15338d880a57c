"""Exports made by hand: what is in the files, and what the tree says, need not be the same."""

import csv
import io
import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pyarrow as pa  # type: ignore[import-untyped]  # the package ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ledger.proof.event_rows import parquet_schema
from ledger.proof.leaf import StoredEvent, leaf_of
from ledger.proof.manifest import EVENT_COLUMNS, ExportedFile, Format, Manifest, manifest_text
from ledger.proof.merkle import leaf_hash
from ledger.proof.note import Checkpoint, Signer, sign
from ledger.proof.tile_files import tile_name
from ledger.proof.tree import Tree

ORIGIN = "log.example/loyalty"
SIGNER = Signer("log.example/loyalty", bytes(range(32)))
FILE_EVENTS = 256

Row = tuple[int, StoredEvent]
"""An event, and the position that it says it has."""


def event(number: int) -> StoredEvent:
    """An event that is not like others."""
    reference = (None, f"s-{number}", f'"quoted", \\ and \u20ac {number}', "line\nbreak")[number % 4]
    return StoredEvent(
        UUID(int=number % 7 + 1),
        number,
        1_700_000_000_000_000 + number // 3,
        ("sale/1", "enrolment/1")[number % 2],
        number.to_bytes(2) * (number % 5 + 1),
        UUID(int=1000 + number) if number % 3 else None,
        UUID(int=2000 + number) if number % 3 == 0 else None,
        reference,
    )


def log_of(count: int) -> list[StoredEvent]:
    """A log."""
    return [event(number) for number in range(1, count + 1)]


def numbered(events: Sequence[StoredEvent]) -> list[Row]:
    """The rows of an honest export."""
    return list(enumerate(events, 1))


def note_of(log: Sequence[StoredEvent], origin: str = ORIGIN, signer: Signer = SIGNER) -> str:
    """The checkpoint of a log."""
    tree = Tree()
    tree.append(leaf_hash(leaf_of(one)) for one in log)
    return sign(Checkpoint(origin, tree.size, tree.root()).text, [signer])


def make(
    folder: Path,
    kind: Format,
    rows: Sequence[Row],
    log: Sequence[StoredEvent],
    *,
    signed: Sequence[StoredEvent] | None = None,
    sizes: Sequence[int] = (),
) -> None:
    """An export with some rows in its files, the tiles of a log, and checkpoints of what was signed, or of that log."""
    tree = Tree()
    tiles = tree.append(leaf_hash(leaf_of(one)) for one in log) | tree.edge()
    for key, tile in tiles.items():
        write(folder, tile_name(key, len(tile) // 32), tile)
    signed = log if signed is None else signed
    notes = {size: note_of(signed[:size]) for size in (*sizes, len(log))}
    files = []
    for begin in range(0, len(log), FILE_EVENTS):
        is_last = begin + FILE_EVENTS >= len(log)
        own = rows[begin:] if is_last else rows[begin : begin + FILE_EVENTS]
        name = f"events/{begin + 1:013}.{kind}"
        content = write(folder, name, ENCODE[kind](own))
        files.append(listed(name, content, len(own), begin + 1, min(begin + FILE_EVENTS, len(log))))
    lines = [json.dumps({"size": size, "signed_at": 1, "note": note}) + "\n" for size, note in notes.items()]
    content = write(folder, "checkpoints.jsonl", "".join(lines).encode())
    write(folder, "checkpoint", notes[len(log)].encode())
    finish(
        folder,
        Manifest(
            origin=ORIGIN,
            exported="events",
            format=kind,
            first_position=1,
            last_position=len(log),
            tree_size=len(log),
            made_at=1,
            program_version="1",
            schema_version=1,
            files=files,
            checkpoints=listed("checkpoints.jsonl", content, len(lines)),
        ),
    )


def finish(folder: Path, manifest: Manifest) -> None:
    """Writes a manifest and signs it."""
    content = write(folder, "manifest.json", manifest.to_json())
    write(folder, "manifest.note", sign(manifest_text(manifest.origin, content), [SIGNER]).encode())


def listed(name: str, content: bytes, rows: int, first: int = 0, last: int = 0) -> ExportedFile:
    """A file as a manifest lists it."""
    return ExportedFile(
        name=name,
        sha256=sha256(content).hexdigest(),
        size_bytes=len(content),
        rows=rows,
        first_position=first,
        last_position=last,
    )


def write(folder: Path, name: str, content: bytes) -> bytes:
    """Writes a file; returns what is in it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def _values(row: Row) -> dict[str, object]:
    position, one = row
    return {
        "position": position,
        "stream_id": str(one.stream_id),
        "version": one.version,
        "recorded_at": one.recorded_at,
        "topic": one.topic,
        "request_id": str(one.request_id) if one.request_id else None,
        "transaction_id": str(one.transaction_id) if one.transaction_id else None,
        "sale_reference": one.sale_reference,
        "state": b64encode(one.state).decode(),
    }


def _jsonl(rows: Sequence[Row]) -> bytes:
    lines = [json.dumps(_values(row), ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows]
    return "".join(lines).encode()


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, EVENT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_values(row) for row in rows)
    return text.getvalue().encode()


def _parquet(rows: Sequence[Row]) -> bytes:
    values = [
        {
            **_values(row),
            "stream_id": row[1].stream_id.bytes,
            "request_id": row[1].request_id.bytes if row[1].request_id else None,
            "transaction_id": row[1].transaction_id.bytes if row[1].transaction_id else None,
            "state": row[1].state,
        }
        for row in rows
    ]
    arrays = []
    for field in parquet_schema():
        column = [one[field.name] for one in values]
        if field.type == pa.uuid():
            arrays.append(pa.ExtensionArray.from_storage(field.type, pa.array(column, pa.binary(16))))
        else:
            arrays.append(pa.array(column, field.type))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=parquet_schema()), sink, write_page_checksum=True)
    return sink.getvalue()


ENCODE = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}
