"""Live segments: those that somebody may be in, compiled."""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from loyalty.v1.program_pb2 import Program
from loyalty.v1.segment_pb2 import Segment
from psycopg import Cursor

from ledger.domain.instant import local_date
from ledger.domain.segments.criteria import Criteria
from ledger.segments.statements import SQL

log = logging.getLogger(__name__)

_UTC: Final = ZoneInfo("UTC")


@dataclass(slots=True)
class Live:
    """A segment."""

    stream_id: UUID
    version: int
    """Of its last event."""
    program: str
    name: str
    definition_version: int
    """Which of its events has the definition, or says that it is deleted."""
    is_deleted: bool
    criteria: Criteria | None
    """None where only those are in who are on its list."""

    @property
    def is_timed(self) -> bool:
        """Whether a new day may change who is in."""
        return self.criteria is not None and self.criteria.is_timed and not self.is_deleted

    @property
    def is_fitted(self) -> bool:
        """Whether a fit of the value models may."""
        return self.criteria is not None and self.criteria.is_fitted and not self.is_deleted


class Registry:
    """The live segments of all programs, and what day it is in each."""

    def __init__(self, kinds: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._compiled: dict[UUID, tuple[int, Criteria | None]] = {}
        self._broken: set[tuple[UUID, int]] = set()
        self._zones: dict[str, ZoneInfo] = {}
        self.segments: Sequence[Live] = ()

    def load(self, cursor: Cursor[Any]) -> None:
        """Looks what there is."""
        rows = cursor.execute(SQL["live"], prepare=True).fetchall()
        self._load_zones(cursor, {row[2] for row in rows})
        self.segments = [live for row in rows if (live := self._live(row)) is not None]

    def today(self, program: str, at: int) -> date:
        """The day of an instant in a program. As long as no view knows the program, any zone does."""
        return local_date(at, self._zones.get(program, _UTC))

    def today_of(self, cursor: Cursor[Any], program: str, at: int) -> date:
        """The same of any program."""
        self._load_zones(cursor, {program})
        return self.today(program, at)

    def _load_zones(self, cursor: Cursor[Any], programs: Set[str]) -> None:
        unknown = programs - self._zones.keys()
        if unknown:
            rows = cursor.execute(SQL["zones"], {"programs": list(unknown)}, prepare=True).fetchall()
            self._zones.update((name, ZoneInfo(Program.FromString(raw).time_zone or "UTC")) for name, raw in rows)

    def of(self, program: str) -> list[Live]:
        """The segments of a program."""
        return [live for live in self.segments if live.program == program]

    def _live(self, row: Sequence[Any]) -> Live | None:
        stream_id, version, program, segment_id, definition, definition_version, is_deleted = row
        known = self._compiled.get(stream_id)
        if known is None or known[0] != definition_version:
            try:
                known = self._compiled[stream_id] = (definition_version, self._compile(definition))
            except ValueError as error:
                if (stream_id, definition_version) not in self._broken:
                    log.error("segment %s of %s stays as it is: %s", segment_id, program, error)  # noqa: TRY400 - what is wrong is with the segment
                    self._broken.add((stream_id, definition_version))
                return None
        name = f"{program}/segments/{segment_id}"
        return Live(stream_id, version, program, name, definition_version, is_deleted, known[1])

    def _compile(self, definition: bytes) -> Criteria | None:
        segment = Segment.FromString(definition)
        return Criteria(segment, self._kinds) if segment.expression else None
