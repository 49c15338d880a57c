"""Fixtures: credentials in a fresh database, and who knows them."""

from collections.abc import Iterator

import pytest

from ledger.api.authentication import Authenticator
from ledger.api.interceptor import Gate
from ledger.store.credentials import Credentials
from ledger.store.datastore import LedgerDatastore


@pytest.fixture
def credentials(database_url: str) -> Iterator[Credentials]:
    """The table of credentials in the fresh database."""
    with LedgerDatastore(database_url) as datastore:
        yield Credentials(datastore.pool, timeout_s=1.0)


@pytest.fixture
def authenticator(credentials: Credentials) -> Iterator[Authenticator]:
    """An authenticator over it."""
    authenticator = Authenticator(credentials)
    yield authenticator
    authenticator.close()


@pytest.fixture
def gate(authenticator: Authenticator) -> Gate:
    """A gate over it that allows five look-ups a minute."""
    return Gate(authenticator, lookups_per_minute=5, log_successes=True)
