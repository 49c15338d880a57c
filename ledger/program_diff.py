"""What differs between two versions of a program, field by field."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from loyalty.v1.program_pb2 import Program

OF_THE_SERVER: Final = frozenset({"version", "etag"})
"""Fields that the server sets."""


class Difference(NamedTuple):
    """A field that is not the same."""

    field: str
    """Its path; entries of a list go by their ids where they have any."""
    before: str
    """Empty where the field is new."""
    after: str
    """Empty where the field is gone."""


def differences(before: Program, after: Program) -> list[Difference]:
    """Every field that differs, in the order of the program's fields."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    paths = dict.fromkeys([*old, *new])
    return [
        Difference(path, old.get(path, ""), new.get(path, ""))
        for path in paths
        if old.get(path) != new.get(path) and path not in OF_THE_SERVER
    ]


def _leaves(message: Message, path: str) -> Iterator[tuple[str, str]]:
    """The fields that are set, each by its path and as text."""
    for field, value in message.ListFields():
        child = f"{path}.{field.name}" if path else field.name
        kind = field.message_type
        if kind is None or kind.full_name.startswith("google.protobuf.") or kind.GetOptions().map_entry:
            yield child, _text(message, field)
        elif not field.is_repeated:
            yield from _whole(value, child)
        else:
            for index, entry in enumerate(value):
                yield from _whole(entry, f"{child}[{_id(entry) or index}]")


def _whole(message: Message, path: str) -> Iterator[tuple[str, str]]:
    """The fields of a message; the message itself where none is set, which can mean something too."""
    if message.ListFields():
        yield from _leaves(message, path)
    else:
        yield path, "{}"


def _id(message: Message) -> str:
    """What names an entry of a list: its first field, where that is an id."""
    first = message.DESCRIPTOR.fields[0]
    return getattr(message, first.name) if first.name.endswith("_id") else ""


def _text(message: Message, field: FieldDescriptor) -> str:
    """A field's value as JSON has it; lists of values as one."""
    only = type(message)()
    if field.is_repeated:
        getattr(only, field.name).MergeFrom(getattr(message, field.name))
    elif field.message_type is not None:
        getattr(only, field.name).CopyFrom(getattr(message, field.name))
    else:
        setattr(only, field.name, getattr(message, field.name))
    value = MessageToDict(only, preserving_proto_field_name=True)[field.name]
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
