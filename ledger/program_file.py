"""Programs as files: YAML or JSON of loyalty.v1.Program, read with the line of everything that is wrong."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from loyalty.v1.program_pb2 import Program
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ledger.domain.publish import problems

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Size of a program's file."""

VALUES_MAX: Final = 1_000_000
"""Values in a program's file, those that aliases repeat included."""

VALUE_CHARACTERS: Final = 100
"""A longer text counts as one value more for each."""

NULL: Final = "tag:yaml.org,2002:null"


class Problem(NamedTuple):
    """Something that keeps a program from being published."""

    line: int
    """Counted from 1."""
    field: str
    """The field's path; empty where the file as such is at fault."""
    reason: str


class ProgramFile(NamedTuple):
    """A program as a file has it, and all that is wrong with it."""

    definition: Program
    problems: list[Problem]


def read_file(path: Path) -> ProgramFile:
    """The program in a file. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        return ProgramFile(Program(), [Problem(1, "", f"must be at most {FILE_BYTES_MAX} bytes")])
    try:
        return read_text(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return ProgramFile(Program(), [Problem(line, "", "must be text in UTF-8")])


def read_text(text: str) -> ProgramFile:
    """The program in a text: first its form, field by field, then whether it can be published."""
    try:
        root = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(error.problem or error.context).split())
        return ProgramFile(Program(), [Problem(mark.line + 1 if mark is not None else 1, "", what)])
    except YAMLError as error:
        return ProgramFile(Program(), [Problem(_line_of(error, text), "", "has a character that is not allowed")])
    except RecursionError:
        return ProgramFile(Program(), [Problem(1, "", "is nested too deeply")])
    if root is None:
        return ProgramFile(Program(), [Problem(1, "", "is empty: describe a program")])
    reader = _Reader()
    reader.message(root, reader.program, "")
    return ProgramFile(reader.program, sorted(reader.problems + reader.unpublishable()))


def _line_of(error: YAMLError, text: str) -> int:
    return text.count("\n", 0, getattr(error, "position", 0)) + 1


class _Reader:
    """Fills a program from a tree of YAML, along the program's descriptor.

    The descriptor says what a value is, not how it is written: 0001 is text in a list of SKUs, NO is a region and
    2026-01-31T08:00:00 a local time, quoted or not. Each value goes through protobuf's own JSON reader.
    """

    def __init__(self) -> None:
        self.program = Program()
        self.problems: list[Problem] = []
        self._lines: dict[str, int] = {"": 1}
        self._values = 0

    def message(self, node: Node, message: Message, path: str) -> None:
        """Fills a message from a mapping."""
        if not isinstance(node, MappingNode):
            self._note(path, f"must have fields of {message.DESCRIPTOR.name}")
            return
        fields = _fields(message)
        given: dict[str, str] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value) if isinstance(key, ScalarNode) else "?"
            field = fields.get(name)
            child = _join(path, field.name if field is not None else name)
            self._lines.setdefault(child, line)
            if field is None:
                self._note(child, f"is no field of {message.DESCRIPTOR.name}{_meant(name, fields)}", line)
                continue
            oneof = field.containing_oneof
            slot = oneof.name if oneof is not None else field.name
            if slot in given:
                other = "a second time" if given[slot] == field.name else f"together with {given[slot]}"
                self._note(child, f"is given {other}: keep one of them", line)
                continue
            if value.tag != NULL or not isinstance(value, ScalarNode):
                given[slot] = field.name
                self._field(value, message, field, child)

    def unpublishable(self) -> list[Problem]:
        """What else is wrong with the program, besides what made no sense as a field."""
        known = {problem.field for problem in self.problems}
        if "" in known:
            return []
        return [
            Problem(self._line(path), path, reason)
            for path, reason in problems(self.program)
            if not any(_is_within(path, field) or field.startswith(f"{path}.") for field in known)
        ]

    def _field(self, node: Node, message: Message, field: FieldDescriptor, path: str) -> None:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            self._map(node, message, field, path)
        elif field.is_repeated:
            if not isinstance(node, SequenceNode):
                self._note(path, "must be a list")
                return
            for index, item in enumerate(node.value):
                child = f"{path}[{index}]"
                self._lines[child] = item.start_mark.line + 1
                if not self._count(item, child):
                    return
                if kind is not None and not _is_leaf(kind):
                    self.message(item, getattr(message, field.name).add(), child)
                else:
                    parsed = type(message)()
                    self._leaf(item, parsed, field, child, as_list=True)
                    getattr(message, field.name).extend(getattr(parsed, field.name))
        elif kind is not None and not _is_leaf(kind):
            inner = getattr(message, field.name)
            inner.SetInParent()
            if self._count(node, path):
                self.message(node, inner, path)
        elif self._count(node, path):
            self._leaf(node, message, field, path)

    def _map(self, node: Node, message: Message, field: FieldDescriptor, path: str) -> None:
        if not isinstance(node, MappingNode):
            self._note(path, "must have names with values")
            return
        for key, value in node.value:
            child = f"{path}[{key.value!r}]"
            self._lines[child] = key.start_mark.line + 1
            if not self._count(value, child):
                return
            if not isinstance(value, ScalarNode):
                self._note(child, "must be a single value")
                continue
            parsed = type(message)()
            try:
                ParseDict({field.name: {_text(key): _text(value)}}, parsed)
            except ParseError:
                self._note(child, "is no value for this field")
            getattr(message, field.name).MergeFrom(getattr(parsed, field.name))

    def _leaf(self, node: Node, message: Message, field: FieldDescriptor, path: str, *, as_list: bool = False) -> None:
        if not isinstance(node, ScalarNode):
            self._note(path, "must be a single value")
            return
        value: object = _text(node)
        if field.type == FieldDescriptor.TYPE_BOOL:
            value = {"true": True, "false": False}.get(str(value), value)
        try:
            ParseDict({field.name: [value] if as_list else value}, message)
        except (ParseError, ValueError):
            self._note(path, _expected(field))

    def _count(self, node: Node, path: str) -> bool:
        """Counts a value. False where there are too many, which only aliases can make of a file."""
        before = self._values
        self._values += 1 + (len(node.value) // VALUE_CHARACTERS if isinstance(node, ScalarNode) else 0)
        if before < VALUES_MAX <= self._values:
            self._note(path, f"is one too many: a program's file has at most {VALUES_MAX} values")
        return self._values < VALUES_MAX

    def _note(self, path: str, reason: str, line: int = 0) -> None:
        self.problems.append(Problem(line or self._line(path), path, reason))

    def _line(self, path: str) -> int:
        """The line of a field, or of what it would be in where it is left out."""
        while path not in self._lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._lines[path]


def _fields(message: Message) -> dict[str, FieldDescriptor]:
    """Fields by the names that a file may use: snake_case and lowerCamelCase."""
    descriptor = cast("Descriptor", message.DESCRIPTOR)
    return {name: field for field in descriptor.fields for name in (field.json_name, field.name)}


def _is_leaf(kind: Descriptor) -> bool:
    """Whether a message is written as a single value, as durations and timestamps are."""
    return kind.full_name.startswith("google.protobuf.")


def _is_within(path: str, field: str) -> bool:
    return path == field or path.startswith((f"{field}.", f"{field}["))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _meant(name: str, fields: Mapping[str, FieldDescriptor]) -> str:
    snake = re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", name)
    close = get_close_matches(snake, [field.name for field in fields.values()], n=1)
    if close:
        return f": do you mean {close[0]}?"
    return f": it has {', '.join(dict.fromkeys(field.name for field in fields.values()))}"


def _text(node: ScalarNode) -> str:
    """A value as it is written; JSON writes characters beyond 16 bits as pairs."""
    return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_EXPECTED: Final[Mapping[int, Callable[[FieldDescriptor], str]]] = {
    FieldDescriptor.CPPTYPE_BOOL: lambda _: "must be true or false",
    FieldDescriptor.CPPTYPE_INT32: lambda _: "must be a whole number of at most 32 bits",
    FieldDescriptor.CPPTYPE_INT64: lambda _: "must be a whole number of at most 64 bits",
    FieldDescriptor.CPPTYPE_ENUM: lambda field: f"must be one of {_values(field)}",
    FieldDescriptor.CPPTYPE_STRING: lambda _: "must be text",
    FieldDescriptor.CPPTYPE_MESSAGE: lambda field: (
        "must be a length of time in seconds, such as 1800s"
        if field.message_type is not None and field.message_type.name == "Duration"
        else "must be a time with its offset, such as 2026-12-31T18:00:00+05:30"
    ),
}


def _expected(field: FieldDescriptor) -> str:
    describe = _EXPECTED.get(field.cpp_type)
    return describe(field) if describe is not None else "is no value for this field"


def _values(field: FieldDescriptor) -> str:
    return (
        ", ".join(value.name for value in field.enum_type.values if value.number) if field.enum_type else "its values"
    )
