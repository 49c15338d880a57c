"""What is wrong at the first position of the log in the database whose event is not the one that was sealed."""

from typing import Any, Final

from psycopg import Cursor

from ledger.proof.diagnosis import Diagnosis, place_in_tile
from ledger.proof.merkle import HASH_BYTES
from ledger.proof.tree import TILE_NODES
from ledger.store.archive import Archive
from ledger.store.seal import read_tiles

_NEXT: Final = "SELECT min(notification_id) FROM events WHERE notification_id > %b"
_PLACE: Final = "SELECT min(notification_id) FROM events e WHERE leaf_hash(e) = %b"
_POSITIONS: Final = """
SELECT index, hashes FROM log_tiles WHERE level = 0 AND position(%b::bytea IN hashes) > 0 ORDER BY index
"""


class LogDiagnosis(Diagnosis):
    """Of the log itself, by its sealed tiles. A place is the number that an event has."""

    def __init__(self, cursor: Cursor[Any], sealed: int, archive: Archive) -> None:
        self._cursor = cursor
        self._archive = archive
        self._sealed = sealed

    def _row(self, place: int) -> bytes | None:
        return self._archive.leaves(self._cursor, place - 1, place).get(place)

    def _missing_to(self, place: int) -> int:
        following: int | None = self._one(_NEXT, place)
        return following - 1 if following is not None else self._sealed

    def _leaf(self, position: int) -> bytes | None:
        if position > self._sealed:
            return None
        index, at = divmod(position - 1, TILE_NODES)
        tile = read_tiles(self._cursor, [(0, index)]).get((0, index), b"")
        return tile[at * HASH_BYTES : (at + 1) * HASH_BYTES] or None

    def _place_of(self, leaf: bytes, position: int, belongs: int | None) -> int | None:
        found: int | None = self._one(_PLACE, leaf)
        return found

    def _position_of(self, leaf: bytes) -> int | None:
        for index, tile in self._cursor.execute(_POSITIONS, (leaf,)).fetchall():
            at = place_in_tile(tile, leaf)
            if at is not None:
                return int(index) * TILE_NODES + at + 1
        return None

    def _one(self, query: str, value: Any) -> Any:
        row = self._cursor.execute(query, (value,)).fetchone()
        return row[0] if row is not None else None
