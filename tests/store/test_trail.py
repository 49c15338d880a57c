"""The trail: what is noted gets into the log once, in batches, folded and bounded."""

from collections.abc import Iterator

import psycopg
import pytest
from loyalty.v1.audit_trail_pb2 import AuditEntry, AuditKind
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import AuditRecorded

from ledger.domain.instant import DAY, MINUTE, SECOND
from ledger.writer.trail import ENTRIES_MAX, NOTED_MAX, REFUSED_RESOURCES_MAX, Noted, Trail
from ledger.writer.writer import Writer
from projections.check import check
from tests.model.in_process import InProcess
from tests.projections.tables import catch_up

NOON = 1_577_880_000_000_000
READ = Noted(
    AuditKind.AUDIT_KIND_READ,
    "credentials/t-1",
    "pos",
    "m",
    "members/1",
    "s-1",
    "t-1",
    "192.0.2.0/24",
    ErrorReason.ERROR_REASON_UNSPECIFIED,
)
REFUSAL = READ._replace(kind=AuditKind.AUDIT_KIND_REFUSAL, resource="", reason=ErrorReason.ERROR_REASON_NOT_ALLOWED)


class Noting:
    """A trail whose clock stands still, on a writer and a log of its own."""

    def __init__(self, database_url: str) -> None:
        self.now = NOON
        self.database_url = database_url
        self.process = InProcess(database_url, lambda: self.now)
        self.trail = self.new_trail(self.process.writer)

    def new_trail(self, writer: Writer) -> Trail:
        """A trail on a writer."""
        return Trail(writer, lambda: self.now)

    def recorded(self) -> list[AuditRecorded]:
        """The events in the log."""
        with psycopg.connect(self.database_url) as connection:
            rows = connection.execute("SELECT state FROM events ORDER BY notification_id").fetchall()
        return [AuditRecorded.FromString(state) for (state,) in rows]

    def entries(self) -> list[AuditEntry]:
        """What they say."""
        return [entry for event in self.recorded() for entry in event.request.entries]


@pytest.fixture
def noting(database_url: str) -> Iterator[Noting]:
    """A trail."""
    noting = Noting(database_url)
    yield noting
    noting.process.close()


def test_reads_of_a_moment_are_one_entry(noting: Noting) -> None:
    """With how often, from when until when. Nothing is recorded where nothing was noted."""
    noting.trail.record()
    noting.trail.note(READ)
    noting.now += SECOND
    noting.trail.note(READ)
    noting.trail.note(READ._replace(resource="members/2"))
    noting.trail.record()
    noting.trail.record()
    (event,) = noting.recorded()
    first, second = event.request.entries
    assert (first.count, second.count) == (2, 1)
    assert first.last_at.seconds - first.first_at.seconds == 1
    assert (first.actor, first.network, first.kind) == (READ.actor, READ.network, READ.kind)


def test_refusals_of_a_minute_are_two_entries(noting: Noting) -> None:
    """The first at once, the others at the minute's end, however many; another one is another entry."""
    for _ in range(60):
        noting.trail.note(REFUSAL)
        noting.trail.record()
        noting.now += SECOND
    assert [entry.count for entry in noting.entries()] == [1]
    noting.trail.note(REFUSAL._replace(actor="credentials/t-2"))
    noting.trail.record()
    assert [entry.count for entry in noting.entries()] == [1, 59, 1]
    noting.trail.note(REFUSAL)
    noting.trail.record()
    assert len(noting.entries()) == 3
    noting.trail.record(all_of_it=True)
    assert [entry.count for entry in noting.entries()] == [1, 59, 1, 1]


def test_too_many_are_counted(noting: Noting) -> None:
    """What there is no room for is in the log as a number; an event has so many entries and no more."""
    for number in range(NOTED_MAX + 50):
        noting.trail.note(READ._replace(resource=f"members/{number}"))
    noting.trail.note(READ._replace(resource="members/0"))
    noting.trail.note(REFUSAL)
    noting.trail.record()
    events = noting.recorded()
    assert [len(event.request.entries) for event in events] == [ENTRIES_MAX] * 10 + [2]
    assert [event.request.number for event in events] == list(range(1, 12))
    entries = noting.entries()
    assert sum(entry.count for entry in entries) == NOTED_MAX + 52
    assert entries[-2].kind == REFUSAL.kind, "there is room for the other kind"
    assert (entries[-1].kind, entries[-1].count) == (AuditKind.AUDIT_KIND_OVERFLOW, 50)
    assert dict(entries[-1].details) == {"kind": "READ"}


def test_what_the_writer_does_not_take_waits(noting: Noting) -> None:
    """It is recorded as soon as there is a writer again, once; what is noted meanwhile comes behind it."""
    noting.process.writer.stop()
    noting.trail.note(READ)
    noting.trail.record()
    noting.trail.note(REFUSAL)
    noting.trail.record()
    assert noting.recorded() == []
    noting.process.restart()
    noting.trail._writer = noting.process.writer
    noting.trail.record()
    noting.trail.record()
    assert [entry.kind for entry in noting.entries()] == [READ.kind, REFUSAL.kind]


def test_what_was_recorded_is_not_recorded_again(noting: Noting) -> None:
    """An outcome that nobody knew is found by its request id."""
    noting.trail.note(READ)
    (command,) = noting.trail._commands(list(noting.trail._take(all_of_it=False)))
    for _ in range(2):
        noting.trail._unsent = [command]
        noting.trail.record()
        assert noting.trail._unsent == []
    assert len(noting.recorded()) == 1


def test_a_trail_a_day(noting: Noting, database_url: str) -> None:
    """Streams stay short; each is numbered without gaps, and a check finds nothing wrong."""
    for _ in range(4):
        noting.trail.note(READ)
        noting.trail.record()
        noting.now += DAY // 2 - MINUTE
    trails = [event.request.trail for event in noting.recorded()]
    assert [event.request.number for event in noting.recorded()] == [1, 2, 1, 2]
    assert len(set(trails)) == 2
    catch_up(database_url)
    result = check(database_url, 1)
    assert result.ok, list(result.lines())


def test_the_end_of_a_process(noting: Noting) -> None:
    """Nothing that was noted is lost when it stops in order."""
    noting.trail.start()
    for _ in range(3):
        noting.trail.note(REFUSAL)
    noting.trail.stop()
    assert sum(entry.count for entry in noting.entries()) == 3


def test_refusals_on_ever_other_things_are_told_apart_up_to_a_limit(noting: Noting) -> None:
    """So that nobody can fill the log by failing, each time on something made up; the next minute begins anew."""
    for number in range(500):
        noting.trail.note(REFUSAL._replace(resource=f"members/{number}"))
    noting.trail.record()
    found = noting.entries()
    assert len(found) == REFUSED_RESOURCES_MAX + 1
    assert [one.count for one in found if not one.resource] == [500 - REFUSED_RESOURCES_MAX]
    noting.now += MINUTE
    noting.trail.note(REFUSAL._replace(resource="members/last"))
    noting.trail.record()
    assert noting.entries()[-1].resource == "members/last"
