"""Field checks: what of a request can be judged without any state. All problems are named at once."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from loyalty.v1.as_of_pb2 import GetMemberStateRequest, GetProgramStateRequest
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.audit_trail_pb2 import ListAuditEntriesRequest
from loyalty.v1.books_pb2 import (
    GetBreakageRequest,
    GetDeferredRevenueRequest,
    GetLiabilityRequest,
    ReadJournalRequest,
    ReadRollForwardRequest,
    ReconcileTillsRequest,
)
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    CommitRewardRequest,
    EnrollMemberRequest,
    ExtendExpiryRequest,
    GrantRewardRequest,
    PendingFate,
    PublishProgramRequest,
    RecordActivityRequest,
    RecordSaleRequest,
    ReinstatePointsRequest,
    ReleaseRewardRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    ReversalReason,
    ReverseTransactionRequest,
    RevokeEntitlementRequest,
    RevokeVoucherRequest,
    SetTierFloorRequest,
    SettlePendingRequest,
    UpdateMemberRequest,
    UploadVoucherCodesRequest,
    UseEntitlementRequest,
)
from loyalty.v1.consent_pb2 import EraseMemberRequest, RecordConsentsRequest
from loyalty.v1.crm_service_pb2 import (
    ListEntitlementsRequest,
    ListStatementEntriesRequest,
    ListVouchersRequest,
    WatchChangesRequest,
)
from loyalty.v1.feed_pb2 import (
    AcknowledgeChangesRequest,
    CreateConsumerRequest,
    DeleteConsumerRequest,
    ListConsumersRequest,
)
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest
from loyalty.v1.feedback_results_pb2 import (
    CreateFeedbackLinkRequest,
    GetFeedbackResultsRequest,
    ListFeedbackRequest,
    SubmitFeedbackRequest,
)
from loyalty.v1.insight_pb2 import (
    ReadDemandRequest,
    ReadOfferFiguresRequest,
    ReadPairsRequest,
    ReadSalesFiguresRequest,
    ReadWonAndLostRequest,
)
from loyalty.v1.person_pb2 import ExportMemberRequest, ListConsentsRequest
from loyalty.v1.pos_service_pb2 import (
    ExplainTransactionRequest,
    GetBalanceRequest,
    GetTransactionRequest,
    LookupMemberRequest,
    QuoteSaleRequest,
    SubmitBatchRequest,
)
from loyalty.v1.profile_pb2 import (
    GetMemberRequest,
    ListMembersRequest,
    SearchMembersRequest,
    UpsertMembersRequest,
)
from loyalty.v1.program_service_pb2 import GetProgramRequest, ListProgramVersionsRequest, ListRewardsRequest
from loyalty.v1.proof_pb2 import (
    GetCheckpointRequest,
    ListCheckpointsRequest,
    ProveConsistencyRequest,
    ProveInclusionRequest,
)
from loyalty.v1.segment_pb2 import DeleteSegmentRequest, SaveSegmentRequest, SetSegmentMembersRequest
from loyalty.v1.segment_reads_pb2 import (
    ExplainSegmentRequest,
    GetSegmentRequest,
    ListMemberSegmentsRequest,
    ListSegmentMembersRequest,
    ListSegmentsRequest,
    PreviewSegmentRequest,
)
from loyalty.v1.value_pb2 import (
    GetCohortsRequest,
    GetMemberValueRequest,
    GetRfmRequest,
    GetValueModelRequest,
    ListHighValueMembersRequest,
    ListRfmMembersRequest,
)

from ledger.api.check_as_of import check_member_state, check_program_state
from ledger.api.check_books import (
    check_breakage,
    check_deferred_revenue,
    check_journal,
    check_liability,
    check_reconcile_tills,
    check_roll_forward,
)
from ledger.api.check_feed import (
    check_acknowledge_changes,
    check_create_consumer,
    check_delete_consumer,
    check_list_consumers,
    check_watch_changes,
)
from ledger.api.check_feedback import (
    check_create_link,
    check_feedback_results,
    check_list_feedback,
    check_record_feedback,
    check_submit_feedback,
)
from ledger.api.check_insight import (
    check_demand,
    check_offer_figures,
    check_pairs,
    check_sales_figures,
    check_won_and_lost,
)
from ledger.api.check_members import (
    check_get_member,
    check_list_members,
    check_search_members,
    check_update_member,
    check_upsert_members,
)
from ledger.api.check_parts import check_head, check_identifier, check_origin, check_request_id, check_till, check_who
from ledger.api.check_person import (
    check_changes,
    check_erase_member,
    check_export_member,
    check_list_consents,
    check_record_consents,
)
from ledger.api.check_proofs import (
    check_get_checkpoint,
    check_list_checkpoints,
    check_prove_consistency,
    check_prove_inclusion,
)
from ledger.api.check_reads import (
    check_get_balance,
    check_get_program,
    check_get_transaction,
    check_list_audit_entries,
    check_list_entitlements,
    check_list_rewards,
    check_list_statement,
    check_list_versions,
    check_list_vouchers,
    check_lookup_member,
    check_read_events,
)
from ledger.api.check_sale import check_sale
from ledger.api.check_segments import (
    check_delete_segment,
    check_explain_segment,
    check_get_segment,
    check_list_member_segments,
    check_list_segment_members,
    check_list_segments,
    check_preview_segment,
    check_save_segment,
    check_set_segment_members,
)
from ledger.api.check_value import (
    check_cohorts,
    check_high_value,
    check_member_value,
    check_rfm,
    check_rfm_members,
    check_value_model,
)
from ledger.api.errors import ApiError
from ledger.api.fields import (
    CODE_CHARACTERS_MIN,
    Problems,
    check_attributes,
    check_codes,
    check_entitlement_name,
    check_enum,
    check_hold_name,
    check_member_name,
    check_not_negative,
    check_program_name,
    check_text,
    check_timestamp,
    check_transaction_name,
    check_voucher_name,
)
from ledger.domain.basket import LINES_MAX

VOUCHERS_MAX: Final = 10
"""Vouchers that one sale uses."""

CODES_MAX: Final = 1_000
"""Codes of one upload."""

HOLDS_MAX: Final = 10
"""Holds that one sale redeems."""

IDENTIFIERS_MAX: Final = 10
"""Identifiers of an enrolment."""

BATCH_COMMANDS_MAX: Final = 1_000
"""Commands of one SubmitBatch."""

QUANTITY_MAX: Final = 1_000
"""How many of a reward one hold reserves, or one grant gives."""

REASON_CHARACTERS_MAX: Final = 500
"""Length of the reason of what is done by hand."""

RequestT = TypeVar("RequestT", bound=Message)

_ID: Final = re.compile("[a-z0-9-]{1,63}").fullmatch
_FATES: Final = frozenset(PendingFate.values()) - {0}
_REVERSAL_REASONS: Final = frozenset(ReversalReason.values())
_LANGUAGES: Final = frozenset(("", "en", "hi"))


def check_batch(request: SubmitBatchRequest) -> None:
    """Checks a batch as a whole.

    Its commands are checked one by one, so that none harms the others.
    """
    count = len(request.commands)
    if not 1 <= count <= BATCH_COMMANDS_MAX:
        raise ApiError.invalid([("commands", f"must have 1 to {BATCH_COMMANDS_MAX} commands; there are {count}")])


# -- commands


def _enroll_member(request: EnrollMemberRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    if request.program:
        check_program_name(request.program, "program", problems)
    if len(request.identifiers) > IDENTIFIERS_MAX:
        problems.append(("identifiers", f"must be at most {IDENTIFIERS_MAX}"))
    for index, identifier in enumerate(request.identifiers[:IDENTIFIERS_MAX]):
        path = f"identifiers[{index}]"
        check_identifier(identifier, path, problems)
        if identifier.program and request.program and identifier.program != request.program:
            problems.append((f"{path}.program", "must be the request's program, or empty"))
    profile = request.profile
    check_text(profile.given_name, "profile.given_name", problems)
    check_text(profile.family_name, "profile.family_name", problems)
    if profile.language_code not in _LANGUAGES:
        problems.append(("profile.language_code", 'must be "en", "hi" or empty'))
    check_changes(request.consents, "consents", problems)


def _record_sale(request: RecordSaleRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    _sold(request, problems)


def _quote_sale(request: QuoteSaleRequest, now: int, problems: Problems) -> None:
    sale = request.sale
    found: Problems = []
    if not request.HasField("sale"):
        problems.append(("sale", "is required: the sale as it would be recorded"))
        return
    if sale.request_id:
        check_request_id(sale.request_id, "request_id", found)
    check_origin(sale.origin, now, found)
    _sold(sale, found)
    problems += [(f"sale.{path}", what) for path, what in found]


def _reserve_reward(request: ReserveRewardRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_who(request, problems)
    check_text(request.reward_id, "reward_id", problems, least=1)
    if not 0 <= request.quantity <= QUANTITY_MAX:
        problems.append(("quantity", f"must be 1 to {QUANTITY_MAX}, or 0 for 1"))
    check_not_negative(request.cost_hint_points, "cost_hint_points", problems)


def _close_hold(request: CommitRewardRequest | ReleaseRewardRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_hold_name(request.hold, "hold", problems)


def _return_sale(request: ReturnSaleRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_who(request, problems, is_required=False)
    sale = request.WhichOneof("sale")
    if sale == "transaction":
        check_transaction_name(request.transaction, "transaction", problems)
        if request.transaction[-36:] == request.request_id:
            problems.append(("transaction", "must be the sale's, not that of this return"))
    elif sale == "till":
        check_text(request.till.store, "till.store", problems, least=1)
        check_text(request.till.terminal, "till.terminal", problems, least=1)
        check_till(request.till.till, "till.till", problems)
    else:
        problems.append(("transaction", "is missing: name the sale by transaction or till"))
    if len(request.lines) > LINES_MAX:
        problems.append(("lines", f"must be at most {LINES_MAX}; there are {len(request.lines)}"))
    for index, line in enumerate(request.lines[:LINES_MAX]):
        path = f"lines[{index}]"
        check_text(line.line_id, f"{path}.line_id", problems, least=1)
        if line.HasField("quantity") and line.quantity < 1:
            problems.append((f"{path}.quantity", "must be 1 or more, or absent for all"))
        if line.HasField("amount_minor"):
            if line.amount_minor < 0:
                problems.append((f"{path}.amount_minor", "must be 0 or more"))
            elif line.amount_minor == 0 and not line.HasField("quantity"):
                problems.append((f"{path}.amount_minor", "must be more than 0 without quantity"))


def _reverse_transaction(request: ReverseTransactionRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    target = request.WhichOneof("target")
    if target == "transaction":
        check_transaction_name(request.transaction, "transaction", problems)
    elif target == "original_request_id":
        check_request_id(request.original_request_id, "original_request_id", problems)
    else:
        problems.append(
            (
                "transaction",
                "is missing: name what to reverse by transaction or original_request_id",
            )
        )
    if target is not None and getattr(request, target)[-36:] == request.request_id:
        problems.append((target, "must be that of the earlier command, not of this reversal"))
    check_enum(request.reason, _REVERSAL_REASONS, "reason", problems)


def _publish_program(request: PublishProgramRequest, now: int, problems: Problems) -> None:
    """Only the command; what makes a good program is in ledger.domain.publish."""
    check_head(request.request_id, request.origin, now, problems)
    if not request.HasField("program"):
        problems.append(("program", "is required: the whole program"))


def _adjust_points(request: AdjustPointsRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_member_name(request.member, "member", problems)
    if request.points == 0:
        problems.append(("points", "must not be 0: give points to add, or less to take off"))
    check_text(request.reason, "reason", problems, least=1, most=REASON_CHARACTERS_MAX)


def _record_activity(request: RecordActivityRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_who(request, problems)
    if not _ID(request.activity):
        problems.append(("activity", "must be 1 to 63 lower-case letters, digits and dashes, such as review"))
    check_attributes(request.attributes, "attributes", problems)


def _set_tier_floor(request: SetTierFloorRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_member_name(request.member, "member", problems)
    if request.tier and not _ID(request.tier):
        problems.append(("tier", "must be 1 to 63 lower-case letters, digits and dashes, or empty for none"))
    check_text(request.reason, "reason", problems, least=1, most=REASON_CHARACTERS_MAX)


def _settle_pending(request: SettlePendingRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_member_name(request.member, "member", problems)
    check_not_negative(request.lot, "lot", problems)
    if request.transaction:
        check_transaction_name(request.transaction, "transaction", problems)
    elif not request.lot:
        problems.append(("lot", "is missing: name the points by lot or transaction"))
    check_enum(request.fate, _FATES, "fate", problems)


def _grant_reward(request: GrantRewardRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_member_name(request.member, "member", problems)
    check_text(request.reward_id, "reward_id", problems, least=1)
    if not 0 <= request.quantity <= QUANTITY_MAX:
        problems.append(("quantity", f"must be 1 to {QUANTITY_MAX}, or 0 for 1"))
    check_text(request.reason, "reason", problems, least=1, most=REASON_CHARACTERS_MAX)


def _revoke_voucher(request: RevokeVoucherRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_voucher_name(request.voucher, "voucher", problems)
    check_text(request.reason, "reason", problems, least=1, most=REASON_CHARACTERS_MAX)


def _extend_expiry(request: ExtendExpiryRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_member_name(request.member, "member", problems)
    check_not_negative(request.lot, "lot", problems)
    check_timestamp(request.expires_at, "expires_at", problems)
    check_text(request.reason, "reason", problems, least=1, most=REASON_CHARACTERS_MAX)


def _reinstate_points(request: ReinstatePointsRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_member_name(request.member, "member", problems)
    if request.points < 1:
        problems.append(("points", "must be more than 0"))
    if request.HasField("expires_at"):
        check_timestamp(request.expires_at, "expires_at", problems)
    check_text(request.reason, "reason", problems, least=1, most=REASON_CHARACTERS_MAX)


def _use_entitlement(request: UseEntitlementRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_entitlement_name(request.entitlement, "entitlement", problems)


def _revoke_entitlement(request: RevokeEntitlementRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    check_entitlement_name(request.entitlement, "entitlement", problems)
    check_text(request.reason, "reason", problems, least=1, most=REASON_CHARACTERS_MAX)


def _upload_codes(request: UploadVoucherCodesRequest, now: int, problems: Problems) -> None:
    check_head(request.request_id, request.origin, now, problems)
    if request.program:
        check_program_name(request.program, "program", problems)
    if not _ID(request.code_pool):
        problems.append(("code_pool", "must be 1 to 63 lower-case letters, digits and dashes"))
    if not 1 <= len(request.codes) <= CODES_MAX:
        problems.append(("codes", f"must be 1 to {CODES_MAX}; there are {len(request.codes)}"))
    check_codes(request.codes[:CODES_MAX], "codes", problems, least=CODE_CHARACTERS_MIN)


# -- parts of commands


def _sold(request: RecordSaleRequest, problems: Problems) -> None:
    check_who(request, problems)
    if request.HasField("sale"):
        check_sale(request.sale, problems)
    else:
        problems.append(("sale", "is required: what was sold"))
    if request.holds:
        _holds(request.holds, problems)
    if request.voucher_codes:
        if len(request.voucher_codes) > VOUCHERS_MAX:
            problems.append(("voucher_codes", f"must be at most {VOUCHERS_MAX}"))
        check_codes(request.voucher_codes[:VOUCHERS_MAX], "voucher_codes", problems)
    if request.HasField("points_payment"):
        payment = request.points_payment
        check_text(payment.reward_id, "points_payment.reward_id", problems, least=1)
        if payment.points < 0:
            problems.append(("points_payment.points", "must be more than 0, or 0 for as many as possible"))


def _holds(holds: Iterable[str], problems: Problems) -> None:
    seen: set[str] = set()
    for index, name in enumerate(holds):
        if index == HOLDS_MAX:
            problems.append(("holds", f"must be at most {HOLDS_MAX}"))
            return
        check_hold_name(name, f"holds[{index}]", problems)
        if name in seen:
            problems.append((f"holds[{index}]", "is named twice"))
        seen.add(name)


def _check(
    collect: Callable[[RequestT, int, Problems], None],
) -> Callable[[RequestT, int], None]:
    """A check that raises ApiError with all that `collect` finds."""

    def check(request: RequestT, now: int) -> None:
        problems: Problems = []
        collect(request, now, problems)
        if problems:
            raise ApiError.invalid(problems)

    return check


CHECKS: Final[Mapping[type[Message], Callable[[Any, int], None]]] = {
    EnrollMemberRequest: _check(_enroll_member),
    RecordSaleRequest: _check(_record_sale),
    QuoteSaleRequest: _check(_quote_sale),
    ReserveRewardRequest: _check(_reserve_reward),
    CommitRewardRequest: _check(_close_hold),
    ReleaseRewardRequest: _check(_close_hold),
    ReturnSaleRequest: _check(_return_sale),
    ReverseTransactionRequest: _check(_reverse_transaction),
    PublishProgramRequest: _check(_publish_program),
    AdjustPointsRequest: _check(_adjust_points),
    RecordActivityRequest: _check(_record_activity),
    SettlePendingRequest: _check(_settle_pending),
    RevokeVoucherRequest: _check(_revoke_voucher),
    UseEntitlementRequest: _check(_use_entitlement),
    UploadVoucherCodesRequest: _check(_upload_codes),
    RevokeEntitlementRequest: _check(_revoke_entitlement),
    ExtendExpiryRequest: _check(_extend_expiry),
    ReinstatePointsRequest: _check(_reinstate_points),
    SetTierFloorRequest: _check(_set_tier_floor),
    GrantRewardRequest: _check(_grant_reward),
    ReadSalesFiguresRequest: _check(check_sales_figures),
    ReadOfferFiguresRequest: _check(check_offer_figures),
    ReadPairsRequest: _check(check_pairs),
    ReadWonAndLostRequest: _check(check_won_and_lost),
    ReadDemandRequest: _check(check_demand),
    LookupMemberRequest: _check(check_lookup_member),
    GetTransactionRequest: _check(check_get_transaction),
    ExplainTransactionRequest: _check(check_get_transaction),
    GetBalanceRequest: _check(check_get_balance),
    GetProgramRequest: _check(check_get_program),
    ListProgramVersionsRequest: _check(check_list_versions),
    ListStatementEntriesRequest: _check(check_list_statement),
    ListVouchersRequest: _check(check_list_vouchers),
    ListEntitlementsRequest: _check(check_list_entitlements),
    ListRewardsRequest: _check(check_list_rewards),
    WatchChangesRequest: _check(check_watch_changes),
    CreateConsumerRequest: _check(check_create_consumer),
    AcknowledgeChangesRequest: _check(check_acknowledge_changes),
    ListConsumersRequest: _check(check_list_consumers),
    DeleteConsumerRequest: _check(check_delete_consumer),
    ReadEventsRequest: _check(check_read_events),
    GetCheckpointRequest: _check(check_get_checkpoint),
    ListCheckpointsRequest: _check(check_list_checkpoints),
    ProveInclusionRequest: _check(check_prove_inclusion),
    ProveConsistencyRequest: _check(check_prove_consistency),
    GetLiabilityRequest: _check(check_liability),
    ReadRollForwardRequest: _check(check_roll_forward),
    GetBreakageRequest: _check(check_breakage),
    GetDeferredRevenueRequest: _check(check_deferred_revenue),
    ReadJournalRequest: _check(check_journal),
    ReconcileTillsRequest: _check(check_reconcile_tills),
    GetRfmRequest: _check(check_rfm),
    ListRfmMembersRequest: _check(check_rfm_members),
    ListHighValueMembersRequest: _check(check_high_value),
    GetCohortsRequest: _check(check_cohorts),
    GetValueModelRequest: _check(check_value_model),
    GetMemberValueRequest: _check(check_member_value),
    ListAuditEntriesRequest: _check(check_list_audit_entries),
    GetMemberStateRequest: _check(check_member_state),
    GetProgramStateRequest: _check(check_program_state),
    RecordConsentsRequest: _check(check_record_consents),
    EraseMemberRequest: _check(check_erase_member),
    ListConsentsRequest: _check(check_list_consents),
    ExportMemberRequest: _check(check_export_member),
    RecordFeedbackRequest: _check(check_record_feedback),
    CreateFeedbackLinkRequest: _check(check_create_link),
    SubmitFeedbackRequest: _check(check_submit_feedback),
    GetFeedbackResultsRequest: _check(check_feedback_results),
    ListFeedbackRequest: _check(check_list_feedback),
    SaveSegmentRequest: _check(check_save_segment),
    DeleteSegmentRequest: _check(check_delete_segment),
    SetSegmentMembersRequest: _check(check_set_segment_members),
    GetSegmentRequest: _check(check_get_segment),
    ListSegmentsRequest: _check(check_list_segments),
    PreviewSegmentRequest: _check(check_preview_segment),
    ExplainSegmentRequest: _check(check_explain_segment),
    ListSegmentMembersRequest: _check(check_list_segment_members),
    ListMemberSegmentsRequest: _check(check_list_member_segments),
    UpdateMemberRequest: _check(check_update_member),
    UpsertMembersRequest: _check(check_upsert_members),
    GetMemberRequest: _check(check_get_member),
    ListMembersRequest: _check(check_list_members),
    SearchMembersRequest: _check(check_search_members),
}
"""The check of each request, called with the request and the server's clock in microseconds.

A command's origin must have been completed by its credential. Each raises ApiError naming every
field at fault. SubmitBatch has `check_batch`; each of its commands has the check of its request."""
