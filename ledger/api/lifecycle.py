"""The life of a server: listen, say whether it works, and stop without losing what it has begun."""

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from ledger.api.interceptor import CALLS_MAX, Gate
from ledger.api.tls import server_credentials
from ledger.config import Address, Config

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A request's size; beyond it callers get RESOURCE_EXHAUSTED."""

CALLS_PER_CONNECTION_MAX: Final = 1_000
"""Calls in flight on one connection; a client keeps further ones back."""

CALLS_BESIDES_MAX: Final = 256
"""Calls of health and reflection that find room when the gate is full."""

CLIENT_PING_INTERVAL_MIN_MS: Final = 30_000
"""How often a client may ping: tills behind NAT do so once a minute to keep their connection."""

CALLS_WAITING_MAX: Final = 16 * CALLS_MAX
"""Calls that have arrived and that the gate has not seen yet."""

SERVER_PING_INTERVAL_MS: Final = 120_000
"""How often the server pings a silent connection, to notice tills that lost power."""

SERVER_PING_TIMEOUT_MS: Final = 20_000

CONNECTION_AGE_MAX_MS: Final = 30 * 60_000
"""Connections are renewed after this, so that they spread over servers that were added."""

CONNECTION_AGE_GRACE_MS: Final = 5 * 60_000
"""How long calls of an aged connection may go on; then streams have to be resumed."""

BLOCKING_THREADS_MAX: Final = 128
"""Threads for what handlers wait for outside of the event loop: queries, and tails of the log."""

HEALTH_INTERVAL_S: Final = 1.0
"""Between two looks whether the service works."""

HEALTH_TIMEOUT_S: Final = 5.0
"""How long a look may take before the service counts as broken."""

log = structlog.stdlib.get_logger(__name__)


class ListenError(Exception):
    """The server cannot listen; the message is one line and says what to do."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the composition root puts together and the server runs."""

    gate: Gate
    add_services: Callable[[grpc.aio.Server], Sequence[str]]
    """Adds the services to a server and returns their full names."""
    trouble: Callable[[], str | None]
    """None while the service works, else one line that says what does not. May block."""
    close: Sequence[Callable[[], None]]
    """What to end after the last call, in order: writer, read side, pools. Each may block."""


class Listening(NamedTuple):
    """Where a server that has started listens."""

    address: Address
    metrics_address: Address | None


async def serve(config: Config, parts: Parts, started: Callable[[Listening], None]) -> None:
    """Serves until SIGTERM or SIGINT, and then drains.

    Draining: health says NOT_SERVING, no new calls are taken, those in flight are finished, and
    then `parts.close` ends the rest. A second signal cuts off the calls in flight.

    Raises ListenError and TlsError before anything is served; `parts.close` is called then too.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(BLOCKING_THREADS_MAX, "blocking"))
    try:
        with _metrics(config.metrics_address) as metrics_address:
            server, health_of, names = _make_server(config, parts)
            address = _listen(server, config)
            with _signals(loop) as signals:
                async with _watched_health(health_of, names, parts.trouble):
                    await server.start()
                    started(Listening(address, metrics_address))
                    await signals.first.wait()
                    log.info("draining", seconds=config.drain_seconds)
                    await health_of.enter_graceful_shutdown()
                parts.gate.drain()
                await _stop(server, config.drain_seconds, signals.second)
    finally:
        for close in parts.close:
            await _closed(close)
    log.info("stopped")


def _make_server(config: Config, parts: Parts) -> tuple[grpc.aio.Server, "health.aio.HealthServicer", list[str]]:
    server = grpc.aio.server(
        interceptors=[parts.gate],
        maximum_concurrent_rpcs=CALLS_MAX + CALLS_BESIDES_MAX,
        options=[
            ("grpc.so_reuseport", int(config.reuse_port)),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_concurrent_streams", CALLS_PER_CONNECTION_MAX),
            # Else gRPC ends what waits beyond 1,000 calls as CANCELLED, where the gate says OVERLOADED and until when.
            ("grpc.server.max_pending_requests", CALLS_WAITING_MAX),
            ("grpc.server.max_pending_requests_hard_limit", CALLS_WAITING_MAX),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", CLIENT_PING_INTERVAL_MIN_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", SERVER_PING_INTERVAL_MS),
            ("grpc.keepalive_timeout_ms", SERVER_PING_TIMEOUT_MS),
            ("grpc.max_connection_age_ms", CONNECTION_AGE_MAX_MS),
            ("grpc.max_connection_age_grace_ms", CONNECTION_AGE_GRACE_MS),
        ],
    )
    names = list(parts.add_services(server))
    health_of = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_of, server)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return server, health_of, names


def _listen(server: grpc.aio.Server, config: Config) -> Address:
    credentials = server_credentials(config)
    wanted = config.address
    _check_free(wanted, reuse_port=config.reuse_port)
    try:
        if credentials is None:
            port = server.add_insecure_port(str(wanted))
        else:
            port = server.add_secure_port(str(wanted), credentials)
    except RuntimeError:
        raise ListenError(f"cannot listen on {wanted}; choose another address with LOYALTY_ADDRESS") from None
    return Address(wanted.host, port)


def _check_free(address: Address, *, reuse_port: bool) -> None:
    """Says why an address cannot be listened on; gRPC itself does not, and logs at length."""
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise ListenError(f"{address.host} is not known; correct the host in LOYALTY_ADDRESS") from None
    problems: list[OSError] = []
    for family, kind, protocol, _, where in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                probe.bind(where)
            except OSError as error:
                problems.append(error)
    in_use = any(error.errno == errno.EADDRINUSE for error in problems)
    # A name may stand for addresses of a kind that this machine does not have; one is enough.
    if in_use or len(problems) == len(found):
        raise ListenError(_cannot_listen(address, problems[0], "LOYALTY_ADDRESS"))


def _cannot_listen(address: Address, error: OSError, variable: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use: stop the program that listens there, or choose another port with {variable}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is no address of this machine; correct {variable}"
    return f"cannot listen on {address}: {error.strerror}; choose another one with {variable}"


@contextmanager
def _metrics(address: Address | None) -> Iterator[Address | None]:
    """Answers Prometheus over HTTP meanwhile."""
    if address is None:
        yield None
        return
    try:
        server, thread = start_http_server(address.port, address.host)
    except OSError as error:
        raise ListenError(_cannot_listen(address, error, "LOYALTY_METRICS_ADDRESS")) from None
    try:
        yield Address(address.host, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Signals(NamedTuple):
    """Set by the first and the second SIGTERM or SIGINT."""

    first: asyncio.Event
    second: asyncio.Event


@contextmanager
def _signals(loop: asyncio.AbstractEventLoop) -> Iterator[_Signals]:
    signals = _Signals(asyncio.Event(), asyncio.Event())

    def received() -> None:
        (signals.second if signals.first.is_set() else signals.first).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received)
    try:
        yield signals
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _stop(server: grpc.aio.Server, grace_s: float, hurry: asyncio.Event) -> None:
    """Takes no new calls and waits for those in flight, until the grace or the patience ends."""
    stopping = asyncio.create_task(server.stop(grace_s))
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        log.warning("calls in flight are cut off")
        await server.stop(None)
    await stopping
    hurried.cancel()


@asynccontextmanager
async def _watched_health(
    health_of: "health.aio.HealthServicer", names: Sequence[str], trouble: Callable[[], str | None]
) -> AsyncIterator[None]:
    """Keeps the health of all services current meanwhile. It is known before the body begins."""
    # Its own thread: a service whose other threads are all taken must still say how it is.
    thread = ThreadPoolExecutor(1, "health")
    loop = asyncio.get_running_loop()
    known = asyncio.Event()
    last: str | None = ""

    async def report(found: str | None) -> None:
        nonlocal last
        if found != last:
            statuses = health_pb2.HealthCheckResponse
            for name in ("", *names):
                await health_of.set(name, statuses.NOT_SERVING if found else statuses.SERVING)
            if found:
                log.warning("not serving", trouble=found)
            elif last:
                log.info("serving again")
            last = found
        known.set()

    async def watch() -> None:
        while True:
            looking = loop.run_in_executor(thread, _looked, trouble)
            done, _ = await asyncio.wait({looking}, timeout=HEALTH_TIMEOUT_S)
            if not done:
                await report(f"no answer within {HEALTH_TIMEOUT_S:g} s")
            await report(await looking)
            await asyncio.sleep(HEALTH_INTERVAL_S)

    watching = asyncio.create_task(watch())
    await known.wait()
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        thread.shutdown(wait=False, cancel_futures=True)


def _looked(trouble: Callable[[], str | None]) -> str | None:
    try:
        return trouble()
    except Exception as error:
        log.exception("the health check failed")
        return type(error).__name__


async def _closed(close: Callable[[], None]) -> None:
    """Ends one part; what goes wrong must not keep the others from ending."""
    try:
        await asyncio.to_thread(close)
    except Exception:
        log.exception("a part does not end")
