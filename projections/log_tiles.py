"""Tiles of the log in the database: those that were sealed, and those that its events make now."""

from collections.abc import Collection, Mapping
from typing import Any

from psycopg import Cursor

from ledger.proof.merkle import EMPTY_ROOT, HASH_BYTES
from ledger.proof.tile_files import tile_width
from ledger.proof.tree import TILE_HEIGHT, TILE_NODES, TileKey, hashes_of
from ledger.store.archive import Archive
from ledger.store.seal import read_tiles


class SealedTiles:
    """The tiles of the seal. None stands for one that is not there, or not whole."""

    def __init__(self, cursor: Cursor[Any], size: int) -> None:
        self.size = size
        self._cursor = cursor

    def read(self, key: TileKey) -> bytes | None:
        """A tile, with all the hashes that it has in the tree."""
        return self.read_all([key])[key]

    def read_all(self, keys: Collection[TileKey]) -> Mapping[TileKey, bytes | None]:
        """Some tiles."""
        there = read_tiles(self._cursor, keys)
        widths = {key: tile_width(key, self.size) * HASH_BYTES for key in keys}
        return {
            key: there[key][:width] if key in there and len(there[key]) >= width else None
            for key, width in widths.items()
        }

    def level(self, level: int) -> list[bytes | None]:
        """All nodes that tiles of a level have, from the first on."""
        count = self.size >> TILE_HEIGHT * level
        keys = [(level, index) for index in range(-(-count // TILE_NODES))]
        nodes: list[bytes | None] = []
        for key, tile in self.read_all(keys).items():
            nodes += hashes_of(tile) if tile is not None else [None] * tile_width(key, self.size)
        return nodes


class EventTiles:
    """The tiles of leaves that the stored events make. An event that is not there has no right hash."""

    def __init__(self, cursor: Cursor[Any], size: int, archive: Archive) -> None:
        self.size = size
        self._cursor = cursor
        self._archive = archive
        self._last: Mapping[TileKey, bytes] = {}

    def read(self, key: TileKey) -> bytes | None:
        """A tile of level 0. The last is kept: many checkpoints end in the same."""
        if key not in self._last:
            self._last = self.read_all([key])
        return self._last[key]

    def read_all(self, keys: Collection[TileKey]) -> Mapping[TileKey, bytes]:
        """Some tiles of level 0, side by side."""
        indexes = [index for _, index in keys]
        begin, end = min(indexes) * TILE_NODES, min((max(indexes) + 1) * TILE_NODES, self.size)
        leaves = self._archive.leaves(self._cursor, begin, end)
        hashes = [leaves.get(position, EMPTY_ROOT) for position in range(begin + 1, end + 1)]
        return {
            (0, index): b"".join(hashes[index * TILE_NODES - begin : (index + 1) * TILE_NODES - begin])
            for index in indexes
        }

    def level(self, level: int) -> list[bytes | None]:
        """No nodes of higher levels: they are made from those of the events."""
        return [None] * (self.size >> TILE_HEIGHT * level)
