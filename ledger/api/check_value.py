"""Checks of the requests that ask what members are worth."""

from datetime import date, timedelta
from typing import Final

from loyalty.v1.value_pb2 import (
    CohortBy,
    GetCohortsRequest,
    GetMemberValueRequest,
    GetRfmRequest,
    GetValueModelRequest,
    ListHighValueMembersRequest,
    ListRfmMembersRequest,
    RfmGroup,
    SalesSpan,
    ShareOf,
    ValueMeasure,
)

from ledger.api.check_reads import check_page
from ledger.api.fields import Checks, Problems, check_enum, check_member_name, check_not_negative, check_program_name
from ledger.books.revenue import MILLIONTHS
from ledger.domain.instant import is_day, to_datetime

WINDOW_DAYS_MAX: Final = 36_525
"""Days of a span: a hundred years."""

FIRST_DAY: Final = date(2000, 1, 1)

_GROUPS: Final = frozenset(RfmGroup.values())
_MEASURES: Final = frozenset(ValueMeasure.values())
_SHARES: Final = frozenset(ShareOf.values())
_COHORTS: Final = frozenset(CohortBy.values())


def _check_rfm(request: GetRfmRequest, now: int, problems: Problems) -> None:
    """What GetRfm is asked with."""
    _span(request.span, now, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_rfm_members(request: ListRfmMembersRequest, now: int, problems: Problems) -> None:
    """What ListRfmMembers is asked with."""
    _span(request.span, now, problems)
    check_enum(request.group, _GROUPS, "group", problems)
    check_page(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_high_value(request: ListHighValueMembersRequest, now: int, problems: Problems) -> None:
    """What ListHighValueMembers is asked with."""
    _span(request.span, now, problems)
    check_enum(request.measure, _MEASURES, "measure", problems)
    check_enum(request.share_of, _SHARES, "share_of", problems)
    if not 1 <= request.share_millionths <= MILLIONTHS:
        problems.append(("share_millionths", f"must be from 1 to {MILLIONTHS}"))
    check_page(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_cohorts(request: GetCohortsRequest, now: int, problems: Problems) -> None:
    """What GetCohorts is asked with."""
    _span(request.span, now, problems)
    if request.span.window_days:
        problems.append(("span.window_days", "must be 0: cohorts are of all time"))
    check_enum(request.by, _COHORTS, "by", problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_value_model(request: GetValueModelRequest, _now: int, problems: Problems) -> None:
    """What GetValueModel is asked with."""
    check_program_name(request.program, "program", problems)
    check_not_negative(request.version, "version", problems)


def _check_member_value(request: GetMemberValueRequest, _now: int, problems: Problems) -> None:
    """What GetMemberValue is asked with."""
    check_member_name(request.member, "member", problems)
    check_not_negative(request.min_position, "min_position", problems)


def _span(span: SalesSpan, now: int, problems: Problems) -> None:
    check_program_name(span.program, "span.program", problems)
    if span.as_of:
        latest = to_datetime(now).date() + timedelta(days=1)  # today, in whichever time zone
        if not is_day(span.as_of) or not FIRST_DAY <= date.fromisoformat(span.as_of) <= latest:
            problems.append(("span.as_of", "must be a day from 2000-01-01 to today, as 2026-01-31, or empty for today"))
    if not 0 <= span.window_days <= WINDOW_DAYS_MAX:
        problems.append(("span.window_days", f"must be from 0 to {WINDOW_DAYS_MAX}"))


CHECKS: Final[Checks] = {
    GetRfmRequest: _check_rfm,
    ListRfmMembersRequest: _check_rfm_members,
    ListHighValueMembersRequest: _check_high_value,
    GetCohortsRequest: _check_cohorts,
    GetValueModelRequest: _check_value_model,
    GetMemberValueRequest: _check_member_value,
}
