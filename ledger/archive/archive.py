"""Archives old events: exports them, proves that they can be read back, and only then lets their states go.

Each part is detached in one transaction. Whenever the command is killed, the next one goes on: an unfinished export is
finished, a finished one is verified again.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from psycopg import Cursor

from ledger.archive.parts import ArchiveError, archived_parts, archiving, moving
from ledger.archive.snapshots import keep_snapshots
from ledger.export.export import Order, export
from ledger.export.folder import UNFINISHED, Progress
from ledger.proof.keys import NO_KEYS, Keys
from ledger.proof.manifest import EVENTS, MANIFEST, MANIFEST_NOTE, file_ranges
from ledger.proof.note import NoteInvalid, open_note
from ledger.proof.verify import verify_export
from ledger.store.archive import ARCHIVED_TOPICS, Archive, range_folder
from ledger.store.checkpoints import newest_checkpoint
from ledger.store.seal import sealed_size

PAGE_EVENTS: Final = 10_000

_VIEWS: Final = "SELECT name, position FROM views.positions ORDER BY position, name LIMIT 1"

_STATES: Final = """
SELECT notification_id, state FROM events
WHERE notification_id > %b AND notification_id <= %b AND topic = ANY (%b::text[]) ORDER BY notification_id LIMIT %b
"""

_REMEMBER: Final = "INSERT INTO log_archives (first_position, last_position) VALUES (%b, %b)"

_DETACH: Final = """
UPDATE events SET state = NULL WHERE notification_id BETWEEN %b AND %b AND topic = ANY (%b::text[])
"""


class ArchiveDone(NamedTuple):
    """What was archived."""

    parts: list[str]
    """The folders, oldest first."""
    last_position: int
    """The archive's last position, with what was there before."""
    states: int
    """How many states went."""


def archive(
    database_url: str,
    folder: Path,
    until: int,
    *,
    now: int,
    keys: Keys = NO_KEYS,
    progress: Progress = lambda _done, _of: None,
) -> ArchiveDone:
    """Archives the events up to a position, in parts. `now` is in microseconds.

    Raises ArchiveError, ExportError and ExportUnreadable; what was detached before then stays archived.
    """
    with archiving(database_url) as cursor:
        parts = archived_parts(cursor)
        before = parts[0][1] if parts else 0
        _check_until(cursor, until)
        _check_there(folder, parts)
        done, states = [], 0
        for first, last in file_ranges(before + 1, until):
            part = folder / range_folder(first, last)
            _make_room(cursor, part, first, last, keys)
            _export(database_url, part, first, last, now, keys)
            _verify(part, keys)
            keep_snapshots(cursor, Archive(folder), first, last)
            _read_back(cursor, folder, first, last)
            _flush(folder, part)
            states += _detach(cursor, first, last)
            done.append(part.name)
            progress(last - before, until - before)
        if done:
            cursor.execute("VACUUM events")
        return ArchiveDone(done, max(before, until), states)


def _check_until(cursor: Cursor[Any], until: int) -> None:
    checkpoint = newest_checkpoint(cursor)
    sealed = checkpoint.size if checkpoint is not None else sealed_size(cursor)
    if not 1 <= until <= sealed:
        raise ArchiveError(f"there is no event {until} in what is sealed of the log, which ends at {sealed}")
    ((view, position),) = cursor.execute(_VIEWS).fetchall()
    if until > position:
        raise ArchiveError(f"the view {view} is at position {position}: wait until it has what is to be archived")


def _check_there(folder: Path, parts: Sequence[tuple[int, int]]) -> None:
    """Earlier parts must be in the same folder, or a server could not read all of them."""
    for first, last in parts:
        if not (folder / range_folder(first, last) / MANIFEST).is_file():
            raise ArchiveError(f"{folder} lacks events {first} to {last}, archived earlier: give the folder with them")


def _make_room(cursor: Cursor[Any], part: Path, first: int, last: int, keys: Keys) -> None:
    """Removes what an earlier run left and none can go on with. What is in use by another log is not removed."""
    if not part.exists() or (part / UNFINISHED).exists() or _is_signed(part, keys):
        return
    if (part / MANIFEST).exists() and (other := _other_state(cursor, part.parent, first, last)) is not None:
        raise ArchiveError(
            f"{part} is not signed by the log's keys, and its event {other} is not the log's: move it away"
        )
    shutil.rmtree(part)


def _is_signed(part: Path, keys: Keys) -> bool:
    """Whether there is a whole export, with a signature where there are keys."""
    if not keys.verifiers:
        return (part / MANIFEST).exists()
    with suppress(FileNotFoundError, UnicodeDecodeError, NoteInvalid):
        open_note((part / MANIFEST_NOTE).read_text(encoding="utf-8"), keys.verifiers)
        return (part / MANIFEST).exists()
    return False


def _export(database_url: str, part: Path, first: int, last: int, now: int, keys: Keys) -> None:
    order = Order(EVENTS, "jsonl", first, last, resume=part.exists())
    export(database_url, part, order, now=now, signers=keys.signers)


def _verify(part: Path, keys: Keys) -> None:
    """Verifies the export by itself, as an auditor would."""
    report = verify_export(part, verifiers=keys.verifiers, processes=1)
    if not report.ok:
        raise ArchiveError(f"{part} is not what was sealed, so that nothing of it was detached: {report.findings[0]}")


def _read_back(cursor: Cursor[Any], folder: Path, first: int, last: int) -> None:
    other = _other_state(cursor, folder, first, last)
    if other is not None:
        raise ArchiveError(f"event {other} cannot be read back, so that nothing was detached with it")


def _other_state(cursor: Cursor[Any], folder: Path, first: int, last: int) -> int | None:
    """Reads every state the way servers will: the first position where it is not what would go."""
    archive = Archive(folder)
    after = first - 1
    while rows := cursor.execute(_STATES, (after, last, ARCHIVED_TOPICS, PAGE_EVENTS), prepare=True).fetchall():
        states = archive.states(cursor, [position for position, _ in rows])
        for position, state in rows:
            if states[position] != state:
                return int(position)
        after = rows[-1][0]
    return None


def _flush(folder: Path, part: Path) -> None:
    """Has all of it on disk: files appear under their names only once their folders are."""
    for path in (*part.rglob("*"), part, folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _detach(cursor: Cursor[Any], first: int, last: int) -> int:
    with moving(cursor):
        cursor.execute(_REMEMBER, (first, last))
        return cursor.execute(_DETACH, (first, last, ARCHIVED_TOPICS)).rowcount
