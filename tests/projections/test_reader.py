"""The log as auditors and CRM systems read it: every event, once, in order, as it is stored."""

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import MapperDeserialisationError
from loyalty.v1.events_pb2 import Event

from ledger.domain.instant import from_timestamp
from ledger.domain.names import member_name, transaction_name
from ledger.store.datastore import LedgerDatastore
from projections import reader as module
from projections.hub import Hub
from projections.reader import PostgresReader
from tests.projections.history import START, History, append
from tests.projections.tables import execute
from tests.projections.waiting import PATIENCE_S


@pytest.fixture(name="hub")
def _hub(database_url: str) -> Iterator[Hub]:
    hub = Hub(database_url)
    hub.start()
    yield hub
    hub.stop()


@pytest.fixture(name="reader")
def _reader(datastore: LedgerDatastore, hub: Hub) -> PostgresReader:
    return PostgresReader(datastore, hub)


@pytest.fixture(name="history")
def _history(database_url: str) -> History:
    history = History().live(120)
    append(database_url, history.events)
    return history


def read_all(reader: PostgresReader, limit: int = 13, **conditions: Any) -> list[Event]:
    """All pages of a call."""
    asked: dict[str, Any] = {
        "after": 0, "until": 0, "subject": "", "types": (), "recorded_from": None,
        "recorded_until": None, **conditions,
    }  # fmt: skip
    found: list[Event] = []
    until = asked["until"] or reader.head_position()
    while asked["after"] < until:
        page = reader.read_events(**asked, limit=limit)
        assert page.scanned_to > asked["after"]
        assert len(page.events) <= limit
        assert all(asked["after"] < e.position <= page.scanned_to for e in page.events)
        found += page.events
        asked["after"] = page.scanned_to
    return found


def test_everything_in_order(reader: PostgresReader, history: History) -> None:
    """Every event with its position, subject, version and payload."""
    found = read_all(reader)
    assert [event.position for event in found] == list(range(1, len(history.events) + 1))
    for event, new in zip(found, history.events, strict=True):
        payload = getattr(event, event.WhichOneof("event") or "")
        assert payload == new.payload
        assert event.subject_version == new.version
        kind = type(new.payload).__name__
        if kind == "ProgramPublished":
            assert event.subject == "programs/shop"
        elif kind in {"CommandBlocked", "ReversalAwaited"}:
            assert event.subject == ""
        else:
            assert event.subject == member_name(new.stream_id)
        if kind == "CommandBlocked":
            assert event.transaction == payload.reversal
        elif new.request_id is not None:
            assert event.transaction == transaction_name(new.request_id)
        elif kind == "PointsExpired":
            assert event.transaction == ""
    assert {"CommandBlocked", "PointsExpired", "RewardReleased"} <= {
        type(new.payload).__name__ for new in history.events
    }


@pytest.mark.parametrize("limit", [1, 5, 2_000])
def test_conditions(reader: PostgresReader, history: History, limit: int) -> None:
    """Each condition alone gives exactly what a filter over everything gives."""
    everything = read_all(reader)
    member = member_name(next(iter(history.accounts)))

    def read(**conditions: Any) -> list[int]:
        return [event.position for event in read_all(reader, limit, **conditions)]

    assert read(subject=member) == [e.position for e in everything if e.subject == member]
    assert read(subject="programs/shop") == [1]
    assert read(subject="members/00000000-0000-4000-8000-000000000000") == []
    types = ["PointsExpired", "TierChanged"]
    wanted = [e.position for e in everything if e.WhichOneof("event") in {"points_expired", "tier_changed"}]
    assert wanted
    assert read(types=types) == wanted
    assert read(types=types, subject=member) == [
        e.position for e in everything if e.position in wanted and e.subject == member
    ]
    assert read(after=40, until=77) == list(range(41, 78))
    start, end = START + 50_000_000, START + 100_000_000
    between = [e.position for e in everything if start <= from_timestamp(e.recorded_at) < end]
    assert between
    assert read(recorded_from=start, recorded_until=end) == between
    assert read(recorded_from=START * 2) == []
    assert read(recorded_until=START) == []


def test_rare_type_in_a_long_log(reader: PostgresReader, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call looks at a bounded piece of the log and says how far it came, also when it found nothing."""
    monkeypatch.setattr(module, "SCAN_EVENTS_MAX", 10)
    page = reader.read_events(1, 0, "", ["ProgramPublished"], None, None, 100)
    assert (page.events, page.scanned_to, page.head) == ([], 11, len(history.events))
    assert [e.position for e in read_all(reader, types=["ProgramPublished"])] == [1]


def test_transaction(reader: PostgresReader, history: History) -> None:
    """A command's main event with all that followed from it."""
    by_transaction: dict[UUID, list[int]] = {}
    for position, new in enumerate(history.events, 1):
        for key in {new.request_id, new.transaction_id} - {None}:
            assert key is not None
            by_transaction.setdefault(key, []).append(position)
    assert max(map(len, by_transaction.values())) > 2
    for transaction, positions in by_transaction.items():
        assert [event.position for event in reader.transaction(transaction)] == positions
    assert reader.transaction(UUID(int=5)) == []


def test_wait_for(reader: PostgresReader, database_url: str) -> None:
    """A tail is woken by the commit that it waits for, and told when there was none."""
    assert reader.head_position() == 0
    assert not reader.wait_for(1, 0.0)
    history = History()
    writer = threading.Thread(target=append, args=(database_url, history.events))
    writer.start()
    assert reader.wait_for(1, PATIENCE_S)
    writer.join()
    assert reader.head_position() == 1


@pytest.mark.usefixtures("history")
def test_damaged_event_is_never_left_out(reader: PostgresReader, database_url: str) -> None:
    """An event that cannot be read ends the reading with an error."""
    execute(database_url, "UPDATE events SET state = '\\xff' WHERE notification_id = 30")
    with pytest.raises(MapperDeserialisationError):
        read_all(reader)
