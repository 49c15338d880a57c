"""Services that do what a test tells them, behind the real gate; in this process, or as a program."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import uvloop
from loyalty.v1 import audit_service_pb2, crm_service_pb2, insight_pb2, pos_service_pb2
from loyalty.v1.audit_service_pb2_grpc import (
    AuditServiceServicer,
    add_AuditServiceServicer_to_server,
)
from loyalty.v1.crm_service_pb2_grpc import add_CrmServiceServicer_to_server
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import Event
from loyalty.v1.pos_service_pb2_grpc import PosServiceServicer, add_PosServiceServicer_to_server

from ledger.api.authentication import Authenticator
from ledger.api.errors import ApiError
from ledger.api.insight_service import InsightService
from ledger.api.interceptor import PRINCIPAL, Gate
from ledger.api.lifecycle import Parts, serve
from ledger.config import Config
from ledger.logs import configure_logs
from ledger.store.credentials import Credentials
from ledger.store.datastore import LedgerDatastore, check_reachable

Context = grpc.aio.ServicerContext[Any, Any]
Handle = Callable[[pos_service_pb2.GetBalanceRequest], Awaitable[str]]

SECRET_OF_A_PERSON = "asha.rao@example.com"


async def caller(_request: pos_service_pb2.GetBalanceRequest) -> str:
    """Answers with the caller."""
    return repr(tuple(PRINCIPAL.get()))


class Pos(PosServiceServicer):
    """GetBalance does what it is told; the others echo."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    async def GetBalance(  # noqa: N802 - gRPC's name
        self, request: pos_service_pb2.GetBalanceRequest, context: Context
    ) -> pos_service_pb2.GetBalanceResponse:
        """What the test wants."""
        return pos_service_pb2.GetBalanceResponse(member=await self.handle(request))

    async def LookupMember(  # noqa: N802
        self, request: pos_service_pb2.LookupMemberRequest, context: Context
    ) -> pos_service_pb2.LookupMemberResponse:
        """Somebody."""
        return pos_service_pb2.LookupMemberResponse(masked_name="A*** R**")

    async def StreamCommands(  # noqa: N802
        self,
        request_iterator: AsyncIterator[pos_service_pb2.StreamCommandsRequest],
        context: Context,
    ) -> AsyncIterator[pos_service_pb2.StreamCommandsResponse]:
        """Each request id again."""
        async for request in request_iterator:
            result = pos_service_pb2.CommandResult(request_id=request.command.record_sale.request_id)
            yield pos_service_pb2.StreamCommandsResponse(result=result)


class Audit(AuditServiceServicer):
    """As many messages as `until_position`; a negative one is refused after the first message."""

    async def ReadEvents(  # noqa: N802
        self, request: audit_service_pb2.ReadEventsRequest, context: Context
    ) -> AsyncIterator[audit_service_pb2.ReadEventsResponse]:
        """Some messages."""
        for position in range(1, abs(request.until_position) + 1):
            yield audit_service_pb2.ReadEventsResponse(events=[Event(position=position)], position=position)
            if request.until_position < 0:
                raise ApiError.of(ErrorReason.ERROR_REASON_DATA_CORRUPT, where="event 2")


class Pairs:
    """An answer without end, in messages so large that whoever does not read holds up the next but one."""

    def pairs(
        self, _request: insight_pb2.ReadPairsRequest, _wait_s: float, _timeout_s: float
    ) -> Iterator[insight_pb2.ReadPairsResponse]:
        """The same pair again and again."""
        while True:
            yield insight_pb2.ReadPairsResponse(pairs=[insight_pb2.Pair(first="x" * 3_000_000)])


class Crm(InsightService):
    """A feed without news, and figures without end."""

    def __init__(self) -> None:
        parts: Any = SimpleNamespace(insight=Pairs())
        super().__init__(parts, lambda: 0)

    async def WatchChanges(  # noqa: N802
        self, request: crm_service_pb2.WatchChangesRequest, context: Context
    ) -> AsyncIterator[crm_service_pb2.WatchChangesResponse]:
        """One message, and then nothing for ever."""
        yield crm_service_pb2.WatchChangesResponse(position=1)
        await asyncio.Event().wait()


def add_services(server: grpc.aio.Server, handle: Handle) -> Sequence[str]:
    """The stand-ins and their names."""
    pos = Pos(handle)  # type: ignore[abstract]  # no test calls the other methods
    add_PosServiceServicer_to_server(pos, server)
    audit = Audit()  # type: ignore[abstract]  # nor here
    add_AuditServiceServicer_to_server(audit, server)
    add_CrmServiceServicer_to_server(Crm(), server)  # type: ignore[abstract]  # nor here
    return ["loyalty.v1.PosService", "loyalty.v1.AuditService", "loyalty.v1.CrmService"]


@contextmanager
def running(gate: Gate, handle: Handle = caller, tls: grpc.ServerCredentials | None = None) -> Iterator[int]:
    """A server of the stand-ins in a thread of this process; the port it listens on."""
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def main() -> None:
        server = grpc.aio.server(interceptors=[gate])
        add_services(server, handle)
        port = (
            server.add_secure_port("localhost:0", tls) if tls is not None else server.add_insecure_port("127.0.0.1:0")
        )
        await server.start()
        stop = asyncio.Event()
        started.set_result((port, asyncio.get_running_loop(), stop))
        await stop.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: uvloop.run(main()), name="stand-in")
    thread.start()
    port, loop, stop = started.result()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def program() -> None:
    """The stand-ins under the real life cycle, told what to do by lines on stdin.

    Prints "listening PORT METRICS_PORT"; for each GetBalance "called", and then waits for a line.
    """
    config = Config.from_env(os.environ)
    configure_logs(config.log_level, config.log_format)
    url = config.database_url or ""
    datastore = LedgerDatastore(url)
    datastore.pool.open()
    authenticator = Authenticator(Credentials(datastore.pool))
    gate = Gate(
        authenticator,
        lookups_per_minute=config.lookups_per_minute,
        log_successes=config.log_level == "debug",
    )
    say, hear = threading.Lock(), threading.Lock()

    def told(text: str) -> None:
        with say:
            print(text, flush=True)  # noqa: T201 - how a program talks to its test

    def line() -> str:
        with hear:
            return sys.stdin.readline().strip()

    async def wait_for_line(request: pos_service_pb2.GetBalanceRequest) -> str:
        if request.member == "members/raise":
            raise ValueError(f"{SECRET_OF_A_PERSON} exists")
        told("called")
        return await asyncio.to_thread(line)

    parts = Parts(
        gate=gate,
        add_services=lambda server: add_services(server, wait_for_line),
        trouble=lambda: check_reachable(url),
        close=[lambda: told("closing"), authenticator.close, datastore.close],
    )
    uvloop.run(
        serve(
            config,
            parts,
            lambda on: told(f"listening {on.address.port} {on.metrics_address.port if on.metrics_address else 0}"),
        )
    )


if __name__ == "__main__":
    program()
