"""A client's side: calls with a token, and what a failed call says."""

from typing import Any, NamedTuple

import grpc
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # it ships no types
    BadRequest,
    ErrorInfo,
    LocalizedMessage,
    RetryInfo,
)
from grpc_status import rpc_status
from loyalty.v1.pos_service_pb2 import GetBalanceRequest
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub

DEADLINE_S = 60.0
"""Longer than anything takes; a test that reaches it has failed."""

Metadata = tuple[tuple[str, str], ...]


class Failure(NamedTuple):
    """What a failed call says."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: tuple[tuple[str, str], ...]
    retry_ms: int | None
    cashier_text: str
    cashier_language: str


def bearer(token: str, *more: tuple[str, str]) -> Metadata:
    """The metadata that carries a token."""
    return (("authorization", f"Bearer {token}"), *more)


def balance(port: int, metadata: Metadata = (), member: str = "members/1") -> str:
    """Calls GetBalance on a channel of its own."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = GetBalanceRequest(member=member)
        reply = PosServiceStub(channel).GetBalance(request, metadata=metadata, timeout=DEADLINE_S)
        return reply.member


def raw(channel: grpc.Channel, path: str, kind: str = "unary_unary") -> Any:
    """A method that takes bytes as they are, which the stubs do not know."""
    return getattr(channel, kind)(path)


def failure(error: grpc.RpcError) -> Failure:
    """The rich status of a failed call."""
    call: Any = error
    status = rpc_status.from_call(call)
    assert status is not None, f"{call.code()} {call.details()} has no details"
    found: dict[str, Any] = {}
    for detail in status.details:
        for kind in (ErrorInfo, RetryInfo, LocalizedMessage, BadRequest):
            if detail.Is(kind.DESCRIPTOR):
                found[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
    info, retry, text = (found.get(n) for n in ("ErrorInfo", "RetryInfo", "LocalizedMessage"))
    assert info is not None
    assert text is not None
    assert info.domain == "loyalty.v1"
    return Failure(
        call.code(),
        call.details(),
        info.reason,
        tuple(sorted(info.metadata.items())),
        retry.retry_delay.ToMilliseconds() if retry is not None else None,
        text.message,
        text.locale,
    )
