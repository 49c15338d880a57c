"""Exported events as rows, read back from files exactly as they were written: any other way to write one is refused.

Readers of JSON and CSV differ in what they make of doubled keys, spaces or escapes. So that all of them see what was
verified, a line must be the very one that the export writes.
"""

import json
import mmap
import re
from binascii import a2b_base64, b2a_base64, unhexlify
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ledger.proof.manifest import EVENT_COLUMNS, Format
from ledger.proof.ordinary_file import open_ordinary

Row = tuple[int, bytes, int, int, bytes, bytes, bytes, bytes, bytes]
"""Position, then the parts that `hash_of_parts` takes."""

CHUNK_BYTES: Final = 1 << 20

PARQUET_ROWS: Final = 1 << 12

_INT: Final = rb"(0|[1-9][0-9]{0,18})"
_UUID: Final = rb"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_OF_JSON: Final = rb'((?!")[^"\\\n]*(?:\\.[^"\\\n]*)*)'
_OF_CSV: Final = rb'([^",\r\n]+|"[^"]+(?:""[^"]*)*"|"(?:""[^"]*)+")'

# What ends a state is its quote alone: base64 refuses a line end itself, and one character is looked for much faster.
_JSON_LINE: Final = re.compile(
    rb'(\{"position":' + _INT + rb',"stream_id":"' + _UUID + rb'","version":' + _INT + rb',"recorded_at":' + _INT
    + rb',"topic":"' + _OF_JSON + rb'","request_id":(?:null|"' + _UUID + rb'"),"transaction_id":(?:null|"' + _UUID
    + rb'"),"sale_reference":(?:null|"' + _OF_JSON + rb'"),"state":"([^"]*)"\}\n)'
)  # fmt: skip

_CSV_LINE: Final = re.compile(
    b"(" + b",".join((_INT, _UUID, _INT, _INT, _OF_CSV, _UUID + b"?", _UUID + b"?", _OF_CSV + b"?", b"([^\n]*)"))
    + b"\n)"
)  # fmt: skip

CSV_HEAD: Final = ",".join(EVENT_COLUMNS).encode() + b"\n"


class FormatUnreadable(Exception):
    """A file cannot be read at all. The message says why."""


class ExtraMissing(Exception):
    """A library that the format needs is not installed. The message says how to install it."""


def read_rows(path: Path, kind: Format) -> Iterator[list[Row | None]]:
    """The rows of a file, some at a time; None for each line that is none.

    Raises FormatUnreadable, ExtraMissing and OSError.
    """
    with open_ordinary(path) as file:
        if kind == "parquet":
            yield from _parquet_rows(path)
            return
        if not path.stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _text_rows(data, kind)


def row_of_line(line: bytes) -> Row | None:
    """The row of a line of JSON; None where it is none."""
    match = _JSON_LINE.fullmatch(line)
    return _row(match.groups(b""), _of_json) if match is not None else None


def _text_rows(data: mmap.mmap, kind: Format) -> Iterator[list[Row | None]]:
    line, unescape = (_JSON_LINE, _of_json) if kind == "jsonl" else (_CSV_LINE, _of_csv)
    begin = 0
    if kind == "csv":
        begin = data.find(b"\n") + 1 or len(data)
        if data[:begin] != CSV_HEAD:
            raise FormatUnreadable("the first line does not name the columns of events")
    while begin < len(data):
        end = data.rfind(b"\n", begin, begin + CHUNK_BYTES) + 1 or data.find(b"\n", begin) + 1 or len(data)
        lines: list[tuple[bytes, ...]] = line.findall(data, begin, end)
        found: Sequence[tuple[bytes, ...] | None] = lines
        if sum(len(groups[0]) for groups in lines) != end - begin:
            found, end = _up_to_first_bad(line, data, begin, end)
        yield [_row(groups, unescape) if groups is not None else None for groups in found]
        begin = end


def _up_to_first_bad(
    line: re.Pattern[bytes], data: mmap.mmap, begin: int, end: int
) -> tuple[Sequence[tuple[bytes, ...] | None], int]:
    """The lines up to one that cannot be read, which is None, and where to go on behind it."""
    found: list[tuple[bytes, ...] | None] = []
    while begin < end:
        match = line.match(data, begin)  # a quoted line break may lead beyond the end
        if match is None:
            found.append(None)
            return found, data.find(b"\n", begin) + 1 or len(data)
        found.append(match.groups(b""))
        begin = match.end()
    return found, begin


def _row(groups: tuple[bytes, ...], unescape: Callable[[bytes], bytes]) -> Row | None:
    _, position, stream_id, version, recorded_at, topic, request_id, transaction_id, reference, state = groups
    try:
        content = a2b_base64(state, strict_mode=True)
        # The bits behind the last byte could be any.
        if (rest := len(content) % 3) and b2a_base64(content[-rest:], newline=False) != state[-4:]:
            return None
        return (
            int(position),
            unhexlify(stream_id.replace(b"-", b"")),
            int(version),
            int(recorded_at),
            unescape(topic),
            unhexlify(request_id.replace(b"-", b"")) if request_id else b"",
            unhexlify(transaction_id.replace(b"-", b"")) if transaction_id else b"",
            unescape(reference) if reference else b"",
            content,
        )
    except ValueError:
        return None


def _of_json(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    value = json.loads(b'"' + text + b'"')
    if json.dumps(value, ensure_ascii=False).encode()[1:-1] != text:
        raise ValueError("the text can be written shorter")
    return str(value).encode()


def _of_csv(text: bytes) -> bytes:
    return text[1:-1].replace(b'""', b'"') if text.startswith(b'"') else text


def _parquet_rows(path: Path) -> Iterator[list[Row | None]]:
    pyarrow, parquet = parquet_libraries()
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            if file.schema_arrow.remove_metadata() != parquet_schema():
                raise FormatUnreadable("the columns are not those of events")
            for batch in file.iter_batches(PARQUET_ROWS):
                columns = [_plain(column).to_pylist() for column in batch.columns]
                yield [_binary_row(values) for values in zip(*columns, strict=True)]
    except (pyarrow.ArrowException, ValueError) as error:
        raise FormatUnreadable(" ".join(str(error).split())) from None


def _plain(column: Any) -> Any:
    """The bytes of ids and texts, without making objects of them."""
    pyarrow, _ = parquet_libraries()
    if isinstance(column, pyarrow.ExtensionArray):
        return column.storage
    return column.cast(pyarrow.binary()) if column.type == pyarrow.string() else column


def _binary_row(values: Sequence[Any]) -> Row | None:
    position, stream_id, version, recorded_at, topic, request_id, transaction_id, reference, state = values
    if None in (position, stream_id, version, recorded_at, topic, state) or reference == b"":
        return None
    return (
        position,
        stream_id,
        version,
        recorded_at,
        topic,
        request_id or b"",
        transaction_id or b"",
        reference or b"",
        state,
    )


def parquet_libraries() -> tuple[Any, Any]:
    """Pyarrow and pyarrow.parquet. Raises ExtraMissing."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise ExtraMissing("Parquet needs pyarrow: pip install 'loyalty-ledger[export]'") from None


def parquet_schema() -> Any:
    """The columns of events in Parquet."""
    pa, _ = parquet_libraries()
    types = {
        "position": pa.int64(),
        "stream_id": pa.uuid(),
        "version": pa.int64(),
        "recorded_at": pa.int64(),
        "topic": pa.string(),
        "request_id": pa.uuid(),
        "transaction_id": pa.uuid(),
        "sale_reference": pa.string(),
        "state": pa.binary(),
    }
    return pa.schema([pa.field(name, types[name]) for name in EVENT_COLUMNS])
