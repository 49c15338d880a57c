"""The check of the log's seal: the tree over the stored bytes against its tiles, and against what was signed of it."""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.instant import FOREVER, instant_text
from ledger.proof.checkpoint_file import CheckpointFile, CheckpointFileDamaged, SignedCheckpoint
from ledger.proof.merkle import HASH_BYTES, perfect_root
from ledger.proof.note import Checkpoint, NoteInvalid, Verifier, open_own_checkpoint
from ledger.proof.tile_files import tile_width
from ledger.proof.tree import TILE_NODES, TileKey, hashes_of
from ledger.proof.whole_tree import WholeTree, fold_leaves
from ledger.store.archive import Archive
from ledger.store.checkpoints import checkpoints_before
from ledger.store.seal import sealed_size
from projections.finding import Finding
from projections.hub import connect
from projections.log_diagnosis import LogDiagnosis
from projections.log_tiles import EventTiles, SealedTiles
from projections.workers import Report

PLACE: Final = "log seal"

RANGE_EVENTS: Final = 256 * TILE_NODES
"""Events that are hashed in one task; whole tiles."""

PAGE_TILES: Final = 64

CHECKPOINTS_MAX: Final = 10_000
"""Checkpoints of the database, and of the file, that are looked at, newest first: the newest is of all events too."""


class Trust(NamedTuple):
    """What a log is held against, besides its own tiles."""

    checkpoint_file: Path | None = None
    verifiers: Sequence[Verifier] = ()
    """Without any, signatures count as right."""


class InFile(NamedTuple):
    """What is in the file of checkpoints."""

    checkpoints: Sequence[SignedCheckpoint] = ()
    problem: str = ""
    """Why it cannot be read, or not to its end."""


def read_file(trust: Trust) -> InFile:
    """Reads the file: before the database, so that nothing is in it that is not yet there."""
    if trust.checkpoint_file is None:
        return InFile()
    file = CheckpointFile(trust.checkpoint_file)
    try:
        file.newest()
        return InFile(file.all()[-CHECKPOINTS_MAX:])
    except (CheckpointFileDamaged, OSError) as error:
        return InFile(problem=str(error))


class Range(NamedTuple):
    """Some of the tree's leaves, from the first of a tile on."""

    database_url: str
    archive: Path | None
    snapshot_id: str
    begin: int
    end: int
    sealed: int
    sizes: Sequence[int]
    """Ascending sizes of checkpoints."""


class RangeDone(NamedTuple):
    """What the events of a range make of the tree."""

    begin: int
    roots: list[bytes]
    """The roots over its full tiles by the events."""
    their_roots: list[bytes | None]
    """The same by the tiles; None where a tile is not there, or not whole."""
    first_bad: int | None
    """The first position whose event is not the tile's."""
    differing: list[int]
    """Tiles that differ from the events, or are not there."""
    edges: dict[int, bytes]
    """By size of checkpoint, the root over the events of its last tile, where that is not full."""


class Known(NamedTuple):
    """A checkpoint, and how it is called."""

    checkpoint: Checkpoint
    said: str


class SealCheck:
    """Looks at the seal in one snapshot of the database."""

    def __init__(self, cursor: Cursor[Any], head: int, trust: Trust, in_file: InFile, archive: Path | None) -> None:
        """`cursor` is in the transaction of the snapshot. Raises SealBroken."""
        self.findings: list[Finding] = []
        self.signed = 0
        """How much of the log is signed, as far as the database and the file know."""
        self._cursor = cursor
        self._head = head
        self._trust = trust
        self._archive = archive
        self.sealed = sealed_size(cursor)
        self._signed_here = max((one.size for one in checkpoints_before(cursor, FOREVER, 1)), default=0)
        self._known = self._kept(in_file)
        sizes = [one.checkpoint.size for one in self._known]
        self.size = min(max([self.sealed, *sizes]), head)
        """The size of the tree that is looked at."""

    def ranges(self, database_url: str, snapshot_id: str) -> list[Range]:
        """What there is to hash."""
        sizes = sorted({one.checkpoint.size for one in self._known})
        ranges: list[Range] = []
        for begin in range(0, self.size, RANGE_EVENTS):
            end = min(begin + RANGE_EVENTS, self.size)
            own = sizes[bisect_right(sizes, begin) : bisect_right(sizes, end)]
            ranges.append(Range(database_url, self._archive, snapshot_id, begin, end, self.sealed, own))
        return ranges

    def judge(self, parts: Sequence[RangeDone]) -> None:
        """What the ranges come to together."""
        self._compare(sorted(parts), [one for one in self._known if one.checkpoint.size <= self._head])
        if self.sealed > self._head:
            ends = f"the log ends at {self._head}: its end was removed"
            self._find(self._head + 1, f"{self.sealed} sealed events", ends)
        if self.sealed < self._signed_here:
            says = f"at least the {self._signed_here} events that were signed"
            self.findings.append(Finding(PLACE, "log_seal", says, f"{self.sealed} sealed events"))
        if self._known and self._known[-1].checkpoint.size > self._head:
            says = f"at least {self._known[-1].checkpoint.size} events, as {self._known[-1].said} says"
            ends = f"the log ends at {self._head}: it was rolled back to a backup, or has lost its end"
            self._find(self._head + 1, says, ends)

    def _find(self, position: int, expected: str, found: str) -> None:
        self.findings.append(Finding(PLACE, f"position {position}", expected, found))

    # -- what was signed

    def _kept(self, in_file: InFile) -> list[Known]:
        kept = [(one, "the database") for one in checkpoints_before(self._cursor, FOREVER, CHECKPOINTS_MAX)]
        if self._trust.checkpoint_file is not None:
            where = str(self._trust.checkpoint_file)
            problem = in_file.problem
            if kept and not in_file.checkpoints:
                problem = problem or "no checkpoint is there, and some are in the database"
            if problem:
                self.findings.append(Finding(PLACE, where, "the checkpoints that were signed", problem))
            kept += [(one, where) for one in in_file.checkpoints]
        known = [known for one, where in kept if (known := self._open(one, where)) is not None]
        origin = known[0].checkpoint.origin if known else ""
        for other in [one for one in known if one.checkpoint.origin != origin]:
            found = f"one of the log {other.checkpoint.origin}"
            self.findings.append(Finding(PLACE, other.said, f"one of the log {origin}", found))
            known.remove(other)
        return sorted(known, key=lambda one: one.checkpoint.size)

    def _open(self, kept: SignedCheckpoint, where: str) -> Known | None:
        said = f"the checkpoint of {kept.size} events, signed at {instant_text(kept.signed_at)}, in {where}"
        try:
            checkpoint = self._opened(kept)
        except NoteInvalid as error:
            self.findings.append(Finding(PLACE, said, "what was signed", str(error)))
            return None
        if checkpoint.size != kept.size:
            self.findings.append(Finding(PLACE, said, f"one of {kept.size} events", f"one of {checkpoint.size}"))
            return None
        self.signed = max(self.signed, min(checkpoint.size, self._head))
        return Known(checkpoint, said)

    def _opened(self, kept: SignedCheckpoint) -> Checkpoint:
        if self._trust.verifiers:
            return open_own_checkpoint(kept.note, self._trust.verifiers)
        return Checkpoint.parse(kept.note.partition("\n\n")[0] + "\n")

    # -- the tree

    def _compare(self, parts: Sequence[RangeDone], known: Sequence[Known]) -> None:
        tiles = SealedTiles(self._cursor, min(self.sealed, self.size))
        proved = WholeTree(
            EventTiles(self._cursor, self.size, Archive(self._archive)),
            dict(enumerate(root for part in parts for root in part.roots)),
            {size: edge for part in parts for size, edge in part.edges.items()},
        )
        shown = WholeTree(tiles, dict(enumerate(root for part in parts for root in part.their_roots)))
        wrong = [one for one in known if proved.root(one.checkpoint.size) != one.checkpoint.root]
        first_bad = next((part.first_bad for part in parts if part.first_bad is not None), None)
        if not wrong:
            self._check_tiles(parts, tiles, proved, known[-1].checkpoint.size if known else 0)
        elif first_bad is not None and all(
            one.checkpoint.size <= tiles.size and shown.root(one.checkpoint.size) == one.checkpoint.root
            for one in wrong
        ):
            self._diagnose(first_bad)
        else:
            before = [one.checkpoint.size for one in known if one.checkpoint.size < wrong[0].checkpoint.size]
            self._forged(before[-1] if before else 0, wrong[0])

    def _check_tiles(self, parts: Sequence[RangeDone], tiles: SealedTiles, proved: WholeTree, signed: int) -> None:
        """The events that are signed are right: where tiles are other than they, those are damaged."""
        for part in parts:
            for index in part.differing:
                if (index + 1) * TILE_NODES <= signed or part.first_bad is None or part.first_bad <= signed:
                    self._damaged((0, index))
            if part.first_bad is not None and part.first_bad > signed:
                self._diagnose(part.first_bad)
                return
        for key in proved.differing_above(tiles):
            self._damaged(key)

    def _damaged(self, key: TileKey) -> None:
        level, index = key
        first = index * TILE_NODES ** (level + 1) + 1
        tile = f"tile {index} of level {level} is not whole, or not that of the events, which are right"
        self._find(first, "the log's tree", tile)

    def _diagnose(self, first_bad: int) -> None:
        said = LogDiagnosis(self._cursor, self.sealed, Archive(self._archive)).at(first_bad)
        self._find(first_bad, "the event that was sealed here", f"{said.kind}: {said.message}")

    def _forged(self, good: int, wrong: Known) -> None:
        """The tree is not the one that was signed, whatever its tiles say; it was up to the checkpoint before."""
        found = (
            "forged: events and hashes are others than were signed for, or the checkpoint was changed; it happened"
            f" between position {good + 1} and {wrong.checkpoint.size}"
        )
        self._find(good + 1, f"the events of {wrong.said}", found)


def hash_range(task: Range, report: Report) -> RangeDone:
    """Hashes the events of a range, and compares them with the tiles."""
    done = RangeDone(task.begin, [], [], None, [], {})
    with connect(task.database_url, "check seal") as connection, connection.transaction():
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        cursor.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(f"SET TRANSACTION SNAPSHOT '{task.snapshot_id}'".encode())
        events, tiles = (
            EventTiles(cursor, task.end, Archive(task.archive)),
            SealedTiles(cursor, min(task.sealed, task.end)),
        )
        for first in range(task.begin // TILE_NODES, -(-task.end // TILE_NODES), PAGE_TILES):
            keys = [(0, at) for at in range(first, min(first + PAGE_TILES, -(-task.end // TILE_NODES)))]
            own, theirs = events.read_all(keys), tiles.read_all(keys)
            for key in keys:
                done = _compare_tile(done, key[1], own[key], theirs[key], tile_width(key, tiles.size))
            for size in task.sizes[bisect_right(task.sizes, first * TILE_NODES) :]:
                if size % TILE_NODES and (key := (0, size // TILE_NODES)) in own:
                    done.edges[size] = fold_leaves(hashes_of(own[key][: size % TILE_NODES * HASH_BYTES]))
            report(sum(len(tile) // HASH_BYTES for tile in own.values()))
    return done


def _compare_tile(done: RangeDone, index: int, own: bytes, theirs: bytes | None, sealed: int) -> RangeDone:
    """`sealed` says how many of the tile's hashes are sealed."""
    same = theirs == own[: sealed * HASH_BYTES] and theirs is not None
    if len(own) == TILE_NODES * HASH_BYTES:
        done.roots.append(perfect_root(hashes_of(own)))
        is_whole = theirs is not None and sealed == TILE_NODES
        done.their_roots.append(
            done.roots[-1] if same else perfect_root(hashes_of(theirs or b"")) if is_whole else None
        )
    if same or not sealed:
        return done
    done.differing.append(index)
    if theirs is None or done.first_bad is not None:
        return done
    pairs = enumerate(zip(hashes_of(own), hashes_of(theirs), strict=False))
    at = next(at for at, (one, its) in pairs if one != its)
    return done._replace(first_bad=index * TILE_NODES + at + 1)
