"""The seal through crashes: killed read sides, several servers, and a database that was put back to a backup."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from ledger.proof.leaf import StoredEvent, leaf_of
from ledger.proof.merkle import leaf_hash
from ledger.proof.tree import Tree
from ledger.store.seal import EVENTS
from tests.faults.load import Journal, load_program, open_channel, tills
from tests.faults.test_stopped_projection import metric
from tests.running import Databases, ServerProcess, free_address, running, token
from tests.sealing.signing import Signing, cursor_on, eventually, signing_in
from tests.shop import Shop

KILLS = 4
COMMANDS_A_ROUND = 60


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    """A new key."""
    return signing_in(tmp_path)


def read_side_of(server: ServerProcess) -> int:
    """The process of a server that builds its views and seals."""
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return next(int(pid) for file in children for pid in file.read_text().split())


def head(database_url: str) -> int:
    """The end of the log."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT coalesce(max(notification_id), 0) FROM events").fetchone()
    assert row is not None
    return int(row[0])


def check_all(database_url: str, signing: Signing) -> None:
    """Every checkpoint is that of the events up to its size, in the file and in the database; none came twice."""
    with cursor_on(database_url) as cursor:
        rows = cursor.execute(EVENTS, (0, 2**62, 2**62)).fetchall()
        kept = cursor.execute("SELECT size, note FROM log_checkpoints ORDER BY size").fetchall()
    leaves = [leaf_hash(leaf_of(StoredEvent(*row[1:]))) for row in rows]
    tree = Tree()
    for checkpoint in signing.checkpoints():
        tree.append(leaves[tree.size : checkpoint.size])
        assert (tree.size, tree.root()) == (checkpoint.size, checkpoint.root)
    sizes = [one.size for one in signing.kept()]
    assert sizes == sorted(set(sizes))
    assert [(one.size, one.note) for one in signing.kept()] == kept


def test_read_side_killed_while_it_seals(database_url: str, signing: Signing) -> None:
    """SIGKILL under load, again and again: nothing is left out, sealed twice or signed otherwise."""
    journal = Journal()
    with running(database_url, **signing.environment) as server, open_channel(server.address) as channel:
        shop = Shop(channel, token(database_url), load_program())
        with tills([shop], [shop.member() for _ in range(2)], journal):
            for _ in range(KILLS):
                journal.wait_for(COMMANDS_A_ROUND)
                size = signing.newest()
                eventually(lambda: signing.newest() > size)  # noqa: B023 - asked within the round
                os.kill(read_side_of(server), signal.SIGKILL)
        eventually(lambda: signing.newest() == head(database_url))
    assert not journal.wrong
    check_all(database_url, signing)


def test_two_servers_share_the_work(database_url: str, signing: Signing) -> None:
    """One of them seals; when it is killed at full load, the other goes on where it was."""
    journal = Journal()
    with (
        running(database_url, **signing.environment) as one,
        running(database_url, **signing.environment) as other,
        open_channel(other.address) as channel,
    ):
        shop = Shop(channel, token(database_url), load_program())
        with tills([shop], [shop.member() for _ in range(2)], journal):
            journal.wait_for(COMMANDS_A_ROUND)
            eventually(lambda: signing.newest() > 0)
            one.kill()
            journal.wait_for(COMMANDS_A_ROUND)
        eventually(lambda: signing.newest() == head(database_url))
    assert not journal.wrong
    check_all(database_url, signing)


def test_a_database_put_back_to_a_backup(databases: Databases, signing: Signing) -> None:
    """The file outside knows better: tills go on, nothing is signed, and the metrics say from where on it is wrong."""
    name = databases.create()
    with running(databases.url(name), **signing.environment) as server, server.channel() as channel:
        shop = Shop(channel, token(server.database_url), load_program())
        member = shop.member()
        eventually(lambda: signing.newest() == head(server.database_url))
    backup = databases.url(databases.create(name))
    size = signing.newest()
    with running(databases.url(name), **signing.environment) as server, server.channel() as channel:
        shop = Shop(channel, token(server.database_url))
        for _ in range(5):
            shop.sale(member, 1_000)
        eventually(lambda: signing.newest() == head(server.database_url))
    kept = signing.kept()
    metrics = free_address()
    environment = {**signing.environment, "LOYALTY_METRICS_ADDRESS": metrics}
    with running(backup, **environment) as server, server.channel() as channel:
        eventually(lambda: metric(metrics, "loyalty_log_seal_stopped_at") == size + 1)
        shop = Shop(channel, token(backup))
        for _ in range(9):
            shop.sale(member, 1_000)
        assert metric(metrics, "loyalty_log_seal_signed_position") == size
    assert signing.kept() == kept
