"""What auditors ask of the sealed log: checkpoints, and proofs out of its tree.

A proof is checked before it is handed out, so that a tree which was damaged is found here and not at the auditor's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.proof.checkpoint_file import SignedCheckpoint
from ledger.proof.merkle import (
    ProofInvalid,
    Span,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
)
from ledger.proof.note import Checkpoint, NoteInvalid
from ledger.proof.tree import TILE_NODES, TileKey, consistency_proof, edge_keys, inclusion_proof, span_root, tiles_for
from ledger.store.checkpoints import checkpoint_of, checkpoints_before, newest_checkpoint
from ledger.store.datastore import LedgerDatastore
from ledger.store.seal import SealBroken, read_tiles, sealed_size, tree_of

_HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM events"


class NotSigned(Exception):
    """There is no checkpoint at all."""


class NotSealed(Exception):
    """The log is not sealed, or not signed, as far as was asked."""

    def __init__(self, position: int) -> None:
        super().__init__(f"sealed up to {position}")
        self.position = position
        """How far it is."""


class BeyondLog(Exception):
    """The log does not go as far as was asked."""

    def __init__(self, head: int) -> None:
        super().__init__(f"the log ends at {head}")
        self.head = head


class Inclusion(NamedTuple):
    """A proof that an event is in the log."""

    tree_size: int
    leaf: bytes
    hashes: list[bytes]
    root: bytes
    checkpoint: SignedCheckpoint | None
    """That of the tree, where one was signed at its size."""


class Consistency(NamedTuple):
    """A proof that events were only appended."""

    tree_size: int
    hashes: list[bytes]
    old_root: bytes
    root: bytes
    checkpoint: SignedCheckpoint | None
    """That of the newer tree, where one was signed at its size."""


class Proofs:
    """Reads checkpoints and makes proofs. Every call blocks on the database.

    Raises NotSigned, NotSealed and BeyondLog for what is not there, and SealBroken where what is there is damaged.
    """

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def checkpoint(self, size_min: int) -> SignedCheckpoint:
        """The first checkpoint of at least a size; the newest for 0."""
        with self._cursor() as cursor:
            newest = _newest(cursor, size_min)
            return (checkpoint_of(cursor, size_min) if size_min else None) or newest

    def checkpoints(self, before: int, limit: int) -> list[SignedCheckpoint]:
        """Checkpoints below a size, largest first."""
        with self._cursor() as cursor:
            return checkpoints_before(cursor, before, limit)

    def inclusion(self, position: int, tree_size: int) -> Inclusion:
        """The proof for an event in the tree of a size, which covers it; in the newest checkpoint's for 0."""
        with self._cursor() as cursor:
            size = _tree_size(cursor, tree_size, position)
            index = position - 1
            path = inclusion_path(index, size)
            tiles, root = _tiles(cursor, size, path, [(0, index // TILE_NODES)])
            with _named(position, size):
                leaf = span_root((index, position), tiles)
                hashes = inclusion_proof(index, size, tiles)
                check_inclusion(root, size, index, leaf, hashes)
            return Inclusion(size, leaf, hashes, root, _signed(cursor, size, root))

    def consistency(self, old_size: int, tree_size: int) -> Consistency:
        """The proof that the tree of a size, or the newest checkpoint's for 0, continues an older one."""
        with self._cursor() as cursor:
            size = _tree_size(cursor, tree_size, old_size)
            path = consistency_path(old_size, size)
            tiles, root = _tiles(cursor, size, path, edge_keys(old_size))
            old_root = tree_of(old_size, tiles).root()
            with _named(old_size, size):
                hashes = consistency_proof(old_size, size, tiles)
                check_consistency(old_root, old_size, root, size, hashes)
            _signed(cursor, old_size, old_root)
            return Consistency(size, hashes, old_root, root, _signed(cursor, size, root))

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[Any]]:
        with self._datastore.get_connection() as connection:
            yield connection.cursor(binary=True, row_factory=tuple_row)


def _newest(cursor: Cursor[Any], size_min: int) -> SignedCheckpoint:
    """The newest checkpoint, which is of at least a size."""
    newest = newest_checkpoint(cursor)
    if newest is None:
        raise NotSigned
    if newest.size < size_min:
        raise _not_there(cursor, size_min, newest.size)
    return newest


def _tree_size(cursor: Cursor[Any], asked: int, size_min: int) -> int:
    """The size of the tree that was asked for, 0 for that of the newest checkpoint."""
    if not asked:
        return _newest(cursor, size_min).size
    sealed = sealed_size(cursor)
    if asked > sealed:
        raise _not_there(cursor, asked, sealed)
    return asked


def _not_there(cursor: Cursor[Any], asked: int, reached: int) -> NotSealed | BeyondLog:
    row = cursor.execute(_HEAD, prepare=True).fetchone()
    head = int(row[0]) if row is not None else 0
    return BeyondLog(head) if asked > head else NotSealed(reached)


def _tiles(
    cursor: Cursor[Any], size: int, path: list[Span], others: list[TileKey]
) -> tuple[Mapping[TileKey, bytes], bytes]:
    """The tiles for a path in the tree of a size, with some others, and the tree's root."""
    tiles = read_tiles(cursor, {*tiles_for(path), *others, *edge_keys(size)})
    return tiles, tree_of(size, tiles).root()


@contextmanager
def _named(position: int, size: int) -> Iterator[None]:
    """Gives a tree that does not hold together its name."""
    try:
        yield
    except KeyError as error:
        level, index = error.args[0]
        reason = f"tile {index} of level {level}, from event {index * TILE_NODES ** (level + 1) + 1:,} on, is damaged"
        raise SealBroken(position, f"the log's tree of {size:,} events: {reason}") from None
    except ProofInvalid as error:
        reason = f"its hashes around event {position:,} have been changed: {error}"
        raise SealBroken(position, f"the log's tree of {size:,} events: {reason}") from None


def _signed(cursor: Cursor[Any], size: int, root: bytes) -> SignedCheckpoint | None:
    """The checkpoint of a size, where there is one."""
    kept = checkpoint_of(cursor, size)
    if kept is None or kept.size != size:
        return None
    try:
        signed = Checkpoint.parse(kept.note)
    except NoteInvalid as error:
        raise SealBroken(size, f"the checkpoint of {size:,} events has been changed: {error}") from None
    if (signed.size, signed.root) != (size, root):
        raise SealBroken(size, f"the log's tree of {size:,} events is not that of the checkpoint of its size")
    return kept
