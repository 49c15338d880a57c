"""The sealer: it follows the log, one at a time, and stops where the log contradicts what was sealed or signed."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ledger.store.seal import sealed_size
from projections.hub import Hub
from projections.notary import Notary
from projections.sealer import NAME, Sealer
from tests.running import Databases
from tests.sealing.signing import Signing, append, change, cursor_on, eventually


@contextmanager
def sealing(database_url: str, notary: Notary | None, page_events: int = 100) -> Iterator[Sealer]:
    """A sealer at work."""
    hub = Hub(database_url)
    sealer = Sealer(database_url, hub, notary, page_events)
    hub.start()
    sealer.start()
    try:
        yield sealer
    finally:
        sealer.stop()
        hub.stop()


def sealed(database_url: str) -> int:
    """How much of the log is sealed."""
    with cursor_on(database_url) as cursor:
        return sealed_size(cursor)


def test_follows_the_log(database_url: str, signing: Signing) -> None:
    """What is there and what comes is sealed and signed, the last event too although nothing comes behind it."""
    append(database_url, 1, 950)
    with sealing(database_url, signing.notary()) as sealer:
        eventually(lambda: signing.newest() == 950)
        append(database_url, 951, 953)
        eventually(lambda: signing.newest() == 953)
        assert sealer.stopped_at == 0
    assert not [thread for thread in threading.enumerate() if thread.name == NAME]
    assert signing.checkpoints()[-1].size == 953


def test_without_a_key(database_url: str) -> None:
    """The log is sealed all the same."""
    append(database_url, 1, 10)
    with sealing(database_url, None):
        eventually(lambda: sealed(database_url) == 10)
        append(database_url, 11, 12)
        eventually(lambda: sealed(database_url) == 12)


def test_one_of_several_seals(database_url: str, signing: Signing) -> None:
    """Several that share a file keep apart; when the first ends, another goes on; no checkpoint comes twice."""
    append(database_url, 1, 10)
    with ExitStack() as stack:
        first = stack.enter_context(sealing(database_url, signing.notary()))
        eventually(lambda: signing.newest() == 10)
        stack.enter_context(sealing(database_url, signing.notary()))
        stack.enter_context(sealing(database_url, signing.notary()))
        append(database_url, 11, 20)
        eventually(lambda: signing.newest() == 20)
        first.stop()
        append(database_url, 21, 30)
        eventually(lambda: signing.newest() == 30)
    sizes = [one.size for one in signing.checkpoints()]
    assert sizes == sorted(set(sizes))


def test_a_rolled_back_database_is_refused_for_good(
    databases: Databases, signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, keeps refusing while the log grows, and lets nobody else sign, who may know less."""
    name = databases.create()
    with sealing(databases.url(name), signing.notary()):
        append(databases.url(name), 1, 10)
        eventually(lambda: signing.newest() == 10)
    backup = databases.url(databases.create(name))
    with sealing(databases.url(name), signing.notary()):
        append(databases.url(name), 11, 20)
        eventually(lambda: signing.newest() == 20)
    elsewhere = signing._replace(checkpoint_file=signing.checkpoint_file.with_name("elsewhere.jsonl"))
    with caplog.at_level(logging.ERROR), sealing(backup, signing.notary()) as sealer:
        eventually(lambda: sealer.stopped_at == 11)
        with sealing(backup, elsewhere.notary()) as other:
            append(backup, 11, 25)
            eventually(lambda: len(lockers(backup)) == 1)
            assert other.stopped_at == 0
    assert [line for line in caplog.messages if "the log ends at 10 and has lost events" in line]
    assert signing.newest() == 20
    assert elsewhere.newest() == 0


def lockers(database_url: str) -> list[int]:
    """Who has the sealer's lock."""
    with cursor_on(database_url) as cursor:
        rows = cursor.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()"
            " AND objid = hashtext(%s)::bigint & 4294967295"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            (NAME,),
        ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("damage", "position", "reason"),
    [
        ("DELETE FROM events WHERE notification_id = 15", 15, "event 15 is missing in the log"),
        ("UPDATE log_tiles SET hashes = substr(hashes, 33)", 10, "tile 0 of level 0"),
        ("DELETE FROM log_tiles", 10, "tile 0 of level 0"),
        ("DELETE FROM log_seal", 1, "the log has no seal"),
    ],
)
def test_a_broken_log_is_not_passed_over(
    database_url: str, signing: Signing, damage: str, position: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It stops in front of what is wrong, and says what that is."""
    append(database_url, 1, 10)
    with sealing(database_url, signing.notary()):
        eventually(lambda: signing.newest() == 10)
    append(database_url, 11, 20)
    change(database_url, damage)
    with caplog.at_level(logging.ERROR), sealing(database_url, signing.notary()) as sealer:
        eventually(lambda: sealer.stopped_at == position)
    assert any(reason in line for line in caplog.messages)
    assert signing.newest() == 10


def test_trouble_with_the_key_passes(database_url: str, signing: Signing, caplog: pytest.LogCaptureFixture) -> None:
    """A key that cannot be read keeps the log from being signed, not from being sealed; it is said once."""
    signing.key_file.chmod(0o640)
    append(database_url, 1, 10)
    with sealing(database_url, signing.notary()) as sealer:
        eventually(lambda: any("chmod 600" in line for line in caplog.messages))
        assert sealed(database_url) == 10
        signing.key_file.chmod(0o600)
        eventually(lambda: signing.newest() == 10)
        assert sealer.stopped_at == 0
    assert len([line for line in caplog.messages if "chmod 600" in line]) == 1


def test_another_connection(database_url: str, signing: Signing) -> None:
    """A lost connection is made again, and nothing is sealed twice or left out."""
    append(database_url, 1, 10)
    with sealing(database_url, signing.notary()):
        eventually(lambda: signing.newest() == 10)
        change(
            database_url,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'loyalty {NAME}'",
        )
        append(database_url, 11, 20)
        eventually(lambda: signing.newest() == 20)
