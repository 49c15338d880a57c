"""Retention: members who have not been there for long are erased, and old texts of feedback are deleted.

Each program says after how long. An erasure is a command like any other, refused where the member comes back meanwhile.
"""

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from loyalty.v1.consent_pb2 import EraseMemberRequest, ErasureReason
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.program_pb2 import Program as Definition
from psycopg import Connection, sql
from psycopg.rows import tuple_row
from uuid_utils.compat import uuid7

from ledger.domain.expiry import add_months
from ledger.domain.instant import DAY, from_timestamp, local_date, set_timestamp, start_of_day
from ledger.domain.names import member_name
from ledger.domain.refusal import Rejected
from ledger.store.programs import Programs
from ledger.writer.command import Command, Failure
from ledger.writer.writer import Result, Writer

PAGE_MEMBERS: Final = 500
"""Members that are looked at, and erased, at once."""

LINK_DAYS: Final = 30
"""How long a feedback link is kept after its time: until then whoever has it is told that it is too old."""

LOCK_TIMEOUT: Final = "5s"
"""How long tills may wait for a table of the profile store that is to be written anew."""

ACTIVE: Final = (
    "enrolled/1",
    "sale/1",
    "returned/1",
    "redeemed/1",
    "reserved/1",
    "activity/1",
    "voucher-used/1",
    "entitlement-used/1",
    "consents/1",
    "feedback/1",
)
"""What members do themselves. What is done to them, by hand or by time, is no activity."""

_PROGRAMS: Final = "SELECT DISTINCT program FROM profile.members ORDER BY 1"

_INACTIVE: Final = """
SELECT m.member_id, e.version FROM profile.members m
CROSS JOIN LATERAL (
    SELECT max(originator_version) AS version, max(recorded_at) FILTER (WHERE topic = ANY (%(active)s)) AS active_at
    FROM events WHERE originator_id = m.member_id
) AS e
WHERE m.program = %(program)s AND m.member_id > %(after)s AND e.active_at < %(before)s
ORDER BY m.member_id LIMIT %(limit)s
"""

_OLD_TEXTS: Final = """
FROM profile.feedback_texts t USING profile.members m
WHERE m.member_id = t.member_id AND m.program = %s AND t.recorded_at < %s
"""

_TABLES: Final = """
SELECT relnamespace::regnamespace::text, relname FROM pg_class
WHERE relkind = 'r' AND (relnamespace = 'profile'::regnamespace OR oid = 'voucher_codes'::regclass) ORDER BY 1, 2
"""


class Applied(NamedTuple):
    """What a program's rules come to."""

    program: str
    members: int
    """Who is to be erased, or was."""
    texts: int
    """Texts of feedback that are to be deleted, or were."""


class Retention:
    """Finds what has been kept long enough, on a connection in autocommit mode; applies it through a writer."""

    def __init__(self, connection: Connection[Any], programs: Programs, now: int) -> None:
        self._cursor = connection.cursor(row_factory=tuple_row)
        self._programs = programs
        self._now = now
        row = self._cursor.execute("SELECT session_user").fetchone()
        self._actor = f"databaseRoles/{row[0]}" if row is not None else ""

    def due(self) -> list[Applied]:
        """What applying would do, by program."""
        found: list[Applied] = []
        for name, definition in self._definitions():
            members = sum(len(page) for page in self._inactive(name, definition))
            texts = self._texts(name, definition, "SELECT count(*) " + _OLD_TEXTS.replace("USING", "CROSS JOIN"))
            found.append(Applied(name, members, texts))
        return found

    def apply(self, writer: Writer) -> list[Applied]:
        """Erases members and deletes texts, by program; then what is gone from tables goes from their files too."""
        done: list[Applied] = []
        for name, definition in self._definitions():
            members = sum(self._erase(writer, page) for page in self._inactive(name, definition))
            deleted = f"WITH gone AS (DELETE {_OLD_TEXTS} RETURNING 1) SELECT count(*) FROM gone"
            done.append(Applied(name, members, self._texts(name, definition, deleted)))
        self._cursor.execute("DELETE FROM profile.feedback_links WHERE expires_at < %s", (self._now - LINK_DAYS * DAY,))
        self._write_anew()
        return done

    def _definitions(self) -> Iterator[tuple[str, Definition]]:
        """The version of each program that is in force, where it has rules."""
        for (name,) in self._cursor.execute(_PROGRAMS).fetchall():
            definition = self._programs.definition(name, 0)
            while (
                definition is not None and definition.version > 1 and from_timestamp(definition.starts_at) > self._now
            ):
                definition = self._programs.definition(name, definition.version - 1)
            if definition is not None and definition.HasField("retention"):
                yield name, definition

    def _inactive(self, name: str, definition: Definition) -> Iterator[Sequence[tuple[UUID, int]]]:
        """Pages of members without activity, each with the version that they are at."""
        months = definition.retention.inactive_months
        if not months:
            return
        zone = ZoneInfo(definition.time_zone)
        before = start_of_day(add_months(local_date(self._now, zone), -months), zone)
        asked = {"active": list(ACTIVE), "program": name, "before": before, "limit": PAGE_MEMBERS, "after": UUID(int=0)}
        while page := self._cursor.execute(_INACTIVE, asked).fetchall():
            yield page
            asked["after"] = page[-1][0]

    def _texts(self, name: str, definition: Definition, statement: str) -> int:
        """How many old texts a statement counts or deletes."""
        days = definition.retention.feedback_text_days
        if not days:
            return 0
        zone = ZoneInfo(definition.time_zone)
        before = start_of_day(local_date(self._now, zone) - timedelta(days=days), zone)
        row = self._cursor.execute(statement.encode(), (name, before)).fetchone()
        return row[0] if row is not None else 0

    def _erase(self, writer: Writer, page: Sequence[tuple[UUID, int]]) -> int:
        """Erases members unless something was recorded for them since; returns how many."""
        done = threading.Event()
        results: list[Result] = []

        def answer(settled: Sequence[Result]) -> None:
            results.extend(settled)
            done.set()

        writer.submit([self._command(member, version) for member, version in page], answer)
        done.wait()
        failures = [result.error for result in results if isinstance(result, Failure)]
        for error in failures:
            if not isinstance(error, Rejected) or error.reason not in _MEANWHILE:
                raise error
        return len(results) - len(failures)

    def _command(self, member: UUID, version: int) -> Command:
        request_id = uuid7()
        request = EraseMemberRequest(
            request_id=str(request_id),
            member=member_name(member),
            reason=ErasureReason.ERASURE_REASON_RETENTION,
            etag=f'"v{version}"',
        )
        origin = Origin(operator="retention", channel=Channel.CHANNEL_BACK_OFFICE, credential=self._actor)
        set_timestamp(origin.occurred_at, self._now)
        return Command(request, request_id, origin, self._now, member=member)

    def _write_anew(self) -> None:
        """Writes the tables of the profile store anew: the bytes of rows that are gone stay in files until then."""
        self._cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        for schema, table in self._cursor.execute(_TABLES).fetchall():
            self._cursor.execute(sql.SQL("VACUUM (FULL) {}").format(sql.Identifier(schema, table)))


_MEANWHILE: Final = (ErrorReason.ERROR_REASON_ETAG_MISMATCH, ErrorReason.ERROR_REASON_MEMBER_ERASED)
