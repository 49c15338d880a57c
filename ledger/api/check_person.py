"""Checks of the requests about a person: consents, erasure, and all that is known."""

from collections.abc import Sequence
from typing import Final

from loyalty.v1.consent_pb2 import (
    ConsentChange,
    ContactChannel,
    EraseMemberRequest,
    ErasureReason,
    RecordConsentsRequest,
)
from loyalty.v1.person_pb2 import ExportMemberRequest, ListConsentsRequest

from ledger.api.check_parts import check_head, check_who
from ledger.api.fields import (
    Checks,
    Problems,
    check_enum,
    check_member_name,
    check_not_negative,
    check_text,
    check_timestamp,
)
from ledger.domain.publish_fields import ID_FORM, is_id

CHANGES_MAX: Final = 100
"""Decisions of one RecordConsents, or of an enrolment."""

_CHANNELS: Final = frozenset(ContactChannel.values()) - {ContactChannel.CONTACT_CHANNEL_UNSPECIFIED}
_REASONS: Final = frozenset(ErasureReason.values()) - {ErasureReason.ERASURE_REASON_UNSPECIFIED}


def _check_record_consents(request: RecordConsentsRequest, now: int, problems: Problems) -> None:
    """What RecordConsents is asked with."""
    check_head(request.request_id, request.origin, now, problems)
    check_who(request, problems)
    if not request.changes:
        problems.append(("changes", "is required: at least one decision"))
    check_changes(request.changes, "changes", problems)


def check_changes(changes: Sequence[ConsentChange], path: str, problems: Problems) -> None:
    """What a member decided, each purpose and way of contact once."""
    if len(changes) > CHANGES_MAX:
        problems.append((path, f"must be at most {CHANGES_MAX}; there are {len(changes)}"))
    seen: set[tuple[str, int]] = set()
    for index, change in enumerate(changes[:CHANGES_MAX]):
        _change(change, f"{path}[{index}]", problems)
        if (change.purpose, change.channel) in seen:
            problems.append((f"{path}[{index}]", "is about a purpose and way of contact that is there already"))
        seen.add((change.purpose, change.channel))


def _change(change: ConsentChange, path: str, problems: Problems) -> None:
    if not is_id(change.purpose):
        problems.append((f"{path}.purpose", f"must be {ID_FORM}"))
    check_enum(change.channel, _CHANNELS, f"{path}.channel", problems)
    if not change.given:
        for field in ("text_id", "text_version", "language_code"):
            if getattr(change, field):
                problems.append((f"{path}.{field}", "must be empty: nothing is shown to withdraw"))
        return
    if not is_id(change.text_id):
        problems.append((f"{path}.text_id", f"must be {ID_FORM}: the text that was shown"))
    if change.text_version < 1:
        problems.append((f"{path}.text_version", "must be 1 or more: the version that was shown"))
    if change.language_code not in ("en", "hi"):
        problems.append((f"{path}.language_code", 'must be "en" or "hi": the language in which it was shown'))


def _check_erase_member(request: EraseMemberRequest, now: int, problems: Problems) -> None:
    """What EraseMember is asked with."""
    check_head(request.request_id, request.origin, now, problems)
    check_member_name(request.member, "member", problems)
    check_enum(request.reason, _REASONS, "reason", problems)
    check_text(request.etag, "etag", problems)


def _check_list_consents(request: ListConsentsRequest, _now: int, problems: Problems) -> None:
    """What ListConsents is asked with."""
    check_member_name(request.member, "member", problems)
    if request.HasField("as_of"):
        check_timestamp(request.as_of, "as_of", problems)
    check_page(request.page_size, request.page_token, request.min_position, problems)


def _check_export_member(request: ExportMemberRequest, _now: int, problems: Problems) -> None:
    """What ExportMember is asked with."""
    check_member_name(request.member, "member", problems)


def check_page(size: int, token: str, min_position: int, problems: Problems) -> None:
    """Which page of a list is asked for, and how new."""
    check_not_negative(size, "page_size", problems)
    check_text(token, "page_token", problems, most=1_000)
    check_not_negative(min_position, "min_position", problems)


CHECKS: Final[Checks] = {
    RecordConsentsRequest: _check_record_consents,
    EraseMemberRequest: _check_erase_member,
    ListConsentsRequest: _check_list_consents,
    ExportMemberRequest: _check_export_member,
}
