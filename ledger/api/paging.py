"""Pages of events as messages that every client can take."""

from collections.abc import Iterator
from typing import Final

from loyalty.v1.events_pb2 import Event

from ledger.views import EventPage

EVENT_BYTES_MAX: Final = 3 * 1024 * 1024
"""Events in one message: gRPC clients take 4 MiB unless told otherwise."""


def messages(page: EventPage) -> Iterator[tuple[list[Event], int]]:
    """The events of a page in parts that fit into a message, each with the position to go on behind."""
    part: list[Event] = []
    size = 0
    for event in page.events:
        size += event.ByteSize()
        if part and size > EVENT_BYTES_MAX:
            yield part, part[-1].position
            part, size = [], event.ByteSize()
        part.append(event)
    yield part, page.scanned_to
