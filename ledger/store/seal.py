"""The seal: the log's Merkle tree in the database, which follows the log without skipping anything."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from psycopg import Cursor

from ledger.proof.tree import TileKey, Tree, edge_keys
from ledger.store.arrays import BigintArray, ByteaArray

EVENTS: Final = """
SELECT notification_id, originator_id, originator_version, recorded_at, topic, state, request_id, transaction_id,
       sale_reference
FROM events WHERE notification_id > %b AND notification_id <= %b ORDER BY notification_id LIMIT %b
"""
"""Events as they are stored; what follows the position is a StoredEvent."""

_LEAVES: Final = """
SELECT e.notification_id, leaf_hash(e)
FROM events e WHERE e.notification_id > %b ORDER BY e.notification_id LIMIT %b
"""

_TILES: Final = """
SELECT t.level, t.index, t.hashes
FROM unnest(%b::bigint[], %b::bigint[]) AS k (level, index) JOIN log_tiles t ON t.level = k.level AND t.index = k.index
"""

_WRITE_TILES: Final = """
INSERT INTO log_tiles SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[])
ON CONFLICT (level, index) DO UPDATE SET hashes = excluded.hashes
"""

_LOCK: Final = "SELECT size FROM log_seal FOR UPDATE"

_MOVE: Final = "UPDATE log_seal SET size = %b"


class SealBroken(Exception):
    """The log contradicts its seal, or what was signed of it. The message names the position."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position


def sealed_size(cursor: Cursor[Any]) -> int:
    """How much of the log is sealed."""
    return int(_one(cursor, "SELECT size FROM log_seal"))


def seal(cursor: Cursor[Any], limit: int) -> Tree:
    """Seals the next events, so many at most, within the caller's transaction; returns the tree as it is then.

    Raises SealBroken where an event is missing.
    """
    size = int(_one(cursor, _LOCK))
    tree = load_tree(cursor, size)
    leaves = cursor.execute(_LEAVES, (size, limit), prepare=True).fetchall()
    for expected, (position, _) in enumerate(leaves, size + 1):
        if position != expected:
            raise SealBroken(expected, f"event {expected} is missing in the log")
    if leaves:
        tiles = tree.append(leaf for _, leaf in leaves) | tree.edge()
        levels, indexes = zip(*tiles, strict=True)
        columns = (BigintArray(levels), BigintArray(indexes), ByteaArray(tiles.values()))
        cursor.execute(_WRITE_TILES, columns, prepare=True)
        cursor.execute(_MOVE, (tree.size,), prepare=True)
    return tree


def load_tree(cursor: Cursor[Any], size: int) -> Tree:
    """The tree of that size, which is the sealed size or one before it. Raises SealBroken where tiles are damaged."""
    return tree_of(size, read_tiles(cursor, edge_keys(size)))


def tree_of(size: int, tiles: Mapping[TileKey, bytes]) -> Tree:
    """The tree of a size out of tiles. Raises SealBroken where one is missing or damaged."""
    keys = edge_keys(size)
    # Tiles may have grown since the log had that size.
    edge = {(level, index): tiles.get((level, index), b"")[: 32 * ((size >> 8 * level) % 256)] for level, index in keys}
    try:
        return Tree(size, edge)
    except ValueError as error:
        raise SealBroken(size, f"the log's tree at {size}: {error}") from None


def read_tiles(cursor: Cursor[Any], keys: Collection[TileKey]) -> dict[TileKey, bytes]:
    """Some tiles, where they are there."""
    levels, indexes = BigintArray([level for level, _ in keys]), BigintArray([index for _, index in keys])
    rows = cursor.execute(_TILES, (levels, indexes), prepare=True).fetchall()
    return {(level, index): bytes(hashes) for level, index, hashes in rows}


def _one(cursor: Cursor[Any], query: str) -> Any:
    row = cursor.execute(query).fetchone()
    if row is None:
        raise SealBroken(1, "the log has no seal: bring the database up to date with `loyalty migrate`")
    return row[0]
