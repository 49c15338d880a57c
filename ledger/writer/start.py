"""Where accounts and pools start: from a snapshot, or empty."""

from uuid import UUID

from google.protobuf.message import DecodeError
from loyalty.v1.snapshot_pb2 import AccountSnapshot, PoolSnapshot

from ledger.domain.account import Account
from ledger.domain.pool import Pool
from ledger.domain.refusal import InvariantBroken
from ledger.store.recorder import Session


def start_account(stream_id: UUID, snapshot: bytes | None) -> Account:
    """An account from its snapshot, or an empty one."""
    if snapshot is None:
        return Account(stream_id)
    try:
        return Account.from_snapshot(stream_id, AccountSnapshot.FromString(snapshot))
    except (DecodeError, InvariantBroken):
        return Account(stream_id)  # a snapshot can be done without


def start_pool(session: Session, stream_id: UUID) -> Pool:
    """A pool from its snapshot, or an empty one."""
    state = session.snapshots([stream_id]).get(stream_id)
    if state is None:
        return Pool(stream_id)
    try:
        return Pool.from_snapshot(stream_id, PoolSnapshot.FromString(state))
    except DecodeError:
        return Pool(stream_id)  # a snapshot can be done without
