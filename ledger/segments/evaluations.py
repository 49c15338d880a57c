"""Evaluations: which segments all members have to be looked at for, and how far that is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    model_version: int
    """Of the value models that it began with; 0 where the segment does not ask for what they expect."""
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

    def begin_anew(self, cursor: Cursor[Any]) -> None:
        """Begins all of them anew: too much has happened to look at one member after another."""
        cursor.execute(SQL["begin_anew"], {"cause": SegmentCause.SEGMENT_CAUSE_CHANGED, "after": FIRST})
        self.load(cursor)

    def due(
        self, segments: Iterable[Live], today: Callable[[str], date], models: Mapping[str, int]
    ) -> list[tuple[Live, Evaluation]]:
        """Segments of one program that are equally far, and how far. `models` has the newest ones' versions."""
        found: list[tuple[Live, Evaluation]] = []
        for live in segments:
            evaluation = self._due(live, today(live.program), models.get(live.program, 0))
            if evaluation is not None and (not found or _stage(live, evaluation) == _stage(*found[0])):
                found.append((live, evaluation))
        return found

    def _due(self, live: Live, today: date, newest_model: int) -> Evaluation | None:
        known = self._known.get(live.stream_id)
        model_version = newest_model if live.is_fitted else 0
        if known is None or known.definition_version != live.definition_version:
            cause = SegmentCause.SEGMENT_CAUSE_SAVED
        elif live.is_timed and known.day < today:
            cause = SegmentCause.SEGMENT_CAUSE_TIME
        elif known.model_version != model_version:
            cause = SegmentCause.SEGMENT_CAUSE_FITTED
        else:
            return known if known.after is not None else None
        return Evaluation(live.definition_version, today, model_version, cause, FIRST)

    def done(self, cursor: Cursor[Any], of: Sequence[tuple[Live, Evaluation]], after: UUID | None) -> None:
        """Keeps that members up to one, or all, are done."""
        for live, evaluation in of:
            kept = evaluation._replace(after=after)
            cursor.execute(SQL["keep_evaluation"], {"stream_id": live.stream_id, **kept._asdict()}, prepare=True)
            self._known[live.stream_id] = kept


def _stage(live: Live, evaluation: Evaluation) -> tuple[Any, ...]:
    """What segments that are evaluated together have in common."""
    return live.program, evaluation.cause, evaluation.after
