"""Evaluations: which segments all members have to be looked at for, and how far that is."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from loyalty.v1.segment_pb2 import SegmentCause
from psycopg import Cursor

from ledger.segments.live import Live
from ledger.segments.statements import SQL

FIRST: UUID = UUID(int=0)
"""Behind which all members are."""


class Evaluation(NamedTuple):
    """Of one segment."""

    definition_version: int
    day: date
    """On which it began."""
    cause: SegmentCause.ValueType
    after: UUID | None
    """Members up to this one are done; None once all are."""


class Evaluations:
    """All of them. They are kept in the database, so that one goes on where it was."""

    def __init__(self) -> None:
        self._known: dict[UUID, Evaluation] = {}

    def load(self, cursor: Cursor[Any]) -> None:
        """Reads how far they are."""
        rows = cursor.execute(SQL["evaluations"]).fetchall()
        self._known = {stream_id: Evaluation(*rest) for stream_id, *rest in rows}

    def forget(self, cursor: Cursor[Any]) -> None:
        """Begins all of them anew."""
        cursor.execute(SQL["forget_evaluations"])
        self._known = {}

    def due(self, segments: Iterable[Live], today: Callable[[str], date]) -> list[tuple[Live, Evaluation]]:
        """Segments of one program that are equally far, and how far."""
        found: list[tuple[Live, Evaluation]] = []
        for live in segments:
            evaluation = self._due(live, today(live.program))
            if evaluation is None:
                continue
            if not found or (live.program, *evaluation[2:]) == (found[0][0].program, *found[0][1][2:]):
                found.append((live, evaluation))
        return found

    def _due(self, live: Live, today: date) -> Evaluation | None:
        known = self._known.get(live.stream_id)
        is_timed = live.criteria is not None and live.criteria.is_timed and not live.is_deleted
        if known is None or known.definition_version != live.definition_version:
            return Evaluation(live.definition_version, today, SegmentCause.SEGMENT_CAUSE_SAVED, FIRST)
        if is_timed and known.day < today:
            return Evaluation(live.definition_version, today, SegmentCause.SEGMENT_CAUSE_TIME, FIRST)
        return known if known.after is not None else None

    def done(self, cursor: Cursor[Any], of: Sequence[tuple[Live, Evaluation]], after: UUID | None) -> None:
        """Keeps that members up to one, or all, are done."""
        for live, evaluation in of:
            kept = evaluation._replace(after=after)
            cursor.execute(SQL["keep_evaluation"], {"stream_id": live.stream_id, **kept._asdict()}, prepare=True)
            self._known[live.stream_id] = kept
