"""How events get into the archive and out again: killed, refused, and what the database lets happen to a state."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import IntegrityConstraintViolation

from ledger.archive.archive import ArchiveDone
from ledger.archive.parts import ArchiveError, archiving, moving
from ledger.archive.restore import restore
from ledger.export.export import Order, export
from ledger.export.folder import UNFINISHED
from ledger.proof.manifest import MANIFEST, MANIFEST_NOTE, event_file
from ledger.proof.note import Signer
from ledger.proof.verify import verify_export
from projections.check import check
from tests.archive.lived import KEYS, ROWS, SIGNER, Lived, archivable, stored
from tests.commands import loyalty
from tests.running import ROOT, Databases

ARCHIVES = "SELECT first_position, last_position FROM log_archives ORDER BY 1"
LEFT = "SELECT count(*) FROM events WHERE state IS NULL"


def test_in_parts(lived: Lived, tmp_path: Path) -> None:
    """A part goes on where the one before it ends; the same again does nothing; the last can be restored alone."""
    young, old = archivable(lived.url, 9, 5), archivable(lived.url, 4)
    assert min(young, old) > 1
    assert lived.archived(tmp_path, 4) == ArchiveDone(["0000000000001-0000000000004"], 4, old)
    assert lived.archived(tmp_path, 4) == ArchiveDone([], 4, 0)
    assert lived.archived(tmp_path, 9) == ArchiveDone(["0000000000005-0000000000009"], 9, young)
    assert stored(lived.url, ARCHIVES) == [(1, 4), (5, 9)]
    assert check(lived.url, 1, archive=tmp_path).ok
    assert restore(lived.url, tmp_path, 5) == (1, young)
    assert (stored(lived.url, ARCHIVES), stored(lived.url, LEFT)) == ([(1, 4)], [(old,)])
    assert lived.archived(tmp_path, 9).parts == ["0000000000005-0000000000009"]
    assert restore(lived.url, tmp_path) == (2, old + young)


def test_killed_and_run_again(lived: Lived, tmp_path: Path) -> None:
    """SIGKILL while it exports, and while it verifies or detaches: nothing is lost, and the next run ends it."""
    before = stored(lived.url, ROWS)
    states = archivable(lived.url, len(before))
    key_file = tmp_path / "key"
    key_file.write_text(SIGNER.encode())
    key_file.chmod(0o600)
    folder = tmp_path / "archive"
    part = folder / f"{1:013}-{len(before):013}"
    environment = {"LOYALTY_DATABASE_URL": lived.url, "LOYALTY_ARCHIVE": str(folder), **os.environ}
    command = [sys.executable, "server.py", "archive", "--until", str(len(before)), "--key-file", str(key_file)]
    for sign in (part, part / MANIFEST):
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
            while not sign.exists() and process.poll() is None:
                pass
            process.kill()
        (gone,) = stored(lived.url, LEFT)[0]
        assert gone in {0, states}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert f"up to {len(before)} are in" in done.stdout
    assert check(lived.url, 1, archive=folder).ok
    assert restore(lived.url, folder)[1] == states
    assert stored(lived.url, ROWS)[: len(before)] == before


@pytest.mark.parametrize("leftover", ["nothing but its folder", "an export without a manifest", "another log's export"])
def test_what_an_earlier_run_left(lived: Lived, databases: Databases, tmp_path: Path, leftover: str) -> None:
    """It is finished, or made anew; what is not of this log is refused."""
    part = tmp_path / f"{1:013}-{6:013}"
    if leftover == "another log's export":
        lived.copied(databases).archived(tmp_path, 6)
        file = part / event_file(1, "jsonl")
        file.write_text(file.read_text().replace('"version":1', '"version":2', 1))
        with pytest.raises(ArchiveError, match="is not what was sealed, so that nothing of it was detached: "):
            lived.archived(tmp_path, 6)
        assert stored(lived.url, LEFT) == [(0,)]
        return
    if leftover == "an export without a manifest":
        lived.copied(databases).archived(tmp_path, 6)
        (part / MANIFEST).unlink()
    else:
        part.mkdir()
        (part / f"{UNFINISHED}.part").write_text("{")
    assert lived.archived(tmp_path, 6).states == archivable(lived.url, 6)
    assert check(lived.url, 1, archive=tmp_path).ok


def test_after_a_rotation(lived: Lived, tmp_path: Path) -> None:
    """What only a retired key has signed can be archived, and a part that it signed is gone on with."""
    keys = KEYS.rotated().without_old()
    assert lived.archived(tmp_path, 6, keys).states == archivable(lived.url, 6)
    restore(lived.url, tmp_path)
    signed = (tmp_path / f"{1:013}-{6:013}" / MANIFEST_NOTE).read_text()
    assert lived.archived(tmp_path, 6, keys.rotated().without_old()).states == archivable(lived.url, 6)
    assert (tmp_path / f"{1:013}-{6:013}" / MANIFEST_NOTE).read_text() == signed


@pytest.mark.parametrize("signers", [(), (Signer.generate("log.example"),)])
def test_an_export_that_the_keys_did_not_sign(
    lived: Lived, databases: Databases, tmp_path: Path, signers: tuple[Signer, ...]
) -> None:
    """It is made anew with a key; where another log may need it, it stays and is named."""
    part = tmp_path / f"{1:013}-{6:013}"
    export(lived.url, part, Order("events", "jsonl", 1, 6), now=1, signers=signers)
    other = lived.copied(databases)
    with psycopg.connect(other.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE events SET state = state || '\\x00' WHERE notification_id = %s", (lived.joined_at,))
    with pytest.raises(ArchiveError, match=rf"its event {lived.joined_at} is not the log's: move it away"):
        other.archived(tmp_path, 6)
    assert lived.archived(tmp_path, 6).states == archivable(lived.url, 6)
    assert verify_export(part, verifiers=KEYS.verifiers).ok


def test_what_cannot_be_archived(lived: Lived, tmp_path: Path) -> None:
    """Events that are not sealed, that a view lacks, or whose accounts have broken snapshots; by two at a time."""
    head = len(stored(lived.url, ROWS))
    with pytest.raises(ArchiveError, match=f"no event {head + 1} in what is sealed of the log, which ends at {head}"):
        lived.archived(tmp_path, head + 1)
    with archiving(lived.url), pytest.raises(ArchiveError, match="are being archived or restored already"):
        lived.archived(tmp_path)
    with psycopg.connect(lived.url, autocommit=True) as connection:
        connection.execute("UPDATE projection.tracking SET position = 7 WHERE name = 'tiers' AND live")
    with pytest.raises(ArchiveError, match="the view tiers is at position 7: wait until it has what is to be archived"):
        lived.archived(tmp_path, 8)
    with psycopg.connect(lived.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO snapshots SELECT originator_id, 9, '\\xff' FROM events WHERE notification_id = %s",
            (lived.joined_at,),
        )
    with pytest.raises(ArchiveError, match=r"the snapshot of account .* cannot be read .*: run `loyalty check`"):
        lived.archived(tmp_path, 7)
    with psycopg.connect(lived.url, autocommit=True) as connection:
        connection.execute("DELETE FROM snapshots")
    lived.archived(tmp_path, 6)
    with pytest.raises(
        ArchiveError, match="elsewhere lacks events 1 to 6, archived earlier: give the folder with them"
    ):
        lived.archived(tmp_path / "elsewhere", 7)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET state = NULL WHERE notification_id = 7",
        "UPDATE events SET state = '\\xff' WHERE notification_id = 7",
        "UPDATE events SET state = '\\xff' WHERE notification_id = 3",
        "UPDATE events SET recorded_at = 5 WHERE notification_id = 3",
        "UPDATE events SET state = NULL, request_id = NULL WHERE notification_id = 3",
        "DELETE FROM events WHERE notification_id = 3",
        "DELETE FROM log_archives",
        "UPDATE log_archives SET last_position = 3",
        "TRUNCATE log_archives",
    ],
)
def test_nothing_else_happens_to_a_state(archived: Lived, statement: str) -> None:
    """Not even where states may move: none leaves that is not archived, none comes back that was not sealed."""
    with (
        archiving(archived.url) as cursor,
        pytest.raises(IntegrityConstraintViolation),
        moving(cursor),
    ):
        cursor.execute(statement.encode())
    with psycopg.connect(archived.url) as connection, pytest.raises(IntegrityConstraintViolation):
        connection.execute("UPDATE events SET state = NULL WHERE false")


@pytest.fixture(scope="module")
def archived(once: Lived, databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A ledger whose first six events are archived."""
    copy = once.copied(databases)
    copy.archived(tmp_path_factory.mktemp("archive"), 6)
    return copy


def test_a_database_that_may_only_be_read(lived: Lived, tmp_path: Path) -> None:
    """Whoever begins is told that the audit trail does not say so."""
    with psycopg.connect(lived.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {lived.database} SET default_transaction_read_only = on".encode())
    where = ("--database-url", lived.url)
    says = loyalty("archive", "--to", tmp_path / "archive", "--until", 6, *where, status=1)
    assert "the audit trail lacks this `loyalty archive`" in says
    says = loyalty("restore-archive", "--archive", tmp_path / "archive", *where)
    assert "the audit trail lacks this `loyalty restore-archive`" in says
