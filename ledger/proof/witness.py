"""The witness: a second party that co-signs checkpoints of a log, as long as each continues the one before.

A log whose checkpoints have a witness cannot show different histories to different auditors, nor forget one.
"""

from collections.abc import Sequence

from ledger.proof.checkpoint_file import SignedCheckpoint
from ledger.proof.keys import Keys
from ledger.proof.merkle import ProofInvalid, check_consistency
from ledger.proof.note import Checkpoint, NoteInvalid, Verifier, open_checkpoint


class LogMisbehaves(Exception):
    """The log does not continue what was co-signed. The message names both sizes."""


def kept_checkpoint(kept: SignedCheckpoint, keys: Keys) -> Checkpoint:
    """The checkpoint that a witness co-signed. Raises NoteInvalid where that is not what it co-signed."""
    return open_checkpoint(kept.note, keys.verifiers)


def check_continues(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> None:
    """Raises LogMisbehaves unless a checkpoint continues an older one."""
    if new.size < old.size:
        raise LogMisbehaves(f"the log had {old.size:,} events and has only {new.size:,} now: it was rolled back")
    try:
        check_consistency(old.root, old.size, new.root, new.size, proof)
    except ProofInvalid as error:
        raise LogMisbehaves(f"the log of {new.size:,} events does not continue that of {old.size:,}: {error}") from None


def read_checkpoint(note: str, log_keys: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint that the log signed with one of its keys. Raises NoteInvalid."""
    if not log_keys:
        raise NoteInvalid("the public key of the log is needed, as `loyalty log key` prints it")
    return open_checkpoint(note, log_keys, log_keys[0].name)


def cosign(note: str, checkpoint: Checkpoint, keys: Keys) -> str:
    """The note with the signatures of a witness behind those that it has."""
    return note + "".join(signer.line(checkpoint.text) for signer in keys.signers)
