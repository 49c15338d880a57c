"""The case of CRM systems: a consumer reads the feed as fast as it can."""

import time
from typing import Final

import grpc
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from loyalty.v1.crm_service_pb2 import WatchChangesRequest
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub

from tests.bench.cases import Bench, Figure, Figures, median, rounds_of
from tests.running import token

BATCH: Final = 2_000

CHANGES_MAX: Final = 200_000
"""What is read in a round of a log that has more."""

Metadata = tuple[tuple[str, str], ...]


def feed(bench: Bench) -> Figures:
    """Reads the log as changes, each parsed by a client in this process, in turn with the same by ReadEvents."""
    bench.site.catch_up()
    changes_per_s: list[float] = []
    events_per_s: list[float] = []
    until = min(bench.site.head(), CHANGES_MAX)
    metadata = (("authorization", f"Bearer {token(bench.site.database_url)}"),)
    with grpc.insecure_channel(bench.site.server.address) as channel:
        for _ in rounds_of(bench, "feed"):
            started = time.perf_counter()
            count = _read_events(channel, metadata, until)
            events_per_s.append(count / (time.perf_counter() - started))
            started = time.perf_counter()
            count = _watch(channel, metadata, until)
            changes_per_s.append(count / (time.perf_counter() - started))
    ratios = [ours / theirs for ours, theirs in zip(changes_per_s, events_per_s, strict=True)]
    return {
        "feed_changes_per_s": Figure(median(changes_per_s), f"{count:,} changes, client and server on the same cores"),
        "feed_vs_read_events": Figure(median(ratios), "stored bytes as they are against events that are built anew"),
    }


def _watch(channel: grpc.Channel, metadata: Metadata, until: int) -> int:
    """Reads the feed behind event 1 up to a position; how many changes there were."""
    call = CrmServiceStub(channel).WatchChanges(
        WatchChangesRequest(after_position=1, batch_size=BATCH), metadata=metadata
    )
    count = 0
    for message in call:
        count += len(message.changes)
        if message.position >= until:
            break
    call.cancel()
    return count


def _read_events(channel: grpc.Channel, metadata: Metadata, until: int) -> int:
    request = ReadEventsRequest(after_position=1, until_position=until, batch_size=BATCH)
    return sum(len(message.events) for message in AuditServiceStub(channel).ReadEvents(request, metadata=metadata))
