"""Checks of the requests that read the books."""

import re
from collections.abc import Iterable
from typing import Final

from loyalty.v1.books_pb2 import (
    BookDate,
    BookPeriod,
    GetBreakageRequest,
    GetDeferredRevenueRequest,
    GetLiabilityRequest,
    ReadJournalRequest,
    ReadRollForwardRequest,
    ReconcileTillsRequest,
)

from ledger.api.check_as_of import check_as_of
from ledger.api.fields import Checks, Problems, check_enum, check_not_negative, check_program_name
from ledger.books.revenue import MILLIONTHS
from ledger.domain.instant import is_day
from ledger.domain.publish import MINOR_PER_THOUSAND_POINTS_MAX

EXPECTATIONS_MAX: Final = 1_000
"""Expectations, and known allocations, of one request."""

_MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII).fullmatch
_DATES: Final = frozenset(BookDate.values())
_PERIODS: Final = frozenset(BookPeriod.values())

_Priced = GetLiabilityRequest | ReadRollForwardRequest | GetDeferredRevenueRequest | ReadJournalRequest


def _check_liability(request: GetLiabilityRequest, _now: int, problems: Problems) -> None:
    """What GetLiability is asked with."""
    _books(request, problems)
    _price(request, problems)


def _check_roll_forward(request: ReadRollForwardRequest, _now: int, problems: Problems) -> None:
    """What ReadRollForward is asked with."""
    _books(request, problems)
    check_enum(request.period, _PERIODS, "period", problems)
    check_enum(request.date, _DATES, "date", problems)
    _span(request, problems)
    _price(request, problems)


def _check_breakage(request: GetBreakageRequest, _now: int, problems: Problems) -> None:
    """What GetBreakage is asked with."""
    _books(request, problems)
    check_enum(request.date, _DATES, "date", problems)
    check_not_negative(request.vintages_min, "vintages_min", problems)


def _check_deferred_revenue(request: GetDeferredRevenueRequest, _now: int, problems: Problems) -> None:
    """What GetDeferredRevenue is asked with."""
    _books(request, problems)
    check_enum(request.date, _DATES, "date", problems)
    _price(request, problems)
    for name, items in (("expectations", request.expectations), ("allocations", request.allocations)):
        if len(items) > EXPECTATIONS_MAX:
            problems.append((name, f"must be at most {EXPECTATIONS_MAX}"))
    _months("expectations", "from_month", [one.from_month for one in request.expectations], problems)
    for index, expectation in enumerate(request.expectations[:EXPECTATIONS_MAX]):
        if not 0 <= expectation.redeemed_millionths <= MILLIONTHS:
            problems.append((f"expectations[{index}].redeemed_millionths", f"must be from 0 to {MILLIONTHS}"))
    _months("allocations", "vintage", [one.vintage or "-" for one in request.allocations], problems)
    for index, allocation in enumerate(request.allocations[:EXPECTATIONS_MAX]):
        check_not_negative(allocation.allocated_minor, f"allocations[{index}].allocated_minor", problems)


def _check_journal(request: ReadJournalRequest, _now: int, problems: Problems) -> None:
    """What ReadJournal is asked with."""
    _books(request, problems)
    _span(request, problems)
    _price(request, problems)


def _check_reconcile_tills(request: ReconcileTillsRequest, _now: int, problems: Problems) -> None:
    """What ReconcileTills is asked with; the file is looked at when it is read."""
    check_program_name(request.program, "program", problems)
    if not request.csv:
        problems.append(("csv", "is required: the tills' own list"))


def _books(request: _Priced | GetBreakageRequest, problems: Problems) -> None:
    check_program_name(request.program, "program", problems)
    check_as_of(request.as_of, problems)


def _price(request: _Priced, problems: Problems) -> None:
    if not 0 <= request.minor_per_thousand_points <= MINOR_PER_THOUSAND_POINTS_MAX:
        problems.append(("minor_per_thousand_points", f"must be from 0 to {MINOR_PER_THOUSAND_POINTS_MAX}"))


def _span(request: ReadRollForwardRequest | ReadJournalRequest, problems: Problems) -> None:
    for name in ("from_date", "until_date"):
        value = getattr(request, name)
        if value and not is_day(value):
            problems.append((name, "must be a day, as 2026-01-31, or empty"))
    if request.from_date and request.until_date and request.until_date < request.from_date:
        problems.append(("until_date", "must not be before from_date"))


def _months(field: str, name: str, months: Iterable[str], problems: Problems) -> None:
    seen: set[str] = set()
    for index, month in enumerate(months):
        if index == EXPECTATIONS_MAX:
            return
        if month and not _MONTH(month):
            problems.append((f"{field}[{index}].{name}", "must be a month, as 2026-01"))
        if month in seen:
            problems.append((f"{field}[{index}].{name}", "is named twice"))
        seen.add(month)


CHECKS: Final[Checks] = {
    GetLiabilityRequest: _check_liability,
    ReadRollForwardRequest: _check_roll_forward,
    GetBreakageRequest: _check_breakage,
    GetDeferredRevenueRequest: _check_deferred_revenue,
    ReadJournalRequest: _check_journal,
    ReconcileTillsRequest: _check_reconcile_tills,
}
