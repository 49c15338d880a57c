"""The demo's side of the API: stubs, credential, patience with a server that is busy or away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import grpc
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from loyalty.v1.commands_pb2 import Command
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.pos_service_pb2 import CommandResult, SubmitBatchRequest, SubmitBatchResponse
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub
from loyalty.v1.program_service_pb2_grpc import ProgramServiceStub

from ledger.demo.failure import DemoFailed

CALL_TIMEOUT_S: Final = 30.0

PATIENCE_S: Final = 60.0
"""How long a call is sent again before the demo gives up."""

RETRY_DELAY_S_MAX: Final = 2.0

MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
"""What an answer may have: a page of long sales can be more than gRPC's usual 4 MB."""

RETRIED: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
"""Where the same command under the same request id can still succeed, and never happens twice."""

_RETRIED_NUMBERS: Final = {code.value[0] for code in RETRIED}

RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ResponseT_co = TypeVar("ResponseT_co", covariant=True)


class Refused(DemoFailed):
    """The server answered a command with an error that no retry can change."""


class Unavailable(DemoFailed):
    """The server was busy or away for longer than the demo waits."""


class Method(Protocol[RequestT_contra, ResponseT_co]):
    """A unary call of an asynchronous stub."""

    def __call__(
        self, request: RequestT_contra, /, *, timeout: float, metadata: tuple[tuple[str, str], ...]
    ) -> Awaitable[ResponseT_co]:
        """Sends the request."""


class Client:
    """A connection to a ledger server."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.aio.insecure_channel(
            address, options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        )
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.pos = PosServiceStub(self._channel)
        self.programs = ProgramServiceStub(self._channel)
        self.audit = AuditServiceStub(self._channel)
        self.crm = CrmServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def call(self, method: Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """A call, sent again while the server is busy or away; other errors are raised."""

        async def attempt() -> ResponseT:
            try:
                return await method(request, timeout=CALL_TIMEOUT_S, metadata=self.metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() in RETRIED:
                    raise Unavailable(f"{error.code().name}: {error.details()}") from None
                raise

        return await patiently(attempt)

    async def submit(self, commands: Sequence[Command]) -> list[CommandResult]:
        """Results of a batch, in order, when each of its commands has succeeded.

        Raises:
            Refused: One of them never will.
            Unavailable: The server was busy or away for too long.
        """
        request = SubmitBatchRequest(commands=commands)

        async def attempt() -> list[CommandResult]:
            response: SubmitBatchResponse = await self.call(self.pos.SubmitBatch, request)
            for result in response.results:
                if result.WhichOneof("result") == "error":
                    error = result.error
                    text = f"command {result.request_id} of the batch: {error.message}"
                    if error.code in _RETRIED_NUMBERS:
                        raise Unavailable(text)
                    raise Refused(text)
            return list(response.results)

        return await patiently(attempt)


async def patiently(attempt: Callable[[], Awaitable[ResponseT]], patience_s: float = PATIENCE_S) -> ResponseT:
    """What an attempt gives, repeated with growing pauses for as long as it raises Unavailable."""
    give_up_at = asyncio.get_running_loop().time() + patience_s
    delay_s = 0.05
    while True:
        try:
            return await attempt()
        except Unavailable:
            if asyncio.get_running_loop().time() + delay_s > give_up_at:
                raise
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, RETRY_DELAY_S_MAX)
