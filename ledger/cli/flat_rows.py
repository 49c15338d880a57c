"""Messages as rows of a table, a CSV or a Parquet file: every field is a column."""

import csv
import io
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table

from ledger.export.folder import NewFile
from ledger.proof.event_rows import parquet_libraries

_TYPES: Final = {
    FieldDescriptor.CPPTYPE_INT32: "int64",
    FieldDescriptor.CPPTYPE_INT64: "int64",
    FieldDescriptor.CPPTYPE_DOUBLE: "float64",
}
"""Arrow's names of numbers; everything else is text."""


_WIDTH_MAX: Final = 100_000
"""Characters of a line of a table: more than any has."""


class FileKind(StrEnum):
    """How rows are written."""

    table = "table"
    csv = "csv"
    parquet = "parquet"


class Column(NamedTuple):
    """A column."""

    name: str
    type: str
    value_of: Callable[[Any], Any]


def columns_of(kind: type[Message], keys: Sequence[str] = (), without: Container[str] = ()) -> list[Column]:
    """The columns of a message: in place of its `key`, those of its fields that are named."""
    columns: list[Column] = []
    for field in kind.DESCRIPTOR.fields:
        if field.name == "key" and field.message_type is not None:
            fields = field.message_type.fields_by_name
            columns += [_column(fields[name], lambda line: line.key) for name in keys]
        elif field.name not in without:
            columns.append(_column(field, _itself))
    return columns


def write(parts: Iterable[Sequence[Any]], columns: Sequence[Column], kind: FileKind, output: Path | None) -> None:
    """Writes rows as they come; a file is there when all of it is. Raises OSError, ExtraMissing."""
    if kind == FileKind.table:
        _print(parts, columns, output)
        return
    with nullcontext() if output is None else NewFile(output) as file:
        if kind == FileKind.parquet:
            _write_parquet(parts, columns, file)
            return
        for text in _csv(parts, columns):
            if file is None:
                typer.echo(text, nl=False)
            else:
                file.write(text.encode())


def _itself(line: Any) -> Any:
    return line


def _column(field: Any, part: Callable[[Any], Any]) -> Column:
    name = field.name
    if field.is_repeated:
        return Column(name, "string", lambda line: " ".join(map(_text, getattr(part(line), name))))
    if field.enum_type is not None:
        prefix = f"{field.enum_type.values[0].name.removesuffix('UNSPECIFIED')}"
        names = {value.number: value.name.removeprefix(prefix).lower() for value in field.enum_type.values}
        return Column(name, "string", lambda line: names.get(getattr(part(line), name), ""))
    return Column(name, _TYPES.get(field.cpp_type, "string"), lambda line: getattr(part(line), name))


def _text(value: Any) -> str:
    """An element of a list: a number, or an offer with its points."""
    return f"{value.offer}={value.points}" if isinstance(value, Message) else str(value)  # type: ignore[attr-defined]  # the only message in a list


def _csv(parts: Iterable[Sequence[Any]], columns: Sequence[Column]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    for part in parts:
        writer.writerows([column.value_of(line) for column in columns] for line in part)
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def _write_parquet(parts: Iterable[Sequence[Any]], columns: Sequence[Column], file: Any) -> None:
    pa, parquet = parquet_libraries()
    schema = pa.schema([(column.name, column.type) for column in columns])
    with parquet.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for part in parts:
            values = [pa.array([column.value_of(line) for line in part], column.type) for column in columns]
            writer.write_batch(pa.record_batch(values, schema=schema))


def _print(parts: Iterable[Sequence[Any]], columns: Sequence[Column], output: Path | None) -> None:
    table = Table()
    for column in columns:
        table.add_column(column.name.replace("_", "\n"), justify="left" if column.type == "string" else "right")
    for part in parts:
        for line in part:
            table.add_row(*(_shown(column.value_of(line)) for column in columns))
    with nullcontext() if output is None else output.open("w", encoding="utf-8") as file:
        console = Console(file=file, markup=False)
        # A figure that is cut off is a wrong one: a table is rather wider than the screen, or than 80 in a pipe.
        whole = console.measure(table, options=console.options.update_width(_WIDTH_MAX)).maximum
        console.width = max(console.width, whole)
        console.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
