"""The notary: signs checkpoints of the sealed log, having compared the log with what was signed before.

A log that is smaller than a checkpoint of it, or has another root at its size, was rolled back or changed. It is never
signed over, or else the new signature would make history of what is none.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from psycopg import Cursor

from ledger.domain.instant import to_datetime
from ledger.proof.checkpoint_file import CheckpointFile, CheckpointFileDamaged, SignedCheckpoint
from ledger.proof.keys import Keys, read_keys
from ledger.proof.note import Checkpoint, NoteInvalid, open_checkpoint, sign, signed_by
from ledger.proof.tree import Tree
from ledger.store.actions import SERVER, record_action
from ledger.store.checkpoints import add_checkpoint, newest_checkpoint
from ledger.store.seal import SealBroken, load_tree
from projections.hub import HEAD

SIGN_EVERY_S: Final = 1.0
"""Checkpoints are no closer than this."""

_HELP: Final = (
    "Nothing is signed over it: restore the log that was signed, or find out who changed it;"
    " `loyalty verify` names the first bad position of an export"
)


class Notary:
    """Signs with the keys of a file, and keeps what it signed in another and in the database.

    Both files are read anew each time, so that a rotation of the keys needs no restart.
    """

    def __init__(self, key_file: Path, checkpoint_file: Path, origin: str | None, clock: Callable[[], int]) -> None:
        self._key_file = key_file
        self._file = CheckpointFile(checkpoint_file)
        self._origin = origin
        self._clock = clock
        self._signed_size = -1
        self._next_at = 0.0

    def wait_s(self, size: int) -> float | None:
        """How long until a tree of that size is signed; None where it is already."""
        return max(self._next_at - time.monotonic(), 0.0) if size > self._signed_size else None

    def attend(self, cursor: Cursor[Any], tree: Tree) -> None:
        """Compares, and signs the tree where it has grown, unless the last time was just now.

        Raises SealBroken where the log is not what was signed, KeysInvalid, OSError.
        """
        if self.wait_s(tree.size) != 0.0:
            return
        self._next_at = time.monotonic() + SIGN_EVERY_S
        keys = read_keys(self._key_file, self._origin)
        in_file, in_database = self._from_file(), newest_checkpoint(cursor)
        signed_size = 0
        for kept, where in ((in_file, str(self._file.path)), (in_database, "the database")):
            if kept is not None:
                checkpoint = _open(kept, keys, where)
                if not self._is_reached(cursor, checkpoint, tree, kept, where):
                    return
                signed_size = max(signed_size, kept.size)
        if in_file is not None and (in_database is None or in_file.size > in_database.size):
            add_checkpoint(cursor, in_file)  # a crash came between the file and the database
        if tree.size > signed_size:
            _note_rotation(cursor, in_file or in_database, keys)
            note = sign(Checkpoint(keys.origin, tree.size, tree.root()).text, keys.signers)
            signed = SignedCheckpoint(self._clock(), tree.size, note)
            self._file.append(signed)
            add_checkpoint(cursor, signed)
        self._signed_size = tree.size

    def _from_file(self) -> SignedCheckpoint | None:
        try:
            return self._file.newest()
        except CheckpointFileDamaged as error:
            raise SealBroken(self._signed_size + 1, f"{error}. {_HELP}") from None

    def _is_reached(
        self, cursor: Cursor[Any], checkpoint: Checkpoint, tree: Tree, kept: SignedCheckpoint, where: str
    ) -> bool:
        """Whether the tree is as large as a checkpoint. Raises SealBroken where it does not continue it."""
        signed = (
            f"the checkpoint of {checkpoint.size:,} events signed at {to_datetime(kept.signed_at):%FT%TZ} in {where}"
        )
        if checkpoint.size > tree.size:
            row = cursor.execute(HEAD).fetchone()
            head = int(row[0]) if row is not None else 0
            if checkpoint.size > head:
                raise SealBroken(
                    head + 1, f"the log ends at {head:,} and has lost events: it is smaller than {signed}. {_HELP}"
                )
            return False  # the database lost what was sealed last, in a crash, and it is sealed again
        if load_tree(cursor, checkpoint.size).root() != checkpoint.root:
            raise SealBroken(
                checkpoint.size,
                f"events up to {checkpoint.size:,}, or their hashes, are not those of {signed}. {_HELP}",
            )
        return True


def _note_rotation(cursor: Cursor[Any], last: SignedCheckpoint | None, keys: Keys) -> None:
    """Has the audit trail say that other keys sign than those of the last checkpoint, before they do."""
    if last is None:
        return
    before, now = signed_by(last.note, keys.verifiers), {signer.verifier for signer in keys.signers}
    if before == now:
        return
    details = {"began": now - before, "ended": before - now}
    told = {name: " ".join(sorted(map(str, some))) for name, some in details.items() if some}
    record_action(cursor.connection, "loyalty log rotate", f"keys/{keys.origin}", told, actor=SERVER)


def _open(kept: SignedCheckpoint, keys: Keys, where: str) -> Checkpoint:
    """The checkpoint that was signed. Raises SealBroken where it is another than that."""
    try:
        checkpoint = open_checkpoint(kept.note, keys.verifiers, keys.origin)
    except NoteInvalid as error:
        raise SealBroken(kept.size, f"the newest checkpoint in {where}, of {kept.size:,} events: {error}") from None
    if checkpoint.size != kept.size:
        reason = f"the newest checkpoint in {where} was signed for {checkpoint.size:,} events, not for {kept.size:,}"
        raise SealBroken(kept.size, reason)
    return checkpoint
