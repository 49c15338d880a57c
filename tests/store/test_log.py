"""The log itself: positions, clocks, followers, and that nothing in it can be changed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from loyalty.v1.events_pb2 import PointsExpired

from ledger.domain.new_event import NewEvent
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import LedgerRecorder

WRITERS = 4
BATCHES = 50
PAGE = 7
WAIT_S = 60.0


@pytest.fixture
def recorder(database_url: str) -> Iterator[LedgerRecorder]:
    """A recorder on a fresh database."""
    datastore = LedgerDatastore(database_url, pool_size=WRITERS + 1)
    datastore.pool.open()
    yield LedgerRecorder(datastore)
    datastore.close()


def new_events(stream: UUID, first: int, count: int) -> list[NewEvent]:
    """Events of a stream."""
    return [NewEvent(stream, version, PointsExpired(), None, None, None) for version in range(first, first + count)]


def append_many(recorder: LedgerRecorder, seed: int) -> None:
    """Batches of different sizes, with a clock that is not the other writers'; some of them fail."""
    stream, version = uuid4(), 1
    clock = 1_000_000 * (seed + 1)
    for number in range(BATCHES):
        count = 1 + (seed + number) % 3
        with recorder.session() as session:
            if number % 10 == 9:
                with pytest.raises(psycopg.errors.UniqueViolation):
                    session.append(new_events(stream, 1, count), clock)
            else:
                session.append(new_events(stream, version, count), clock + number * (-1) ** number)
                version += count


def test_positions_and_clocks(recorder: LedgerRecorder, database_url: str) -> None:
    """Four writers at once, whose clocks differ and run backwards: 1, 2, 3 without gaps, and never back in time."""
    with ThreadPoolExecutor(WRITERS) as threads:
        for done in [threads.submit(append_many, recorder, seed) for seed in range(WRITERS)]:
            done.result(WAIT_S)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT notification_id, recorded_at FROM events ORDER BY notification_id").fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)


def test_followers_miss_nothing(recorder: LedgerRecorder) -> None:
    """Whoever reads on behind the last position seen sees each event, while four writers commit at once."""
    over = Event()

    def follow() -> list[int]:
        seen: list[int] = []
        while True:
            last_look = over.is_set()
            page = recorder.select_notifications(seen[-1] if seen else None, PAGE, inclusive_of_start=False)
            seen += [notification.id for notification in page]
            if last_look and not page:
                return seen

    with ThreadPoolExecutor(WRITERS + 2) as threads:
        followers = [threads.submit(follow) for _ in range(2)]
        try:
            for done in [threads.submit(append_many, recorder, seed) for seed in range(WRITERS)]:
                done.result(WAIT_S)
        finally:
            over.set()
        for follower in followers:
            assert follower.result(WAIT_S) == list(range(1, (recorder.max_notification_id() or 0) + 1))


CHANGES = (
    "UPDATE events SET state = ''",
    "UPDATE events SET state = '' WHERE false",
    "DELETE FROM events",
    "DELETE FROM events WHERE notification_id = 1",
    "TRUNCATE events",
    "INSERT INTO events SELECT * FROM events ON CONFLICT (originator_id, originator_version) DO UPDATE SET state = ''",
    "MERGE INTO events USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone",
)


@pytest.mark.parametrize("statement", CHANGES)
def test_events_cannot_be_changed(recorder: LedgerRecorder, database_url: str, statement: str) -> None:
    """The role that the service uses can append and nothing else."""
    recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"state")])
    with (
        psycopg.connect(database_url) as connection,
        pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never changed or removed"),
    ):
        connection.execute(statement.encode())
    assert [row.state for row in recorder.select_notifications(1, 10)] == [b"state"]


def test_position_cannot_be_chosen_twice(recorder: LedgerRecorder, database_url: str) -> None:
    """An insert past append_events cannot put anything before what is there."""
    recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"state")])
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO events VALUES (gen_random_uuid(), 1, 'topic', '', 1, 0, NULL, NULL, NULL)")


def test_maintenance_does_not_stop_tills(recorder: LedgerRecorder, database_url: str) -> None:
    """VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY hold this lock for as long as they run; appending goes on."""
    with psycopg.connect(database_url) as maintenance:
        maintenance.execute("LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE")
        with recorder.session() as session:
            session._cursor.execute("SET statement_timeout = '2s'")
            assert session.append(new_events(uuid4(), 1, 1), 1).first_position == 1
        with recorder.session(locked=True) as session:
            assert session.append(new_events(uuid4(), 1, 1), 1).first_position == 2
