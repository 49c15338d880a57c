"""The programs that are published, for those who read rather than decide."""

import time
from typing import Final

from loyalty.v1.events_pb2 import ProgramPublished
from loyalty.v1.program_pb2 import Program as Definition
from loyalty.v1.program_service_pb2 import ProgramVersion
from psycopg.rows import tuple_row

from ledger.domain.instant import set_timestamp
from ledger.domain.names import program_stream, transaction_name
from ledger.domain.program import Program
from ledger.store.recorder import LedgerRecorder
from ledger.store.topics import decode

FRESH_S: Final = 2.0
"""How long the newest version of a program is taken as the newest without looking again."""

_VERSIONS: Final = """
SELECT topic, state, recorded_at, request_id FROM events
WHERE originator_id = %b AND originator_version < %b ORDER BY originator_version DESC LIMIT %b
"""


class Programs:
    """Published programs by name, from the log."""

    def __init__(self, recorder: LedgerRecorder) -> None:
        self._recorder = recorder
        self._newest: dict[str, tuple[float, Program]] = {}

    def cached(self, name: str) -> Program | None:
        """The newest version, if it was looked up lately."""
        known = self._newest.get(name)
        return known[1] if known is not None and time.monotonic() < known[0] else None

    def newest(self, name: str) -> Program | None:
        """The newest version; None when there is no such program. Blocks on the database when it is not cached."""
        program = self.cached(name)
        if program is None:
            definition = self.definition(name, 0)
            if definition is None:
                return None
            program = Program(definition)
            self._newest[name] = (time.monotonic() + FRESH_S, program)
        return program

    def definition(self, name: str, version: int) -> Definition | None:
        """A version of a program, 0 for the newest; None when there is none. Blocks on the database."""
        rows = self._recorder.select_events(
            program_stream(name),
            gt=version - 1 if version else None,
            lte=version or None,
            desc=True,
            limit=1,
        )
        for row in rows:
            event = decode(row.topic, row.state)
            if isinstance(event, ProgramPublished):
                return event.request.program
        return None

    def versions(self, name: str, before: int, limit: int) -> list[ProgramVersion]:
        """The versions of a program before one, newest first. Blocks on the database."""
        with self._recorder.datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            rows = cursor.execute(_VERSIONS, (program_stream(name), before, limit), prepare=True).fetchall()
        return [
            _version(event, recorded_at, transaction_name(request_id))
            for topic, state, recorded_at, request_id in rows
            if isinstance(event := decode(topic, state), ProgramPublished)
        ]


def _version(event: ProgramPublished, recorded_at: int, transaction: str) -> ProgramVersion:
    program = event.request.program
    version = ProgramVersion(version=program.version, etag=program.etag, origin=event.origin, transaction=transaction)
    set_timestamp(version.recorded_at, recorded_at)
    if program.HasField("starts_at"):
        version.starts_at.CopyFrom(program.starts_at)
    return version
