"""One file of events: what the events in it make of the tree, and where that is not what the tiles say."""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Final, NamedTuple

from ledger.proof.event_rows import FormatUnreadable, Row, read_rows
from ledger.proof.leaf import hash_of_parts
from ledger.proof.manifest import ExportedFile, Format
from ledger.proof.merkle import EMPTY_ROOT, fold, levels_of, nodes_of
from ledger.proof.ordinary_file import open_ordinary
from ledger.proof.tile_files import TileFiles, tile_width
from ledger.proof.tree import TILE_HEIGHT, TILE_NODES, hashes_of

NO_HASH: Final = b""
"""In place of the hash of what is no event."""


class FileTask(NamedTuple):
    """A file to look at."""

    folder: Path
    file: ExportedFile
    format: Format
    tree_size: int
    sizes: Sequence[int]
    """Ascending sizes of checkpoints whose last tile is one of the file's."""


class Misplaced(NamedTuple):
    """A row with a right event and a wrong position."""

    position: int
    written: int


class Backwards(NamedTuple):
    """An event that was recorded before the one in front of it."""

    position: int
    recorded_at: int
    before: int


class FileResult(NamedTuple):
    """What a file came to."""

    file: ExportedFile
    problem: str
    """Why it cannot be read; empty where it can."""
    is_listed: bool
    """Whether it is, byte for byte, what the manifest lists."""
    rows: int
    roots: dict[int, bytes]
    """The roots over its tiles that are full, by index."""
    edges: dict[int, bytes]
    """By size of checkpoint, the root over the hashes of its last tile, where that is not full."""
    first_bad: int | None
    """The first position whose event is not the tile's."""
    damaged_tiles: list[int]
    """Tiles that are not there, or not whole."""
    misplaced: Misplaced | None
    backwards: Backwards | None
    recorded: tuple[int, int] | None
    """recorded_at of the first and the last event."""


def look_at(task: FileTask) -> FileResult:
    """Reads a file, hashes its events, and compares them with the tiles."""
    file = task.file
    reading = _Reading(file.first_position)
    problem, is_listed = "", False
    try:
        with open_ordinary(task.folder / file.name) as opened:
            is_listed = file_digest(opened, "sha256").hexdigest() == file.sha256
        for rows in read_rows(task.folder / file.name, task.format):
            reading.add(rows)
    except (FormatUnreadable, OSError) as error:
        problem = error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
    tiles = _Tiles(task, reading.hashes)
    return FileResult(
        file=file,
        problem=problem,
        is_listed=is_listed,
        rows=len(reading.hashes),
        roots=tiles.roots,
        edges=tiles.edges,
        first_bad=tiles.first_bad,
        damaged_tiles=tiles.damaged,
        misplaced=reading.misplaced,
        backwards=reading.backwards,
        recorded=reading.recorded,
    )


def hashes_in(folder: Path, file: ExportedFile, kind: Format) -> list[bytes]:
    """The hashes of a file's rows, as far as it can be read."""
    hashes: list[bytes] = []
    try:
        for rows in read_rows(folder / file.name, kind):
            hashes += _hashes(rows)
    except (FormatUnreadable, OSError):
        pass
    return hashes


class _Reading:
    """The rows of a file, as they come."""

    def __init__(self, first_position: int) -> None:
        self.hashes: list[bytes] = []
        self.misplaced: Misplaced | None = None
        self.backwards: Backwards | None = None
        self.recorded: tuple[int, int] | None = None
        self._first = first_position

    def add(self, rows: Sequence[Row | None]) -> None:
        expected = self._first + len(self.hashes)
        self.hashes += _hashes(rows)
        events = [row for row in rows if row is not None]
        if not events:
            return
        if self.misplaced is None and [row[0] for row in rows if row] != [*range(expected, expected + len(rows))]:
            wrong = ((at, row[0]) for at, row in enumerate(rows, expected) if row is not None and row[0] != at)
            self.misplaced = next((Misplaced(*one) for one in wrong), None)
        recorded = [row[3] for row in events]
        before = self.recorded[1] if self.recorded is not None else recorded[0]
        if self.backwards is None and (recorded[0] < before or recorded != sorted(recorded)):
            self.backwards = _first_backwards(enumerate(rows, expected), before)
        self.recorded = (self.recorded[0] if self.recorded is not None else recorded[0], recorded[-1])


def _first_backwards(rows: Iterable[tuple[int, Row | None]], before: int) -> Backwards | None:
    for position, row in rows:
        if row is None:
            continue
        if row[3] < before:
            return Backwards(position, row[3], before)
        before = row[3]
    return None


def _hashes(rows: Sequence[Row | None]) -> list[bytes]:
    try:
        return [hash_of_parts(*row[1:]) if row is not None else NO_HASH for row in rows]
    except struct.error:
        return [_hash_or_none(row) for row in rows]


def _hash_or_none(row: Row | None) -> bytes:
    try:
        return hash_of_parts(*row[1:]) if row is not None else NO_HASH
    except struct.error:  # a number that no event can have
        return NO_HASH


class _Tiles:
    """The tiles that a file's events are in: those of the folder, with the file's own hashes in place of theirs."""

    def __init__(self, task: FileTask, hashes: Sequence[bytes]) -> None:
        self.roots: dict[int, bytes] = {}
        self.edges: dict[int, bytes] = {}
        self.first_bad: int | None = None
        self.damaged: list[int] = []
        self._task = task
        self._files = TileFiles(task.folder, task.tree_size)
        self._begin, self._end = task.file.first_position - 1, task.file.last_position
        for index in range(self._begin // TILE_NODES, -(-self._end // TILE_NODES)):
            self._add(index, hashes)

    def _add(self, index: int, hashes: Sequence[bytes]) -> None:
        first = index * TILE_NODES
        end = first + tile_width((0, index), self._task.tree_size)
        begin_own, end_own = max(first, self._begin), min(end, self._end)
        own = hashes[begin_own - self._begin : end_own - self._begin]
        tile = self._files.read((0, index))
        if tile is None:
            self.damaged.append(index)
            theirs = [EMPTY_ROOT] * (end - first)
        else:
            theirs = hashes_of(tile)
        expected = theirs[begin_own - first : end_own - first]
        if tile is not None and self.first_bad is None and own != expected:
            pairs = enumerate(zip(own, expected, strict=False))
            same = next((at for at, (one, its) in pairs if one != its), len(own))
            self.first_bad = begin_own + same + 1
        mixed = [*theirs[: begin_own - first], *own, *theirs[end_own - first :]]
        # What is no hash, or not there, must not give a root that is right by chance.
        mixed = [one or EMPTY_ROOT for one in mixed] + [EMPTY_ROOT] * (end - first - len(mixed))
        levels = levels_of(mixed)
        if len(mixed) == TILE_NODES:
            self.roots[index] = levels[TILE_HEIGHT][0]
        for size in self._sizes(first):
            self.edges[size] = fold([levels[level][at] for level, at in nodes_of((0, size - first))])

    def _sizes(self, first: int) -> Iterator[int]:
        sizes = self._task.sizes
        yield from sizes[bisect_right(sizes, first) : bisect_left(sizes, first + TILE_NODES)]
