"""Rows from PostgreSQL to a file. Text is made by the server itself, line by line; Parquet of its binary values."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Any, Final, NamedTuple

from psycopg import Cursor, pq, sql
from psycopg.adapt import Buffer, Loader

from ledger.export.folder import ExportFolder, NewFile
from ledger.proof.event_rows import parquet_libraries
from ledger.proof.manifest import ExportedFile, Format

BLOCK_ROWS: Final = 256

PAGE_ROWS: Final = 2_048

PAGES_OF_GROUP: Final = 8
"""Pages of rows in a row group of Parquet, all of which is in memory at once."""

_REPEATED: Final = ["topic", "program", "tier", "type", "store", "reward"]
"""Columns with few values."""

_NO_UUID: Final = bytes(16)

# No character of JSON is one of these, so that COPY leaves every line as it is.
_JSON_LINES: Final = sql.SQL(r"TO STDOUT (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')")
_CSV: Final = sql.SQL("TO STDOUT (FORMAT csv)")


class Column(NamedTuple):
    """A column of an export."""

    name: str
    type: str
    """PostgreSQL's name of its type."""


class Selection(NamedTuple):
    """What to export: a statement without its columns, and the columns."""

    columns: Sequence[Column]
    expressions: Sequence[sql.Composable]
    source: sql.Composable
    """FROM and what follows."""

    def text_query(self, kind: Format) -> sql.Composed:
        """A statement whose rows are lines of text, with bytes in base64."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(_as_text(column, expression, kind), sql.Identifier(column.name))
            for column, expression in zip(self.columns, self.expressions, strict=True)
        )
        rows = sql.SQL("SELECT {} {}").format(columns, self.source)
        if kind == "csv":
            return sql.SQL("COPY ({}) {}").format(rows, _CSV)
        return sql.SQL("COPY (SELECT row_to_json(line) FROM ({}) AS line) {}").format(rows, _JSON_LINES)

    def binary_query(self) -> sql.Composed:
        """A statement with the values themselves."""
        known = _types()
        columns = sql.SQL(", ").join(
            expression if column.type in known else sql.SQL("{}::text").format(expression)
            for column, expression in zip(self.columns, self.expressions, strict=True)
        )
        return sql.SQL("SELECT {} {}").format(columns, self.source)


def _as_text(column: Column, expression: sql.Composable, kind: Format) -> sql.Composable:
    if column.type == "bytea":
        return _BASE64.format(expression)
    if column.type == "boolean" and kind == "csv":
        return sql.SQL("{}::text").format(expression)  # true and false, which all readers know
    return expression


_BASE64: Final = sql.SQL("translate(encode({}, 'base64'), E'\\n', '')")


class RowStream:
    """The rows of a selection, written to one file after another."""

    def __init__(self, cursor: Cursor[Any], selection: Selection, kind: Format) -> None:
        self._cursor = cursor
        self._selection = selection
        self._kind = kind

    def write(self, folder: ExportFolder, names: Iterator[str], rows_max: int) -> Iterator[ExportedFile]:
        """Writes all rows, so many to a file. Without any rows there is one file without rows."""
        if self._kind == "parquet":
            yield from self._write_parquet(folder, names, rows_max)
            return
        with self._cursor.copy(self._selection.text_query(self._kind)) as copy:
            lines = iter(copy)
            is_first = True
            while (line := next(lines, None)) is not None or is_first:
                is_first = False
                name = next(names)
                with folder.open(name) as file:
                    rows = self._write_lines(file, line, islice(lines, rows_max - 1))
                yield ExportedFile(name=name, sha256=file.sha256, size_bytes=file.size_bytes, rows=rows)

    def _write_lines(self, file: NewFile, first: Any, lines: Iterator[Any]) -> int:
        if self._kind == "csv":
            file.write(",".join(column.name for column in self._selection.columns).encode() + b"\n")
        if first is None:
            return 0
        file.write(bytes(first))
        rows = 1
        while block := list(islice(lines, BLOCK_ROWS)):
            file.write(b"".join(block))
            rows += len(block)
        return rows

    def _write_parquet(self, folder: ExportFolder, names: Iterator[str], rows_max: int) -> Iterator[ExportedFile]:
        _, parquet = parquet_libraries()
        schema = _schema(self._selection.columns)
        options = {"compression": "zstd", "write_page_checksum": True, "use_dictionary": _REPEATED}
        groups = self._groups(schema)
        group = next(groups)
        while group is not None:
            name = next(names)
            rows = 0
            with folder.open(name) as file, parquet.ParquetWriter(file, schema, **options) as writer:
                while group is not None and rows < rows_max:
                    rows += group.num_rows
                    writer.write_table(group)
                    group = next(groups, None)
            yield ExportedFile(name=name, sha256=file.sha256, size_bytes=file.size_bytes, rows=rows)

    def _groups(self, schema: Any) -> Iterator[Any]:
        """Row groups; one without rows where there are none at all."""
        pa, _ = parquet_libraries()
        connection = self._cursor.connection
        with connection.transaction(), connection.cursor("export", binary=True) as cursor:
            cursor.adapters.register_loader("uuid", _RawUuid)
            cursor.execute(self._selection.binary_query())
            batches = []
            is_first = True
            while rows := cursor.fetchmany(PAGE_ROWS):
                is_first = False
                arrays = [
                    _array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                batches.append(pa.record_batch(arrays, schema=schema))
                if len(batches) == PAGES_OF_GROUP:
                    yield pa.Table.from_batches(batches)
                    batches = []
            if batches or is_first:
                yield pa.Table.from_batches(batches, schema)


def _schema(columns: Sequence[Column]) -> Any:
    pa, _ = parquet_libraries()
    # Arrow's own allocator keeps what it has freed.
    pa.set_memory_pool(pa.system_memory_pool())
    types = _types()
    return pa.schema([pa.field(column.name, types.get(column.type, pa.string())) for column in columns])


def _types() -> dict[str, Any]:
    pa, _ = parquet_libraries()
    return {
        "bigint": pa.int64(),
        "integer": pa.int32(),
        "smallint": pa.int16(),
        "numeric": pa.decimal128(38, 0),
        "boolean": pa.bool_(),
        "uuid": pa.uuid(),
        "bytea": pa.binary(),
    }


def _array(values: Sequence[Any], kind: Any) -> Any:
    """An array of a column's values. Of the frequent types without `pyarrow.array`, which loads pandas: 50 MB."""
    pa, _ = parquet_libraries()
    if kind == pa.uuid():
        content = b"".join([_NO_UUID if one is None else one for one in values])
        storage = pa.Array.from_buffers(kind.storage_type, len(values), [_validity(values), pa.py_buffer(content)])
        return pa.ExtensionArray.from_storage(kind, storage)
    if kind == pa.int64():
        numbers = array("q", [one or 0 for one in values])
        return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(numbers)])
    if kind in (pa.string(), pa.binary()):
        parts = [one.encode() if isinstance(one, str) else one or b"" for one in values]
        offsets = array("i", accumulate(map(len, parts), initial=0))
        buffers = [_validity(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(parts))]
        return pa.Array.from_buffers(kind, len(values), buffers)
    return pa.array(values, kind)


def _validity(values: Sequence[Any]) -> Any:
    """Arrow's bits of the values that are not NULL; None where all are there."""
    pa, _ = parquet_libraries()
    if None not in values:
        return None
    bits = int("".join(["0" if one is None else "1" for one in reversed(values)]), 2)
    return pa.py_buffer(bits.to_bytes(-(-len(values) // 8), "little"))


class _RawUuid(Loader):
    """A uuid as its bytes: an object for each would take as long as all the rest."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)
