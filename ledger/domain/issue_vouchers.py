"""Issuing vouchers and taking them back."""

from collections.abc import Sequence
from uuid import uuid5

from loyalty.v1.account_pb2 import IssuedVoucher, Redemption
from loyalty.v1.commands_pb2 import RevokeVoucherRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import ReleaseReason, VoucherIssued, VoucherRevoked
from loyalty.v1.reward_pb2 import Reward, VoucherState

from ledger.domain.case import Case, RequestT
from ledger.domain.code import hash_of, new_code
from ledger.domain.draw import give_back
from ledger.domain.instant import FOREVER, instant_text, set_timestamp
from ledger.domain.names import voucher_name
from ledger.domain.refusal import InvariantBroken, Refused, Rejected
from ledger.domain.rules.reward import stock_of
from ledger.domain.validity import valid_between
from ledger.domain.voucher import ISSUED, NewCode, Voucher, is_used

_REFUSALS = {
    VoucherState.VOUCHER_STATE_USED: ErrorReason.ERROR_REASON_VOUCHER_USED,
    VoucherState.VOUCHER_STATE_REVOKED: ErrorReason.ERROR_REASON_VOUCHER_REVOKED,
    VoucherState.VOUCHER_STATE_EXPIRED: ErrorReason.ERROR_REASON_VOUCHER_EXPIRED,
}


def issue_vouchers(case: Case[RequestT], redemption: Redemption, reward: Reward, uploaded: Sequence[str]) -> None:
    """Issues the vouchers that a redemption bought, and names them in it.

    `uploaded` has the hashes of the codes that it was given, where its codes come from a pool.
    """
    terms = reward.voucher
    period = terms.validity if terms.HasField("validity") else None
    for number in range(redemption.quantity):
        voucher_id = uuid5(case.request_id, f"voucher/{redemption.hold[-36:]}/{number}")
        code_hash = uploaded[number] if uploaded else _new_code(case)
        starts_at, expires_at = valid_between(case.at, terms.start_days, period, case.program.zone)
        voucher = Voucher(
            voucher_name(case.account.account_id, voucher_id),
            code_hash,
            reward,
            starts_at,
            expires_at,
            reward.voucher.value_minor,
            ISSUED,
        )
        event = VoucherIssued(origin=case.origin, program_version=case.program.version)
        voucher.write(event.voucher)
        case.record(event, transaction_id=case.request_id)
        redemption.vouchers.append(_issued(voucher))


def _new_code(case: Case[RequestT]) -> str:
    """Makes a code; returns its hash. Raises InvariantBroken where everybody could make the same."""
    if not case.secret:
        raise InvariantBroken("codes are made from random bytes, and there are none")
    code = new_code(case.secret + case.request_id.bytes, len(case.codes))
    case.codes.append(NewCode(hash_of(code), code))
    return hash_of(code)


def _issued(voucher: Voucher) -> IssuedVoucher:
    issued = IssuedVoucher(name=voucher.name, code_hash=voucher.code_hash)
    if voucher.starts_at:
        set_timestamp(issued.starts_at, voucher.starts_at)
    if voucher.expires_at != FOREVER:
        set_timestamp(issued.expires_at, voucher.expires_at)
    return issued


def voucher_by_code(case: Case[RequestT], code_hash: str) -> Voucher:
    """The member's voucher with a code, if it can be used now.

    Raises Rejected when the member has none with this code, and Refused, saying why, when it is theirs and cannot be
    used. Of anybody else's nothing is said, so that trying out codes tells nothing.
    """
    voucher = next((one for one in case.account.vouchers.values() if one.code_hash == code_hash), None)
    if voucher is None:
        raise Rejected(ErrorReason.ERROR_REASON_VOUCHER_NOT_FOUND)
    check_open(voucher)
    if voucher.starts_at > case.at:
        raise Refused(
            ErrorReason.ERROR_REASON_VOUCHER_NOT_STARTED,
            voucher=voucher.name,
            starts_at=instant_text(voucher.starts_at),
        )
    return voucher


def check_open(voucher: Voucher) -> None:
    """Raises Refused when a voucher is used up, taken back or expired."""
    refusal = _REFUSALS.get(voucher.state)
    if refusal is not None:
        raise Refused(refusal, voucher=voucher.name, expires_at=instant_text(voucher.expires_at))


def revoke_voucher(case: Case[RevokeVoucherRequest]) -> None:
    """Decides that a voucher can never be used. One that was not used is back in stock."""
    voucher = case.account.vouchers.get(case.request.voucher)
    if voucher is None:
        raise Rejected(ErrorReason.ERROR_REASON_VOUCHER_NOT_FOUND)
    check_open(voucher)
    event = VoucherRevoked(
        origin=case.origin, request=case.request, program_version=case.program.version, voucher=voucher.name
    )
    case.record(event, main=True)
    if not is_used(voucher):
        give_back(case, stock_of(voucher.reward), ReleaseReason.RELEASE_REASON_REVERSED)
    case.write_receipt(event.receipt)
