"""The gate: what happens around every call, whichever service it is for.

In this order: who calls, and may they; then the request is parsed and its rate checked; then the
handler runs; then whatever was raised becomes a status; then the call is counted, timed and logged.
Handlers find the caller in `PRINCIPAL`.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from contextvars import ContextVar
from typing import Any, Final, NoReturn, TypeAlias, cast

import eventsourcing.persistence
import grpc
import psycopg
import structlog
from google.protobuf.message import DecodeError, Message
from loyalty.v1.errors_pb2 import ErrorReason
from uuid_utils import uuid7

from ledger.api.authentication import CACHE_S, Authenticator, CredentialRefused
from ledger.api.errors import ApiError
from ledger.api.methods import ENDLESS, LOOKUPS, OPEN_SERVICES, READS, ROLES, WHOLE_LOG
from ledger.api.noter import Noter
from ledger.api.rate import Rate, limited
from ledger.metrics import CALL_SECONDS, CALLS
from ledger.store.credentials import Principal, Role
from ledger.store.topics import Archived

CALLS_MAX: Final = 4_096
"""Calls in flight, streams included; beyond it callers get RESOURCE_EXHAUSTED."""

PRINCIPAL: Final[ContextVar[Principal]] = ContextVar("principal")
"""Who calls. Set before a handler runs, and only for its call."""

DATABASE_AWAY: Final = (
    psycopg.OperationalError,  # also a pool that has no connection in time
    psycopg.InterfaceError,
    eventsourcing.persistence.OperationalError,
    eventsourcing.persistence.InterfaceError,
)
"""What a handler raises when it could not read: the caller may try again."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PLACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")

_Metadata = Sequence[tuple[str, str | bytes]]
_METADATA: Final[ContextVar[_Metadata]] = ContextVar("metadata")

DEADLINE_TOLERANCE_S: Final = 0.1
"""What a request may have been under way when its deadline is told from a cancellation."""

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

log = structlog.stdlib.get_logger(__name__)


class _Method:
    """What the gate has to know of one method, looked up once."""

    def __init__(self, path: str, handler: Handler, roles: frozenset[Role]) -> None:
        self.path = path
        self.name = path.removeprefix("/")
        self.roles = roles
        self.looks_up = LOOKUPS.get(path)
        self.reads = READS.get(path)
        self.whole_log = path in WHOLE_LOG
        self.endless = path in ENDLESS
        if handler.request_deserializer is None or handler.response_serializer is None:
            raise TypeError(f"{path} has no messages")
        self.parse: Callable[[bytes], Message] = handler.request_deserializer
        self.serialize: Callable[[Message], bytes] = handler.response_serializer
        self.succeeded = CALLS.labels(self.name, "OK", "")
        self.seconds = CALL_SECONDS.labels(self.name)


class _Call:
    """One call, as the log tells of it."""

    __slots__ = ("believed_until", "context", "method", "principal", "request", "started", "token")

    def __init__(self, method: _Method, context: Context) -> None:
        self.method = method
        self.context = context
        self.started = time.perf_counter()
        self.token = _bearer(_METADATA.get())
        self.believed_until = 0.0
        self.principal: Principal | None = None
        self.request: Message | None = None


class Gate(grpc.aio.ServerInterceptor):
    """Stands around every call of the services that are not open to everybody.

    It parses requests and serializes responses itself, so that an unknown caller's bytes are never
    parsed, and a malformed request is answered like any other bad field.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        lookups_per_minute: int,
        noter: Noter | None = None,
        roles: Mapping[str, frozenset[Role]] = ROLES,
        log_successes: bool = False,
    ) -> None:
        """`noter` notes what the audit trail has to know. `log_successes` logs successful calls too, at DEBUG."""
        self._authenticator = authenticator
        self.lookups = Rate(lookups_per_minute)
        """What each credential may still look up. Commands share it: see Dispatch."""
        self._noter = noter
        self._roles = roles
        self._log_successes = log_successes
        self._gated: dict[str, Handler] = {}
        self._in_flight = 0
        self._draining = False
        self._endless: set[asyncio.Task[Any]] = set()
        self._streams: set[_Requests] = set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The gated handler of a method; wrapped once and then found by name."""
        path = handler_call_details.method
        gated = self._gated.get(path)
        if gated is None:
            handler = await continuation(handler_call_details)
            # What does not exist is not remembered: anybody can make up any number of names.
            if handler is None or path.startswith(OPEN_SERVICES):
                return handler
            gated = self._gated[path] = self._wrap(path, handler)
        _METADATA.set(handler_call_details.invocation_metadata)
        return gated

    def drain(self) -> None:
        """Ends what would not end by itself, so that the server can stop.

        Streams of commands are read no further and end when what they have is answered; endless
        calls end. Both get UNAVAILABLE, so that clients go on elsewhere. Call it once.
        """
        self._draining = True
        for task in self._endless:
            task.cancel()
        for requests in list(self._streams):
            requests.end()

    def _wrap(self, path: str, handler: Handler) -> Handler:
        method = _Method(path, handler, self._roles.get(path, frozenset()))
        if handler.request_streaming:
            stream = self._stream(method, handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(stream)
        if handler.response_streaming:
            stream = self._stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary))

    def _unary(
        self,
        method: _Method,
        handle: Any,
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def unary(raw: bytes, context: Context) -> bytes:
            call = _Call(method, context)
            self._in_flight += 1
            try:
                await self._admit(call)
                request = self._parse(call, raw)
                response = await handle(request, context)
                serialized = method.serialize(response)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it becomes a status
                await self._fail(call, error)
            finally:
                self._in_flight -= 1
            self._succeed(call, response)
            if method.reads is not None:
                self._note_read(call, response)
            return serialized

        return unary

    def _stream(
        self,
        method: _Method,
        handle: Any,
    ) -> Callable[[Any, Context], Awaitable[None]]:
        async def stream(source: bytes | AsyncIterable[bytes], context: Context) -> None:
            call = _Call(method, context)
            self._in_flight += 1
            try:
                await self._admit(call)
                if isinstance(source, bytes):
                    await self._respond(call, handle(self._parse(call, source), context))
                else:
                    await self._converse(call, source, handle)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it becomes a status
                await self._fail(call, error)
            finally:
                self._in_flight -= 1
            self._succeed(call, None)

        return stream

    async def _converse(
        self,
        call: _Call,
        source: AsyncIterable[bytes],
        handle: Callable[[AsyncIterator[Message], Context], AsyncGenerator[Message, None]],
    ) -> None:
        """Has a handler answer a stream of requests."""
        requests = _Requests(source, call.method.parse, lambda: self._admit_still(call))
        if self._draining:
            requests.end()
        self._streams.add(requests)
        try:
            await self._respond(call, handle(requests, call.context))
        finally:
            self._streams.discard(requests)
        if requests.failure is not None:
            raise requests.failure

    async def _respond(self, call: _Call, responses: AsyncGenerator[Message | bytes, None]) -> None:
        """Sends what a handler yields, which may be encoded already, and closes it whatever happens."""
        serialize, write = call.method.serialize, call.context.write
        task = asyncio.current_task()
        if call.method.endless and task is not None:
            if self._draining:
                raise ApiError.of(ErrorReason.ERROR_REASON_SHUTTING_DOWN)
            self._endless.add(task)
        try:
            async with aclosing(responses):
                async for response in responses:
                    if call.request is not None:  # what a stream of commands asked for, it gets
                        await self._admit_still(call)
                    try:
                        await write(response if isinstance(response, bytes) else serialize(response))
                    except asyncio.CancelledError as cancelled:
                        # A time limit of the handler's own ends the call while the caller does not read: it says how.
                        with suppress(StopAsyncIteration):
                            await responses.athrow(cancelled)
                        raise
        except asyncio.CancelledError:
            # By `drain`; or by a caller that went away, who does not see the answer.
            if self._draining and task in self._endless:
                task.uncancel()
                raise ApiError.of(ErrorReason.ERROR_REASON_SHUTTING_DOWN) from None
            raise
        finally:
            if task is not None:
                self._endless.discard(task)

    async def _admit(self, call: _Call) -> None:
        if self._in_flight > CALLS_MAX:
            raise ApiError.of(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"The server has {CALLS_MAX} calls in flight, as many as it takes. Retry after the delay.",
            )
        principal = await self._authenticator.principal(call.token)
        call.principal = principal
        if principal.role not in call.method.roles:
            raise ApiError.of(
                ErrorReason.ERROR_REASON_NOT_ALLOWED,
                f"The role {principal.role} may not call {call.method.name}. Use the right credential.",
            )
        if call.method.whole_log and principal.program is not None:
            raise ApiError.of(
                ErrorReason.ERROR_REASON_NOT_ALLOWED,
                f"{call.method.name} shows every program and the credential is bound to one. Use one that is not.",
            )
        PRINCIPAL.set(principal)

    async def _admit_still(self, call: _Call) -> None:
        """Looks again, now and then, whether the caller of a long stream has been shut out."""
        now = time.monotonic()
        if now >= call.believed_until:
            await self._authenticator.principal(call.token)
            call.believed_until = now + CACHE_S

    def _parse(self, call: _Call, raw: bytes) -> Message:
        call.request = request = _parsed(call.method.parse, raw)
        method, principal = call.method, call.principal
        if principal is None:
            return request
        looks_up = method.looks_up is not None and method.looks_up(request)
        if not principal.may_identify and (looks_up or (method.reads is not None and method.reads(request))):
            raise ApiError.of(
                ErrorReason.ERROR_REASON_NOT_ALLOWED,
                "The credential may not see personal data, nor whom an identifier belongs to. Name the member and ask"
                " without personal data, or use a credential that was made with --personal-data.",
            )
        if looks_up and (wait_s := self.lookups.take(principal.credential_id)):
            raise limited(wait_s)
        return request

    def _succeed(self, call: _Call, response: Message | None) -> None:
        method = call.method
        seconds = time.perf_counter() - call.started
        method.succeeded.inc()
        method.seconds.observe(seconds)
        if self._log_successes:
            outcome = getattr(response, "outcome", None)
            facts = {} if outcome is None else {"replayed": outcome.replayed}
            log.debug("call", **_facts(call, "OK", "", seconds), **facts)

    def _note_read(self, call: _Call, response: Any) -> None:
        reads, principal = call.method.reads, call.principal
        if self._noter is None or reads is None or principal is None or not reads(call.request):
            return
        shown = (response,) if hasattr(response, "member") else response.members
        for one in shown:
            self._noter.read(principal, call.method.name, one.member, call.context.peer())

    async def _fail(self, call: _Call, error: BaseException) -> NoReturn:
        """Counts and logs a failure, and ends the call with its status."""
        seconds = time.perf_counter() - call.started
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]  # a task group of a handler
        gone = _gone(call.context, error)
        if gone is not None:
            self._count(call, gone, "", seconds)
            log.info("call", **_facts(call, gone, "", seconds))
            raise error
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, DATABASE_AWAY):
            error = ApiError.of(ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE)
        elif isinstance(error, Archived):
            error = ApiError.of(ErrorReason.ERROR_REASON_ARCHIVED, where=str(error))
        elif isinstance(error, eventsourcing.persistence.MapperDeserialisationError):
            error = ApiError.of(ErrorReason.ERROR_REASON_DATA_CORRUPT, where=str(error))
        failure = error if isinstance(error, ApiError) else _incident(call, error)
        reason = ErrorReason.Name(failure.reason).removeprefix("ERROR_REASON_")
        self._count(call, failure.code.name, reason, seconds)
        logged = log.warning if failure.code in _WARNINGS else log.info
        logged("call", **_facts(call, failure.code.name, reason, seconds))
        if self._noter is not None:
            caller = failure.principal if isinstance(failure, CredentialRefused) else call.principal
            self._noter.refused(failure.reason, caller, call.method.name, call.request, call.context.peer)
        details = failure.status_proto(_language(_METADATA.get())).SerializeToString()
        await call.context.abort(failure.code, failure.message, (("grpc-status-details-bin", details),))

    def _count(self, call: _Call, code: str, reason: str, seconds: float) -> None:
        CALLS.labels(call.method.name, code, reason).inc()
        call.method.seconds.observe(seconds)


class _Requests(AsyncIterator[Message]):
    """The requests of a stream, parsed, until the client ends them or something is wrong.

    What is wrong ends the stream like the client would, so that the handler answers what it has;
    then the call ends with the failure.
    """

    def __init__(
        self,
        source: AsyncIterable[bytes],
        parse: Callable[[bytes], Message],
        admit_still: Callable[[], Awaitable[None]],
    ) -> None:
        self._source = aiter(source)
        self._parse = parse
        self._admit_still = admit_still
        self._reader: asyncio.Task[Any] | None = None
        self._complete = False
        self.failure: ApiError | None = None

    async def __anext__(self) -> Message:
        if self.failure is not None:
            raise StopAsyncIteration
        reader = self._reader = asyncio.current_task()
        try:
            raw = await anext(self._source)
            await self._admit_still()
            return _parsed(self._parse, raw)
        except StopAsyncIteration:
            self._complete = True
            raise
        except ApiError as error:
            self.failure = error
            raise StopAsyncIteration from None
        except asyncio.CancelledError:
            if self._is_ended() and reader is not None:
                reader.uncancel()
                raise StopAsyncIteration from None
            raise
        finally:
            self._reader = None

    def end(self) -> None:
        """No more requests, also for a handler that waits for the next one."""
        if not self._complete and self.failure is None:
            self.failure = ApiError.of(ErrorReason.ERROR_REASON_SHUTTING_DOWN)
            if self._reader is not None:
                self._reader.cancel()

    def _is_ended(self) -> bool:
        return self.failure is not None  # `end` may have been called since; a type checker thinks not


_WARNINGS: Final = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""What an operator should hear of. The rest is daily business: a refusal, a mistyped number."""


def _parsed(parse: Callable[[bytes], Message], raw: bytes) -> Message:
    try:
        return parse(raw)
    except DecodeError:
        raise ApiError(
            ErrorReason.ERROR_REASON_INVALID_FIELD,
            "The request cannot be parsed: it is cut short, of another type, or has text that is"
            " not UTF-8. Correct the request.",
        ) from None


def _bearer(metadata: _Metadata) -> str | None:
    """The token of a call: authorization: Bearer <token>."""
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            return token if scheme.lower() == "bearer" else None
    return None


def _language(metadata: _Metadata) -> str:
    """The language that a caller asked for first, such as "hi" in "accept-language: hi-IN, en"."""
    for key, value in metadata:
        if key == "accept-language" and isinstance(value, str):
            return value[:2].lower()
    return "en"


def _gone(context: Context, error: BaseException) -> str | None:
    """The code of a call that needs no answer: its caller went away, or it was answered already."""
    if isinstance(error, asyncio.CancelledError):
        return "DEADLINE_EXCEEDED" if _is_late(context) else "CANCELLED"
    if isinstance(error, grpc.aio.AbortError):
        return context.code().name
    if isinstance(error, grpc.aio.BaseError) and not isinstance(error, grpc.aio.UsageError):
        return "CANCELLED"  # a message could not be sent any more
    return None


def _is_late(context: Context) -> bool:
    """Whether the deadline ended the call. The caller's clock began to run first, and so it gives up first."""
    remaining = cast("float | None", context.time_remaining())  # its type forgets calls without a deadline
    return remaining is not None and remaining < DEADLINE_TOLERANCE_S


def _incident(call: _Call, error: Exception) -> ApiError:
    """The answer to a defect of ours: the log has all of it, the caller a number to ask for."""
    incident = uuid7().hex[:20]
    log.error("incident", incident=incident, method=call.method.name, exc_info=error)
    return ApiError.internal(incident)


def _facts(call: _Call, code: str, reason: str, seconds: float) -> dict[str, object]:
    """What the log says of a call: of its payload only ids, and only if they look like ids."""
    facts: dict[str, object] = {
        "method": call.method.name,
        "code": code,
        "reason": reason,
        "ms": round(seconds * 1000, 3),
    }
    request_id = getattr(call.request, "request_id", "")
    if _UUID.fullmatch(request_id):
        facts["request_id"] = request_id
    principal = call.principal
    origin = getattr(call.request, "origin", None)
    if principal is not None:
        facts["credential"] = principal.credential_id
        facts["store"] = principal.store or _place(origin, "store")
        facts["terminal"] = principal.terminal or _place(origin, "terminal")
    certificate = call.context.auth_context().get("x509_common_name")
    if certificate:
        facts["certificate"] = next(iter(certificate)).decode(errors="replace")
    return facts


def _place(origin: object, part: str) -> str | None:
    named = getattr(origin, part, "")
    return named if _PLACE.fullmatch(named) else None
