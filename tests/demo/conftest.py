"""A server for the demo."""

from collections.abc import Iterator

import pytest

from ledger.demo.own_server import Endpoint
from tests.running import Databases, ServerProcess, running, token


@pytest.fixture
def server(databases: Databases) -> Iterator[ServerProcess]:
    """A server with a database of its own: request ids are unique in the whole ledger."""
    with running(databases.url(databases.create())) as process:
        yield process


@pytest.fixture
def endpoint(server: ServerProcess) -> Endpoint:
    """Where that server is."""
    return Endpoint(server.address, token(server.database_url))
