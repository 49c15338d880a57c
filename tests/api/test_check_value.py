"""Field checks of the requests that ask what members are worth."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from loyalty.v1.value_pb2 import (
    GetCohortsRequest,
    GetMemberValueRequest,
    GetRfmRequest,
    GetValueModelRequest,
    ListHighValueMembersRequest,
    ListRfmMembersRequest,
)

from ledger.api.check_value import WINDOW_DAYS_MAX
from ledger.domain.instant import to_datetime
from tests.api.requests import NOW, RIGHT, fields, name, put

TODAY = to_datetime(NOW).date()


@pytest.mark.parametrize(
    "kind", [GetRfmRequest, ListRfmMembersRequest, ListHighValueMembersRequest, GetCohortsRequest], ids=name
)
@pytest.mark.parametrize(
    ("as_of", "is_right"),
    [
        ("", True),
        (TODAY.isoformat(), True),
        ((TODAY + timedelta(days=1)).isoformat(), True),  # today, east of Greenwich
        ((TODAY + timedelta(days=2)).isoformat(), False),
        ("1999-12-31", False),
        ("2020-02-30", False),
        ("20200229", False),
        ("2020-02-29T00:00", False),
        ("२०२०-०१-०१", False),
    ],
)
def test_days(kind: type[Message], as_of: str, is_right: bool) -> None:
    """A day up to today, in whichever time zone, as ISO 8601 writes it with dashes."""
    request = RIGHT[kind]()
    put("span.as_of", as_of)(request)
    assert fields(request) == ([] if is_right else ["span.as_of"])


@pytest.mark.parametrize(
    ("kind", "field", "value", "wrong"),
    [
        (GetRfmRequest, "span.program", "shop", ["span.program"]),
        (GetRfmRequest, "span.window_days", -1, ["span.window_days"]),
        (GetRfmRequest, "span.window_days", WINDOW_DAYS_MAX, []),
        (GetRfmRequest, "span.window_days", WINDOW_DAYS_MAX + 1, ["span.window_days"]),
        (GetRfmRequest, "min_position", -1, ["min_position"]),
        (ListRfmMembersRequest, "group", 99, ["group"]),
        (ListRfmMembersRequest, "page_size", -1, ["page_size"]),
        (ListRfmMembersRequest, "page_token", "x" * 1_001, ["page_token"]),
        (ListHighValueMembersRequest, "share_millionths", 0, ["share_millionths"]),
        (ListHighValueMembersRequest, "share_millionths", 1_000_000, []),
        (ListHighValueMembersRequest, "share_millionths", 1_000_001, ["share_millionths"]),
        (ListHighValueMembersRequest, "measure", 7, ["measure"]),
        (ListHighValueMembersRequest, "share_of", 7, ["share_of"]),
        (GetCohortsRequest, "by", 7, ["by"]),
        (GetCohortsRequest, "span.window_days", 30, ["span.window_days"]),
        (GetValueModelRequest, "program", "", ["program"]),
        (GetValueModelRequest, "version", -1, ["version"]),
        (GetMemberValueRequest, "member", "members/ada", ["member"]),
        (GetMemberValueRequest, "min_position", -1, ["min_position"]),
    ],
)
def test_fields(kind: type[Message], field: str, value: Any, wrong: list[str]) -> None:
    """Each names what is wrong with it."""
    request = RIGHT[kind]()
    put(field, value)(request)
    assert fields(request) == wrong
