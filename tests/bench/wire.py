"""The load generator's side of the wire: just enough HTTP/2 to make unary gRPC calls of ready-made bytes.

Client, server and database share the machine's cores, so what the client costs is taken from what is measured. A call
through grpcio's client costs as much CPU as the server spends on answering it (190 to 270 us here); this one costs a
tenth of that. It keeps the protocol's rules for flow control, settings and pings; it knows neither TLS nor retries.
"""

import socket
import struct
from collections import deque
from typing import Final, NamedTuple

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 0x1
_END_HEADERS: Final = 0x4
_INITIAL_WINDOW_SIZE: Final = 4

FRAME_BYTES_MAX: Final = 16_384
WINDOW_BYTES_DEFAULT: Final = 65_535
WINDOW_BYTES_MAX: Final = 2**31 - 1
RECEIVE_BYTES: Final = 262_144
CONNECT_TIMEOUT_S: Final = 10.0

_METHOD_POST: Final = b"\x83"
_SCHEME_HTTP: Final = b"\x86"
_FIRST_DYNAMIC_INDEX: Final = 62

_head = struct.Struct(">HBBBI")  # length (in two parts), type, flags, stream


class CallFailed(Exception):
    """A call or its connection ended without an answer."""


class Answer(NamedTuple):
    """What came back for a call."""

    number: int
    message: bytes


class _Sending:
    """A request that the peer's windows hold back."""

    __slots__ = ("rest", "stream", "window")

    def __init__(self, stream: int, rest: memoryview, window: int) -> None:
        self.stream = stream
        self.rest = rest
        self.window = window


class Connection:
    """A connection for calls of one method. Nothing blocks but connecting and sending."""

    def __init__(self, address: str, path: str, token: str, timeout_s: int = 60) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._first_headers, self._headers = _header_blocks(address, path, token, timeout_s)
        self._stream = 1
        self._numbers: dict[int, int] = {}
        self._messages: dict[int, bytes] = {}
        self._received = bytearray()
        self._out = bytearray(_PREFACE)
        self._window = WINDOW_BYTES_DEFAULT
        self._stream_window = WINDOW_BYTES_DEFAULT
        self._held_back: deque[_Sending] = deque()
        self._consumed = 0
        window = struct.pack(">HI", _INITIAL_WINDOW_SIZE, WINDOW_BYTES_MAX)
        self._frame(_SETTINGS, 0, 0, window)
        self._frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_BYTES_MAX - WINDOW_BYTES_DEFAULT))

    def __len__(self) -> int:
        """Calls in flight."""
        return len(self._numbers)

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()

    def call(self, number: int, request: bytes) -> None:
        """Prepares a call; `flush` sends it. Its answer comes with its number."""
        stream = self._stream
        self._stream += 2
        self._numbers[stream] = number
        headers = self._headers if stream > 1 else self._first_headers
        self._frame(_HEADERS, _END_HEADERS, stream, headers)
        message = b"\x00" + len(request).to_bytes(4, "big") + request
        size = len(message)
        room = min(FRAME_BYTES_MAX, self._window, self._stream_window)
        if size <= room and not self._held_back:
            self._window -= size
            self._frame(_DATA, _END_STREAM, stream, message)
        else:
            self._held_back.append(_Sending(stream, memoryview(message), self._stream_window))
            self._send_held_back()

    def flush(self) -> None:
        """Sends what is prepared."""
        if self._out:
            self.socket.sendall(self._out)
            self._out = bytearray()

    def receive(self) -> list[Answer]:
        """Reads once from the socket, and returns the calls that this finished. Raises CallFailed."""
        chunk = self.socket.recv(RECEIVE_BYTES)
        if not chunk:
            raise CallFailed("the server closed the connection")
        received = self._received
        received += chunk
        answers: list[Answer] = []
        at, end = 0, len(received)
        while end - at >= 9:
            high, low, kind, flags, stream = _head.unpack_from(received, at)
            until = at + 9 + (high << 8 | low)
            if until > end:
                break
            answer = self._take(kind, flags, stream, received[at + 9 : until])
            if answer is not None:
                answers.append(answer)
            at = until
        del received[:at]
        return answers

    def _take(self, kind: int, flags: int, stream: int, payload: bytearray) -> Answer | None:
        if kind == _DATA:
            self._consume(len(payload))
            self._messages[stream] = self._messages.get(stream, b"") + payload
        elif kind == _HEADERS:
            if not flags & _END_STREAM:
                return None
            number = self._numbers.pop(stream)
            message = self._messages.pop(stream, b"")
            if not message:  # a unary call that fails has no message, only a status
                raise CallFailed(f"a call failed: {_printable(payload)}")
            return Answer(number, message[5:])
        elif kind == _RST_STREAM:
            raise CallFailed(f"the server ended a call with code {int.from_bytes(payload, 'big')}")
        elif kind == _GOAWAY:
            raise CallFailed(f"the server ends the connection: {_printable(payload[8:])}")
        else:
            self._control(kind, flags, stream, payload)
        return None

    def _control(self, kind: int, flags: int, stream: int, payload: bytearray) -> None:
        if kind == _WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self._window += more
            for sending in self._held_back:
                if sending.stream == stream:
                    sending.window += more
            self._send_held_back()
        elif kind == _PING and not flags & _ACK:
            self._frame(_PING, _ACK, 0, bytes(payload))
            self.flush()
        elif kind == _SETTINGS and not flags & _ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == _INITIAL_WINDOW_SIZE:
                    for sending in self._held_back:
                        sending.window += value - self._stream_window
                    self._stream_window = value
            self._frame(_SETTINGS, _ACK, 0, b"")
            self._send_held_back()
            self.flush()

    def _send_held_back(self) -> None:
        """Prepares as much as the windows allow. A stream that is held back holds back those behind it."""
        while self._held_back:
            sending = self._held_back[0]
            size = min(len(sending.rest), self._window, sending.window, FRAME_BYTES_MAX)
            if size <= 0:
                return
            self._window -= size
            sending.window -= size
            is_last = size == len(sending.rest)
            self._frame(_DATA, _END_STREAM if is_last else 0, sending.stream, bytes(sending.rest[:size]))
            sending.rest = sending.rest[size:]
            if is_last:
                self._held_back.popleft()

    def _consume(self, size: int) -> None:
        """Gives the peer its window back, long before it runs out."""
        self._consumed += size
        if self._consumed > WINDOW_BYTES_MAX // 2:
            self._frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._consumed))
            self._consumed = 0

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._out += _head.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def _header_blocks(address: str, path: str, token: str, timeout_s: int) -> tuple[bytes, bytes]:
    """The headers of a connection's first call, which the peer's table keeps, and of all others, which refer to it.

    HPACK without Huffman codes: names by their number in the static table where they have one.
    """
    kept: list[tuple[int | str, str]] = [
        (4, path),
        (1, address),
        (31, "application/grpc"),
        ("te", "trailers"),
        (58, "loyalty-bench/1"),
        (23, f"Bearer {token}"),
        ("grpc-timeout", f"{timeout_s}S"),
    ]
    first = bytearray(_METHOD_POST + _SCHEME_HTTP)
    for name, value in kept:
        first += bytes((0x40 | name,)) if isinstance(name, int) else b"\x40" + _text(name)
        first += _text(value)
    newest = range(_FIRST_DYNAMIC_INDEX, _FIRST_DYNAMIC_INDEX + len(kept))
    others = bytes(0x80 | index for index in reversed(newest))
    return bytes(first), _METHOD_POST + _SCHEME_HTTP + others


def _text(value: str) -> bytes:
    encoded = value.encode("ascii")
    if len(encoded) > 126:
        raise ValueError("a header of more than 126 bytes would need a longer length")
    return bytes((len(encoded),)) + encoded


def _printable(payload: bytes | bytearray) -> str:
    """The texts in a header block, for a person to read."""
    return "".join(chr(byte) if 32 <= byte < 127 else " " for byte in payload).strip()
