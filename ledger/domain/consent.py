"""Consent: what members decide about the use of their data, by purpose, way of contact and version of the text."""

from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from loyalty.v1.consent_pb2 import Consent, ConsentChange, ConsentPurpose, RecordConsentsRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import ConsentGiven, ConsentsRecorded, ConsentWithdrawn

from ledger.domain.case import Case
from ledger.domain.instant import set_timestamp
from ledger.domain.refusal import Rejected
from ledger.domain.validity import start_of_later_day


def record_consents(case: Case[RecordConsentsRequest]) -> None:
    """Decides what a member agrees to and what they withdraw."""
    request = case.request
    event = ConsentsRecorded(origin=case.origin, request=request, program_version=case.program.version)
    case.record(event, main=True)
    record_changes(case, request.changes)
    case.write_receipt(event.receipt)


def record_changes(case: Case[Any], changes: Iterable[ConsentChange]) -> None:
    """Records decisions behind their command's main event. Raises Rejected for what the program does not ask.

    A withdrawal is accepted for every purpose that the program has, or that the member has decided about.
    """
    purposes = {purpose.purpose_id: purpose for purpose in case.program.definition.consents}
    version = case.program.version
    for change in changes:
        if change.given:
            consent = _consent(purposes, change, case.decided_at, case.program.zone)
            given = ConsentGiven(origin=case.origin, program_version=version, consent=consent)
            set_timestamp(given.effective_at, case.decided_at)
            case.record(given, transaction_id=case.request_id)
            continue
        if change.purpose not in purposes and all(key[0] != change.purpose for key in case.account.person.consents):
            raise _not_found(change)
        withdrawn = ConsentWithdrawn(
            origin=case.origin, program_version=version, purpose=change.purpose, channel=change.channel
        )
        set_timestamp(withdrawn.effective_at, case.decided_at)
        case.record(withdrawn, transaction_id=case.request_id)


def _consent(purposes: Mapping[str, ConsentPurpose], change: ConsentChange, at: int, zone: ZoneInfo) -> Consent:
    purpose = purposes.get(change.purpose)
    if purpose is None:
        raise _not_found(change)
    if all((text.text_id, text.version) != (change.text_id, change.text_version) for text in purpose.texts):
        raise _not_found(change)
    consent = Consent(
        purpose=change.purpose,
        channel=change.channel,
        text_id=change.text_id,
        text_version=change.text_version,
        language_code=change.language_code,
    )
    if purpose.renew_after_days:
        set_timestamp(consent.expires_at, start_of_later_day(at, purpose.renew_after_days + 1, zone))
    return consent


def _not_found(change: ConsentChange) -> Rejected:
    return Rejected(
        ErrorReason.ERROR_REASON_CONSENT_NOT_FOUND,
        purpose=change.purpose,
        text=change.text_id,
        version=change.text_version,
    )
