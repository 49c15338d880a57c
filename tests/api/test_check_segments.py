"""Checks of requests about segments."""

import pytest
from google.protobuf.message import Message
from loyalty.v1.segment_pb2 import SaveSegmentRequest, SetSegmentMembersRequest
from loyalty.v1.segment_reads_pb2 import GetSegmentRequest, ListSegmentMembersRequest, PreviewSegmentRequest

from ledger.api.check_segments import LISTED_MAX, SAMPLE_MAX
from tests.api.requests import ID, MEMBER, RIGHT, Change, after, fields, name, put


@pytest.mark.parametrize(
    ("kind", "change", "at_fault"),
    [
        (SaveSegmentRequest, put("segment.name", "programs/p"), ["segment.name"]),
        (SaveSegmentRequest, put("segment.name", "programs/p/segments/Not-Lower"), ["segment.name"]),
        (GetSegmentRequest, put("min_position", -1), ["min_position"]),
        (PreviewSegmentRequest, put("sample_size", SAMPLE_MAX + 1), ["sample_size"]),
        (ListSegmentMembersRequest, lambda request: request.as_of.FromSeconds(-1), ["as_of"]),
        (SetSegmentMembersRequest, lambda request: request.remove.append(MEMBER), ["remove[1]"]),
        (SetSegmentMembersRequest, lambda request: request.add.extend(["nobody", MEMBER]), ["add[1]", "add[2]"]),
    ],
    ids=name,
)
def test_what_is_wrong_is_named(kind: type[Message], change: Change, at_fault: list[str]) -> None:
    """By its path."""
    assert after(kind, change) == at_fault


def test_a_list_changes_by_a_thousand_at_most() -> None:
    """Those to add and those to remove together; and by one at least."""
    request = RIGHT[SetSegmentMembersRequest]()
    assert isinstance(request, SetSegmentMembersRequest)
    del request.remove[:], request.add[:]
    assert fields(request) == ["add"]
    request.add.extend(f"members/{ID[:-4]}{number:04x}" for number in range(LISTED_MAX))
    assert fields(request) == []
    request.remove.append("members/0190b5a0-7d1c-7aaa-8bbb-ffffffffffff")
    assert fields(request) == ["add"]
