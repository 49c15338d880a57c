"""Files of members: CSV as CRM systems write it, read line by line in constant memory.

The first line names the columns: external_id, fields of the profile, kinds of identifiers, attributes of the program.
An empty cell leaves what is there; #N/A removes an attribute.
"""

import csv
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from loyalty.v1.member_pb2 import IdentifierType
from loyalty.v1.profile_pb2 import MemberUpsert
from loyalty.v1.program_pb2 import Program

from ledger.api.check_members import check_upsert, value_problems
from ledger.api.errors import ApiError, Violation
from ledger.api.identifiers import normalise
from ledger.domain.member_profile import NAMES

LINE_BYTES_MAX: Final = 1024 * 1024
"""Length of a line."""

REMOVED: Final = "#N/A"
"""What a cell says that removes an attribute."""

EXTERNAL_ID: Final = "external_id"

IDENTIFIERS: Final[Mapping[str, IdentifierType.ValueType]] = {
    "card": IdentifierType.IDENTIFIER_TYPE_CARD,
    "phone": IdentifierType.IDENTIFIER_TYPE_PHONE,
    "email": IdentifierType.IDENTIFIER_TYPE_EMAIL,
    "qr_token": IdentifierType.IDENTIFIER_TYPE_QR_TOKEN,
}

_BOM: Final = b"\xef\xbb\xbf"


class Problem(NamedTuple):
    """Something that is wrong with a file."""

    line: int
    column: str
    """Empty for the line as a whole."""
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.column + ' ' if self.column else ''}{self.text}"


class Unreadable(Exception):
    """A file that cannot be read on from a line."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(line, "", text)


class Row(NamedTuple):
    """A line of a file: one member."""

    line: int
    item: MemberUpsert


class MembersFile:
    """A file of the members of a program."""

    def __init__(self, path: Path, program: Program) -> None:
        self._path = path
        self._program = program
        self._attributes = {attribute.attribute_id: attribute for attribute in program.attributes}

    def problems(self) -> Iterator[Problem]:
        """Everything that can be said to be wrong with the file before it is sent. Raises OSError."""
        try:
            with self._path.open("rb") as file:
                garbled: list[Problem] = []
                lines = _lines(file, garbled)
                _, header = next(lines, (1, []))
                wrong = garbled or list(self._header_problems(header))
                yield from wrong
                if not wrong:
                    yield from self._row_problems(header, lines, garbled)
        except Unreadable as error:
            yield error.problem

    def rows(self) -> Iterator[Row]:
        """The lines of a file that has no problems, in order. Raises OSError, and Unreadable for one that has."""
        with self._path.open("rb") as file:
            garbled: list[Problem] = []
            lines = _lines(file, garbled)
            _, header = next(lines, (1, []))
            for line, cells in lines:
                if garbled or len(cells) != len(header):
                    raise Unreadable(line, "is not what it was when the file was checked")
                yield Row(line, self._item(header, cells))

    def _header_problems(self, header: Sequence[str]) -> Iterator[Problem]:
        if EXTERNAL_ID not in header:
            yield Problem(1, EXTERNAL_ID, "is missing: the first line must name the columns, and this one among them")
        known = {EXTERNAL_ID, *NAMES, *IDENTIFIERS, *self._attributes}
        for index, column in enumerate(header):
            if column in header[:index]:
                yield Problem(1, repr(column), "is named twice")
            elif column not in known:
                yield Problem(1, repr(column), "is no field of members and no attribute of the program")

    def _row_problems(
        self, header: Sequence[str], lines: Iterator[tuple[int, list[str]]], garbled: list[Problem]
    ) -> Iterator[Problem]:
        seen = _Seen()
        line = 1
        for line, cells in lines:
            yield from garbled
            garbled.clear()
            if len(cells) != len(header):
                yield Problem(line, "", f"has {len(cells)} cells where the first line has {len(header)}")
                continue
            item = self._item(header, cells)
            violations: list[Violation] = []
            check_upsert(item, violations)
            violations += value_problems(item, self._attributes)
            for path, text in violations:
                yield Problem(line, _column(path, item), text)
            yield from self._not_removable(line, header, cells)
            yield from self._key_problems(line, item, seen)
        if line == 1:
            yield Problem(1, "", "is the only one: there are no members in the file")

    def _not_removable(self, line: int, header: Sequence[str], cells: Sequence[str]) -> Iterator[Problem]:
        for column, cell in zip(header, cells, strict=True):
            if cell == REMOVED and column not in self._attributes:
                yield Problem(line, column, "cannot be removed: only attributes can")

    def _key_problems(self, line: int, item: MemberUpsert, seen: "_Seen") -> Iterator[Problem]:
        """Identifiers that are none, or are somebody else's in the file."""
        keys = [(EXTERNAL_ID, item.external_id)] if item.external_id else []
        for identifier in item.identifiers:
            column = _column_of(identifier.type)
            try:
                keys.append((column, normalise(identifier, self._program.name, self._program.default_region)[2]))
            except ApiError as error:
                yield from (Problem(line, column, text) for _, text in error.field_violations)
        for column, value in keys:
            before = seen.add(f"{column}:{value}", line)
            if before is not None:
                yield Problem(line, column, f"is in line {before} too")

    def _item(self, header: Sequence[str], cells: Sequence[str]) -> MemberUpsert:
        item = MemberUpsert()
        for column, cell in zip(header, cells, strict=True):
            if not cell:
                continue
            if column == EXTERNAL_ID:
                item.external_id = cell
            elif column in NAMES:
                setattr(item.profile, column, cell)
            elif column in IDENTIFIERS:
                item.identifiers.add(type=IDENTIFIERS[column], value=cell)
            else:
                item.attributes.add(attribute_id=column, value=None if cell == REMOVED else cell)
        return item


def _lines(file: BinaryIO, garbled: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is not empty, with its number; spaces around them do not count.

    Spreadsheets write empty lines as commas, as many as any other line has; with more or fewer it is no such line.
    What is no UTF-8 is added to `garbled`, and looks like other characters. Raises Unreadable.
    """
    reader = csv.reader(_texts(file, garbled), strict=True)
    begins, width = 1, 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise Unreadable(begins, f"cannot be read as CSV: {error}{_open_quote(begins, reader.line_num)}") from None
        if cells is None:
            return
        if any(cells) or len(cells) not in (0, width or len(cells)):
            yield begins, [cell.strip() for cell in cells]
            width = width or len(cells)
        begins = reader.line_num + 1


def _open_quote(begins: int, read: int) -> str:
    """What is likely wrong with a line that goes on over others."""
    return f"; it goes on to line {read}: is a quote left open?" if read > begins else ""


def _texts(file: BinaryIO, garbled: list[Problem]) -> Iterator[str]:
    number = 0
    while raw := file.readline(LINE_BYTES_MAX):
        number += 1
        if number == 1:
            raw = raw.removeprefix(_BOM)
        if len(raw) == LINE_BYTES_MAX:
            raise Unreadable(number, f"must be shorter than {LINE_BYTES_MAX:,} bytes")
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            garbled.append(Problem(number, "", f"is not UTF-8: byte {error.start + 1} of it cannot be read"))
            yield raw.decode("utf-8", errors="replace")


def _column(path: str, item: MemberUpsert) -> str:
    """The column of a field at fault."""
    name, _, rest = path.partition("[")
    index = int(rest.partition("]")[0]) if rest else 0
    match name:
        case "attributes":
            return item.attributes[index].attribute_id
        case "identifiers":
            return _column_of(item.identifiers[index].type)
        case _:
            return path.removeprefix("profile.")


def _column_of(kind: int) -> str:
    return next(column for column, known in IDENTIFIERS.items() if known == kind)


class _Seen:
    """Which keys were in which line, in a temporary file: a million of them do not fit into constant memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def add(self, key: str, line: int) -> int | None:
        """Adds a key; returns the line that it was in before."""
        added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, line))
        if added.rowcount:
            return None
        (before,) = self._database.execute("SELECT line FROM seen WHERE key = ?", (key,)).fetchone()
        return int(before)
