"""Feedback, as CrmService takes it and answers about it."""

import asyncio
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import grpc
from loyalty.v1 import feedback_results_pb2 as pb
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest

from ledger.api.binding import sees
from ledger.api.check import CHECKS
from ledger.api.crm_parts import CrmPart
from ledger.api.dispatch import wait_s
from ledger.api.erased import check_not_erased
from ledger.api.errors import ApiError
from ledger.api.explain import main_of
from ledger.api.interceptor import PRINCIPAL
from ledger.api.known_program import check_known
from ledger.api.paging import number_before, page_size, page_token
from ledger.api.reply import reply
from ledger.domain.instant import DAY, instant_text, to_timestamp
from ledger.domain.names import last_id, member_name, transaction_name
from ledger.store.feedback_links import LINKS_MAX, Link, TooManyLinks
from ledger.views import ViewBehind

LINK_DAYS: Final = 14
"""Days that a link is valid unless asked otherwise."""

RESULTS_MAX: Final = 10_000
"""Keys of one GetFeedbackResults."""

_RATED: Final = ("sale_recorded", "points_redeemed", "reward_granted", "entitlement_used")
"""The events of transactions that feedback can be about."""

Context = grpc.aio.ServicerContext[Any, Any]


class FeedbackService(CrmPart):
    """The part of CrmService that is about what members think."""

    async def RecordFeedback(self, request: RecordFeedbackRequest, context: Context) -> pb.RecordFeedbackResponse:
        """Records what a member thinks."""
        return reply(pb.RecordFeedbackResponse(), await self._parts.dispatch.settle(request, context))

    async def CreateFeedbackLink(
        self, request: pb.CreateFeedbackLinkRequest, context: Context
    ) -> pb.CreateFeedbackLinkResponse:
        """Makes a link."""
        now = self._clock()
        CHECKS[pb.CreateFeedbackLinkRequest](request, now)
        transaction_id = last_id(request.transaction)
        events = await asyncio.to_thread(self._parts.reader.transaction, transaction_id)
        if not events or not await sees(self._parts.reader, events[0].subject):
            raise ApiError.of(ErrorReason.ERROR_REASON_TRANSACTION_NOT_FOUND, transaction=request.transaction)
        main = main_of(request.transaction, events)
        if main.WhichOneof("event") not in _RATED:
            why = "the transaction is neither a sale nor a reward"
            raise ApiError.of(ErrorReason.ERROR_REASON_FEEDBACK_NOT_POSSIBLE, why=why)
        await check_not_erased(self._parts.reader, main.subject)
        expires_at = now + (request.valid_days or LINK_DAYS) * DAY
        link = Link(last_id(main.subject), transaction_id, expires_at)
        try:
            token = await asyncio.to_thread(self._parts.feedback_links.add, link, now)
        except TooManyLinks:
            why = f"the transaction has {LINKS_MAX} links already that can still be used"
            raise ApiError.of(ErrorReason.ERROR_REASON_FEEDBACK_NOT_POSSIBLE, why=why) from None
        if token is None:  # erased just now
            await check_not_erased(self._parts.reader, main.subject)
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=main.subject)
        return pb.CreateFeedbackLinkResponse(token=token, expires_at=to_timestamp(expires_at))

    async def SubmitFeedback(self, request: pb.SubmitFeedbackRequest, context: Context) -> pb.SubmitFeedbackResponse:
        """Records what somebody says who has a link."""
        now = self._clock()
        CHECKS[pb.SubmitFeedbackRequest](request, now)
        link = await asyncio.to_thread(self._parts.feedback_links.find, request.token)
        if link is None:
            raise ApiError.of(ErrorReason.ERROR_REASON_FEEDBACK_LINK_INVALID)
        if link.expires_at <= now and not await self._is_known(request.request_id):
            expired = instant_text(link.expires_at)
            raise ApiError.of(ErrorReason.ERROR_REASON_FEEDBACK_LINK_EXPIRED, expires_at=expired)
        feedback = RecordFeedbackRequest(
            request_id=request.request_id,
            origin=request.origin,
            member=member_name(link.member_id),
            transaction=transaction_name(link.transaction_id),
            sku=request.sku,
            rating=request.rating if request.HasField("rating") else None,
            nps=request.nps if request.HasField("nps") else None,
            text=request.text,
            language_code=request.language_code,
        )
        said = reply(
            pb.RecordFeedbackResponse(), await self._parts.dispatch.settle(feedback, context), with_texts=False
        )
        return pb.SubmitFeedbackResponse(earned_points=said.receipt.earned_points, replayed=said.outcome.replayed)

    async def _is_known(self, request_id: str) -> bool:
        """Whether a command has been carried out: its answer is due however late it is asked for again."""
        return bool(await asyncio.to_thread(self._parts.reader.transaction, UUID(request_id)))

    async def GetFeedbackResults(
        self, request: pb.GetFeedbackResultsRequest, context: Context
    ) -> pb.GetFeedbackResultsResponse:
        """What members think, in figures."""
        CHECKS[pb.GetFeedbackResultsRequest](request, self._clock())
        await check_known(request.filter.program, self._parts.reader)
        try:
            found = await asyncio.to_thread(
                self._parts.people.feedback_results,
                request.filter,
                request.group,
                RESULTS_MAX,
                request.min_position,
                wait_s(context),
            )
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        return pb.GetFeedbackResultsResponse(results=found.results, truncated=found.truncated, position=found.position)

    async def ListFeedback(self, request: pb.ListFeedbackRequest, context: Context) -> pb.ListFeedbackResponse:
        """What members said, with their texts."""
        CHECKS[pb.ListFeedbackRequest](request, self._clock())
        asked = request.filter
        await check_known(asked.program, self._parts.reader)
        owner = uuid5(NAMESPACE_URL, f"loyalty:feedback:{asked.SerializeToString(deterministic=True).hex()}")
        before = number_before(request.page_token, owner, "list")
        size = page_size(request.page_size)
        try:
            page = await asyncio.to_thread(
                self._parts.people.feedback, asked, before, size, request.min_position, wait_s(context)
            )
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        written = [last_id(one.transaction) for one in page.feedback if one.has_text]
        texts = await asyncio.to_thread(self._parts.profiles.feedback_texts, written) if written else {}
        for one in page.feedback:
            one.feedback_text = texts.get(last_id(one.transaction), "")
        for member in dict.fromkeys(one.member for one in page.feedback if one.feedback_text):
            self._parts.noter.read(PRINCIPAL.get(), "loyalty.v1.CrmService/ListFeedback", member, context.peer())
        token = page_token(page.feedback[-1].position, owner) if page.has_more else ""
        return pb.ListFeedbackResponse(feedback=page.feedback, next_page_token=token, position=page.position)
