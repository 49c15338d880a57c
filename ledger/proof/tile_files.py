"""Tiles as files, where C2SP's tlog-tiles has them: tile/0/x001/234, with .p/17 behind it where it is not full."""

from itertools import islice
from pathlib import Path
from typing import Final

from ledger.proof.merkle import HASH_BYTES
from ledger.proof.ordinary_file import read_small
from ledger.proof.tree import TILE_HEIGHT, TILE_NODES, TileKey, hashes_of

_GROUP: Final = 1000


def tile_width(key: TileKey, size: int) -> int:
    """How many hashes a tile has in a tree of that size."""
    level, index = key
    return max(min((size >> TILE_HEIGHT * level) - index * TILE_NODES, TILE_NODES), 0)


def tile_name(key: TileKey, width: int) -> str:
    """The name of the tile's file below the folder."""
    level, index = key
    parts = [f"{index % _GROUP:03}"]
    while index := index // _GROUP:
        parts.insert(0, f"x{index % _GROUP:03}")
    partial = f".p/{width}" if width < TILE_NODES else ""
    return f"tile/{level}/{'/'.join(parts)}{partial}"


class TileFiles:
    """The tiles of a tree of some size in a folder. None stands for one that is not there, or not whole."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def read(self, key: TileKey) -> bytes | None:
        """A tile, with all the hashes that it has in the tree."""
        width = tile_width(key, self.size)
        try:
            tile = read_small(self.folder / tile_name(key, width))
        except OSError:
            return None
        return tile if len(tile) == width * HASH_BYTES else None

    def could_be_whole(self) -> bool:
        """Whether there are as many tiles as the tree needs behind its first level; a size alone is only a claim."""
        needed = -(-(self.size >> TILE_HEIGHT) // TILE_NODES)
        there = (self.folder / "tile" / "1").rglob("*")
        return sum(1 for _ in islice(there, needed)) >= needed

    def level(self, level: int) -> list[bytes | None]:
        """All nodes that tiles of a level have, from the first on."""
        count = self.size >> TILE_HEIGHT * level
        nodes: list[bytes | None] = []
        for index in range(-(-count // TILE_NODES)):
            tile = self.read((level, index))
            nodes += hashes_of(tile) if tile is not None else [None] * tile_width((level, index), self.size)
        return nodes
