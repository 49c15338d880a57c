"""Field checks of what is asked about people: consents, erasure and feedback."""

from typing import Any

import pytest
from google.protobuf.message import Message
from loyalty.v1.consent_pb2 import ConsentChange, ContactChannel, EraseMemberRequest, RecordConsentsRequest
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest, Visit
from loyalty.v1.feedback_results_pb2 import (
    CreateFeedbackLinkRequest,
    FeedbackGroup,
    GetFeedbackResultsRequest,
    ListFeedbackRequest,
    SubmitFeedbackRequest,
)
from loyalty.v1.person_pb2 import ListConsentsRequest

from ledger.api.check_feedback import FEEDBACK_CHARACTERS_MAX, LINK_DAYS_MAX
from ledger.api.check_person import CHANGES_MAX
from tests.api.requests import Change, after, drop, put


def twice(request: Any) -> None:
    """The first decision once more."""
    request.changes.add().CopyFrom(request.changes[0])


def many(request: Any) -> None:
    """One decision too many."""
    for number in range(CHANGES_MAX - 1):
        request.changes.add(purpose=f"p-{number}", channel=ContactChannel.CONTACT_CHANNEL_ALL)


def visit(store: str, day: str) -> Change:
    """Feedback about a visit."""

    def change(request: Any) -> None:
        request.visit.CopyFrom(Visit(store=store, day=day))

    return change


def silent(request: Any) -> None:
    """Nothing is said."""
    for field in ("rating", "nps", "text"):
        request.ClearField(field)


@pytest.mark.parametrize(
    ("kind", "change", "fields"),
    [
        (RecordConsentsRequest, drop("changes"), ["changes"]),
        (RecordConsentsRequest, twice, ["changes[2]"]),
        (RecordConsentsRequest, many, ["changes"]),
        (RecordConsentsRequest, drop("member"), ["member"]),
        (RecordConsentsRequest, put("changes[0].purpose", "Marketing"), ["changes[0].purpose"]),
        (RecordConsentsRequest, put("changes[0].channel", 0), ["changes[0].channel"]),
        (RecordConsentsRequest, put("changes[0].channel", 99), ["changes[0].channel"]),
        (RecordConsentsRequest, put("changes[0].text_id", ""), ["changes[0].text_id"]),
        (RecordConsentsRequest, put("changes[0].text_version", 0), ["changes[0].text_version"]),
        (RecordConsentsRequest, put("changes[0].language_code", "de"), ["changes[0].language_code"]),
        (RecordConsentsRequest, put("changes[1].text_id", "join"), ["changes[1].text_id"]),
        (EraseMemberRequest, put("reason", 0), ["reason"]),
        (EraseMemberRequest, put("reason", 99), ["reason"]),
        (EraseMemberRequest, put("member", "me"), ["member"]),
        (EraseMemberRequest, put("etag", "x" * 101), ["etag"]),
        (ListConsentsRequest, put("page_size", -1), ["page_size"]),
        (RecordFeedbackRequest, put("rating", 0), ["rating"]),
        (RecordFeedbackRequest, put("rating", 6), ["rating"]),
        (RecordFeedbackRequest, put("nps", 11), ["nps"]),
        (RecordFeedbackRequest, put("nps", -1), ["nps"]),
        (RecordFeedbackRequest, silent, ["rating"]),
        (RecordFeedbackRequest, put("text", "x" * (FEEDBACK_CHARACTERS_MAX + 1)), ["text"]),
        (RecordFeedbackRequest, put("text", "a\x00b"), ["text"]),
        (RecordFeedbackRequest, put("language_code", "de"), ["language_code"]),
        (RecordFeedbackRequest, drop("transaction"), ["member", "transaction"]),
        (RecordFeedbackRequest, visit("s-1", "2026-02-30"), ["member", "visit.day"]),
        (RecordFeedbackRequest, visit("", "20260203"), ["member", "visit.store", "visit.day"]),
        (SubmitFeedbackRequest, drop("token"), ["token"]),
        (CreateFeedbackLinkRequest, put("valid_days", LINK_DAYS_MAX + 1), ["valid_days"]),
        (CreateFeedbackLinkRequest, put("transaction", ""), ["transaction"]),
        (GetFeedbackResultsRequest, put("filter.program", ""), ["filter.program"]),
        (GetFeedbackResultsRequest, put("filter.until_day", "2026-01-30"), ["filter.until_day"]),
        (GetFeedbackResultsRequest, put("filter.from_day", "yesterday"), ["filter.from_day", "filter.until_day"]),
        (GetFeedbackResultsRequest, put("group", len(FeedbackGroup.values())), ["group"]),
        (ListFeedbackRequest, put("filter.member", "me"), ["filter.member"]),
    ],
)
def test_what_is_wrong(kind: type[Message], change: Change, fields: list[str]) -> None:
    """Each field at fault is named."""
    assert after(kind, change) == fields


def test_a_text_may_have_lines() -> None:
    """And as many characters as it may have, whatever they are."""
    assert after(RecordFeedbackRequest, put("text", "अच्छा\r\n\t" + "ñ" * (FEEDBACK_CHARACTERS_MAX - 8))) == []
    changes = [ConsentChange(purpose="p", channel=ContactChannel.CONTACT_CHANNEL_ALL)]
    assert after(RecordConsentsRequest, lambda request: request.changes.extend(changes)) == []
