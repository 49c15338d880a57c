"""Calls that commands make again while the server does not take them, or nobody knows whether it did."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

import grpc

from ledger.cli.connection import asked_to_wait_s

PATIENCE_S: Final = 60.0
"""How long a call is tried again."""

RETRIED: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
"""What a call may answer when it is made again. Once that is given up, nobody knows what became of it."""

ResultT = TypeVar("ResultT")


def patiently(call: Callable[[], ResultT]) -> ResultT:
    """What a call answers that has the same request id each time. Raises grpc.RpcError with the last answer."""
    until = time.monotonic() + PATIENCE_S
    pause_s = 0.1
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() not in RETRIED or time.monotonic() > until:
                raise
            asked_s = asked_to_wait_s(error)
        until += asked_s  # to do as the server says takes no patience
        time.sleep(max(pause_s, asked_s))
        pause_s = min(pause_s * 2, 5.0)
