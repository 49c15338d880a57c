"""Tills: what they say they sold against what the ledger has.

A file is UTF-8 CSV with a header, of receipts or of the totals of a till's day. It is read as a whole first: with
anything wrong in it nothing is compared, and every line at fault is named. Amounts are those of the sales' lines after
discounts and rewards, before payment with points or gift cards.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

LINES_MAX: Final = 50_000
"""Lines of a file."""

BYTES_MAX: Final = 3 * 1024 * 1024
"""Of a file."""

PROBLEMS_MAX: Final = 100
"""Lines at fault that are named."""

AMOUNT_MAX: Final = 2**63 - 1

RECEIPTS: Final = ("store", "terminal", "business_date", "sequence", "amount_minor")
TOTALS: Final = ("store", "terminal", "business_date", "sales", "amount_minor")
_REQUEST_ID: Final = "request_id"

_INTEGER: Final = re.compile(r"-?\d{1,19}", re.ASCII).fullmatch
ID_MAX: Final = 100
"""Characters of a store, terminal or sequence."""

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch


class Day(NamedTuple):
    """A till's day."""

    store: str
    terminal: str
    business_date: str


class Receipt(NamedTuple):
    """A sale, as either side has it."""

    day: Day
    sequence: int
    amount_minor: int
    request_id: str = ""
    line: int = 0
    """In the till's file."""


class Total(NamedTuple):
    """What a till says of a whole day."""

    day: Day
    sales: int
    amount_minor: int
    line: int


class TillFile(NamedTuple):
    """What a file says; it has either receipts or totals."""

    receipts: Sequence[Receipt]
    totals: Sequence[Total]

    @property
    def days(self) -> list[Day]:
        """Every till and day that it names, in order."""
        return sorted({one.day for one in self.receipts} | {one.day for one in self.totals})


class Wrong(NamedTuple):
    """A line at fault; 0 for the file."""

    line: int
    problem: str


class BadFile(Exception):
    """A file that cannot be compared, and all that is wrong with it."""

    def __init__(self, problems: Sequence[Wrong]) -> None:
        first = problems[0]
        super().__init__(f"line {first.line}: {first.problem}" if first.line else first.problem)
        self.problems = problems


class Found(NamedTuple):
    """A receipt, or a till's day, on which the two do not agree."""

    day: Day
    till: Receipt | Total | None
    """None where the till does not have it."""
    ledger: Receipt | Total | None
    """None where the ledger does not have it."""


class Compared(NamedTuple):
    """A till's day on both sides."""

    till: Total
    ledger: Total
    found: Sequence[Found]


def read_file(content: bytes) -> TillFile:
    """What a file says. Raises BadFile."""
    if len(content) > BYTES_MAX:
        raise BadFile([Wrong(0, f"must be at most {BYTES_MAX} bytes; it has {len(content)}. Send it by store or day")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadFile([Wrong(line, f"must be UTF-8; byte {error.start} of the file is not")]) from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = tuple(next(_readable(rows), ()))
    if header not in (RECEIPTS, (*RECEIPTS, _REQUEST_ID), TOTALS):
        expected = f"{','.join(RECEIPTS)}[,{_REQUEST_ID}] or {','.join(TOTALS)}"
        raise BadFile([Wrong(1, f"must be the header {expected}; it is {','.join(header) or 'empty'!r}"[:500])])
    reader = _Reader(header)
    for row in _readable(rows):
        if row:
            reader.read(rows.line_num, row)
    return reader.file()


def _readable(rows: "CsvReader") -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise BadFile([Wrong(rows.line_num, f"is not CSV: {error}")]) from None


class _Reader:
    """Reads rows, keeping what is wrong with them."""

    def __init__(self, header: Sequence[str]) -> None:
        self._header = header
        self._receipts: list[Receipt] = []
        self._totals: list[Total] = []
        self._lines: dict[object, int] = {}
        self._problems: list[Wrong] = []

    def read(self, line: int, row: Sequence[str]) -> None:
        """Reads a row."""
        if len(row) != len(self._header):
            self._wrong(line, f"must have {len(self._header)} fields; it has {len(row)}")
            return
        fields = dict(zip(self._header, (field.strip() for field in row), strict=True))
        wrong = [f"{name} {problem}" for name, check in _CHECKS.items() if (problem := check(fields.get(name)))]
        if wrong:
            self._wrong(line, "; ".join(wrong))
            return
        day = Day(fields["store"], fields["terminal"], fields["business_date"])
        amount = int(fields["amount_minor"])
        if "sales" in fields:
            self._once(line, day, "this till and day")
            self._totals.append(Total(day, int(fields["sales"]), amount, line))
            return
        receipt = Receipt(day, int(fields["sequence"]), amount, fields.get(_REQUEST_ID, "").lower(), line)
        self._once(line, (day, receipt.sequence), "this receipt")
        if receipt.request_id:
            self._once(line, receipt.request_id, "this request id")
        self._receipts.append(receipt)

    def file(self) -> TillFile:
        """What was read. Raises BadFile."""
        if not self._problems and not self._receipts and not self._totals:
            self._wrong(0, "has no line behind its header")
        if len(self._receipts) + len(self._totals) > LINES_MAX:
            self._wrong(0, f"must have at most {LINES_MAX} lines. Send it by store or day")
        if self._problems:
            raise BadFile(self._problems[:PROBLEMS_MAX])
        return TillFile(self._receipts, self._totals)

    def _once(self, line: int, key: object, what: str) -> None:
        first = self._lines.setdefault(key, line)
        if first != line:
            self._wrong(line, f"{what} is in line {first} already")

    def _wrong(self, line: int, problem: str) -> None:
        self._problems.append(Wrong(line, problem))


def _id(value: str | None) -> str:
    return "is required" if not value else f"must be at most {ID_MAX} characters" if len(value) > ID_MAX else ""


def _day(value: str | None) -> str:
    try:
        if _DATE(value or ""):
            date.fromisoformat(value or "")
            return ""
    except ValueError:
        pass
    return "must be a day, as 2026-01-31"


def _number(least: int) -> Callable[[str | None], str]:
    def check(value: str | None) -> str:
        if value is None or (_INTEGER(value) and least <= int(value) <= AMOUNT_MAX):
            return ""
        return f"must be a whole number from {least} on"

    return check


def _request_id(value: str | None) -> str:
    try:
        if value and str(UUID(value)) != value.lower():
            return "must be a UUID with dashes, or empty"
    except ValueError:
        return "must be a UUID with dashes, or empty"
    return ""


_CHECKS: Final[Mapping[str, Callable[[str | None], str]]] = {
    "store": _id,
    "terminal": _id,
    "business_date": _day,
    "sequence": _number(1),
    "sales": _number(0),
    "amount_minor": _number(0),
    _REQUEST_ID: _request_id,
}


def compare(file: TillFile, ledger: Iterable[Receipt]) -> list[Compared]:
    """Every till and day that a file names, with what differs; `ledger` may have sales of others too."""
    theirs: dict[Day, list[Receipt]] = {day: [] for day in file.days}
    ours: dict[Day, list[Receipt]] = {day: [] for day in file.days}
    for receipt in file.receipts:
        theirs[receipt.day].append(receipt)
    for receipt in ledger:
        if receipt.day in ours:
            ours[receipt.day].append(receipt)
    totals = {total.day: total for total in file.totals}
    return [
        _compare_total(totals[day], _total(day, ours[day]))
        if day in totals
        else Compared(_total(day, theirs[day]), _total(day, ours[day]), _compare_receipts(theirs[day], ours[day]))
        for day in file.days
    ]


def _total(day: Day, receipts: Sequence[Receipt]) -> Total:
    return Total(day, len(receipts), sum(receipt.amount_minor for receipt in receipts), 0)


def _compare_total(till: Total, ledger: Total) -> Compared:
    same = (till.sales, till.amount_minor) == (ledger.sales, ledger.amount_minor)
    return Compared(till, ledger, [] if same else [Found(till.day, till, ledger)])


def _compare_receipts(theirs: Sequence[Receipt], ours: Sequence[Receipt]) -> list[Found]:
    """By receipt number; where the till gives a request id, that has to be the same too."""
    by_number = {receipt.sequence: receipt for receipt in ours}
    found: list[Found] = []
    for till in theirs:
        ledger = by_number.pop(till.sequence, None)
        if ledger is None or not _same(till, ledger):
            found.append(Found(till.day, till, ledger))
    return found + [Found(ledger.day, None, ledger) for ledger in by_number.values()]


def _same(till: Receipt, ledger: Receipt) -> bool:
    return till.amount_minor == ledger.amount_minor and till.request_id in ("", ledger.request_id)
