"""Checks of the requests about feedback."""

from typing import Final

from loyalty.v1.feedback_pb2 import FeedbackSubject, RecordFeedbackRequest
from loyalty.v1.feedback_results_pb2 import (
    CreateFeedbackLinkRequest,
    FeedbackFilter,
    FeedbackGroup,
    GetFeedbackResultsRequest,
    ListFeedbackRequest,
    SubmitFeedbackRequest,
)
from loyalty.v1.origin_pb2 import Channel

from ledger.api.check_parts import check_head, check_who
from ledger.api.check_person import check_page
from ledger.api.fields import (
    Checks,
    Problems,
    check_day,
    check_enum,
    check_member_name,
    check_not_negative,
    check_program_name,
    check_text,
    check_transaction_name,
)

FEEDBACK_CHARACTERS_MAX: Final = 2_000
"""Length of what a member writes."""

LINK_DAYS_MAX: Final = 90
"""Days that a feedback link is valid."""

_STARS: Final = range(1, 6)
_NPS: Final = range(11)
_LANGUAGES: Final = frozenset(("", "en", "hi"))
_CHANNELS: Final = frozenset(Channel.values())
_SUBJECTS: Final = frozenset(FeedbackSubject.values())
_GROUPS: Final = frozenset(FeedbackGroup.values())


def _check_record_feedback(request: RecordFeedbackRequest, now: int, problems: Problems) -> None:
    """What RecordFeedback is asked with."""
    check_head(request.request_id, request.origin, now, problems)
    about = request.WhichOneof("about")
    check_who(request, problems, is_required=about != "transaction")
    if about == "transaction":
        check_transaction_name(request.transaction, "transaction", problems)
    elif about == "visit":
        check_text(request.visit.store, "visit.store", problems, least=1)
        check_day(request.visit.day, "visit.day", problems)
    else:
        problems.append(("transaction", "is missing: say what it is about by transaction or visit"))
    _check_said(request, problems)


def _check_submit_feedback(request: SubmitFeedbackRequest, now: int, problems: Problems) -> None:
    """What SubmitFeedback is asked with."""
    check_head(request.request_id, request.origin, now, problems)
    check_text(request.token, "token", problems, least=1)
    _check_said(request, problems)


def _check_create_link(request: CreateFeedbackLinkRequest, _now: int, problems: Problems) -> None:
    """What CreateFeedbackLink is asked with."""
    check_transaction_name(request.transaction, "transaction", problems)
    if not 0 <= request.valid_days <= LINK_DAYS_MAX:
        problems.append(("valid_days", f"must be 1 to {LINK_DAYS_MAX}, or 0 for 14"))


def _check_feedback_results(request: GetFeedbackResultsRequest, _now: int, problems: Problems) -> None:
    """What GetFeedbackResults is asked with."""
    _check_filter(request.filter, problems)
    check_enum(request.group, _GROUPS, "group", problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_list_feedback(request: ListFeedbackRequest, _now: int, problems: Problems) -> None:
    """What ListFeedback is asked with."""
    _check_filter(request.filter, problems)
    check_page(request.page_size, request.page_token, request.min_position, problems)


def _check_said(request: RecordFeedbackRequest | SubmitFeedbackRequest, problems: Problems) -> None:
    check_text(request.sku, "sku", problems)
    if request.HasField("rating") and request.rating not in _STARS:
        problems.append(("rating", "must be 1 to 5 stars"))
    if request.HasField("nps") and request.nps not in _NPS:
        problems.append(("nps", "must be from 0 to 10"))
    if not request.HasField("rating") and not request.HasField("nps") and not request.text.strip():
        problems.append(("rating", "is missing: give at least one of rating, nps and text"))
    # A text may have lines; PostgreSQL takes no NUL.
    check_text(request.text.translate(_BREAKS), "text", problems, most=FEEDBACK_CHARACTERS_MAX)
    if request.language_code not in _LANGUAGES:
        problems.append(("language_code", 'must be "en", "hi" or empty'))


_BREAKS: Final = dict.fromkeys(map(ord, "\n\r\t"), " ")


def _check_filter(feedback: FeedbackFilter, problems: Problems) -> None:
    check_program_name(feedback.program, "filter.program", problems)
    if feedback.member:
        check_member_name(feedback.member, "filter.member", problems)
    for field in ("store", "sku", "tier", "segment"):
        check_text(getattr(feedback, field), f"filter.{field}", problems)
    check_enum(feedback.channel, _CHANNELS, "filter.channel", problems)
    check_enum(feedback.subject, _SUBJECTS, "filter.subject", problems)
    for field in ("from_day", "until_day"):
        if day := getattr(feedback, field):
            check_day(day, f"filter.{field}", problems)
    if feedback.until_day and feedback.until_day < feedback.from_day:
        problems.append(("filter.until_day", "must not be before from_day"))


CHECKS: Final[Checks] = {
    RecordFeedbackRequest: _check_record_feedback,
    CreateFeedbackLinkRequest: _check_create_link,
    SubmitFeedbackRequest: _check_submit_feedback,
    GetFeedbackResultsRequest: _check_feedback_results,
    ListFeedbackRequest: _check_list_feedback,
}
