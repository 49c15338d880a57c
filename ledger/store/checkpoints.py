"""The checkpoints that were signed of the log, as the database has them."""

from typing import Any, Final

from psycopg import Cursor

from ledger.proof.checkpoint_file import SignedCheckpoint

_COLUMNS: Final = "SELECT signed_at, size, note FROM log_checkpoints"
_NEWEST: Final = f"{_COLUMNS} ORDER BY size DESC LIMIT 1"
_AT_LEAST: Final = f"{_COLUMNS} WHERE size >= %b ORDER BY size LIMIT 1"
_BEFORE: Final = f"{_COLUMNS} WHERE size < %b ORDER BY size DESC LIMIT %b"
_ADD: Final = """
INSERT INTO log_checkpoints (size, signed_at, note) VALUES (%b, %b, %b) ON CONFLICT (size) DO NOTHING
"""


def newest_checkpoint(cursor: Cursor[Any]) -> SignedCheckpoint | None:
    """The one of the largest size; None before the first."""
    row = cursor.execute(_NEWEST, prepare=True).fetchone()
    return SignedCheckpoint(*row) if row is not None else None


def checkpoint_of(cursor: Cursor[Any], size_min: int) -> SignedCheckpoint | None:
    """The first of at least a size; None where none is as large."""
    row = cursor.execute(_AT_LEAST, (size_min,), prepare=True).fetchone()
    return SignedCheckpoint(*row) if row is not None else None


def checkpoints_before(cursor: Cursor[Any], size: int, limit: int) -> list[SignedCheckpoint]:
    """Those below a size, largest first."""
    rows = cursor.execute(_BEFORE, (size, limit), prepare=True).fetchall()
    return [SignedCheckpoint(*row) for row in rows]


def add_checkpoint(cursor: Cursor[Any], checkpoint: SignedCheckpoint) -> None:
    """Keeps one. Of the same size there is one already where it was kept before a crash: nothing to do."""
    cursor.execute(_ADD, (checkpoint.size, checkpoint.signed_at, checkpoint.note), prepare=True)
