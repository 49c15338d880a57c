"""C8 and C9: servers and PostgreSQL are killed at full load. What was acknowledged is there once; a retry settles the rest."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.faults.load import Journal, load_program, open_channel, retry_unknown, tills, verify
from tests.proof import prove
from tests.running import Databases, ServerProcess, running, token
from tests.shop import Shop

ROUNDS = 3
COMMANDS_A_ROUND = 150


@pytest.fixture
def own_databases() -> Iterator[Databases]:
    """A PostgreSQL that a test may stop. Not below pytest's folder, which every other run of pytest closes again."""
    with tempfile.TemporaryDirectory(prefix="loyalty-") as path:
        Path(path).chmod(0o755)
        databases = Databases(Path(path) / "postgres")
        yield databases
        databases.stop()


def keep_address(server: ServerProcess) -> None:
    """Has a server come back where it was, as tills expect."""
    server.environment["LOYALTY_ADDRESS"] = server.address


def shop_on(channel: grpc.Channel, database_url: str, like: Shop | None = None) -> Shop:
    """A shop on a server: a new one, or another till of the same program."""
    shop = Shop(channel, token(database_url))
    if like is None:
        shop.publish(load_program())
    else:
        shop.program = like.program
    return shop


def prove_all(shop: Shop, database_url: str, journal: Journal, members: list[str]) -> None:
    """Everything that must hold once the load is over: the log, every retry, the views."""
    verify(database_url, journal)
    retry_unknown(shop, journal)
    verify(database_url, journal)
    for member in members:
        prove(shop, member)


def test_c8_server_killed(database_url: str) -> None:
    """SIGKILL at full load, three times."""
    journal = Journal()
    with running(database_url) as server, open_channel(server.address) as channel:
        keep_address(server)
        shop = shop_on(channel, database_url)
        members = [shop.member() for _ in range(4)]
        with tills([shop], members, journal):
            for _ in range(ROUNDS):
                journal.wait_for(COMMANDS_A_ROUND)
                server.kill()
                server.start()
            journal.wait_for(COMMANDS_A_ROUND)
        assert not journal.wrong
        prove_all(shop, database_url, journal, members)


def test_c8_one_of_two_servers_killed(database_url: str) -> None:
    """The other server goes on, on the same accounts, and answers for the killed one."""
    journal = Journal()
    with (
        running(database_url) as one,
        running(database_url) as other,
        open_channel(one.address) as channel,
        open_channel(other.address) as other_channel,
    ):
        shop = shop_on(channel, database_url)
        second = shop_on(other_channel, database_url, like=shop)
        members = [shop.member() for _ in range(2)]
        with tills([shop, second], members, journal):
            journal.wait_for(2 * COMMANDS_A_ROUND)
            one.kill()
            journal.wait_for(COMMANDS_A_ROUND)
        assert not journal.wrong
        prove_all(second, database_url, journal, members)


def test_c9_database_killed(own_databases: Databases) -> None:
    """PostgreSQL stopped as by a power cut, twice; the server comes back by itself, and nobody is told anything wrong."""
    database_url = own_databases.url(own_databases.create())
    journal = Journal()
    with running(database_url) as server, open_channel(server.address) as channel:
        shop = shop_on(channel, database_url)
        members = [shop.member() for _ in range(4)]
        with tills([shop], members, journal):
            for _ in range(2):
                journal.wait_for(COMMANDS_A_ROUND)
                own_databases.postgres.stop("immediate")
                own_databases.postgres.start()
            journal.wait_for(COMMANDS_A_ROUND)
        assert not journal.wrong
        prove_all(shop, database_url, journal, members)


def test_graceful_stop_under_load(database_url: str) -> None:
    """SIGTERM: everything that was taken is answered, nothing that was acknowledged is lost, the rest is UNAVAILABLE."""
    journal = Journal()
    with running(database_url) as server, open_channel(server.address) as channel:
        keep_address(server)
        shop = shop_on(channel, database_url)
        members = [shop.member() for _ in range(4)]
        with tills([shop], members, journal):
            journal.wait_for(COMMANDS_A_ROUND)
            assert server.stop() == 0
            verify(database_url, journal)
            server.start()
            journal.wait_for(COMMANDS_A_ROUND)
        assert not journal.wrong
        prove_all(shop, database_url, journal, members)
