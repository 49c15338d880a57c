"""Brings the archive back into the database, which takes nothing but what was sealed."""

from pathlib import Path
from typing import Any, Final

from psycopg import Cursor

from ledger.archive.parts import archived_parts, archiving, moving
from ledger.export.folder import Progress
from ledger.store.archive import Archive
from ledger.store.arrays import BigintArray, ByteaArray
from ledger.store.topics import Archived

PAGE_EVENTS: Final = 10_000

_ARCHIVED: Final = """
SELECT notification_id FROM events
WHERE notification_id > %b AND notification_id <= %b AND state IS NULL ORDER BY notification_id LIMIT %b
"""

_RESTORE: Final = """
UPDATE events e SET state = n.state FROM unnest(%b::bigint[], %b::bytea[]) AS n (position, state)
WHERE e.notification_id = n.position
"""

_FORGET: Final = "DELETE FROM log_archives WHERE first_position = %b"


def restore(
    database_url: str, folder: Path, first: int = 1, progress: Progress = lambda _done, _of: None
) -> tuple[int, int]:
    """Restores the parts that have a position or later ones, each in one transaction, the newest first.

    Returns how many parts and how many states. Raises ArchiveError, and Archived for an event that cannot be read.
    """
    archive = Archive(folder)
    with archiving(database_url) as cursor:
        parts = archived_parts(cursor, first)
        states = 0
        for number, (begin, end) in enumerate(parts, 1):
            with moving(cursor):
                states += _restore(cursor, archive, begin - 1, end)
                cursor.execute(_FORGET, (begin,))
            progress(number, len(parts))
        return len(parts), states


def _restore(cursor: Cursor[Any], archive: Archive, after: int, last: int) -> int:
    count = 0
    while positions := [position for (position,) in cursor.execute(_ARCHIVED, (after, last, PAGE_EVENTS)).fetchall()]:
        states = archive.states(cursor, positions)
        unreadable = next((one for one in states.values() if isinstance(one, Archived)), None)
        if unreadable is not None:
            raise unreadable
        cursor.execute(_RESTORE, (BigintArray(states), ByteaArray(states.values())))
        count += len(positions)
        after = positions[-1]
    return count
