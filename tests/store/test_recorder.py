"""The eventsourcing library's own tests of a recorder, for ours."""

import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import LedgerRecorder

# The library's tests import its cipher for test cases that are not ours; it needs a package that we do not use.
_cipher = ModuleType("eventsourcing.cipher")
_cipher.AESCipher = object  # type: ignore[attr-defined]  # a stand-in that nobody calls
with mock.patch.dict(sys.modules, {"eventsourcing.cipher": _cipher}):
    from eventsourcing.tests import persistence


class OurRecorder:
    """What the library's test cases need to know about the recorder that they test."""

    INITIAL_VERSION = 1
    _database_url: str
    _datastore: LedgerDatastore

    @pytest.fixture(autouse=True)
    def _database(self, database_url: str) -> Iterator[None]:
        """A fresh database for each test."""
        self._datastore = LedgerDatastore(database_url)
        self._datastore.pool.open()
        yield
        self._datastore.close()

    def create_recorder(self) -> LedgerRecorder:
        """The recorder under test."""
        return LedgerRecorder(self._datastore)

    def new_originator_id(self) -> UUID:
        """The id of a stream."""
        return uuid4()


class TestApplicationRecorder(OurRecorder, persistence.ApplicationRecorderTestCase[LedgerRecorder]):
    """Inserting, selecting, positions, concurrency and subscriptions.

    `test_performance` and `test_concurrent_throughput` print figures and assert nothing that the others do not.
    """

    test_performance = None  # type: ignore[assignment]  # no test; see above
    test_concurrent_throughput = None  # type: ignore[assignment]  # no test; see above

    def test_insert_subscribe(self) -> None:
        """The library's subscription wakes up by our NOTIFY."""
        self.optional_test_insert_subscribe()


class TestNonInterleaving(OurRecorder, persistence.NonInterleavingNotificationIDsBaseCase):
    """Two large inserts at once do not mix."""


# Not inherited: AggregateRecorderTestCase (a table without positions, which we do not have; what it tests of inserting
# and selecting ApplicationRecorderTestCase tests too), TrackingRecorderTestCase and ProcessRecorderTestCase (ours are
# the projections' own), InfrastructureFactoryTestCase and the mapper's (no compressor, cipher or transcoder is used).


def event(stream: UUID, version: int, state: bytes = b"state") -> StoredEvent:
    """An event."""
    return StoredEvent(stream, version, "topic", state)


@pytest.fixture
def recorder(database_url: str) -> Iterator[LedgerRecorder]:
    """A recorder on a fresh database."""
    datastore = LedgerDatastore(database_url)
    datastore.pool.open()
    yield LedgerRecorder(datastore)
    datastore.close()


def test_nothing_of_a_batch_with_a_conflict(recorder: LedgerRecorder) -> None:
    """One taken version fails the whole batch, and leaves no gap."""
    stream, other = uuid4(), uuid4()
    recorder.insert_events([event(stream, 1)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([event(other, 1), event(stream, 1, b"other")])
    assert list(recorder.select_events(other)) == []
    assert recorder.insert_events([event(other, 1)]) == [2]
    assert [row.state for row in recorder.select_events(stream)] == [b"state"]


def test_nothing_to_insert(recorder: LedgerRecorder) -> None:
    """An empty batch takes no position."""
    none: Sequence[Any] = []
    assert recorder.insert_events(none) == []
    assert recorder.max_notification_id() is None
