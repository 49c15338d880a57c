"""Checkpoints and proofs as messages, and what is answered where there are none."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import NAMESPACE_URL, uuid5

from loyalty.v1 import proof_pb2 as pb
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.errors import ApiError
from ledger.domain.instant import to_timestamp
from ledger.proof.checkpoint_file import SignedCheckpoint
from ledger.store.proofs import BeyondLog, Consistency, Inclusion, NotSealed, NotSigned
from ledger.store.seal import SealBroken

CHECKPOINTS: Final = uuid5(NAMESPACE_URL, "loyalty:checkpoints")
"""Whose list it is that a page token goes on with."""

_Found = TypeVar("_Found")


async def proved(call: Callable[..., _Found], *asked: Any) -> _Found:
    """What a call of Proofs finds. Raises ApiError."""
    try:
        return await asyncio.to_thread(call, *asked)
    except NotSigned:
        raise ApiError.of(ErrorReason.ERROR_REASON_NOT_SIGNED) from None
    except NotSealed as error:
        raise ApiError.of(ErrorReason.ERROR_REASON_NOT_SEALED, position=error.position) from None
    except BeyondLog as error:
        raise ApiError.of(ErrorReason.ERROR_REASON_POSITION_IN_FUTURE, head_position=error.head) from None
    except SealBroken as error:
        raise ApiError.of(ErrorReason.ERROR_REASON_DATA_CORRUPT, where=str(error)) from None


def checkpoint_message(kept: SignedCheckpoint) -> pb.Checkpoint:
    """A checkpoint as auditors get it."""
    return pb.Checkpoint(size=kept.size, signed_at=to_timestamp(kept.signed_at), note=kept.note)


def inclusion_message(position: int, proof: Inclusion) -> pb.ProveInclusionResponse:
    """A proof for the event at a position."""
    return pb.ProveInclusionResponse(
        position=position,
        tree_size=proof.tree_size,
        leaf_hash=proof.leaf,
        hashes=proof.hashes,
        root_hash=proof.root,
        checkpoint=checkpoint_message(proof.checkpoint) if proof.checkpoint is not None else None,
    )


def consistency_message(old_size: int, proof: Consistency) -> pb.ProveConsistencyResponse:
    """A proof that a tree continues the one of a size."""
    return pb.ProveConsistencyResponse(
        old_size=old_size,
        tree_size=proof.tree_size,
        hashes=proof.hashes,
        old_root_hash=proof.old_root,
        root_hash=proof.root,
        checkpoint=checkpoint_message(proof.checkpoint) if proof.checkpoint is not None else None,
    )
