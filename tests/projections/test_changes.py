"""Changes as the feed sends them: put together from stored bytes, and equal to events that are built and encoded."""

from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import MapperDeserialisationError
from google.protobuf.message import Message
from loyalty.v1.events_pb2 import CommandBlocked, Event, MemberEnrolled

from ledger.store.datastore import LedgerDatastore
from ledger.store.topics import TOPICS
from projections.changes import PostgresChanges
from projections.hub import Hub
from projections.reader import PostgresReader
from tests.golden.make import file_of
from tests.projections.history import History, append
from tests.projections.moved import moved

ALL_TYPES = sorted(kind.__name__ for kind in TOPICS)


@pytest.fixture(name="changes")
def _changes(datastore: LedgerDatastore) -> PostgresChanges:
    return PostgresChanges(datastore)


@pytest.fixture(name="reader")
def _reader(datastore: LedgerDatastore, database_url: str) -> PostgresReader:
    return PostgresReader(datastore, Hub(database_url))


def golden(kind: type[Message]) -> bytes:
    """The kept bytes of a type of event."""
    event = kind.FromString(file_of(TOPICS[kind]).read_bytes())
    if isinstance(event, CommandBlocked):
        event.reversal = f"transactions/{uuid4()}"  # of which a reader takes the id
    return event.SerializeToString()


def store(database_url: str, *rows: tuple[UUID, int, str, bytes, UUID | None, int]) -> None:
    """Puts events into an empty log, as they are: stream, version, topic, state, request id, recorded at."""
    with psycopg.connect(database_url) as connection:
        for position, (stream, version, topic, state, request_id, recorded_at) in enumerate(rows, 1):
            connection.execute(
                "INSERT INTO events VALUES (%s, %s, %s, %s, %s, %s, %s, NULL, NULL)",
                (stream, version, topic, state, position, recorded_at, request_id),
            )


def read(reader: PostgresReader, limit: int = 1_000) -> list[Event]:
    """The log as objects, without what is no change."""
    page = reader.read_events(0, 0, "", (), None, None, limit)
    return [event for event in page.events if not event.HasField("audit_recorded")]


def test_every_type_is_what_it_would_be_if_it_were_built(
    database_url: str, changes: PostgresChanges, reader: PostgresReader
) -> None:
    """Byte for byte, with a command and without, with small numbers and large ones."""
    rows = [
        (uuid4(), version, TOPICS[kind], golden(kind), uuid4() if commanded else None, recorded_at)
        for kind in TOPICS
        for version, commanded, recorded_at in (
            (1, True, 1_700_000_000_000_000),
            (2**40, False, 1_700_000_000_000_001),
        )
    ]
    store(database_url, *rows)
    page = changes.read(0, (), "", 1_000)
    built = read(reader)
    assert (page.scanned_to, page.head) == (len(rows), len(rows))
    assert [change.content for change in page.changes] == [event.SerializeToString() for event in built]
    assert [change.position for change in page.changes] == [event.position for event in built]
    assert {Event.FromString(one.content).WhichOneof("event") for one in page.changes} == {
        event.WhichOneof("event") for event in built
    }
    assert len(page.changes) == 2 * (len(TOPICS) - 1)


@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_a_log_in_pages(database_url: str, changes: PostgresChanges, reader: PostgresReader, limit: int) -> None:
    """Each change once, in order, whatever the size of the pages."""
    append(database_url, History().live(120).events)
    found: list[bytes] = []
    after = 0
    while True:
        page = changes.read(after, (), "", limit)
        if page.scanned_to == after:
            break
        found += [change.content for change in page.changes]
        after = page.scanned_to
    assert found == [event.SerializeToString() for event in read(reader)]
    assert after == page.head


def test_some_types_of_some_program(database_url: str, changes: PostgresChanges, reader: PostgresReader) -> None:
    """Of one program come its members' events, its own, its pools' and its segments', and those alone."""
    append(database_url, [*History().live(120).events, *moved(5)])
    stranger = MemberEnrolled(program="programs/other")
    with psycopg.connect(database_url) as connection:
        head = connection.execute("SELECT max(notification_id), max(recorded_at) FROM events").fetchone()
        assert head is not None
        connection.execute(
            "INSERT INTO events VALUES (%s, 1, 'enrolled/1', %s, %s, %s, NULL, NULL, NULL)",
            (uuid4(), stranger.SerializeToString(), head[0] + 1, head[1]),
        )
    whole = read(reader)
    (program,) = {
        event.program_published.request.program.name for event in whole if event.HasField("program_published")
    }
    mine = [event.position for event in whole if event.member_enrolled.program != stranger.program]
    named = [position for position in mine if position in {event.position for event in whole if event.subject}]
    assert [one.position for one in changes.read(0, (), program, 1_000).changes] == named
    assert [one.position for one in changes.read(0, (), "programs/other", 1_000).changes] == [head[0] + 1]
    sales = changes.read(0, ["SaleRecorded", "SaleReturned"], program, 1_000)
    assert [one.position for one in sales.changes] == [
        event.position for event in whole if event.WhichOneof("event") in ("sale_recorded", "sale_returned")
    ]
    assert sales.scanned_to == head[0] + 1


def test_damaged_bytes_are_told(database_url: str, changes: PostgresChanges) -> None:
    """Not sent on to somebody who could read neither this event nor what comes with it."""
    store(database_url, (uuid4(), 1, "enrolled/1", b"\xff\xff", None, 1))
    with pytest.raises(MapperDeserialisationError, match="damaged"):
        changes.read(0, (), "", 10)
