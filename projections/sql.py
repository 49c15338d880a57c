"""Named statements: SQL lives in files, a `-- name:` line before each statement."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from psycopg import Connection, RawCursor
from psycopg.rows import tuple_row

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PARAMETER = re.compile(rb"%\((\w+)\)b")


def statements(file: str) -> dict[str, bytes]:
    """The statements of a file of this package by name."""
    return parse((files("projections") / file).read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, bytes]:
    """The statements of a text by name."""
    parts = _NAME.split(text)[1:]
    return {name: sql.strip().encode() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def execute_raw(connection: Connection[Any], sql: bytes, parameters: Mapping[str, Any]) -> RawCursor[tuple[Any, ...]]:
    """Executes a long statement, prepared, of binary parameters and answers.

    psycopg would look for placeholders in all of it each time, which takes longer than answering it.
    """
    raw, order = _numbered(sql)
    cursor = RawCursor(connection, row_factory=tuple_row)
    return cursor.execute(raw, [parameters[name] for name in order], prepare=True, binary=True)


@lru_cache(1_000)
def _numbered(sql: bytes) -> tuple[bytes, Sequence[str]]:
    """A statement with numbers for its parameters, and their names in that order."""
    order = list(dict.fromkeys(_PARAMETER.findall(sql)))
    numbered = _PARAMETER.sub(lambda found: b"$%d" % (order.index(found[1]) + 1), sql)
    return numbered, [name.decode() for name in order]
