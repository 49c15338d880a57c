"""Field checks of the requests for states of the past."""

import pytest
from google.protobuf.message import Message
from loyalty.v1.as_of_pb2 import GetMemberStateRequest, GetProgramStateRequest

from tests.api.requests import Change, after, name, put


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        (GetMemberStateRequest, put("member", "members/ada"), ["member"]),
        (GetMemberStateRequest, put("as_of.position", 0), ["as_of.position"]),
        (GetMemberStateRequest, put("as_of.position", -1), ["as_of.position"]),
        (GetMemberStateRequest, put("as_of.recorded_at.seconds", 1_700_000_000), []),
        (GetMemberStateRequest, put("as_of.recorded_at.seconds", 5), ["as_of.recorded_at"]),
        (GetMemberStateRequest, put("effective_at.nanos", -1), ["effective_at"]),
        (GetMemberStateRequest, lambda request: request.ClearField("effective_at"), []),
        (GetMemberStateRequest, lambda request: request.ClearField("as_of"), []),
        (GetProgramStateRequest, put("program", "shop"), ["program"]),
        (GetProgramStateRequest, put("as_of.position", 0), ["as_of.position"]),
        (GetProgramStateRequest, put("effective_at.seconds", 253_402_300_800), ["effective_at"]),
    ],
    ids=name,
)
def test_times_are_checked(kind: type[Message], change: Change, expected: list[str]) -> None:
    """What no log can have is named by its field."""
    assert after(kind, change) == expected
