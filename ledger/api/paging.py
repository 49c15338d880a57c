"""Pages: events as messages that every client can take, and the tokens of lists."""

import base64
import binascii
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from loyalty.v1.events_pb2 import Event

from ledger.api.errors import ApiError
from ledger.views import EventPage

EVENT_BYTES_MAX: Final = 3 * 1024 * 1024
"""Events in one message: gRPC clients take 4 MiB unless told otherwise."""

PAGE_ENTRIES_DEFAULT: Final = 100

PAGE_ENTRIES_MAX: Final = 1_000
"""Entries in one page. Whoever asks for more gets as many (AIP-158)."""


def page_size(asked: int) -> int:
    """How many entries a page has for which so many are asked; 0 for the default."""
    return min(asked or PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX)


def page_token(before: int, owner: UUID) -> str:
    """An opaque page token: before which number to go on, and whose list it is."""
    raw = before.to_bytes(8, "big") + owner.bytes
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def number_before(token: str, owner: UUID, what: str) -> int:
    """Before which number a page token says to go on; the largest without a token. `what` is what the list is of."""
    if not token:
        return 2**63 - 1
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (ValueError, binascii.Error):
        raw = b""
    if raw[8:] != owner.bytes:
        raise ApiError.invalid([("page_token", f"is not a token of this {what}: send it as it came, or none")])
    return int.from_bytes(raw[:8], "big")


def name_token(last: str, owner: str) -> str:
    """An opaque page token: behind which name or id to go on, and whose list it is."""
    return base64.urlsafe_b64encode(f"{owner} {last}".encode()).decode().rstrip("=")


def name_after(token: str, owner: str) -> str:
    """Behind which name or id a page token says to go on; empty without a token. Raises ApiError."""
    if not token:
        return ""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (ValueError, binascii.Error):
        text = ""
    whose, _, last = text.partition(" ")
    if whose != owner or not last.isprintable():
        raise wrong_token()
    return last


def id_after(token: str, owner: str) -> UUID:
    """The same of a list by id; the nil UUID without a token."""
    try:
        return UUID(name_after(token, owner) or str(UUID(int=0)))
    except ValueError:
        raise wrong_token() from None


def wrong_token() -> ApiError:
    """A token of another list, or none at all."""
    return ApiError.invalid([("page_token", "is not a token of this list: send it as it came, or none")])


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
