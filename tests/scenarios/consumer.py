"""A consumer of the feed in a process of its own, to be killed: what `loyalty watch` does, without its start."""

from pathlib import Path

import grpc

from ledger.watch.copy import SqliteCopy
from ledger.watch.follow import Follower, Wanted

BATCH: int = 10
"""Small, so that there are many places to be killed at."""


def consume(address: str, token: str, file: Path, consumer_id: str) -> None:
    """Follows the feed for ever."""
    with grpc.insecure_channel(address) as channel, SqliteCopy(file) as copy:
        metadata = (("authorization", f"Bearer {token}"),)
        Follower(channel, metadata, Wanted(consumer_id, batch_size=BATCH)).follow(copy)
