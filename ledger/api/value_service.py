"""What members are worth, as CrmService answers it."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import groupby
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import grpc
from loyalty.v1 import value_pb2 as pb
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.program_pb2 import Program

from ledger.api.binding import sees
from ledger.api.check import CHECKS
from ledger.api.crm_parts import CrmPart, CrmParts
from ledger.api.dispatch import wait_s
from ledger.api.erased import check_not_erased
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.api.known_program import check_known, unknown_program
from ledger.api.paging import page_size
from ledger.api.value_pages import NO_CUTS, Place, place_of, token_of
from ledger.api.value_texts import high_value_reason
from ledger.books.revenue import MILLIONTHS
from ledger.domain.instant import local_date, to_timestamp
from ledger.domain.names import last_id, member_name
from ledger.domain.rounding import INT64_MAX
from ledger.value.reading import (
    CohortMonth,
    Estimate,
    HighValue,
    HighValuePage,
    HighValueQuestion,
    Score,
    SoFar,
    Span,
)
from ledger.value.rfm import GROUPS, group_of
from ledger.views import ViewBehind
from ledger.writer.writer import Clock

ANALYSES_MAX: Final = 2
"""Questions about all members of a program that a server works at at once. Further ones wait for their turn."""

Context = grpc.aio.ServicerContext[Any, Any]
AnswerT = TypeVar("AnswerT")


class ValueService(CrmPart):
    """The part of CrmService that is about value. Each call: check, read, convert."""

    def __init__(self, parts: CrmParts, clock: Clock) -> None:
        super().__init__(parts, clock)
        self._analyses = ThreadPoolExecutor(ANALYSES_MAX, "analysis")

    async def GetRfm(self, request: pb.GetRfmRequest, context: Context) -> pb.GetRfmResponse:
        """Members by scores and groups."""
        span, _ = await self._span(request, context)
        cells = await self._analyse(self._parts.values.rfm, span)
        answer = pb.GetRfmResponse(span=_shown(span), position=span.position)
        groups = {name: pb.RfmGroupCount(group=_group(name)) for name in GROUPS}
        for cell in cells:
            if not cell.recency:
                answer.members_without_sale = cell.members
                continue
            name = group_of(cell.recency, cell.frequency, cell.monetary)
            _check_range(cell.net_minor, groups[name].net_minor + cell.net_minor)
            answer.cells.add(group=_group(name), **cell._asdict())
            groups[name].members += cell.members
            groups[name].sales += cell.sales
            groups[name].net_minor += cell.net_minor
            answer.members += cell.members
        answer.groups.extend(groups.values())
        return answer

    async def ListRfmMembers(self, request: pb.ListRfmMembersRequest, context: Context) -> pb.ListRfmMembersResponse:
        """Members with their scores, in order of their ids."""
        span, _, place = await self._list(request, context)
        if place is None:
            cuts = await self._analyse(self._parts.values.cuts, span)
            place = Place(span.as_of, span.position, 0, cuts)
        size = page_size(request.page_size)
        group = GROUPS[request.group - 1] if request.group else ""
        after = UUID(int=place.after)
        found = await self._analyse(self._parts.values.scores, span, place.cuts, group, after, size + 1)
        token = ""
        if len(found) > size:
            token = token_of(request, place._replace(after=found[size - 1].member_id.int))
        return pb.ListRfmMembersResponse(
            members=[_score(one, span.as_of) for one in found[:size]],
            next_page_token=token,
            span=_shown(span),
            position=span.position,
        )

    async def ListHighValueMembers(
        self, request: pb.ListHighValueMembersRequest, context: Context
    ) -> pb.ListHighValueMembersResponse:
        """Members of high value, the first first."""
        span, program, place = await self._list(request, context)
        question = HighValueQuestion(
            request.measure == pb.ValueMeasure.VALUE_MEASURE_MARGIN,
            request.share_of == pb.ShareOf.SHARE_OF_TOTAL,
            request.share_millionths,
        )
        after = 0 if place is None else min(place.after, INT64_MAX)
        page = await self._analyse(self._parts.values.high_value, span, question, after, page_size(request.page_size))
        _check_range(page.total_minor)
        token = ""
        if page.has_more:
            token = token_of(request, Place(span.as_of, span.position, page.members[-1].rank, NO_CUTS))
        return pb.ListHighValueMembersResponse(
            members=[_high_value(one, page, question, program.currency) for one in page.members],
            next_page_token=token,
            span=_shown(span),
            high_value_members=page.high_value_members,
            members_total=page.members_total,
            total_minor=page.total_minor,
            threshold_minor=page.threshold_minor,
            currency=program.currency,
            position=span.position,
        )

    async def GetCohorts(self, request: pb.GetCohortsRequest, context: Context) -> pb.GetCohortsResponse:
        """Cohorts and how many of them bought in each month since."""
        span, _ = await self._span(request, context)
        by_enrolment = request.by == pb.CohortBy.COHORT_BY_ENROLMENT
        rows = await self._analyse(self._parts.values.cohorts, span, by_enrolment=by_enrolment)
        cohorts = [_cohort(month, rows, span.as_of) for month, rows in groupby(rows, lambda row: row.cohort)]
        return pb.GetCohortsResponse(cohorts=cohorts, span=_shown(span), position=span.position)

    async def GetValueModel(self, request: pb.GetValueModelRequest, _context: Context) -> pb.GetValueModelResponse:
        """A model with the evidence for it."""
        CHECKS[pb.GetValueModelRequest](request, self._clock())
        await check_known(request.program, self._parts.reader)
        found = await asyncio.to_thread(self._parts.values.model, request.program, request.version)
        if found is None:
            raise ApiError.of(ErrorReason.ERROR_REASON_VALUE_MODEL_NOT_FOUND, program=request.program)
        row, holdout = found
        fields = row._asdict() | {"as_of": row.as_of.isoformat(), "fitted_at": to_timestamp(row.fitted_at)}
        model = pb.ValueModel(program=request.program, **fields)
        model.holdout.extend(pb.HoldoutLine(**line._asdict()) for line in holdout)
        return pb.GetValueModelResponse(model=model)

    async def GetMemberValue(self, request: pb.GetMemberValueRequest, context: Context) -> pb.GetMemberValueResponse:
        """What a member has been worth so far, and what is expected."""
        CHECKS[pb.GetMemberValueRequest](request, self._clock())
        member_id = last_id(request.member)
        try:
            found = await asyncio.to_thread(self._parts.values.member, member_id, request.min_position, wait_s(context))
        except ViewBehind as behind:
            raise _behind(behind) from None
        if found is None or not await sees(self._parts.reader, request.member):
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=request.member)
        await check_not_erased(self._parts.reader, request.member)
        so_far, estimate, position = found
        answer = pb.GetMemberValueResponse(member=request.member, so_far=_so_far(so_far), position=position)
        if estimate is not None:
            answer.estimate.CopyFrom(_estimate(estimate))
        return answer

    async def _span(self, request: pb.GetRfmRequest | pb.GetCohortsRequest, context: Context) -> tuple[Span, Program]:
        """The sales that a request is about, and the program. Raises ApiError."""
        CHECKS[type(request)](request, self._clock())
        program = await self._program(request.span.program)
        return await self._span_now(request.span, program, request.min_position, context), program

    async def _list(
        self, request: pb.ListRfmMembersRequest | pb.ListHighValueMembersRequest, context: Context
    ) -> tuple[Span, Program, Place | None]:
        """The sales that a list is about, the program and the place where the list goes on. Raises ApiError."""
        CHECKS[type(request)](request, self._clock())
        program = await self._program(request.span.program)
        place = place_of(request)
        if place is None:
            return await self._span_now(request.span, program, request.min_position, context), program, None
        await self._position(max(place.position, request.min_position), context)
        span = Span(request.span.program, place.as_of, request.span.window_days, place.position)
        return span, program, place

    async def _program(self, name: str) -> Program:
        if not PRINCIPAL.get().sees(name):
            raise unknown_program(name)
        return await check_known(name, self._parts.reader)

    async def _span_now(self, span: pb.SalesSpan, program: Program, min_position: int, context: Context) -> Span:
        position = await self._position(min_position, context)
        today = local_date(self._clock(), ZoneInfo(program.time_zone))
        as_of = date.fromisoformat(span.as_of) if span.as_of else today
        return Span(span.program, as_of, span.window_days, position)

    async def _position(self, min_position: int, context: Context) -> int:
        try:
            return await asyncio.to_thread(self._parts.values.position, min_position, wait_s(context))
        except ViewBehind as behind:
            raise _behind(behind) from None

    async def _analyse(self, read: Callable[..., AnswerT], *asked: Any, **also: Any) -> AnswerT:
        """What is worked out from all members of a program, in its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._analyses, lambda: read(*asked, **also))


def _behind(behind: ViewBehind) -> ApiError:
    return ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position))


def _check_range(*amounts: int) -> None:
    """Raises ApiError where an amount does not fit into the answer."""
    if any(abs(amount) > INT64_MAX for amount in amounts):
        raise ApiError.of(ErrorReason.ERROR_REASON_OVERFLOW)


def _shown(span: Span) -> pb.SalesSpan:
    return pb.SalesSpan(program=span.program, as_of=span.as_of.isoformat(), window_days=span.window_days)


def _group(name: str) -> pb.RfmGroup.ValueType:
    return pb.RfmGroup.ValueType(GROUPS.index(name) + 1)


def _score(one: Score, as_of: date) -> pb.RfmScore:
    _check_range(one.net_minor)
    return pb.RfmScore(
        member=member_name(one.member_id),
        recency=one.recency,
        frequency=one.frequency,
        monetary=one.monetary,
        group=_group(group_of(one.recency, one.frequency, one.monetary)),
        recency_days=(as_of - one.last_day).days,
        sales=one.sales,
        net_minor=one.net_minor,
    )


def _high_value(one: HighValue, page: HighValuePage, question: HighValueQuestion, currency: str) -> pb.HighValueMember:
    _check_range(one.net_minor, one.margin_minor, one.net_with_cost_minor)
    return pb.HighValueMember(
        member=member_name(one.member_id),
        rank=one.rank,
        net_minor=one.net_minor,
        margin_minor=one.margin_minor,
        net_with_cost_minor=one.net_with_cost_minor,
        share_millionths=one.value_minor * MILLIONTHS // page.total_minor,
        cumulative_millionths=one.cumulative_minor * MILLIONTHS // page.total_minor,
        sales=one.sales,
        reason=high_value_reason(one, page, question, currency),
    )


def _cohort(cohort: date, rows: Iterable[CohortMonth], as_of: date) -> pb.Cohort:
    by_month = {row.month: row for row in rows}
    members = next(iter(by_month.values())).members
    message = pb.Cohort(cohort=f"{cohort:%Y-%m}", members=members)
    for month in range((as_of.year - cohort.year) * 12 + as_of.month - cohort.month + 1):
        row = by_month.get(month)
        line = message.months.add(month=month)
        if row is not None:
            _check_range(row.net_minor)
            line.active_members, line.sales, line.net_minor = row.active_members, row.sales, row.net_minor
            line.active_millionths = row.active_members * MILLIONTHS // members
    return message


def _so_far(so_far: SoFar) -> pb.ValueSoFar:
    _check_range(*so_far)
    return pb.ValueSoFar(**so_far._asdict())


def _estimate(estimate: Estimate) -> pb.ValueEstimate:
    message = pb.ValueEstimate(
        as_of=estimate.as_of.isoformat(),
        model_version=estimate.model_version,
        repeat_purchases=estimate.repeat_purchases,
        probability_active=estimate.probability_active,
        churn_risk=1.0 - estimate.probability_active,
        expected_purchases=estimate.expected_purchases,
        rfm=_score(estimate.score, estimate.as_of),
    )
    if estimate.expected_spend_minor is not None:
        message.expected_spend_minor = estimate.expected_spend_minor
    return message
