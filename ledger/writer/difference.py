"""Where two messages differ: the answer to "same request id, other payload"."""

from typing import Any

from google.protobuf.message import Message


def first_difference(one: Message, other: Message, path: str = "") -> str | None:
    """The path of the first field (by number) in which two messages of one type differ; None when they are equal."""
    if one == other:
        return None
    fields: Any = one.DESCRIPTOR.fields_by_number
    for _, field in sorted(fields.items()):
        here = f"{path}.{field.name}" if path else field.name
        if field.has_presence and one.HasField(field.name) != other.HasField(field.name):
            return here
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if mine == theirs:
            continue
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if field.is_repeated and not is_map:
            return _in_list(mine, theirs, here)
        if isinstance(mine, Message):
            return first_difference(mine, theirs, here)
        return here
    return path or None


def _in_list(mine: Any, theirs: Any, path: str) -> str:
    for index, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a != b:
            here = f"{path}[{index}]"
            return (first_difference(a, b, here) or here) if isinstance(a, Message) else here
    return path
