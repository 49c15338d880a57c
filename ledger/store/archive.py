"""The archive: states of old events, in verified exports below a folder. See ledger.archive for how they get there.

What is read from it is proved by the tree in the database, so that nobody has to trust the folder.
"""

import mmap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from psycopg import Cursor

from ledger.proof.event_rows import Row, row_of_line
from ledger.proof.leaf import hash_of_parts
from ledger.proof.manifest import MANIFEST, event_file
from ledger.proof.merkle import HASH_BYTES
from ledger.proof.tree import TILE_NODES
from ledger.store.arrays import BigintArray, ByteaArray
from ledger.store.seal import read_tiles
from ledger.store.topics import NOT_SET, TOPICS_OF_ACCOUNTS, Archived, State

ARCHIVED_TOPICS: Final = sorted(TOPICS_OF_ACCOUNTS)
"""Topics whose states go to the archive. Those of programs and pools are few, and needed for ever."""

_DIGITS: Final = 13

_LEAVES: Final = """
SELECT e.notification_id, leaf_hash(e) FROM events e
WHERE e.notification_id > %b AND e.notification_id <= %b ORDER BY e.notification_id
"""

_ARCHIVED_LEAVES: Final = """
SELECT e.notification_id, leaf_hash(
    (e.originator_id, e.originator_version, e.topic, n.state, e.notification_id, e.recorded_at, e.request_id,
     e.transaction_id, e.sale_reference)::events
)
FROM unnest(%b::bigint[], %b::bytea[]) AS n (position, state) JOIN events e ON e.notification_id = n.position
"""


class ArchivedRange(NamedTuple):
    """A part of the archive: a folder, and the positions of the events in it."""

    folder: Path
    first: int
    last: int


def range_folder(first: int, last: int) -> str:
    """The name of a part of the archive."""
    return f"{first:0{_DIGITS}}-{last:0{_DIGITS}}"


class Archive:
    """Reads states. Any thread may use it."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder no state can be read."""
        self._folder = folder
        self._ranges: list[ArchivedRange] = []
        self._files: dict[Path, _EventFile] = {}

    def fill(self, cursor: Cursor[Any], rows: Sequence[Sequence[Any]], position_at: int, state_at: int) -> list[Any]:
        """The rows of a query with the states that are not in the database, or why they cannot be read: see `decode`.

        The numbers say which columns are the position and the state. The cursor is one that knows our arrays.
        """
        missing = [row[position_at] for row in rows if row[state_at] is None]
        if not missing:
            return list(rows)
        states: Mapping[int, State] = self.states(cursor, missing)
        return [
            (*row[:state_at], states[row[position_at]], *row[state_at + 1 :]) if row[state_at] is None else row
            for row in rows
        ]

    def states(self, cursor: Cursor[Any], positions: Sequence[int]) -> dict[int, bytes | Archived]:
        """The states of events by position, each what was sealed; or why it cannot be read."""
        if self._folder is None:
            return {position: Archived(f"event {position}: {NOT_SET}") for position in positions}
        states: dict[int, bytes | Archived] = {}
        if not all(map(self._holding, positions)):
            self._ranges = archived_ranges(self._folder)  # what was archived, or brought back, since the last look
        for position, leaf in sealed_leaves(cursor, positions).items():
            state = self._state(position, leaf)
            states[position] = self._unreadable(position) if state is None else state
        return states

    def _unreadable(self, position: int) -> Archived:
        here = f"event {position}: it is in the archive"
        if not self._holding(position):
            return Archived(f"{here}, and no part of it below {self._folder} has it: bring that part back")
        return Archived(f"{here}, but below {self._folder} not as it was sealed: bring a good copy of that part back")

    def leaves(self, cursor: Cursor[Any], after: int, last: int) -> dict[int, bytes]:
        """The hashes of the rows behind a position up to another, with their states from wherever they are.

        Those whose states cannot be read are left out.
        """
        leaves: dict[int, bytes | None] = dict(cursor.execute(_LEAVES, (after, last), prepare=True).fetchall())
        archived = [position for position, leaf in leaves.items() if leaf is None]
        if archived:
            states = self.states(cursor, archived)
            there = {position: state for position, state in states.items() if not isinstance(state, Archived)}
            columns = (BigintArray(there), ByteaArray(there.values()))
            leaves |= dict(cursor.execute(_ARCHIVED_LEAVES, columns, prepare=True).fetchall())
        return {position: leaf for position, leaf in leaves.items() if leaf is not None}

    def _state(self, position: int, leaf: bytes) -> bytes | None:
        for one in self._holding(position):
            path = one.folder / event_file(one.first, "jsonl")
            file = self._files.get(path) or self._files.setdefault(path, _EventFile(path))
            row = file.row(position)
            if row is not None and row[0] == position and hash_of_parts(*row[1:]) == leaf:
                return row[-1]
            self._files.pop(path, None)  # another file may be in its place when it is asked for again
        return None

    def _holding(self, position: int) -> list[ArchivedRange]:
        """The parts that a position is in."""
        return [one for one in self._ranges if one.first <= position <= one.last]


NO_ARCHIVE: Final = Archive(None)
"""Where no folder is set."""


def sealed_leaves(cursor: Cursor[Any], positions: Sequence[int]) -> dict[int, bytes]:
    """The hashes of events that were sealed; empty where there is none."""
    tiles = read_tiles(cursor, {(0, (position - 1) // TILE_NODES) for position in positions})
    leaves = {}
    for position in positions:
        begin = (position - 1) % TILE_NODES * HASH_BYTES
        leaves[position] = tiles.get((0, (position - 1) // TILE_NODES), b"")[begin : begin + HASH_BYTES]
    return leaves


def archived_ranges(folder: Path) -> list[ArchivedRange]:
    """The parts below a folder whose export was finished, in order."""
    ranges = []
    for path in _folders(folder):
        first, dash, last = path.name.partition("-")
        if dash and first.isdigit() and last.isdigit() and (path / MANIFEST).is_file():
            ranges.append(ArchivedRange(path, int(first), int(last)))
    return sorted(ranges, key=lambda one: one.first)


def _folders(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


class _EventFile:
    """A file of events as JSON Lines in order of position: found by halving, or as the next one."""

    def __init__(self, path: Path) -> None:
        self._data: mmap.mmap | bytes = b""
        self._next = 0
        try:
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return  # as good as empty

    def row(self, position: int) -> Row | None:
        """The event at a position; None where there is none that can be read."""
        data, begin = self._data, self._next
        if self._position(begin) != position:
            begin = self._find(position)
        end = data.find(b"\n", begin) + 1 or len(data)
        self._next = end
        return row_of_line(data[begin:end])

    def _find(self, position: int) -> int:
        """Where the line of a position begins, or would begin."""
        data = self._data
        low, high = 0, len(data)
        while low < high:
            middle = (low + high) // 2
            begin = data.rfind(b"\n", low, middle) + 1 or low
            if self._position(begin) < position:
                low = data.find(b"\n", middle, high) + 1 or high
            else:
                high = begin
        return low

    def _position(self, begin: int) -> int:
        """The position that a line says it is at; -1 where it says none."""
        head = self._data[begin : begin + _HEAD_BYTES]
        digits = head.removeprefix(_HEAD).partition(b",")[0]
        return int(digits) if head.startswith(_HEAD) and digits.isdigit() else -1


_HEAD: Final = b'{"position":'
_HEAD_BYTES: Final = len(_HEAD) + 20
