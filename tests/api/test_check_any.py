"""Field checks of anything at all: whatever is sent, it passes or each problem has a field and a sentence."""

from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import example, given
from hypothesis import strategies as st
from loyalty.v1.commands_pb2 import (
    PublishProgramRequest,
    RecordSaleRequest,
)

from ledger.api.check import CHECKS
from ledger.api.check_sale import fill_line_ids
from ledger.api.errors import ApiError
from ledger.api.identifiers import normalise
from ledger.domain.basket import Basket
from ledger.domain.publish import problems
from ledger.domain.rounding import INT64_MAX
from tests.api.requests import HOLD, ID, MEMBER, NIL, NOW, OTHER, REQUESTS, RIGHT, TRANSACTION, name

NUMBERS: Final = st.sampled_from([0, 1, -1, 2, 7, 100, 10_000, 2**31 - 1, -(2**31)])
LONG_NUMBERS: Final = NUMBERS | st.sampled_from([INT64_MAX, -(2**63), 1_795_000_000, 2**62])
TEXTS: Final = (
    st.text(max_size=12)
    | st.sampled_from([ID, OTHER, NIL, MEMBER, HOLD, TRANSACTION, "programs/p", "2026-11-20", "1"])
    | st.sampled_from(["INR", "Asia/Kolkata", "IN", "+919876543210", "a@b.de", "\0", "x" * 600])
)


_MADE: Final[dict[tuple[type[Message], int], st.SearchStrategy[Message]]] = {}
"""Made anew for each example, the larger messages would take seconds."""


def messages(kind: type[Message], depth: int = 4) -> st.SearchStrategy[Message]:
    """Any message of a type, with values that are likely to be right or at a bound."""
    if (kind, depth) not in _MADE:
        parts = {
            field.name: values(cast("FieldDescriptor", field), depth)
            for field in kind.DESCRIPTOR.fields
            if field.message_type is None or depth
        }
        _MADE[kind, depth] = st.fixed_dictionaries({}, optional=parts).map(lambda given: kind(**given))
    return _MADE[kind, depth]


def values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    """Any value of a field."""
    one: st.SearchStrategy[Any]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return st.dictionaries(TEXTS, TEXTS, max_size=3)
    if field.message_type is not None:
        one = messages(GetMessageClass(field.message_type), depth - 1)
    elif field.type == FieldDescriptor.TYPE_BYTES:
        one = st.binary(max_size=12)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        one = TEXTS
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        one = st.booleans()
    elif field.cpp_type == FieldDescriptor.CPPTYPE_INT64:
        one = LONG_NUMBERS
    else:
        one = NUMBERS
    return st.lists(one, max_size=3) if field.is_repeated else one


def judged(request: Message) -> ApiError | None:
    """Checks whatever came, and goes on with what passes as the service would; returns the refusal."""
    try:
        CHECKS[type(request)](request, NOW)
        identifier = getattr(request, "identifier", None)
        if identifier is not None and identifier.type:
            normalise(identifier, "programs/p", "IN")
        if isinstance(request, RecordSaleRequest):
            fill_line_ids(request.sale)
            Basket.of(request.sale)
        if isinstance(request, PublishProgramRequest):
            found = problems(request.program)
            if found:
                raise ApiError.invalid(found)
    except ApiError as error:
        return error
    return None


def judge(request: Message) -> None:
    """A refusal of whatever came can be answered both ways, and says of each field what is wrong."""
    error = judged(request)
    if error is not None:
        item = error.item_error()
        assert error.status_proto("hi").code == item.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert item.field_violations
        assert all(one.field and one.description for one in item.field_violations)


@pytest.mark.parametrize("kind", REQUESTS, ids=name)
@given(data=st.data())
def test_no_message_breaks_a_check(kind: type[Message], data: st.DataObject) -> None:
    """Whatever a client puts into the fields, the answer is an ApiError or none."""
    judge(data.draw(messages(kind)))


@pytest.mark.parametrize("kind", REQUESTS, ids=name)
@given(sent=st.binary(max_size=200))
@example(sent=b"")
def test_no_bytes_break_a_check(kind: type[Message], sent: bytes) -> None:
    """Whatever a client sends is refused by the parser or judged."""
    try:
        request = kind.FromString(sent)
    except DecodeError:
        return
    judge(request)


@pytest.mark.parametrize("kind", REQUESTS, ids=name)
@given(data=st.data())
def test_no_damaged_bytes_break_a_check(kind: type[Message], data: st.DataObject) -> None:
    """Some bytes of a right request changed, cut off anywhere: the parser reads many of them."""
    sent = bytearray(RIGHT[kind]().SerializeToString())
    for at in data.draw(st.lists(st.integers(0, max(len(sent) - 1, 0)), max_size=4)):
        if sent:
            sent[at] = data.draw(st.integers(0, 255))
    try:
        request = kind.FromString(bytes(sent[: data.draw(st.integers(0, len(sent)))]))
    except DecodeError:
        return
    judge(request)
