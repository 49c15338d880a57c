"""Rows of tables that are not of members: what several shares of the streams come to together."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from psycopg import Cursor

Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]
"""Rows by their keys."""


def rows_of(cursor: Cursor[Any], table: str, keys: Sequence[str]) -> Rows:
    """All rows of a table."""
    rows = cursor.execute(f"SELECT * FROM {table}".encode()).fetchall()
    names = [column.name for column in cursor.description or ()]
    named = [dict(zip(names, row, strict=True)) for row in rows]
    return {tuple(row[key] for key in keys): row for row in named}


def together(shares: Iterable[Mapping[tuple[Any, ...], Row]]) -> Rows:
    """What the rows of all shares come to: sums, which are numeric, add up; all else is of one share."""
    total: Rows = {}
    for rows in shares:
        for key, row in rows.items():
            before = total.get(key)
            total[key] = row if before is None else _add(before, row)
    return total


def moved_on(rows: Rows, before: Rows, after: Rows) -> Rows:
    """The rows of a share of which a part, that came to `before`, now comes to `after`."""
    total = {key: row for key, row in rows.items() if key not in before or _has_sums(row)}
    for key, row in before.items():
        if _has_sums(row):
            total[key] = _add(total[key], row, -1)
    return together([total, after])


def _has_sums(row: Row) -> bool:
    return any(isinstance(value, Decimal) for value in row.values())


def _add(one: Mapping[str, Any], other: Mapping[str, Any], sign: int = 1) -> Row:
    return {name: value + sign * other[name] if isinstance(value, Decimal) else value for name, value in one.items()}
