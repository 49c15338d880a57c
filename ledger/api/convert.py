"""From checked requests to commands for the writer."""

from collections.abc import Callable, Mapping
from typing import Any, Final

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
    UploadVoucherCodesRequest,
    UseEntitlementRequest,
)
from loyalty.v1.consent_pb2 import EraseMemberRequest, RecordConsentsRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.pos_service_pb2 import QuoteSaleRequest
from loyalty.v1.segment_pb2 import DeleteSegmentRequest, SaveSegmentRequest, SetSegmentMembersRequest
from uuid_utils.compat import uuid7

from ledger.api.check import CHECKS
from ledger.api.check_sale import fill_line_ids
from ledger.api.convert_profile import take_change
from ledger.api.errors import ApiError
from ledger.api.identifiers import normalise
from ledger.domain.code import hash_of
from ledger.domain.instant import from_timestamp, set_timestamp
from ledger.domain.names import credential_name, last_id, member_of, program_of_segment
from ledger.domain.segments.decide import name_of
from ledger.domain.voucher import NewCode
from ledger.store.credentials import Principal
from ledger.writer.command import Command, IdentifierKey, Person

WriteRequest = (
    EnrollMemberRequest
    | RecordSaleRequest
    | ReserveRewardRequest
    | CommitRewardRequest
    | ReleaseRewardRequest
    | ReturnSaleRequest
    | ReverseTransactionRequest
    | PublishProgramRequest
    | AdjustPointsRequest
    | RecordActivityRequest
    | SettlePendingRequest
    | ExtendExpiryRequest
    | ReinstatePointsRequest
    | RevokeVoucherRequest
    | UseEntitlementRequest
    | UploadVoucherCodesRequest
    | RevokeEntitlementRequest
    | SetTierFloorRequest
    | GrantRewardRequest
    | RecordConsentsRequest
    | EraseMemberRequest
    | RecordFeedbackRequest
    | SaveSegmentRequest
    | DeleteSegmentRequest
    | SetSegmentMembersRequest
    | UpdateMemberRequest
)

SALE_BYTES_MAX: Final = 512 * 1024
"""The size of a sale: 500 lines of a kilobyte each."""

BY_HAND: Final = (
    PublishProgramRequest,
    AdjustPointsRequest,
    SettlePendingRequest,
    ExtendExpiryRequest,
    ReinstatePointsRequest,
    RevokeVoucherRequest,
    RevokeEntitlementRequest,
    UploadVoucherCodesRequest,
    SetTierFloorRequest,
    GrantRewardRequest,
    EraseMemberRequest,
    SaveSegmentRequest,
    DeleteSegmentRequest,
    SetSegmentMembersRequest,
    UpdateMemberRequest,
)
"""What somebody does by hand: the event must name an actor, so the credential stands in for an operator."""

WITH_WHO: Final = (
    RecordSaleRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    RecordActivityRequest,
    RecordConsentsRequest,
    RecordFeedbackRequest,
    UpdateMemberRequest,
)
"""Requests that name the member or an identifier of theirs."""


def program_named(request: Message, principal: Principal) -> str:
    """The program that a request names, or the credential's; empty when neither does."""
    named = ""
    if isinstance(request, EnrollMemberRequest | UploadVoucherCodesRequest):
        named = request.program
    elif isinstance(request, PublishProgramRequest):
        named = request.program.name
    elif isinstance(request, SaveSegmentRequest | DeleteSegmentRequest | SetSegmentMembersRequest):
        named = program_of_segment(name_of(request))
    elif isinstance(request, WITH_WHO) and request.WhichOneof("who") == "identifier":
        named = request.identifier.program
    elif isinstance(request, UpdateMemberRequest):
        named = next(
            (one.program for one in (*request.add_identifiers, *request.remove_identifiers) if one.program), ""
        )
    return named or principal.program or ""


def convert(
    request: WriteRequest,
    principal: Principal,
    now: int,
    *,
    regions: Mapping[str, str],
    deadline: float | None = None,
) -> Command:
    """Checks a request and makes it a command. The request is the command's from then on.

    `regions` has the default regions of programs, for phone numbers. Raises ApiError, naming every field at fault.
    """
    _fill_origin(request.origin, principal)
    CHECKS[type(request)](request, now)
    _check_size(request)
    return _command(request, principal, now, regions, deadline)


def convert_quote(
    quote: QuoteSaleRequest,
    principal: Principal,
    now: int,
    *,
    regions: Mapping[str, str],
    deadline: float | None = None,
) -> Command:
    """The same for a quote, which becomes the command that it asks about, as a dry run."""
    _fill_origin(quote.sale.origin, principal)
    CHECKS[QuoteSaleRequest](quote, now)
    if not quote.sale.request_id:
        quote.sale.request_id = str(uuid7())
    command = _command(quote.sale, principal, now, regions, deadline)
    command.dry_run = True
    return command


def _command(
    request: WriteRequest,
    principal: Principal,
    now: int,
    regions: Mapping[str, str],
    deadline: float | None,
) -> Command:
    # What this release does not know it must not record: nothing has checked it, no decision has heeded it.
    request.DiscardUnknownFields()
    origin = Origin()
    origin.CopyFrom(request.origin)
    if isinstance(request, BY_HAND):
        origin.operator = origin.operator or principal.credential_id
        origin.credential = credential_name(principal.credential_id)
    elif isinstance(request, RecordConsentsRequest):
        origin.credential = credential_name(principal.credential_id)  # who has it must be able to say from whom
    request.ClearField("origin")
    clock_given = origin.HasField("occurred_at")
    if clock_given:
        at = from_timestamp(origin.occurred_at)
    else:
        at = now
        set_timestamp(origin.occurred_at, now)
    program = program_named(request, principal)
    if principal.program and program != principal.program:
        raise ApiError.of(ErrorReason.ERROR_REASON_NOT_ALLOWED, field="program")
    command = Command(
        request,
        last_id(request.request_id),
        origin,
        at,
        program=program,
        bound_program=principal.program or "",
        received_at=now,
        deadline=deadline,
        clock_given=clock_given,
    )
    _name_keys(command, request, regions.get(command.program, ""))
    return command


def _check_size(request: Message) -> None:
    """A command is stored whole and handed on in its event: what no client could read must not get in.

    A program is larger than any other command, and is not handed out in pages with others.
    """
    if isinstance(request, RecordSaleRequest) and request.ByteSize() > SALE_BYTES_MAX:
        raise ApiError.invalid([("sale", f"must be at most {SALE_BYTES_MAX:,} bytes: shorten labels and names")])


def _fill_origin(origin: Origin, principal: Principal) -> None:
    """Completes where a command came from by the credential, and refuses what contradicts it."""
    if principal.store is not None:
        if not origin.store:
            origin.store = principal.store
        elif origin.store != principal.store:
            raise ApiError.of(ErrorReason.ERROR_REASON_NOT_ALLOWED, field="origin.store")
    if principal.terminal is not None:
        if not origin.terminal:
            origin.terminal = principal.terminal
        elif origin.terminal != principal.terminal:
            raise ApiError.of(ErrorReason.ERROR_REASON_NOT_ALLOWED, field="origin.terminal")
    if not origin.channel:
        origin.channel = Channel.CHANNEL_STORE


def _name_keys(command: Command, request: WriteRequest, region: str) -> None:
    """Fills in what the command refers to, and by which keys it is found."""
    if isinstance(request, WITH_WHO):
        who = request.WhichOneof("who")
        if who == "member":
            command.member = last_id(request.member)
        elif who == "identifier":
            command.identifier = IdentifierKey(*normalise(request.identifier, command.program, region, "identifier"))
    name = _KEYS.get(type(request))
    if name is not None:
        name(command, request)
    elif isinstance(request, EnrollMemberRequest):
        _take_person(command, request, region)
    elif isinstance(request, UpdateMemberRequest):
        take_change(command, request, region)


def _sale_keys(command: Command, request: RecordSaleRequest) -> None:
    fill_line_ids(request.sale)
    if command.origin.HasField("till"):
        command.receipt = command.origin
    if request.holds:
        command.transactions = tuple(last_id(hold) for hold in request.holds)
    if request.voucher_codes:
        # A code is as good as money: no event, log or retry may show it.
        request.voucher_codes[:] = [hash_of(code) for code in request.voucher_codes]


def _upload_keys(command: Command, request: UploadVoucherCodesRequest) -> None:
    command.codes = [NewCode(hash_of(code), code) for code in request.codes]
    request.codes[:] = [new.code_hash for new in command.codes]
    request.program = command.program


def _hold_keys(command: Command, request: CommitRewardRequest | ReleaseRewardRequest) -> None:
    command.member = member_of(request.hold)
    command.transactions = (last_id(request.hold),)


def _return_keys(command: Command, request: ReturnSaleRequest) -> None:
    if request.WhichOneof("sale") == "transaction":
        command.target = last_id(request.transaction)
        command.transactions = (command.target,)
    else:
        command.receipt = request.till


def _reversal_keys(command: Command, request: ReverseTransactionRequest) -> None:
    command.target = last_id(request.transaction or request.original_request_id)
    command.transactions = (command.target,)


def _feedback_keys(command: Command, request: RecordFeedbackRequest) -> None:
    command.text = request.text.strip()
    request.ClearField("text")
    if request.WhichOneof("about") == "transaction":
        command.target = last_id(request.transaction)
        command.transactions = (command.target,)


def _member_key(
    command: Command,
    request: AdjustPointsRequest
    | ExtendExpiryRequest
    | ReinstatePointsRequest
    | SetTierFloorRequest
    | GrantRewardRequest
    | EraseMemberRequest,
) -> None:
    command.member = last_id(request.member)


def _pending_keys(command: Command, request: SettlePendingRequest) -> None:
    command.member = last_id(request.member)
    if request.transaction:
        command.transactions = (last_id(request.transaction),)


def _voucher_keys(command: Command, request: RevokeVoucherRequest) -> None:
    command.member = member_of(request.voucher)


def _entitlement_keys(command: Command, request: UseEntitlementRequest | RevokeEntitlementRequest) -> None:
    command.member = member_of(request.entitlement)


_KEYS: Final[Mapping[type[Message], Callable[[Command, Any], None]]] = {
    RecordSaleRequest: _sale_keys,
    CommitRewardRequest: _hold_keys,
    ReleaseRewardRequest: _hold_keys,
    ReturnSaleRequest: _return_keys,
    ReverseTransactionRequest: _reversal_keys,
    AdjustPointsRequest: _member_key,
    ExtendExpiryRequest: _member_key,
    ReinstatePointsRequest: _member_key,
    SetTierFloorRequest: _member_key,
    GrantRewardRequest: _member_key,
    EraseMemberRequest: _member_key,
    RecordFeedbackRequest: _feedback_keys,
    SettlePendingRequest: _pending_keys,
    RevokeVoucherRequest: _voucher_keys,
    UseEntitlementRequest: _entitlement_keys,
    UploadVoucherCodesRequest: _upload_keys,
    RevokeEntitlementRequest: _entitlement_keys,
}


def _take_person(command: Command, request: EnrollMemberRequest, region: str) -> None:
    """Moves the personal data out of the command, so that no event can get it."""
    keys = [
        IdentifierKey(*normalise(identifier, command.program, region, f"identifiers[{index}]"))
        for index, identifier in enumerate(request.identifiers)
    ]
    foreign = [index for index, key in enumerate(keys) if key.program != command.program]
    if foreign:
        raise ApiError.invalid(
            [
                (f"identifiers[{index}].program", "must be the program that the member joins, or empty")
                for index in foreign
            ]
        )
    sent = EnrollMemberRequest()
    sent.CopyFrom(request)
    command.person = Person(list(dict.fromkeys(keys)), sent.profile, sent)
    request.ClearField("identifiers")
    request.ClearField("profile")
    request.program = command.program
