"""Checks of the requests that read."""

from collections.abc import Sequence
from typing import Final, Protocol

from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.audit_trail_pb2 import AuditKind, ListAuditEntriesRequest
from loyalty.v1.crm_service_pb2 import (
    ListEntitlementsRequest,
    ListStatementEntriesRequest,
    ListVouchersRequest,
)
from loyalty.v1.events_pb2 import Event
from loyalty.v1.pos_service_pb2 import (
    ExplainTransactionRequest,
    GetBalanceRequest,
    GetTransactionRequest,
    LookupMemberRequest,
)
from loyalty.v1.program_service_pb2 import GetProgramRequest, ListProgramVersionsRequest, ListRewardsRequest
from loyalty.v1.reward_pb2 import EntitlementState, VoucherState

from ledger.api.check_parts import check_identifier, check_who
from ledger.api.fields import (
    MEMBER,
    POOL,
    PROGRAM,
    SEGMENT,
    TRAIL,
    Checks,
    Problems,
    check_enum,
    check_member_name,
    check_not_negative,
    check_program_name,
    check_text,
    check_timestamp,
    check_transaction_name,
)

EVENT_TYPES_MAX: Final = 50
"""Types that one ReadEvents names."""

TOKEN_CHARACTERS_MAX: Final = 1_000
"""Length of a page token."""


class Paged(Protocol):
    """What every request for a page of a list has."""

    page_size: int
    page_token: str


_AUDIT_KINDS: Final = frozenset(AuditKind.values())
_VOUCHER_STATES: Final = frozenset(VoucherState.values())
_ENTITLEMENT_STATES: Final = frozenset(EntitlementState.values())
_EVENT_TYPES: Final = frozenset(
    field.message_type.name
    for field in Event.DESCRIPTOR.oneofs_by_name["event"].fields
    if field.message_type is not None
)


def _check_lookup_member(request: LookupMemberRequest, _now: int, problems: Problems) -> None:
    """What LookupMember is asked with."""
    check_identifier(request.identifier, "identifier", problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_get_transaction(
    request: GetTransactionRequest | ExplainTransactionRequest, _now: int, problems: Problems
) -> None:
    """What GetTransaction and ExplainTransaction are asked with."""
    check_transaction_name(request.name, "name", problems)


def _check_get_balance(request: GetBalanceRequest, _now: int, problems: Problems) -> None:
    """What GetBalance is asked with."""
    check_who(request, problems)
    if request.HasField("as_of"):
        check_timestamp(request.as_of, "as_of", problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_get_program(request: GetProgramRequest, _now: int, problems: Problems) -> None:
    """What GetProgram is asked with."""
    check_program_name(request.name, "name", problems)
    check_not_negative(request.version, "version", problems)


def _check_list_versions(request: ListProgramVersionsRequest, _now: int, problems: Problems) -> None:
    """What ListProgramVersions is asked with."""
    check_program_name(request.program, "program", problems)
    check_page(request, problems)


def _check_list_statement(request: ListStatementEntriesRequest, _now: int, problems: Problems) -> None:
    """What ListStatementEntries is asked with."""
    check_member_name(request.member, "member", problems)
    check_page(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_list_vouchers(request: ListVouchersRequest, _now: int, problems: Problems) -> None:
    """What ListVouchers is asked with."""
    check_member_name(request.member, "member", problems)
    check_enum(request.state, _VOUCHER_STATES, "state", problems)
    check_page(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_list_entitlements(request: ListEntitlementsRequest, _now: int, problems: Problems) -> None:
    """What ListEntitlements is asked with."""
    check_member_name(request.member, "member", problems)
    check_enum(request.state, _ENTITLEMENT_STATES, "state", problems)
    check_page(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_list_rewards(request: ListRewardsRequest, _now: int, problems: Problems) -> None:
    """What ListRewards is asked with."""
    check_program_name(request.program, "program", problems)
    check_page(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def check_page(request: Paged, problems: Problems) -> None:
    """Which page of a list is asked for."""
    check_not_negative(request.page_size, "page_size", problems)
    check_text(request.page_token, "page_token", problems, most=TOKEN_CHARACTERS_MAX)


def _check_read_events(request: ReadEventsRequest, _now: int, problems: Problems) -> None:
    """What ReadEvents is asked with."""
    check_not_negative(request.after_position, "after_position", problems)
    check_not_negative(request.until_position, "until_position", problems)
    if 0 < request.until_position < request.after_position:
        problems.append(("until_position", "must not be before after_position; 0 for the end"))
    if request.subject and not any(form(request.subject) for form in (MEMBER, PROGRAM, POOL, SEGMENT, TRAIL)):
        forms = (
            "must be members/{member}, programs/{program}, programs/{program}/pools/{pool},"
            " programs/{program}/segments/{segment} or trails/{trail}"
        )
        problems.append(("subject", forms))
    check_types(request.types, problems)
    _check_recorded(request, problems)
    check_not_negative(request.batch_size, "batch_size", problems)


def check_types(types: Sequence[str], problems: Problems) -> None:
    """Names of events that are wanted."""
    if len(types) > EVENT_TYPES_MAX:
        problems.append(("types", f"must be at most {EVENT_TYPES_MAX}"))
    for index, name in enumerate(types[:EVENT_TYPES_MAX]):
        if name not in _EVENT_TYPES:
            problems.append((f"types[{index}]", "must be the name of an event, as SaleRecorded"))


def _check_list_audit_entries(request: ListAuditEntriesRequest, _now: int, problems: Problems) -> None:
    """What ListAuditEntries is asked with."""
    check_page(request, problems)
    check_text(request.actor, "actor", problems)
    if request.member:
        check_member_name(request.member, "member", problems)
    check_text(request.method, "method", problems)
    check_enum(request.kind, _AUDIT_KINDS, "kind", problems)
    _check_recorded(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_recorded(request: ReadEventsRequest | ListAuditEntriesRequest, problems: Problems) -> None:
    """From when until when what is asked for was recorded."""
    bounds = [
        check_timestamp(getattr(request, name), name, problems) if request.HasField(name) else None
        for name in ("recorded_from", "recorded_until")
    ]
    if bounds[0] is not None and bounds[1] is not None and bounds[0] >= bounds[1]:
        problems.append(("recorded_until", "must be after recorded_from"))


CHECKS: Final[Checks] = {
    LookupMemberRequest: _check_lookup_member,
    GetTransactionRequest: _check_get_transaction,
    ExplainTransactionRequest: _check_get_transaction,
    GetBalanceRequest: _check_get_balance,
    GetProgramRequest: _check_get_program,
    ListProgramVersionsRequest: _check_list_versions,
    ListStatementEntriesRequest: _check_list_statement,
    ListVouchersRequest: _check_list_vouchers,
    ListEntitlementsRequest: _check_list_entitlements,
    ListRewardsRequest: _check_list_rewards,
    ReadEventsRequest: _check_read_events,
    ListAuditEntriesRequest: _check_list_audit_entries,
}
