"""Fixtures: one PostgreSQL and one server for each test process; each test makes a program of its own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from loyalty.v1.program_pb2 import Program

from tests.running import Databases, ServerProcess, in_memory, running, token
from tests.shop import Shop

OpenShop = Callable[[Program], Shop]

# Hypothesis tries the same examples in CI, others each time with LOYALTY_HYPOTHESIS=deep: see tests/model/effort.py.
# How long one takes says nothing: two cores are shared with servers and PostgreSQL.
settings.register_profile(
    "deep",
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    # To explain a failure it traces every line, which takes minutes before Python 3.12.
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.register_profile("ci", settings.get_profile("deep"), derandomize=True, database=None)
settings.load_profile(os.environ.get("LOYALTY_HYPOTHESIS", "ci"))


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """A PostgreSQL for the whole run. Not below pytest's own folder, which another run of pytest closes to others."""
    with TemporaryDirectory(prefix="loyalty-tests-", dir=in_memory()) as folder:
        databases = Databases(Path(folder))
        yield databases
        databases.stop()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A fresh, migrated database."""
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="session")
def server(databases: Databases) -> Iterator[ServerProcess]:
    """A server that tests share; they keep apart by their programs."""
    with running(databases.url(databases.create())) as process:
        yield process


@pytest.fixture(scope="session")
def admin_token(server: ServerProcess) -> str:
    """A credential for everything on the shared server."""
    return token(server.database_url)


@pytest.fixture(scope="session")
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    """A channel to the shared server."""
    with server.channel() as channel:
        yield channel


@pytest.fixture
def open_shop(channel: grpc.Channel, admin_token: str) -> OpenShop:
    """Opens a shop with a program on the shared server."""
    return lambda program: Shop(channel, admin_token, program)
