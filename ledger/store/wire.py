"""Protobuf's wire format, for encoded messages that are put together without being built.

See https://protobuf.dev/programming-guides/encoding.
"""

from typing import Final

from google.protobuf.descriptor import FieldDescriptor

_LENGTH_DELIMITED: Final = 2
_GROUP: Final = 0x7F
_MORE: Final = 0x80


def varint(value: int) -> bytes:
    """A number from 0."""
    parts = bytearray()
    while value > _GROUP:
        parts.append(value & _GROUP | _MORE)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def tag_of(field: FieldDescriptor) -> bytes:
    """What stands before the length and the bytes of a field that is a message."""
    return varint(field.number << 3 | _LENGTH_DELIMITED)
