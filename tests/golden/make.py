"""Writes the golden bytes of topics that have none yet: `python -m tests.golden.make`. Those that are there stay.

Each event has every field set, down to a depth, to a value that follows from the field's number alone. Beside the
bytes lies the same event as text, so that a reviewer sees what they mean and a renamed field does not go unnoticed.
"""

from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString

from ledger.store.topics import TOPICS

FOLDER: Final = Path(__file__).parent
DEPTH: Final = 5

_INTEGERS: Final = frozenset(
    {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32}
)


def file_of(topic: str) -> Path:
    """Where a topic's bytes are: sale/1 in sale-1.binpb."""
    return FOLDER / f"{topic.replace('/', '-')}.binpb"


def fill(message: Message, depth: int = DEPTH) -> Message:
    """Sets every field; of a oneof the last one."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, field.name)[f"key-{field.number}"] = f"value-{field.number}"
        elif field.message_type is not None:
            if depth:
                inner = getattr(message, field.name)
                fill(inner.add() if field.is_repeated else inner, depth - 1)
                if not field.is_repeated:
                    inner.SetInParent()
        elif field.is_repeated:
            getattr(message, field.name).append(_value(field))
        else:
            setattr(message, field.name, _value(field))
    return message


def _value(field: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.cpp_type in _INTEGERS:
        return 100 + field.number
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    return f"{field.name}-{field.number}"


def text_of(message: Message) -> str:
    """An event as people read it."""
    return str(MessageToString(message, as_utf8=True))


def main() -> None:
    """Writes what is missing."""
    for event_type, topic in TOPICS.items():
        path = file_of(topic)
        if not path.exists():
            event = fill(event_type())
            path.write_bytes(event.SerializeToString(deterministic=True))
            path.with_suffix(".txtpb").write_text(text_of(event), encoding="utf-8")


if __name__ == "__main__":
    main()
