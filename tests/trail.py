"""The audit trail, for tests."""

import time
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import grpc
from loyalty.v1.audit_trail_pb2 import ListAuditEntriesRequest, ListedAuditEntry
from loyalty.v1.member_pb2 import Identifier, IdentifierType

from tests.shop import TIMEOUT_S, Shop

ResultT = TypeVar("ResultT")

_numbers = count(1)


def phone() -> Identifier:
    """A phone number that nobody has in the test's program."""
    return Identifier(type=IdentifierType.IDENTIFIER_TYPE_PHONE, value=f"+49301{next(_numbers):07}")


def patiently(call: Callable[[], ResultT]) -> ResultT:
    """What a call answers once the views of a server that has just started are as far as it asks."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION or time.monotonic() > deadline:
                raise


def entries(shop: Shop, **conditions: Any) -> list[ListedAuditEntry]:
    """The entries for which all conditions hold, newest first, of all pages."""
    request = ListAuditEntriesRequest(min_position=shop.head(), **conditions)
    found: list[ListedAuditEntry] = []
    while True:
        page = patiently(lambda: shop.audit.ListAuditEntries(request, metadata=shop.metadata, timeout=TIMEOUT_S))
        found += page.entries
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


def wait_for(shop: Shop, times: int, **conditions: Any) -> list[ListedAuditEntry]:
    """The entries, once they stand for so many things that were done: they come about a second behind."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = entries(shop, **conditions)
        if sum(one.entry.count for one in found) >= times or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def credential(shop: Shop) -> str:
    """The name of the credential that a shop calls with."""
    return f"credentials/{shop.metadata[0][1].removeprefix('Bearer ').partition('.')[0]}"
