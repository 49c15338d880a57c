"""Deciding a command: the one place that knows which function decides which command, and what a refusal records."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    CommitRewardRequest,
    EnrollMemberRequest,
    ExtendExpiryRequest,
    GrantRewardRequest,
    PublishProgramRequest,
    RecordActivityRequest,
    RecordSaleRequest,
    ReinstatePointsRequest,
    ReleaseRewardRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    ReverseTransactionRequest,
    RevokeEntitlementRequest,
    RevokeVoucherRequest,
    SetTierFloorRequest,
    SettlePendingRequest,
    UpdateMemberRequest,
    UseEntitlementRequest,
)
from loyalty.v1.consent_pb2 import EraseMemberRequest, RecordConsentsRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    CommandBlocked,
    CommandRefused,
    MemberEnrolled,
    ProgramPublished,
    ReversalAwaited,
)
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.account import Account
from ledger.domain.adjust import adjust_points
from ledger.domain.case import Case
from ledger.domain.consent import record_changes, record_consents
from ledger.domain.entitle import revoke_entitlement, use_entitlement
from ledger.domain.erase_member import erase_member
from ledger.domain.grant_reward import grant_reward
from ledger.domain.instant import FOREVER
from ledger.domain.issue_vouchers import revoke_voucher
from ledger.domain.later_expiry import extend_expiry, reinstate_points
from ledger.domain.names import blocked_stream, program_stream, transaction_name
from ledger.domain.new_event import NewEvent
from ledger.domain.program import Program
from ledger.domain.record_activity import record_activity
from ledger.domain.record_feedback import record_feedback
from ledger.domain.record_sale import record_sale
from ledger.domain.redeem import commit_reward, release_reward, reserve_reward
from ledger.domain.refusal import Refused
from ledger.domain.return_sale import return_sale
from ledger.domain.reverse import reverse_transaction
from ledger.domain.rounding import Overflow
from ledger.domain.set_tier_floor import set_tier_floor
from ledger.domain.settle import settle
from ledger.domain.settle_pending import settle_pending
from ledger.domain.update_member import update_member

DECIDE: Final[Mapping[type[Message], Callable[[Any], None]]] = {
    RecordSaleRequest: record_sale,
    ReserveRewardRequest: reserve_reward,
    CommitRewardRequest: commit_reward,
    ReleaseRewardRequest: release_reward,
    ReturnSaleRequest: return_sale,
    ReverseTransactionRequest: reverse_transaction,
    AdjustPointsRequest: adjust_points,
    RecordActivityRequest: record_activity,
    SettlePendingRequest: settle_pending,
    RevokeVoucherRequest: revoke_voucher,
    UseEntitlementRequest: use_entitlement,
    RevokeEntitlementRequest: revoke_entitlement,
    ExtendExpiryRequest: extend_expiry,
    ReinstatePointsRequest: reinstate_points,
    SetTierFloorRequest: set_tier_floor,
    GrantRewardRequest: grant_reward,
    RecordConsentsRequest: record_consents,
    EraseMemberRequest: erase_member,
    RecordFeedbackRequest: record_feedback,
    UpdateMemberRequest: update_member,
}

REFUSED_FIELD: Final[Mapping[type[Message], str]] = {
    RecordSaleRequest: "record_sale",
    ReserveRewardRequest: "reserve_reward",
    CommitRewardRequest: "commit_reward",
    ReleaseRewardRequest: "release_reward",
    ReturnSaleRequest: "return_sale",
    ReverseTransactionRequest: "reverse_transaction",
    AdjustPointsRequest: "adjust_points",
    RecordActivityRequest: "record_activity",
    SettlePendingRequest: "settle_pending",
    RevokeVoucherRequest: "revoke_voucher",
    UseEntitlementRequest: "use_entitlement",
    RevokeEntitlementRequest: "revoke_entitlement",
    ExtendExpiryRequest: "extend_expiry",
    ReinstatePointsRequest: "reinstate_points",
    SetTierFloorRequest: "set_tier_floor",
    GrantRewardRequest: "grant_reward",
    RecordConsentsRequest: "record_consents",
    EraseMemberRequest: "erase_member",
    RecordFeedbackRequest: "record_feedback",
    UpdateMemberRequest: "update_member",
}
"""The field of CommandRefused that keeps each kind of command."""


def decide(case: Case[Any]) -> None:
    """Decides a command on an account: fills the case's events and replaces its account by the new state.

    Every decision settles first what time has done. A refusal is an event like any other outcome. Raises Rejected
    when the command cannot be decided at all; then there is nothing to record. The account that the case came with is
    left as it was.
    """
    before = case.account
    case.account = before.copy()
    settle(case)
    try:
        DECIDE[type(case.request)](case)
        case.account.check_totals()
    except (Refused, Overflow) as error:
        case.account = before
        case.events = []
        case.codes = []
        case.pools = case.pools.fresh()
        refuse(case, error if isinstance(error, Refused) else Refused(ErrorReason.ERROR_REASON_OVERFLOW))


def refuse(case: Case[Any], refusal: Refused) -> None:
    """Records a refusal, behind what time has done."""
    case.account = case.account.copy()
    settle(case)
    refused = CommandRefused(
        origin=case.origin,
        program_version=case.program.version,
        reason=refusal.reason,
        metadata=refusal.metadata,
    )
    getattr(refused, REFUSED_FIELD[type(case.request)]).CopyFrom(case.request)
    case.record(refused, main=True)


def settle_account(case: Case[Any]) -> None:
    """Records what time has done to an account, without any command."""
    case.account = case.account.copy()
    settle(case)


def enroll_member(
    request: EnrollMemberRequest,
    request_id: UUID,
    origin: Origin,
    at: int,
    program: Program,
    member_id: UUID,
    received_at: int = FOREVER,
) -> Case[EnrollMemberRequest]:
    """Decides the enrolment of a person whose identifiers are free: a new account in the first tier."""
    case = Case(request, origin, request_id, at, program, Account(member_id), {}, received_at=received_at)
    event = MemberEnrolled(
        origin=origin,
        request=request,
        program=program.name,
        program_version=program.version,
        tier=program.ladder.lowest,
        time_zone=program.definition.time_zone,
    )
    case.record(event, main=True)
    if request.consents:
        record_changes(case, request.consents)
    case.write_receipt(event.receipt)
    return case


def publish_program(request: PublishProgramRequest, request_id: UUID, origin: Origin, version: int) -> NewEvent:
    """Decides the publication of a checked program as its next version."""
    event = ProgramPublished(origin=origin, request=request)
    event.request.program.version = version
    event.request.program.etag = f'"v{version}"'
    return NewEvent(program_stream(request.program.name), version, event, request_id, None, None)


def block(request: ReverseTransactionRequest, request_id: UUID, origin: Origin, blocked: UUID) -> list[NewEvent]:
    """Decides the reversal of a command that has not arrived: it is blocked for ever.

    The second event is stored under the blocked command's own request id, where that command will find it.
    """
    stream = blocked_stream(blocked)
    awaited = ReversalAwaited(origin=origin, request=request, blocked=transaction_name(blocked))
    tombstone = CommandBlocked(origin=origin, reversal=transaction_name(request_id))
    return [
        NewEvent(stream, 1, awaited, request_id, None, None),
        NewEvent(stream, 2, tombstone, blocked, None, None),
    ]
