"""L2, in the database itself: what a superuser does to the log, an export and an old checkpoint bring to light."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.rows import tuple_row

from ledger.export.export import Order, export
from ledger.export.folder import ExportError
from ledger.proof.checkpoint_file import CheckpointFile, SignedCheckpoint
from ledger.proof.finding import Kind, Report
from ledger.proof.note import Checkpoint, Signer, Verifier, sign
from ledger.proof.verify import verify_export
from ledger.store.arrays import register_arrays
from ledger.store.seal import seal
from projections.check_seal import SealCheck, Trust, hash_range, read_file
from tests.running import Databases

ORIGIN = "log.example/loyalty"
SIGNER = Signer("log.example/loyalty", bytes(range(32)))
OLD, SIZE = 300, 700

APPEND = """
INSERT INTO events SELECT gen_random_uuid(), 1, 'refused/1', int8send(n), n, n, gen_random_uuid(), NULL, 's-' || n
FROM generate_series(%s::bigint, %s::bigint) AS n
"""


class Log(NamedTuple):
    """A sealed log, and the checkpoint that an auditor took away last month."""

    url: str
    database: str
    old: str


def connect(url: str) -> psycopg.Connection[Any]:
    """As superuser."""
    connection = psycopg.connect(url, autocommit=True)
    register_arrays(connection)
    return connection


def append(url: str, first: int, last: int) -> str:
    """Records events and seals them; returns the checkpoint."""
    with connect(url) as connection, connection.transaction():
        connection.execute(APPEND, (first, last))
        tree = seal(connection.cursor(binary=True, row_factory=tuple_row), last)
        note = sign(Checkpoint(ORIGIN, tree.size, tree.root()).text, [SIGNER])
        connection.execute("INSERT INTO log_checkpoints VALUES (%s, 1, %s)", (tree.size, note))
    return note


@pytest.fixture(scope="module")
def sealed(databases: Databases) -> Log:
    """A log to be copied, whose checkpoints are of 300 and of 700 events."""
    name = databases.create()
    url = databases.url(name)
    old = append(url, 1, OLD)
    append(url, OLD + 1, SIZE)
    return Log(url, name, old)


@pytest.fixture
def log(databases: Databases, sealed: Log) -> Log:
    """A copy of that log."""
    name = databases.create(sealed.database)
    return Log(databases.url(name), name, sealed.old)


def tamper(log: Log, *statements: str) -> None:
    """What a superuser can do, who first turns off what forbids it."""
    with connect(log.url) as connection:
        for table in ("events", "log_tiles", "log_checkpoints"):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        connection.execute("DROP INDEX events_position_key")
        for statement in statements:
            connection.execute(statement.encode())


def audited(log: Log, folder: Path, *kept: str) -> Report:
    """An export, and what the auditor's verifier says of it."""
    export(log.url, folder, Order("events", "jsonl"), now=1, signers=[SIGNER])
    return verify_export(folder, [("last month", note) for note in (log.old, *kept)], [SIGNER.verifier], 1)


def kinds(report: Report) -> list[tuple[Kind, int | None]]:
    """What was found, and where."""
    return [(one.kind, one.position) for one in report.findings]


def checked(log: Log, file: Path | None = None, keys: Sequence[Verifier] = (SIGNER.verifier,)) -> list[tuple[str, str]]:
    """What `loyalty check` says of the seal: what was found, and where."""
    trust = Trust(file, keys)
    in_file = read_file(trust)
    with connect(log.url) as connection, connection.transaction():
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ((snapshot, head),) = cursor.execute(
            "SELECT pg_export_snapshot(), coalesce(max(notification_id), 0) FROM events"
        ).fetchall()
        seal_check = SealCheck(cursor, head, trust, in_file, None)
        seal_check.judge([hash_range(one, lambda _: None) for one in seal_check.ranges(log.url, snapshot)])
    return [(one.found, one.key) for one in seal_check.findings]


def kept_file(folder: Path, *notes: str) -> Path:
    """A file of checkpoints, outside of the database."""
    file = CheckpointFile(folder / "checkpoints.jsonl")
    for note in notes:
        file.append(SignedCheckpoint(1, Checkpoint.parse(note.partition("\n\n")[0] + "\n").size, note))
    return file.path


def test_nothing_was_done(log: Log, tmp_path: Path) -> None:
    """L3: last month's checkpoint is consistent with today's, without access to the database."""
    assert checked(log, kept_file(tmp_path, log.old, newest_note(log))) == []
    report = audited(log, tmp_path / "export")
    assert (report.ok, report.findings, report.rows, report.checkpoints) == (True, [], SIZE, 3)


MOVE = "UPDATE events SET notification_id = notification_id {} WHERE notification_id > {}"
INSERT = "INSERT INTO events SELECT gen_random_uuid(), 1, 'refused/1', '', {0}, {0}, gen_random_uuid(), NULL, NULL"


@pytest.mark.parametrize(
    ("kind", "statements"),
    [
        ("changed", ["UPDATE events SET state = set_byte(state, 7, 255) WHERE notification_id = 123"]),
        ("changed", ["UPDATE events SET sale_reference = 'other' WHERE notification_id = 123"]),
        ("changed", ["UPDATE events SET originator_version = 2 WHERE notification_id = 123"]),
        ("changed", ["UPDATE events SET request_id = NULL WHERE notification_id = 123"]),
        ("missing", ["DELETE FROM events WHERE notification_id = 123"]),
        ("missing", ["DELETE FROM events WHERE notification_id = 123", MOVE.format("- 1", 123)]),
        ("inserted", [MOVE.format("+ 1", 122), INSERT.format(123)]),
        ("inserted", [MOVE.format("+ 1", 122), INSERT.format(123), "DELETE FROM events WHERE notification_id > 700"]),
        (
            "swapped",
            ["UPDATE events SET notification_id = 723 - notification_id WHERE notification_id IN (123, 600)"],
        ),
        (
            "swapped",
            [
                "UPDATE events SET notification_id = -notification_id WHERE notification_id BETWEEN 123 AND 200",
                "UPDATE events SET notification_id = 323 + notification_id WHERE notification_id < 0",
            ],
        ),
    ],
)
def test_what_was_done_to_events_is_named(log: Log, tmp_path: Path, kind: Kind, statements: Sequence[str]) -> None:
    """L2: changed, removed, inserted, swapped or numbered anew: by its position."""
    tamper(log, *statements)
    report = audited(log, tmp_path / "export")
    assert (kind, 123) in kinds(report)
    assert report.first_bad_position == 123
    found, where = checked(log)[0]
    assert (found.partition(":")[0], where) == (kind, "position 123")


def test_the_end_cut_off_is_named(log: Log, tmp_path: Path) -> None:
    """The last events, with what sealed them or without."""
    tamper(log, "DELETE FROM events WHERE notification_id > 650")
    assert kinds(audited(log, tmp_path / "events"))[0] == ("missing", 651)
    newest = newest_note(log)
    assert [where for _, where in checked(log)] == ["position 651"] * 2
    with connect(log.url) as connection:
        connection.execute("DELETE FROM log_checkpoints WHERE size > 300")
    assert checked(log) == [("the log ends at 650: its end was removed", "position 651")]
    assert kinds(audited(log, tmp_path / "checkpoints", newest)) == [("future", 301)]


def newest_note(log: Log) -> str:
    """The newest checkpoint, as somebody has kept it."""
    with connect(log.url) as connection:
        row = connection.execute("SELECT note FROM log_checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE log_checkpoints SET note = replace(note, E'\\n300\\n', E'\\n301\\n') WHERE size = 300", "signature"),
        ("UPDATE log_checkpoints SET note = overlay(note placing 'AAAA' from 60) WHERE size = 700", "signature"),
        (
            "UPDATE log_checkpoints SET note = (SELECT note FROM log_checkpoints WHERE size = 300) WHERE size = 700",
            "signature",
        ),
    ],
)
def test_a_changed_checkpoint_is_named(log: Log, tmp_path: Path, change: str, expected: Kind) -> None:
    """L2: as one whose signature is wrong, or that is not of its size."""
    tamper(log, change)
    assert expected in [kind for kind, _ in kinds(audited(log, tmp_path / "export"))]
    ((found, where),) = checked(log)
    assert "wrong" in found or "one of" in found
    assert re.fullmatch(r"the checkpoint of (300|700) events, signed at .*, in the database", where)


def test_a_checkpoint_with_another_root_is_named_without_a_key(log: Log) -> None:
    """L2: the log does not continue it."""
    other = sign(Checkpoint(ORIGIN, OLD, bytes(32)).text, [SIGNER])
    tamper(log, f"UPDATE log_checkpoints SET note = '{other}' WHERE size = {OLD}")
    ((found, where),) = checked(log, keys=())
    assert found.startswith("forged: ")
    assert (found.endswith("between position 1 and 300"), where) == (True, "position 1")


def test_a_file_of_checkpoints_that_is_not_the_logs(log: Log, tmp_path: Path) -> None:
    """L2: gone, damaged, or of another log: the file is named, and so is the checkpoint."""
    newest = newest_note(log)
    file = tmp_path / "checkpoints.jsonl"
    ((found, where),) = checked(log, file)
    assert ("some are in the database" in found, where) == (True, str(file))
    kept_file(tmp_path, log.old, newest)
    file.write_text(file.read_text("utf-8").replace('"size": 700', '"sice": 700'), "utf-8")
    assert checked(log, file)[0] == (f"the last line of {file} is not what was written", str(file))
    file.unlink()
    kept_file(tmp_path, newest, sign(Checkpoint("other.example", OLD, bytes(32)).text, [SIGNER]))
    ((found, where),) = checked(log, file, keys=())
    assert (found, where.endswith(f"in {file}")) == ("one of the log other.example", True)


def test_a_changed_tile_is_told_from_a_changed_event(log: Log, tmp_path: Path) -> None:
    """L2: the events are right."""
    tamper(
        log,
        "UPDATE log_tiles SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40)) WHERE level = 0 AND index = 1",
    )
    assert kinds(audited(log, tmp_path / "export")) == [("tile", 258)]
    ((found, where),) = checked(log)
    assert (found[:17], where) == ("tile 1 of level 0", "position 257")
    lost = "DELETE FROM log_checkpoints; DELETE FROM log_tiles WHERE level = 0 AND index = 1"
    tamper_tile = "UPDATE log_tiles SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40)) WHERE level = 1"
    with connect(log.url) as connection:
        connection.execute(tamper_tile)
        connection.execute("DELETE FROM log_tiles WHERE level = 0 AND index = 0")
    assert [found[:17] for found, _ in checked(log)] == [
        f"tile {tile} of level {level}" for tile, level in ((0, 0), (1, 0), (0, 1))
    ]
    with connect(log.url) as connection:
        connection.execute(lost)
    assert [found[:17] for found, _ in checked(log)] == [
        "tile 0 of level 0",
        "tile 1 of level 0",
        "tile 0 of level 1",
    ], "also where nobody has signed"


def test_an_event_changed_with_all_above_it_is_narrowed_down(log: Log, tmp_path: Path) -> None:
    """L2: the whole tree made anew, with checkpoints that were signed before."""
    tamper(
        log,
        "UPDATE events SET state = '' WHERE notification_id = 400",
        "DELETE FROM log_tiles",
        "UPDATE log_seal SET size = 0",
    )
    with connect(log.url) as connection, connection.transaction():
        seal(connection.cursor(binary=True, row_factory=tuple_row), SIZE)
    report = audited(log, tmp_path / "export")
    assert kinds(report) == [("forged", 301)]
    assert "between position 301 and 700" in report.findings[0].message
    ((found, where),) = checked(log)
    assert found.startswith("forged: ")
    assert (found.endswith("between position 301 and 700"), where) == (True, "position 301")


def test_a_tree_signed_anew_contradicts_what_was_kept(log: Log, tmp_path: Path) -> None:
    """L2: with the key one can sign anything, but not make last month's checkpoint fit."""
    tamper(
        log,
        "UPDATE events SET state = '' WHERE notification_id = 123",
        "DELETE FROM log_tiles",
        "UPDATE log_seal SET size = 0",
        "DELETE FROM log_checkpoints",
    )
    newest = append(log.url, SIZE + 1, SIZE + 1)
    assert kinds(audited(log, tmp_path / "export")) == [("inconsistent", 1)]
    assert checked(log) == [], "in itself the database is right"
    assert [where for _, where in checked(log, kept_file(tmp_path, log.old, newest))] == ["position 1"]


@pytest.mark.parametrize(("goes_on_to", "expected"), [(500, ("future", 501)), (900, ("inconsistent", 301))])
def test_a_database_that_was_rolled_back_is_named(
    databases: Databases, tmp_path: Path, goes_on_to: int, expected: tuple[Kind, int]
) -> None:
    """L2: an earlier backup, put in place and written on: shorter than what was signed for, or longer and another."""
    name = databases.create()
    append(databases.url(name), 1, OLD)
    backup = databases.create(name)
    newest = append(databases.url(name), OLD + 1, SIZE)
    old = append(databases.url(backup), OLD + 1, goes_on_to)
    log = Log(databases.url(backup), backup, old)
    assert kinds(audited(log, tmp_path / "export", newest)) == [expected]
    assert checked(log) == [], "in itself the database is right"
    ((found, where),) = checked(log, kept_file(tmp_path, newest))
    assert where == f"position {expected[1]}"
    assert ("rolled back to a backup" if goes_on_to < SIZE else "between position 301 and 700") in found


# -- the export itself


def kill_after_first_file(done: int, of: int) -> None:
    """In place of a progress bar."""
    raise KeyboardInterrupt(done, of)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 256 events."""
    monkeypatch.setattr("ledger.proof.manifest.FILE_EVENTS", 256)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_an_export_that_was_cut_off_goes_on(log: Log, tmp_path: Path, kind: Any) -> None:
    """At the border of a file, up to where it was begun for, to the same bytes as in one go."""
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    export(log.url, whole, Order("events", kind), now=1, signers=[SIGNER])
    with pytest.raises(KeyboardInterrupt):
        export(log.url, parts, Order("events", kind), now=1, progress=kill_after_first_file)
    (parts / f"events/0000000000257.{kind}.part").write_bytes(b"half")
    append(log.url, SIZE + 1, SIZE + 10)
    with pytest.raises(ExportError, match="not empty"):
        export(log.url, parts, Order("events", kind), now=1)
    export(log.url, parts, Order("events", kind, resume=True), now=1, signers=[SIGNER])
    assert export(log.url, parts, Order("events", kind, resume=True), now=2) is None
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(parts) for path in parts.rglob("*") if path.is_file())
    assert all((whole / path).read_bytes() == (parts / path).read_bytes() for path in files)
    assert verify_export(parts, [("old", log.old)], [SIGNER.verifier], 1).ok


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize(("first", "last"), [(1, 256), (257, 512), (300, 301), (300, 650), (1, 1), (700, 700)])
def test_a_range_is_verified_alone(log: Log, tmp_path: Path, first: int, last: int) -> None:
    """The tiles beside it stand for the rest of the log, and a change in the range is still found."""
    export(log.url, tmp_path / "range", Order("events", "csv", first, last), now=1, signers=[SIGNER])
    report = verify_export(tmp_path / "range", [], [SIGNER.verifier], 1)
    assert (report.ok, report.rows) == (True, last - first + 1), report.findings
    tamper(log, f"UPDATE events SET state = '' WHERE notification_id = {last}")
    export(log.url, tmp_path / "changed", Order("events", "csv", first, last), now=1, signers=[SIGNER])
    assert kinds(verify_export(tmp_path / "changed", [], [SIGNER.verifier], 1)) == [("changed", last)]


def test_a_range_too_late_for_a_checkpoint_says_so(log: Log, tmp_path: Path) -> None:
    """Where the tile of an old checkpoint's edge is not in the export."""
    export(log.url, tmp_path / "range", Order("events", "csv", 600, 700), now=1, signers=[SIGNER])
    report = verify_export(tmp_path / "range", [("old", log.old)], [SIGNER.verifier], 1)
    assert kinds(report) == [("unproved", None)]
    assert "export from position 257" in report.findings[0].message


def test_a_log_without_checkpoints_is_exported_unsigned(databases: Databases, tmp_path: Path) -> None:
    """And refused by who has a key; a range that is not sealed is refused at once."""
    url = databases.url(databases.create())
    with pytest.raises(ExportError, match="nothing of the log is sealed"):
        export(url, tmp_path / "none", Order("events", "jsonl"), now=1)
    append(url, 1, 300)
    with connect(url) as connection:
        connection.execute("ALTER TABLE log_checkpoints DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM log_checkpoints")
    with pytest.raises(ExportError, match="sealed up to position 300"):
        export(url, tmp_path / "late", Order("events", "jsonl", last=301), now=1)
    export(url, tmp_path / "export", Order("events", "jsonl"), now=1)
    assert verify_export(tmp_path / "export").ok
    assert kinds(verify_export(tmp_path / "export", [], [SIGNER.verifier])) == [("signature", None)] * 2
    shutil.rmtree(tmp_path / "export")


def test_a_seal_that_was_taken_back_is_named(log: Log) -> None:
    """It cannot be behind what was signed."""
    tamper(log, "UPDATE log_seal SET size = 0")
    assert ("0 sealed events", "log_seal") in checked(log)


def test_a_change_behind_what_was_signed_is_named_first(log: Log) -> None:
    """And no tile is blamed for it that is right."""
    tamper(
        log,
        f"DELETE FROM log_checkpoints WHERE size = {SIZE}",
        "UPDATE events SET state = '' WHERE notification_id = 414",
    )
    first, *_ = checked(log)
    assert first[1] == "position 414"
