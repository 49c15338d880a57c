"""A fresh, migrated database for each test, more of them to compare with, and the runners of the read side."""

from collections.abc import Iterator

import pytest

from ledger.store.datastore import POINT_LOOKUPS, LedgerDatastore
from projections.runner import ReadSide
from tests.running import Databases


@pytest.fixture
def another_url(databases: Databases) -> Iterator[str]:
    """One more database, to compare with."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
def third_url(databases: Databases) -> Iterator[str]:
    """And one more."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
def read_side(database_url: str) -> Iterator[ReadSide]:
    """The runners on the database, in small pages. Started by the test, stopped after it."""
    side = ReadSide(database_url, page_events=7)
    yield side
    side.stop()


@pytest.fixture
def datastore(database_url: str) -> Iterator[LedgerDatastore]:
    """Connections as the server reads through."""
    with LedgerDatastore(database_url, options=POINT_LOOKUPS) as datastore:
        yield datastore
