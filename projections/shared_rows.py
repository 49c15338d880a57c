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


def _add(one: Mapping[str, Any], other: Mapping[str, Any]) -> Row:
    return {name: value + other[name] if isinstance(value, Decimal) else value for name, value in one.items()}
