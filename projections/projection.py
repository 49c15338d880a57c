"""A projection: how a page of events changes the tables of one view."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Final, NamedTuple

from psycopg import Cursor

from ledger.store.arrays import Array, BigintArray, ByteaArray, TextArray, UuidArray
from projections.page import Event

_PLACEHOLDER: Final = re.compile(rb"%b(?:::(\w+)\[\])?")
_ARRAYS: Final[Mapping[bytes, type[Array]]] = {
    b"uuid": UuidArray,
    b"bigint": BigintArray,
    b"text": TextArray,
    b"bytea": ByteaArray,
}
"""What is packed at once, by the type that a statement gives its placeholder."""


class Contradiction(Exception):
    """A page that does not fit what the view holds."""


class Step(NamedTuple):
    """One statement for a page."""

    name: str
    """Of the statement, in the projection's file of SQL."""
    parameters: Sequence[Sequence[Any]]
    """A column for each of its placeholders."""
    rows: int | None = None
    """How many rows it must change, or count."""


class Projection(ABC):
    """Turns events into statements. It has no state and no I/O: everything is in its tables.

    What the tables hold after an event depends on that event and those before it and on nothing else, so that any
    cutting into pages, and any rebuild, gives the same bytes.
    """

    name: ClassVar[str]
    """Also the name of its schema, less the generation."""

    sql: ClassVar[Mapping[str, bytes]]
    """Its statements by name."""

    tables: ClassVar[Mapping[str, tuple[str, ...]]]
    """Its tables of rows of members, each with its `owner`, by their primary keys."""

    shared_tables: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Its other tables. What several shares of the members come to adds up, row by row."""

    owner: ClassVar[str] = "member_id"
    """The column of `tables` that says whose a row is: the stream that its events are in."""

    @abstractmethod
    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page. Raises Contradiction."""

    def apply(self, cursor: Cursor[Any], events: Sequence[Event]) -> None:
        """Applies a page to the tables in the search path, in the caller's transaction.

        Raises Contradiction, or psycopg.Error when the database itself refuses.
        """
        for step in self.collect(events):
            sql = self.sql[step.name]
            packed = [as_array(column) for as_array, column in zip(_arrays(sql), step.parameters, strict=True)]
            cursor.execute(sql, packed, prepare=True)
            if step.rows is None:
                continue
            row = cursor.fetchone() if cursor.description else None
            changed = row[0] if row is not None else cursor.rowcount
            if changed != step.rows:
                raise Contradiction(f"{changed} rows where {step.rows} were expected by {step.name!r} of {self.name}")


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as columns, for unnest."""
    return [list(column) for column in zip(*rows, strict=True)]


@cache
def _arrays(sql: bytes) -> tuple[type[list[Any]], ...]:
    """What makes an array of each of a statement's columns."""
    return tuple(_ARRAYS.get(name, list) for name in _PLACEHOLDER.findall(sql))
