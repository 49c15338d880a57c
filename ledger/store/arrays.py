"""Arrays in PostgreSQL's binary format, packed at once: psycopg's own way takes a function call or more an element.

The format is that of array_send: the number of dimensions, a flag for NULLs, the type of the elements, the length and
the first index, then each element behind its length, with -1 for NULL.
"""

import sys
from array import array
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final
from uuid import UUID

from psycopg import Connection
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

MANY: Final = 64
"""From so many numbers on it is faster to pack all of them at once."""

_HEAD: Final = Struct("!iiIii").pack
_LENGTH: Final = Struct("!i").pack
_EMPTY: Final = Struct("!iiI").pack
_BIGINT: Final = Struct("!iq").pack
_NULL: Final = _LENGTH(-1)
_UUID: Final = _LENGTH(16)


class Array(list[Any]):
    """A list that is sent as an array of one PostgreSQL type."""


class UuidArray(Array):
    """uuid[], of UUID or None."""


class BigintArray(Array):
    """bigint[], of int."""


class TextArray(Array):
    """text[], of str or None."""


class ByteaArray(Array):
    """bytea[], of bytes."""


class _ArrayDumper(Dumper):
    format = Format.BINARY
    element_oid = 0

    def dump(self, obj: Sequence[Any]) -> Buffer:
        if not obj:
            return _EMPTY(0, 0, self.element_oid)
        return _HEAD(1, int(None in obj), self.element_oid, len(obj), 1) + b"".join(self.pack(obj))

    def pack(self, obj: Sequence[Any]) -> list[bytes]:
        """The elements, each behind its length."""
        raise AssertionError("each array packs its own elements")


class _UuidDumper(_ArrayDumper):
    oid = 2951
    element_oid = 2950

    def pack(self, obj: Sequence[UUID | None]) -> list[bytes]:
        return [_NULL if one is None else _UUID + one.int.to_bytes(16, "big") for one in obj]


class _BigintDumper(_ArrayDumper):
    oid = 1016
    element_oid = 20

    def pack(self, obj: Sequence[int]) -> list[bytes]:
        if len(obj) < MANY:
            return [_BIGINT(8, one) for one in obj]
        numbers = array("q", obj)
        if sys.byteorder == "little":
            numbers.byteswap()
        raw = numbers.tobytes()
        packed = bytearray(_BIGINT(8, 0)) * len(obj)
        for place in range(8):  # one byte of every number at once
            packed[4 + place :: 12] = raw[place::8]
        return [bytes(packed)]


class _TextDumper(_ArrayDumper):
    oid = 1009
    element_oid = 25

    def pack(self, obj: Sequence[str | None]) -> list[bytes]:
        packed = {one: _text(one) for one in set(obj)}  # many are the same
        return [packed[one] for one in obj]


def _text(one: str | None) -> bytes:
    if one is None:
        return _NULL
    raw = one.encode()
    return _LENGTH(len(raw)) + raw


class _ByteaDumper(_ArrayDumper):
    oid = 1001
    element_oid = 17

    def pack(self, obj: Sequence[bytes]) -> list[bytes]:
        return [_LENGTH(len(one)) + one for one in obj]


def register_arrays(connection: Connection[Any]) -> None:
    """Teaches a connection to send the arrays of this module."""
    for kind, dumper in (
        (UuidArray, _UuidDumper),
        (BigintArray, _BigintDumper),
        (TextArray, _TextDumper),
        (ByteaArray, _ByteaDumper),
    ):
        connection.adapters.register_dumper(kind, dumper)
