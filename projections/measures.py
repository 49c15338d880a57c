"""Measures: purchase figures of members that a segment defines, read for many members at once."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from loyalty.v1.segment_pb2 import Measure
from psycopg import Cursor

from projections.sql import statements

_SQL: Final = statements("measures.sql")

_OF_PLACES: Final = {"stores": b"store = ANY (%(stores)b)", "channels": b"channel = ANY (%(channels)b::smallint[])"}
_OF_LINES: Final = {
    "skus": b"l.sku = ANY (%(skus)b)",
    "brands": b"l.brand = ANY (%(brands)b)",
    "categories": b"l.category = ANY (%(categories)b)",
    "labels": b"l.labels && %(labels)b::text[]",
}
_OF: Final = b"member_id = ANY (%(members)b::uuid[])"
_BETWEEN: Final = b"member_id > %(after)b AND member_id <= %(last)b"


class Between(NamedTuple):
    """The members behind one id, up to another."""

    after: UUID
    last: UUID


Values = tuple[int | None, ...]
"""What an expression sees of a measure: the figures of MEASURE_FIELDS, in that order."""

NOTHING: Final[Values] = (0, 0, 0, None, 0, None)
"""The measure of who bought nothing that matches."""


def read_measure(
    cursor: Cursor[Any], program: str, today: date, measure: Measure, members: Sequence[UUID] | Between
) -> dict[UUID, Values]:
    """A measure of some members of a program on a day of its; who bought nothing that matches may be left out.

    The cursor gives rows as tuples.
    """
    first_day, last_day = _days(measure, today)
    parameters: dict[str, Any] = {"program": program, "first_day": first_day, "last_day": last_day, "today": today}
    named = tuple(name for name in (*_OF_PLACES, *_OF_LINES) if getattr(measure, name))
    parameters |= {name: list(getattr(measure, name)) for name in named}
    is_range = isinstance(members, Between)
    parameters |= members._asdict() if isinstance(members, Between) else {"members": list(members)}
    rows = cursor.execute(_question(named, is_range=is_range), parameters, prepare=True).fetchall()
    return {row[0]: row[1:] for row in rows}


@lru_cache(1_000)
def _question(filters: tuple[str, ...], *, is_range: bool) -> bytes:
    here = b" AND ".join(_OF_PLACES[name] for name in filters if name in _OF_PLACES) or b"true"
    of = b" AND ".join(_OF_LINES[name] for name in filters if name in _OF_LINES)
    sql = _SQL["lines" if of else "receipts"]
    sql = sql.replace(b"{figures}", _SQL["figures"])
    return sql.replace(b"{here}", here).replace(b"{of}", of).replace(b"{scope}", _BETWEEN if is_range else _OF)


def _days(measure: Measure, today: date) -> tuple[date, date]:
    if measure.WhichOneof("period") == "last_days":
        return today - timedelta(days=measure.last_days - 1), today
    dates = measure.dates
    return (
        date.fromisoformat(dates.from_date) if dates.from_date else date.min,
        date.fromisoformat(dates.until_date) if dates.until_date else date.max,
    )
