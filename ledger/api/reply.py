"""From the writer's results to replies."""

from collections.abc import Callable
from typing import Any, Final

import structlog
from google.protobuf.message import Message
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    CommitRewardRequest,
    EnrollMemberRequest,
    RecordSaleRequest,
    ReleaseRewardRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    ReverseTransactionRequest,
)
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    CommandRefused,
    PointsRedeemed,
    ProgramPublished,
    ReturnAwaited,
    ReversalAwaited,
    SaleRecorded,
)
from loyalty.v1.pos_service_pb2 import (
    CommandResult,
    CommitRewardResponse,
    EnrollMemberResponse,
    QuoteSaleResponse,
    RecordSaleResponse,
    ReleaseRewardResponse,
    ReserveRewardResponse,
    ReturnSaleResponse,
    ReverseTransactionResponse,
)
from loyalty.v1.pos_service_pb2 import Outcome as OutcomeMessage
from loyalty.v1.program_service_pb2 import AdjustPointsResponse, PublishProgramResponse
from uuid_utils.compat import uuid7

from ledger.api.errors import ApiError
from ledger.api.texts import receipt_texts
from ledger.domain.instant import set_timestamp
from ledger.domain.names import hold_name, member_name, transaction_name
from ledger.domain.refusal import InvariantBroken, Rejected
from ledger.writer.command import Existing, Failure, Outcome, Settled
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


def api_error(error: Exception) -> Exception:
    """The error that callers get for one of ours; any other as it is, for the gate to hide behind an incident."""
    if isinstance(error, Rejected):
        return ApiError.of(error.reason, **error.metadata)
    if isinstance(error, DamagedAccount | InvariantBroken):
        return ApiError.of(ErrorReason.ERROR_REASON_DATA_CORRUPT, where=str(error))
    reason = _REASONS.get(type(error))
    return error if reason is None else ApiError.of(reason)


def reply(result: Result, *, with_texts: bool = True) -> Any:
    """The response of the call that a command came from. Raises ApiError where it failed or was refused."""
    if isinstance(result, Failure):
        raise api_error(result.error)
    if isinstance(result, Existing):
        existing = EnrollMemberResponse(member=member_name(result.member), existed=True, receipt=result.receipt)
        existing.outcome.member = existing.member
        existing.outcome.program_version = result.program.version
        if with_texts:
            existing.receipt.texts.extend(receipt_texts(existing.receipt, result.program))
        return existing
    if isinstance(result, Settled):
        raise InvariantBroken("no call settles an account")
    main = result.main
    if isinstance(main, CommandRefused):
        # Where a refusal names another transaction, that one is what the caller needs.
        own = {"transaction": transaction_name(result.transaction)}
        raise ApiError.of(main.reason, **(own | dict(main.metadata)))
    if isinstance(main, ProgramPublished):
        return _published(result, main)
    response = _REPLIES[type(result.command.request)](result, main)
    if result.command.dry_run:
        response = _quote(response)
    if with_texts and result.program is not None and response.HasField("receipt"):
        texts = receipt_texts(response.receipt, result.program, is_quote=result.command.dry_run)
        response.receipt.texts.extend(texts)
    return response


def batch_result(result: Result, *, with_texts: bool) -> CommandResult:
    """The result of one command of a batch or stream."""
    item = CommandResult(request_id=str(result.command.request_id))
    try:
        response = reply(result, with_texts=with_texts)
    except ApiError as error:
        item.error.CopyFrom(error.item_error())
        return item
    except Exception:
        # Its neighbours are on disk and must get their answers.
        incident = uuid7().hex[:20]
        log.exception("incident", incident=incident)
        item.error.CopyFrom(ApiError.internal(incident).item_error())
        return item
    getattr(item, RESULT_FIELD[type(result.command.request)]).CopyFrom(response)
    return item


RESULT_FIELD: Final[dict[type[Message], str]] = {
    EnrollMemberRequest: "enroll_member",
    RecordSaleRequest: "record_sale",
    ReserveRewardRequest: "reserve_reward",
    CommitRewardRequest: "commit_reward",
    ReleaseRewardRequest: "release_reward",
    ReturnSaleRequest: "return_sale",
    ReverseTransactionRequest: "reverse_transaction",
}


def _write_outcome(message: OutcomeMessage, result: Outcome) -> None:
    message.transaction = transaction_name(result.transaction)
    message.position = result.position
    set_timestamp(message.recorded_at, result.recorded_at)
    message.replayed = result.replayed
    if not isinstance(result.main, ReversalAwaited):
        message.member = member_name(result.subject)
        message.program_version = result.main.program_version  # type: ignore[attr-defined]  # every main event on an account has it


def _enrolled(result: Outcome, main: Any) -> EnrollMemberResponse:
    response = EnrollMemberResponse(member=member_name(result.subject), receipt=main.receipt)
    _write_outcome(response.outcome, result)
    return response


def _sale(result: Outcome, main: SaleRecorded) -> RecordSaleResponse:
    response = RecordSaleResponse(receipt=main.receipt, awards=main.awards, redemptions=main.redemptions)
    _write_outcome(response.outcome, result)
    return response


def _quote(sale: RecordSaleResponse) -> QuoteSaleResponse:
    return QuoteSaleResponse(receipt=sale.receipt, awards=sale.awards, redemptions=sale.redemptions)


def _reserved(result: Outcome, main: Any) -> ReserveRewardResponse:
    response = ReserveRewardResponse(
        hold=hold_name(result.subject, str(result.transaction)),
        points=main.points,
        expires_at=main.expires_at,
        receipt=main.receipt,
    )
    _write_outcome(response.outcome, result)
    return response


def _committed(result: Outcome, main: PointsRedeemed) -> CommitRewardResponse:
    response = CommitRewardResponse(receipt=main.receipt, redemption=main.redemption)
    _write_outcome(response.outcome, result)
    return response


def _released(result: Outcome, main: Any) -> ReleaseRewardResponse:
    response = ReleaseRewardResponse(receipt=main.receipt)
    _write_outcome(response.outcome, result)
    return response


def _returned(result: Outcome, main: Any) -> ReturnSaleResponse:
    response = ReturnSaleResponse(receipt=main.receipt)
    if isinstance(main, ReturnAwaited):
        response.waiting = True
    else:
        response.returned_minor = main.returned_minor
    _write_outcome(response.outcome, result)
    return response


def _reversed(result: Outcome, main: Any) -> ReverseTransactionResponse:
    response = ReverseTransactionResponse()
    if isinstance(main, ReversalAwaited):
        response.blocked = True
    else:
        response.receipt.CopyFrom(main.receipt)
    _write_outcome(response.outcome, result)
    return response


def _adjusted(result: Outcome, main: Any) -> AdjustPointsResponse:
    response = AdjustPointsResponse(receipt=main.receipt)
    _write_outcome(response.outcome, result)
    return response


def _published(result: Outcome, main: ProgramPublished) -> PublishProgramResponse:
    response = PublishProgramResponse(program=main.request.program)
    response.outcome.transaction = transaction_name(result.transaction)
    response.outcome.position = result.position
    set_timestamp(response.outcome.recorded_at, result.recorded_at)
    response.outcome.replayed = result.replayed
    response.outcome.program_version = main.request.program.version
    return response


_REPLIES: Final[dict[type[Message], Callable[[Outcome, Any], Any]]] = {
    EnrollMemberRequest: _enrolled,
    RecordSaleRequest: _sale,
    ReserveRewardRequest: _reserved,
    CommitRewardRequest: _committed,
    ReleaseRewardRequest: _released,
    ReturnSaleRequest: _returned,
    ReverseTransactionRequest: _reversed,
    AdjustPointsRequest: _adjusted,
}
