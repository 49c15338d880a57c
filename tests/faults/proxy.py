"""A TCP proxy in front of PostgreSQL that cuts connections at chosen points of the wire protocol."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, Self

CHUNK_BYTES: Final = 65_536
WAIT_S: Final = 30.0

_READY: Final = b"Z\x00\x00\x00\x05"
"""The beginning of ReadyForQuery, with which PostgreSQL ends each answer."""


class Point(Enum):
    """What the client is about to send."""

    APPEND = auto()
    """The statement that calls append_events."""
    COMMIT = auto()
    """The COMMIT of a transaction that has appended."""


class Cut(Enum):
    """When the client's connection is cut."""

    BEFORE = auto()
    """Before PostgreSQL gets the message; it never does."""
    FORWARDED = auto()
    """When PostgreSQL has the message and before anything comes back; PostgreSQL carries it out."""
    LATE = auto()
    """Before PostgreSQL gets the message; it does later, when the test says so: `deliver`."""
    REPLIED = auto()
    """When PostgreSQL's answer is complete; nothing of it is passed on."""


class Proxy:
    """Listens on a port of its own; one thread for each direction of each connection."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_s = 0.0
        """How long each piece of an answer takes."""
        self._armed: tuple[Point, Cut] | None = None
        self._lock = threading.Lock()
        self.fired = threading.Event()
        """Set once the connection has been cut."""
        self.delivered = threading.Event()
        """Set once PostgreSQL has answered a message that was delivered late."""
        self._deliver = threading.Event()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._deliver.set()
        self._listener.close()
        for each in self._sockets:
            _close(each)

    def arm(self, point: Point, cut: Cut) -> None:
        """Cuts the next connection that comes to a point."""
        self.fired.clear()
        self.delivered.clear()
        self._deliver.clear()
        with self._lock:
            self._armed = (point, cut)

    def deliver(self) -> None:
        """Lets PostgreSQL have the message that was held back, and waits until it has answered."""
        self._deliver.set()
        if not self.delivered.wait(WAIT_S):
            raise TimeoutError("PostgreSQL did not answer what was delivered late")

    def cut_for(self, point: Point) -> Cut | None:
        """What to do at a point, once."""
        with self._lock:
            if self._armed is None or self._armed[0] is not point:
                return None
            cut, self._armed = self._armed[1], None
            return cut

    def wait_to_deliver(self) -> None:
        """Returns when the test says so."""
        if not self._deliver.wait(WAIT_S):
            raise TimeoutError("nobody delivers")

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            _Connection(self, client, server).start()


class _Connection:
    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._append_statements: set[bytes] = set()
        self._appended = False
        self._swallow = False
        self._answer = b""
        self._messages = self._frames()

    def start(self) -> None:
        for target in (self._to_server, self._to_client):
            threading.Thread(target=target, daemon=True).start()

    def _to_server(self) -> None:
        try:
            for kind, frame in self._messages:
                point = self._point(kind, frame)
                cut = self._proxy.cut_for(point) if point is not None else None
                if cut is None:
                    self._server.sendall(frame)
                else:
                    self._cut(cut, kind, frame)
                    return
        except OSError:
            pass
        if not self._swallow:
            _close(self._client)
            _close(self._server)

    def _frames(self) -> Iterator[tuple[bytes, bytes]]:
        """The client's messages: first one without a type, then each with a type of one byte."""
        buffer = b""
        head = 0
        while True:
            while len(buffer) >= head + 4:
                size = head + int.from_bytes(buffer[head : head + 4], "big")
                if len(buffer) < size:
                    break
                yield buffer[:head], buffer[:size]
                buffer = buffer[size:]
                head = 1
            received = self._client.recv(CHUNK_BYTES)
            if not received:
                return
            buffer += received

    def _point(self, kind: bytes, frame: bytes) -> Point | None:
        if kind == b"P" and b"append_events" in frame:
            self._append_statements.add(frame[5:].split(b"\0")[0])
        elif kind == b"B":
            statement = frame[5:].split(b"\0")[1]
            if statement in self._append_statements:
                self._appended = True
                return Point.APPEND
        elif kind == b"Q" and b"COMMIT" in frame and self._appended:
            return Point.COMMIT
        return None

    def _cut(self, cut: Cut, kind: bytes, frame: bytes) -> None:
        if cut is Cut.BEFORE:
            _close(self._client)
            _close(self._server)
            self._proxy.fired.set()
            return
        # Bind comes with Describe, Execute and Sync behind it; a simple query stands alone.
        rest = b"" if kind == b"Q" else b"".join(self._until_sync())
        self._swallow = True
        if cut is Cut.LATE:
            _close(self._client)
            self._proxy.fired.set()
            self._proxy.wait_to_deliver()
        self._server.sendall(frame + rest)
        if cut is Cut.FORWARDED:
            _close(self._client)
            self._proxy.fired.set()

    def _until_sync(self) -> Iterator[bytes]:
        for kind, frame in self._messages:
            yield frame
            if kind == b"S":
                return

    def _to_client(self) -> None:
        try:
            while received := self._server.recv(CHUNK_BYTES):
                if self._swallow:
                    self._swallowed(received)
                    continue
                if self._proxy.delay_s:
                    time.sleep(self._proxy.delay_s)  # a slow network
                self._client.sendall(received)
        except OSError:
            pass
        _close(self._client)
        _close(self._server)
        if self._swallow:
            self._proxy.delivered.set()

    def _swallowed(self, received: bytes) -> None:
        self._answer = self._answer[-len(_READY) :] + received
        if _READY in self._answer:
            _close(self._client)
            _close(self._server)
            self._proxy.fired.set()
            self._proxy.delivered.set()


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
