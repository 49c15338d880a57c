"""Checks of the commands of tills, managers and admins."""

import re
from collections.abc import Iterable
from typing import Final

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
    UploadVoucherCodesRequest,
    UseEntitlementRequest,
)
from loyalty.v1.pos_service_pb2 import QuoteSaleRequest

from ledger.api.check_parts import check_head, check_identifier, check_origin, check_request_id, check_till, check_who
from ledger.api.check_person import check_changes
from ledger.api.check_sale import check_sale
from ledger.api.fields import (
    CODE_CHARACTERS_MIN,
    Checks,
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

QUANTITY_MAX: Final = 1_000
"""How many of a reward one hold reserves, or one grant gives."""

REASON_CHARACTERS_MAX: Final = 500
"""Length of the reason of what is done by hand."""

_ID: Final = re.compile("[a-z0-9-]{1,63}").fullmatch
_FATES: Final = frozenset(PendingFate.values()) - {0}
_REVERSAL_REASONS: Final = frozenset(ReversalReason.values())
_LANGUAGES: Final = frozenset(("", "en", "hi"))


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


CHECKS: Final[Checks] = {
    EnrollMemberRequest: _enroll_member,
    RecordSaleRequest: _record_sale,
    QuoteSaleRequest: _quote_sale,
    ReserveRewardRequest: _reserve_reward,
    CommitRewardRequest: _close_hold,
    ReleaseRewardRequest: _close_hold,
    ReturnSaleRequest: _return_sale,
    ReverseTransactionRequest: _reverse_transaction,
    PublishProgramRequest: _publish_program,
    AdjustPointsRequest: _adjust_points,
    RecordActivityRequest: _record_activity,
    SettlePendingRequest: _settle_pending,
    RevokeVoucherRequest: _revoke_voucher,
    UseEntitlementRequest: _use_entitlement,
    UploadVoucherCodesRequest: _upload_codes,
    RevokeEntitlementRequest: _revoke_entitlement,
    ExtendExpiryRequest: _extend_expiry,
    ReinstatePointsRequest: _reinstate_points,
    SetTierFloorRequest: _set_tier_floor,
    GrantRewardRequest: _grant_reward,
}
