"""Erasing a member: the person is forgotten, the points stay in the books."""

from loyalty.v1.consent_pb2 import EraseMemberRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import MemberErased

from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.instant import instant_text, set_timestamp
from ledger.domain.refusal import Rejected


def erase_member(case: Case[EraseMemberRequest]) -> None:
    """Decides that a member is erased. What the profile store has of them goes with the event.

    Points, vouchers and entitlements stay until they expire: the books owe them until then, and nobody can use them.
    """
    event = MemberErased(origin=case.origin, request=case.request, program_version=case.program.version)
    set_timestamp(event.effective_at, case.decided_at)
    case.record(event, main=True)
    case.write_receipt(event.receipt)


def check_not_erased(account: Account) -> None:
    """Raises Rejected where a member is erased: nothing is recorded for them any more, not even a refusal."""
    erased_at = account.person.erased_at
    if erased_at:
        raise Rejected(ErrorReason.ERROR_REASON_MEMBER_ERASED, erased_at=instant_text(erased_at))


def check_unchanged(account: Account, request: EraseMemberRequest) -> None:
    """Raises Rejected where something was recorded since whoever wants to erase a member looked."""
    etag = f'"v{account.version}"'
    if request.etag and request.etag != etag:
        raise Rejected(ErrorReason.ERROR_REASON_ETAG_MISMATCH, etag=etag)
