"""The tree as tiles: what is kept of it, how it grows, and how proofs are put together from it.

A tile has up to 256 nodes of one level, every eighth of which is kept: tile (level, index) has the nodes of level
8 * level from 256 * index on. Full tiles never change. Those at the right edge grow, and are all that growing needs.
The layout is that of C2SP's tlog-tiles.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ledger.proof.merkle import (
    HASH_BYTES,
    Node,
    Span,
    consistency_path,
    fold,
    inclusion_path,
    nodes_of,
    perfect_root,
    root_over,
)

TILE_HEIGHT: Final = 8
TILE_NODES: Final = 1 << TILE_HEIGHT

TileKey = tuple[int, int]
"""(level, index) of a tile."""


class Tree:
    """A tree that grows: its size and the tiles at its right edge."""

    def __init__(self, size: int = 0, edge: Mapping[TileKey, bytes] | None = None) -> None:
        """`edge` has the tiles of `edge_keys(size)`. Raises ValueError where one is missing or of another length."""
        self.size = size
        self._edge: list[list[bytes]] = []
        for level, index in edge_keys(size):
            hashes = hashes_of((edge or {}).get((level, index), b""))
            if len(hashes) != (size >> TILE_HEIGHT * level) % TILE_NODES:
                raise ValueError(f"tile {index} of level {level} does not fit a tree of {size:,} leaves")
            self._edge += [[] for _ in range(level - len(self._edge))]
            self._edge.append(hashes)

    def append(self, leaves: Iterable[bytes]) -> dict[TileKey, bytes]:
        """Adds the hashes of leaves; returns the tiles that are full now."""
        full: dict[TileKey, bytes] = {}
        for leaf in leaves:
            self.size += 1
            level, node = 0, leaf
            while True:
                if level == len(self._edge):
                    self._edge.append([])
                hashes = self._edge[level]
                hashes.append(node)
                if len(hashes) < TILE_NODES:
                    break
                full[level, (self.size >> TILE_HEIGHT * (level + 1)) - 1] = b"".join(hashes)
                node = perfect_root(hashes)
                hashes.clear()
                level += 1
        return full

    def edge(self) -> dict[TileKey, bytes]:
        """The tiles at the right edge, which are not full."""
        return {key: b"".join(self._edge[key[0]]) for key in edge_keys(self.size)}

    def root(self) -> bytes:
        """The root over all leaves."""
        parts: list[bytes] = []
        for hashes in reversed(self._edge):
            begin = 0
            while begin < len(hashes):
                count = 1 << ((len(hashes) - begin).bit_length() - 1)
                parts.append(perfect_root(hashes[begin : begin + count]))
                begin += count
        return fold(parts)


def edge_keys(size: int) -> list[TileKey]:
    """The tiles at the right edge of a tree of that size that are begun and not full, lowest level first."""
    keys: list[TileKey] = []
    level = 0
    while nodes := size >> TILE_HEIGHT * level:
        if nodes % TILE_NODES:
            keys.append((level, nodes // TILE_NODES))
        level += 1
    return keys


def hashes_of(tile: bytes) -> list[bytes]:
    """The hashes that a tile consists of."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def tiles_for(spans: Iterable[Span]) -> set[TileKey]:
    """The tiles that the roots over some leaves of a path are made from."""
    return {_place(node)[0] for span in spans for node in nodes_of(span)}


def inclusion_proof(index: int, size: int, tiles: Mapping[TileKey, bytes]) -> list[bytes]:
    """The proof that a leaf is in the tree, from the tiles for `inclusion_path`. Raises ValueError and KeyError."""
    return [span_root(span, tiles) for span in inclusion_path(index, size)]


def consistency_proof(old: int, size: int, tiles: Mapping[TileKey, bytes]) -> list[bytes]:
    """The proof that the tree continues an older one, from the tiles for `consistency_path`."""
    return [span_root(span, tiles) for span in consistency_path(old, size)]


def span_root(span: Span, tiles: Mapping[TileKey, bytes]) -> bytes:
    """The root over some leaves of a path, or over the whole tree. Raises KeyError for a tile that is not there."""

    def node(one: Node) -> bytes:
        key, begin, count = _place(one)
        part = tiles[key][begin * HASH_BYTES : (begin + count) * HASH_BYTES]
        if len(part) != count * HASH_BYTES:
            raise KeyError(key)
        return perfect_root(hashes_of(part))

    return root_over(span, node)


def _place(node: Node) -> tuple[TileKey, int, int]:
    """The tile that a node is in or made from, with the first of its nodes there and their count."""
    level, index = node
    height = level % TILE_HEIGHT
    first = index << height
    return (level // TILE_HEIGHT, first // TILE_NODES), first % TILE_NODES, 1 << height
