"""Leaves: what of an event is hashed. All that the log stores of it; its position is that of the leaf."""

from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

_HEAD: Final = Struct(">16sqq").pack
_LENGTH: Final = Struct(">I").pack


class StoredEvent(NamedTuple):
    """An event as it is stored, byte for byte."""

    stream_id: UUID
    version: int
    recorded_at: int
    """Microseconds since 1970-01-01 UTC."""
    topic: str
    """The kind of event, as `sale/1`."""
    state: bytes
    """The event: a message of events.proto."""
    request_id: UUID | None = None
    transaction_id: UUID | None = None
    sale_reference: str | None = None


def leaf_of(event: StoredEvent) -> bytes:
    """The bytes of an event's leaf.

    The stream id (16 bytes), then version and recorded_at (8 bytes each, signed, big-endian), then topic, request id,
    transaction id, sale reference and state: each its length (4 bytes, big-endian) and its bytes, texts in UTF-8. What
    is not there has length 0.
    """
    parts = [_HEAD(event.stream_id.bytes, event.version, event.recorded_at)]
    for part in (
        event.topic.encode(),
        event.request_id.bytes if event.request_id is not None else b"",
        event.transaction_id.bytes if event.transaction_id is not None else b"",
        event.sale_reference.encode() if event.sale_reference is not None else b"",
        event.state,
    ):
        parts += (_LENGTH(len(part)), part)
    return b"".join(parts)


def hash_of_parts(
    stream_id: bytes,
    version: int,
    recorded_at: int,
    topic: bytes,
    request_id: bytes,
    transaction_id: bytes,
    sale_reference: bytes,
    state: bytes,
) -> bytes:
    """The hash of an event's leaf, of parts that are bytes already; what is not there is empty."""
    return sha256(
        b"".join(
            (
                b"\x00",
                _HEAD(stream_id, version, recorded_at),
                _LENGTH(len(topic)),
                topic,
                _LENGTH(len(request_id)),
                request_id,
                _LENGTH(len(transaction_id)),
                transaction_id,
                _LENGTH(len(sale_reference)),
                sale_reference,
                _LENGTH(len(state)),
                state,
            )
        )
    ).digest()
