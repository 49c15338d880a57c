"""From the writer's results to replies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog
from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Redemption
from loyalty.v1.commands_pb2 import (
    CommitRewardRequest,
    EnrollMemberRequest,
    RecordActivityRequest,
    RecordSaleRequest,
    ReleaseRewardRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    ReverseTransactionRequest,
    UseEntitlementRequest,
)
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    CommandRefused,
    EntitlementUsed,
    ExpiryExtended,
    FeedbackRecorded,
    MemberEnrolled,
    MemberUpdated,
    PendingSettled,
    PointsRedeemed,
    ProgramPublished,
    ReturnAwaited,
    ReversalAwaited,
    RewardGranted,
    RewardReserved,
    SaleRecorded,
    SaleReturned,
    SegmentDeleted,
    SegmentListed,
    SegmentSaved,
    TransactionReversed,
    VoucherCodesUploaded,
)
from loyalty.v1.feedback_results_pb2 import RecordFeedbackResponse
from loyalty.v1.person_pb2 import EraseMemberResponse, RecordConsentsResponse
from loyalty.v1.pos_service_pb2 import (
    CommandResult,
    CommitRewardResponse,
    EnrollMemberResponse,
    QuoteSaleResponse,
    RecordActivityResponse,
    RecordSaleResponse,
    ReleaseRewardResponse,
    ReserveRewardResponse,
    ReturnSaleResponse,
    ReverseTransactionResponse,
    UseEntitlementResponse,
)
from loyalty.v1.pos_service_pb2 import Outcome as OutcomeMessage
from loyalty.v1.profile_pb2 import UpdateMemberResponse
from loyalty.v1.program_service_pb2 import (
    AdjustPointsResponse,
    ExtendExpiryResponse,
    GrantRewardResponse,
    PublishProgramResponse,
    ReinstatePointsResponse,
    RevokeEntitlementResponse,
    RevokeVoucherResponse,
    SetTierFloorResponse,
    SettlePendingResponse,
    UploadVoucherCodesResponse,
)
from loyalty.v1.segment_reads_pb2 import DeleteSegmentResponse, SaveSegmentResponse, SetSegmentMembersResponse
from uuid_utils.compat import uuid7

from ledger.api.errors import ApiError
from ledger.api.texts import receipt_texts
from ledger.domain.instant import set_timestamp
from ledger.domain.lot import points_of
from ledger.domain.member_profile import etag_of
from ledger.domain.names import hold_name, member_name, transaction_name
from ledger.domain.refusal import InvariantBroken, Rejected
from ledger.domain.segments.decide import etag_of as etag_of_segment
from ledger.store.topics import Archived
from ledger.writer.command import Existing, Failure, Outcome, Settled, Unchanged
from ledger.writer.decision import DamagedAccount
from ledger.writer.writer import (
    DeadlinePassed,
    OutcomeUnknown,
    Overloaded,
    Result,
    ShuttingDown,
)

log = structlog.stdlib.get_logger(__name__)

_REASONS: Final[dict[type[Exception], ErrorReason.ValueType]] = {
    DeadlinePassed: ErrorReason.ERROR_REASON_DEADLINE_PASSED,
    OutcomeUnknown: ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE,
    Overloaded: ErrorReason.ERROR_REASON_OVERLOADED,
    ShuttingDown: ErrorReason.ERROR_REASON_SHUTTING_DOWN,
}


def api_error(error: Exception, path: str = "") -> Exception:
    """The error that callers get for one of ours; any other as it is, for the gate to hide behind an incident.

    `path` leads to the command within the request, for a field at fault.
    """
    if isinstance(error, Rejected) and error.reason == ErrorReason.ERROR_REASON_INVALID_FIELD:
        return ApiError.invalid([(path + error.metadata["field"], error.metadata["description"])])
    if isinstance(error, Rejected):
        return ApiError.of(error.reason, **error.metadata)
    if isinstance(error, Archived):
        return ApiError.of(ErrorReason.ERROR_REASON_ARCHIVED, where=str(error))
    if isinstance(error, DamagedAccount | InvariantBroken):
        return ApiError.of(ErrorReason.ERROR_REASON_DATA_CORRUPT, where=str(error))
    reason = _REASONS.get(type(error))
    return error if reason is None else ApiError.of(reason)


ResponseT = TypeVar("ResponseT", bound=Message)


Codes = Mapping[str, str]
"""The codes of vouchers by their hashes."""

_NO_CODES: Final[Codes] = {}


def reply(response: ResponseT, result: Result, *, codes: Codes = _NO_CODES, with_texts: bool = True) -> ResponseT:
    """Fills the response of the call that a command came from. Raises ApiError where it failed or was refused.

    `codes` has those of the vouchers that it issued.
    """
    if isinstance(result, Failure):
        raise api_error(result.error, "sale." if result.command.dry_run else "")
    if isinstance(result, Settled):
        raise InvariantBroken("no call settles an account")
    if isinstance(result, Outcome) and isinstance(result.main, CommandRefused):
        # Where a refusal names another transaction, that one is what the caller needs. A quote has made none.
        own = {} if result.command.dry_run else {"transaction": transaction_name(result.transaction)}
        raise ApiError.of(result.main.reason, **(own | dict(result.main.metadata)))
    written: Any = response
    if isinstance(result, Existing):
        _write_existing(written, result)
    elif isinstance(result, Unchanged):
        written.outcome.member = member_name(result.member)
        written.kept.extend(result.kept)
    else:
        _WRITE[type(response)](written, result, result.main)
    redemptions = _redemptions(written)
    for redemption in redemptions:
        for voucher in redemption.vouchers:
            voucher.code = codes.get(voucher.code_hash, "")
    program = None if isinstance(result, Unchanged) else result.program
    if with_texts and program is not None and written.HasField("receipt"):
        used = written.entitlement if isinstance(written, UseEntitlementResponse) else None
        texts = receipt_texts(written.receipt, program, redemptions, used, is_quote=result.command.dry_run)
        written.receipt.texts.extend(texts)
    return response


def _redemptions(response: Any) -> Sequence[Redemption]:
    """What a response says was redeemed or given."""
    match response:
        case RecordSaleResponse() | QuoteSaleResponse():
            return response.redemptions
        case CommitRewardResponse() | GrantRewardResponse():
            return (response.redemption,)
        case _:
            return ()


def write_result(item: CommandResult, result: Result, *, codes: Codes, with_texts: bool) -> None:
    """Fills the result of one command of a batch or stream."""
    item.request_id = str(result.command.request_id)
    try:
        response = getattr(item, RESULT_FIELD[type(result.command.request)])
        reply(response, result, codes=codes, with_texts=with_texts)
    except ApiError as error:
        item.error.CopyFrom(error.item_error())
    except Exception:
        # Its neighbours are on disk and must get their answers.
        incident = uuid7().hex[:20]
        log.exception("incident", incident=incident)
        item.error.CopyFrom(ApiError.internal(incident).item_error())


def issued_codes(results: Iterable[object]) -> list[str]:
    """The hashes of the codes of the vouchers that some results issued."""
    return [
        voucher.code_hash
        for result in results
        if isinstance(result, Outcome)
        for redemption in _redeemed(result.main)
        for voucher in redemption.vouchers
    ]


def _redeemed(main: Message) -> Sequence[Redemption]:
    match main:
        case SaleRecorded():
            return main.redemptions
        case PointsRedeemed() | RewardGranted():
            return (main.redemption,)
        case _:
            return ()


def shorten(results: Iterable[CommandResult]) -> None:
    """Leaves out of the results of a batch what makes them long: how points came about. GetTransaction has it."""
    for item in results:
        sale = item.record_sale
        if item.WhichOneof("result") == "record_sale":
            sale.ClearField("awards")
            sale.receipt.ClearField("texts")


RESULT_FIELD: Final[Mapping[type[Message], str]] = {
    EnrollMemberRequest: "enroll_member",
    RecordSaleRequest: "record_sale",
    RecordActivityRequest: "record_activity",
    ReserveRewardRequest: "reserve_reward",
    CommitRewardRequest: "commit_reward",
    ReleaseRewardRequest: "release_reward",
    ReturnSaleRequest: "return_sale",
    ReverseTransactionRequest: "reverse_transaction",
    UseEntitlementRequest: "use_entitlement",
}
"""The field of CommandResult for each kind of command."""


_OF_NO_MEMBER: Final = (ReversalAwaited, VoucherCodesUploaded, SegmentSaved, SegmentDeleted, SegmentListed)


def _write_outcome(message: OutcomeMessage, result: Outcome) -> None:
    message.transaction = transaction_name(result.transaction)
    message.position = result.position
    set_timestamp(message.recorded_at, result.recorded_at)
    if result.replayed:
        message.replayed = True
    main: Any = result.main
    if isinstance(main, ProgramPublished):
        message.program_version = main.request.program.version
    elif not isinstance(main, _OF_NO_MEMBER):
        message.member = member_name(result.subject)
        message.program_version = main.program_version


def _write_existing(response: EnrollMemberResponse, result: Existing) -> None:
    response.member = response.outcome.member = member_name(result.member)
    response.existed = True
    response.receipt.CopyFrom(result.receipt)
    response.outcome.program_version = result.program.version


def _enrolled(response: EnrollMemberResponse, result: Outcome, main: MemberEnrolled) -> None:
    response.member = member_name(result.subject)
    _receipt(response, result, main)


def _sale(response: RecordSaleResponse, result: Outcome, main: SaleRecorded) -> None:
    _quote(response, result, main)
    _write_outcome(response.outcome, result)


def _quote(response: RecordSaleResponse | QuoteSaleResponse, _result: Outcome, main: SaleRecorded) -> None:
    response.receipt.CopyFrom(main.receipt)
    response.awards.MergeFrom(main.awards)
    if main.redemptions:
        response.redemptions.MergeFrom(main.redemptions)


def _reserved(response: ReserveRewardResponse, result: Outcome, main: RewardReserved) -> None:
    response.hold = hold_name(result.subject, str(result.transaction))
    response.points = main.points
    response.expires_at.CopyFrom(main.expires_at)
    _receipt(response, result, main)


def _committed(
    response: CommitRewardResponse | GrantRewardResponse, result: Outcome, main: PointsRedeemed | RewardGranted
) -> None:
    response.redemption.CopyFrom(main.redemption)
    _receipt(response, result, main)


def _returned(response: ReturnSaleResponse, result: Outcome, main: SaleReturned | ReturnAwaited) -> None:
    if isinstance(main, ReturnAwaited):
        response.waiting = True
    else:
        response.returned_minor = main.returned_minor
    _receipt(response, result, main)


def _reversed(
    response: ReverseTransactionResponse, result: Outcome, main: TransactionReversed | ReversalAwaited
) -> None:
    if isinstance(main, ReversalAwaited):
        response.blocked = True
        _write_outcome(response.outcome, result)
    else:
        _receipt(response, result, main)


def _receipt(response: Any, result: Outcome, main: Any) -> None:
    response.receipt.CopyFrom(main.receipt)
    _write_outcome(response.outcome, result)


def _activity(
    response: RecordActivityResponse | RecordFeedbackResponse,
    result: Outcome,
    main: ActivityRecorded | FeedbackRecorded,
) -> None:
    response.awards.MergeFrom(main.awards)
    _receipt(response, result, main)


def _settled(response: SettlePendingResponse, result: Outcome, main: PendingSettled) -> None:
    response.points = points_of(main.taken)
    _receipt(response, result, main)


def _extended(response: ExtendExpiryResponse, result: Outcome, main: ExpiryExtended) -> None:
    response.points = points_of(main.taken)
    _receipt(response, result, main)


def _entitled(response: UseEntitlementResponse, result: Outcome, main: EntitlementUsed) -> None:
    response.entitlement.CopyFrom(main.entitlement)
    _receipt(response, result, main)


def _uploaded(response: UploadVoucherCodesResponse, result: Outcome, main: VoucherCodesUploaded) -> None:
    response.uploaded = main.uploaded
    _write_outcome(response.outcome, result)


def _updated(response: UpdateMemberResponse, result: Outcome, main: MemberUpdated) -> None:
    response.fields.extend(main.fields)
    response.attributes.extend(main.attributes)
    response.kept.extend(main.kept)
    response.etag = etag_of(main.profile_version)
    _write_outcome(response.outcome, result)


def _published(response: PublishProgramResponse, result: Outcome, main: ProgramPublished) -> None:
    response.program.CopyFrom(main.request.program)
    _write_outcome(response.outcome, result)


def _saved(response: SaveSegmentResponse, result: Outcome, main: SegmentSaved) -> None:
    response.segment.CopyFrom(main.request.segment)
    response.segment.version = main.version
    response.segment.etag = etag_of_segment(main.version)
    _write_outcome(response.outcome, result)


def _recorded(response: Any, result: Outcome, _main: Message) -> None:
    _write_outcome(response.outcome, result)


_WRITE: Final[Mapping[type[Message], Callable[[Any, Outcome, Any], None]]] = {
    EnrollMemberResponse: _enrolled,
    RecordSaleResponse: _sale,
    QuoteSaleResponse: _quote,
    ReserveRewardResponse: _reserved,
    CommitRewardResponse: _committed,
    ReleaseRewardResponse: _receipt,
    ReturnSaleResponse: _returned,
    ReverseTransactionResponse: _reversed,
    AdjustPointsResponse: _receipt,
    RecordActivityResponse: _activity,
    SettlePendingResponse: _settled,
    RevokeVoucherResponse: _receipt,
    RevokeEntitlementResponse: _receipt,
    UseEntitlementResponse: _entitled,
    ExtendExpiryResponse: _extended,
    ReinstatePointsResponse: _receipt,
    SetTierFloorResponse: _receipt,
    GrantRewardResponse: _committed,
    PublishProgramResponse: _published,
    UploadVoucherCodesResponse: _uploaded,
    RecordConsentsResponse: _receipt,
    EraseMemberResponse: _receipt,
    RecordFeedbackResponse: _activity,
    SaveSegmentResponse: _saved,
    DeleteSegmentResponse: _recorded,
    SetSegmentMembersResponse: _recorded,
    UpdateMemberResponse: _updated,
}
