"""The whole log's tree, put together from its events or from its tiles alone."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ledger.proof.merkle import fold, levels_of, nodes_of, perfect_root
from ledger.proof.tree import TILE_HEIGHT, TILE_NODES, TileKey, hashes_of


class Tiles(Protocol):
    """The tiles of a tree of some size, wherever they are. None stands for one that is not there, or not whole."""

    size: int

    def read(self, key: TileKey) -> bytes | None:
        """A tile, with all the hashes that it has in the tree."""

    def level(self, level: int) -> list[bytes | None]:
        """All nodes that tiles of a level have, from the first on."""


class WholeTree:
    """A tree by its nodes over whole tiles: what is below them counts only at the right edge of each size.

    Args:
        files: Tiles; where neither they nor `roots` have a node, roots that need it are None.
        roots: The roots over tiles of leaves that are known otherwise, by index.
        edges: The root over the last leaves of each size whose last tile is not full, where known otherwise.
    """

    def __init__(
        self, files: Tiles, roots: Mapping[int, bytes | None] | None = None, edges: Mapping[int, bytes] | None = None
    ) -> None:
        self._files = files
        self._edges = edges or {}
        self.over_tiles: list[bytes | None] = [
            (roots or {}).get(index, node) for index, node in enumerate(files.level(1))
        ]
        self._levels = levels_of([node or b"" for node in self.over_tiles])
        self.is_whole = None not in self.over_tiles

    def root(self, size: int) -> bytes | None:
        """The root of the tree when it had that size."""
        whole = size // TILE_NODES * TILE_NODES
        nodes = nodes_of((0, whole))
        if not self.is_whole and None in self.over_tiles[: size // TILE_NODES]:
            return None
        hashes = [self._levels[level - TILE_HEIGHT][index] for level, index in nodes]
        if size > whole:
            edge = self._edges.get(size) or self._edge(size)
            if edge is None:
                return None
            hashes.append(edge)
        return fold(hashes)

    def differing_tiles(self, other: "WholeTree") -> list[int]:
        """The tiles of leaves whose roots are not those of another tree."""
        pairs = zip(self.over_tiles, other.over_tiles, strict=True)
        return [index for index, (one, its) in enumerate(pairs) if one != its]

    def damaged_above(self) -> list[TileKey]:
        """The tiles above those of leaves' roots that do not fit them, or are not there."""
        return [key for key in self.differing_above(self._files) if key[0] > 1]

    def differing_above(self, tiles: Tiles) -> list[TileKey]:
        """Of other tiles of this tree, or of an earlier one, those above the leaves' that are not this tree's."""
        differing: list[TileKey] = []
        level = 1
        while tiles.size >> TILE_HEIGHT * level:
            nodes = self._levels[TILE_HEIGHT * (level - 1)]
            there = tiles.level(level)
            differing += sorted({(level, at // TILE_NODES) for at, node in enumerate(there) if node != nodes[at]})
            level += 1
        return differing

    def _edge(self, size: int) -> bytes | None:
        tile = self._files.read((0, size // TILE_NODES))
        if tile is None:
            return None
        return fold_leaves(hashes_of(tile)[: size % TILE_NODES])


def fold_leaves(leaves: Sequence[bytes]) -> bytes:
    """The root over the last leaves of a tree, fewer than a tile has."""
    return fold([perfect_root(leaves[at << level : (at + 1) << level]) for level, at in nodes_of((0, len(leaves)))])
