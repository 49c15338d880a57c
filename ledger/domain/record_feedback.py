"""Recording feedback: what a member thinks of a sale, a product, a reward or a visit, once each."""

from datetime import date
from typing import Final, NamedTuple

from loyalty.v1.commands_pb2 import RecordActivityRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    EntitlementUsed,
    FeedbackRecorded,
    PointsRedeemed,
    RewardGranted,
    SaleRecorded,
)
from loyalty.v1.feedback_pb2 import FeedbackSubject, RecordFeedbackRequest

from ledger.domain.case import Case
from ledger.domain.instant import from_timestamp, local_date
from ledger.domain.names import transaction_name
from ledger.domain.person import VISIT_DAYS_MAX, earliest_visit
from ledger.domain.record_activity import award_activity
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.transaction import Transaction

ACTIVITY: Final = "feedback"
"""The activity that the program's rules may give points for."""

VISITS_MAX: Final = 100
"""Visits within VISIT_DAYS_MAX days that a member says something about."""

_SUBJECTS: Final = FeedbackSubject


class _About(NamedTuple):
    subject: FeedbackSubject.ValueType
    store: str
    reward_id: str = ""


def record_feedback(case: Case[RecordFeedbackRequest]) -> None:
    """Decides feedback. Its text has been taken out of the command before."""
    request = case.request
    about = _visit(case) if request.WhichOneof("about") == "visit" else _transaction(case)
    event = FeedbackRecorded(
        origin=case.origin,
        request=request,
        program=case.program.name,
        program_version=case.program.version,
        subject=about.subject,
        store=about.store,
        reward_id=about.reward_id,
        tier=case.account.tier,
        day=local_date(case.at, case.program.zone_of(about.store)).isoformat(),
        has_text=case.has_text,
    )
    case.record(event, main=True, transaction_id=case.target.transaction_id if case.target is not None else None)
    has_earned = any(earlier.receipt.earned_points for earlier in _earlier(case))
    if case.program.rules_for_activity(ACTIVITY) and not has_earned:
        activity = award_activity(case, _activity(case, about), transaction_id=case.request_id)
        event.awards.MergeFrom(activity.awards)
        event.receipt.earned_points = activity.receipt.earned_points
    case.write_receipt(event.receipt)


def _transaction(case: Case[RecordFeedbackRequest]) -> _About:
    request, target = case.request, case.target
    if target is None or target.account_id != case.account.account_id:
        raise Rejected(ErrorReason.ERROR_REASON_TRANSACTION_NOT_FOUND, transaction=request.transaction)
    for earlier in _earlier(case):
        if earlier.request.sku == request.sku:
            raise _given(earlier)
    _check_stands(case, target)
    match target.main:
        case SaleRecorded() as sale:
            if request.sku and all(line.sku != request.sku for line in sale.request.sale.lines):
                raise _not_possible("the sale has no such product")
            return _About(_SUBJECTS.FEEDBACK_SUBJECT_SALE, sale.origin.store)
        case PointsRedeemed() | RewardGranted() as given:
            about = _About(_SUBJECTS.FEEDBACK_SUBJECT_REWARD, given.origin.store, given.redemption.reward_id)
        case EntitlementUsed() as used:
            reward_id = used.entitlement.reward.reward_id
            about = _About(_SUBJECTS.FEEDBACK_SUBJECT_REWARD, used.origin.store, reward_id)
        case other:
            raise _not_possible(f"the transaction is a {other.DESCRIPTOR.name}")
    if request.sku:
        raise _not_possible("only a sale has products")
    return about


def _check_stands(case: Case[RecordFeedbackRequest], target: Transaction) -> None:
    """Raises Rejected where a transaction does not hold, or had not happened yet."""
    if target.reversed_by:
        raise _not_possible("the transaction was reversed")
    origin = target.main.origin  # type: ignore[attr-defined]  # every main event of an account has one
    zone = case.program.zone_of(origin.store)
    if local_date(case.at, zone) < local_date(from_timestamp(origin.occurred_at), zone):
        raise _not_possible("the transaction was on a later day")


def _earlier(case: Case[RecordFeedbackRequest]) -> list[FeedbackRecorded]:
    """What was said about the same transaction before, as a whole or about a product of it."""
    follow_ups = case.target.follow_ups if case.target is not None else ()
    return [event for _, event in follow_ups if isinstance(event, FeedbackRecorded)]


def _visit(case: Case[RecordFeedbackRequest]) -> _About:
    request, program = case.request, case.program
    store, day = request.visit.store, request.visit.day
    if program.stores and store not in program.stores:
        raise Rejected(ErrorReason.ERROR_REASON_STORE_NOT_FOUND, store=store)
    if request.sku:
        raise _not_possible("only a sale has products")
    visits = case.account.person.rated_visits
    if (store, day) in visits:
        raise Refused(ErrorReason.ERROR_REASON_FEEDBACK_GIVEN)
    days_ago = (local_date(case.at, program.zone_of(store)) - date.fromisoformat(day)).days
    if not 0 <= days_ago <= VISIT_DAYS_MAX or day < earliest_visit(visits):
        raise _not_possible(f"the visit was not within the last {VISIT_DAYS_MAX} days")
    if len(visits) >= VISITS_MAX:
        raise _not_possible(f"the member has said something about {VISITS_MAX} visits in a month")
    return _About(_SUBJECTS.FEEDBACK_SUBJECT_VISIT, store)


def _activity(case: Case[RecordFeedbackRequest], about: _About) -> RecordActivityRequest:
    """What rules see of feedback. A high rating must be no condition: members are rewarded for saying anything."""
    attributes = {
        "subject": FeedbackSubject.Name(about.subject).removeprefix("FEEDBACK_SUBJECT_").lower(),
        "has_text": "true" if case.has_text else "false",
    }
    return RecordActivityRequest(member=case.request.member, activity=ACTIVITY, attributes=attributes)


def _given(event: FeedbackRecorded) -> Refused:
    return Refused(ErrorReason.ERROR_REASON_FEEDBACK_GIVEN, feedback=transaction_name(event.request.request_id))


def _not_possible(why: str) -> Refused:
    return Refused(ErrorReason.ERROR_REASON_FEEDBACK_NOT_POSSIBLE, why=why)
