"""States of the past as AuditService answers them."""

from typing import Any

import grpc
from loyalty.v1 import as_of_pb2 as a
from loyalty.v1.books_pb2 import AsOf

from tests.shop import TIMEOUT_S, Details, Shop, instant


def member_state(shop: Shop, member: str, **times: Any) -> a.GetMemberStateResponse:
    """A member's state; `position`, `recorded_at` and `effective_at` say as of when."""
    request = a.GetMemberStateRequest(member=member, **_times(times))
    return shop.audit.GetMemberState(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def program_state(shop: Shop, program: str = "", **times: Any) -> a.GetProgramStateResponse:
    """A program's state, likewise. A new server's first views may take longer than a call waits for them."""
    request = a.GetProgramStateRequest(program=program or shop.program, **_times(times))
    for _ in range(10):
        try:
            return shop.audit.GetProgramState(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            if Details(error).reason != "VIEW_BEHIND":
                raise
    raise AssertionError("the views do not catch up")


def _times(times: dict[str, Any]) -> dict[str, Any]:
    stamps: dict[str, Any] = {name: instant(at) if isinstance(at, str) else at for name, at in times.items()}
    effective = {"effective_at": stamps.pop("effective_at")} if "effective_at" in stamps else {}
    return effective | ({"as_of": AsOf(**stamps)} if stamps else {})
