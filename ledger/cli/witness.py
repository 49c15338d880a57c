"""`loyalty log witness`: a second party that co-signs the log's newest checkpoint."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import grpc
import typer
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from loyalty.v1.proof_pb2 import GetCheckpointRequest, ProveConsistencyRequest

from ledger.cli.connection import AddressOption, Connection, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.cli.database import JsonOption
from ledger.cli.keys import verifiers_of
from ledger.proof.checkpoint_file import CheckpointFile, CheckpointFileDamaged, SignedCheckpoint
from ledger.proof.keys import KeysInvalid, read_keys
from ledger.proof.note import Checkpoint, NoteInvalid, Verifier
from ledger.proof.witness import LogMisbehaves, check_continues, cosign, kept_checkpoint, read_checkpoint

CALL_TIMEOUT_S: Final = 30.0


class _Newest(NamedTuple):
    """The log's newest checkpoint."""

    note: str
    checkpoint: Checkpoint


def witness(
    file: Annotated[Path, typer.Argument(help="The witness's own file of checkpoints; each is appended to it.")],
    key_file: Annotated[
        Path, typer.Option("--key-file", help="The witness's own key, as `loyalty log new-key` makes it.")
    ],
    log_key: Annotated[
        list[str],
        typer.Option("--log-key", help="The log's public key, as text or the name of a file; repeatable."),
    ],
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Co-sign the log's newest checkpoint, if it continues the one that was co-signed last; status 1 where not.

    The first checkpoint is taken on trust: compare it with one that somebody else has kept.
    """
    kept_file = CheckpointFile(file)
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        try:
            keys = read_keys(key_file)
            log_keys = verifiers_of(log_key)
            kept = kept_file.newest()
            old = kept_checkpoint(kept, keys) if kept is not None else None
            newest = _newest(connection, log_keys)
            if old is not None:
                _check(connection, old, newest.checkpoint)
            if old is None or newest.checkpoint.size > old.size:
                note = cosign(newest.note, newest.checkpoint, keys)
                kept_file.append(SignedCheckpoint(time.time_ns() // 1_000, newest.checkpoint.size, note))
        except grpc.RpcError as error:
            fail_call(error)
        except (KeysInvalid, NoteInvalid, CheckpointFileDamaged, LogMisbehaves, OSError, UnicodeDecodeError) as error:
            fail(str(error))
    old_size, size = old.size if old is not None else 0, newest.checkpoint.size
    if as_json:
        typer.echo(json.dumps({"origin": newest.checkpoint.origin, "old_size": old_size, "size": size}))
    elif old is None:
        typer.echo(f"co-signed {size:,} events of {newest.checkpoint.origin}, the first time and so on trust")
    else:
        typer.echo(f"{newest.checkpoint.origin} continues: {old_size:,} events were co-signed before, {size:,} are now")


def _newest(connection: Connection, log_keys: Sequence[Verifier]) -> _Newest:
    answer = AuditServiceStub(connection.channel).GetCheckpoint(
        GetCheckpointRequest(), metadata=connection.metadata, timeout=CALL_TIMEOUT_S
    )
    return _Newest(answer.checkpoint.note, read_checkpoint(answer.checkpoint.note, log_keys))


def _check(connection: Connection, old: Checkpoint, new: Checkpoint) -> None:
    """Raises LogMisbehaves unless the log continues what was co-signed."""
    hashes: Sequence[bytes] = ()
    if old.origin != new.origin:
        raise LogMisbehaves(f"the log is {new.origin!r}; what was co-signed before is of {old.origin!r}")
    if new.size > old.size:
        asked = ProveConsistencyRequest(old_size=old.size, tree_size=new.size)
        hashes = (
            AuditServiceStub(connection.channel)
            .ProveConsistency(asked, metadata=connection.metadata, timeout=CALL_TIMEOUT_S)
            .hashes
        )
    check_continues(old, new, hashes)
