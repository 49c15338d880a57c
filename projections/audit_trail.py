"""The audit trail: who administered what, read personal data and was refused, entry by entry."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.audit_trail_pb2 import AuditEntry, AuditKind
from loyalty.v1.consent_pb2 import EraseMemberRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    AuditRecorded,
    CommandRefused,
    EntitlementRevoked,
    ExpiryExtended,
    MemberErased,
    PendingSettled,
    PointsAdjusted,
    PointsReinstated,
    ProgramPublished,
    RewardGranted,
    SegmentDeleted,
    SegmentListed,
    SegmentSaved,
    TierFloorSet,
    VoucherCodesUploaded,
    VoucherRevoked,
)
from loyalty.v1.segment_pb2 import DeleteSegmentRequest, SaveSegmentRequest, SetSegmentMembersRequest

from ledger.domain.effect import effective_at
from ledger.domain.instant import from_timestamp
from ledger.domain.names import member_name, member_of
from ledger.domain.segments.decide import name_of
from projections.page import Event
from projections.projection import Projection, Step, columns
from projections.sql import statements

_OF_SEGMENTS: Final = frozenset({SegmentSaved, SegmentDeleted, SegmentListed})

_OF_CRM: Final = (EraseMemberRequest, SaveSegmentRequest, DeleteSegmentRequest, SetSegmentMembersRequest)
"""What is done by hand through CrmService; all else is done through ProgramService."""

_BY_HAND: Final = frozenset(
    {
        ProgramPublished,
        VoucherCodesUploaded,
        PointsAdjusted,
        PendingSettled,
        ExpiryExtended,
        PointsReinstated,
        TierFloorSet,
        RewardGranted,
        VoucherRevoked,
        EntitlementRevoked,
        MemberErased,
        *_OF_SEGMENTS,
    }
)
"""What somebody does by hand. The event has its command unless something else took it along."""

_REFUSED_BY_HAND: Final = frozenset(
    {
        "adjust_points",
        "settle_pending",
        "extend_expiry",
        "reinstate_points",
        "set_tier_floor",
        "grant_reward",
        "revoke_voucher",
        "revoke_entitlement",
        "erase_member",
    }
)
"""The same among refused commands, by their field."""

_OF_MEMBER: Final = re.compile("members/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/.*)?").fullmatch

_Row = tuple[Any, ...]


class AuditTrail(Projection):
    """The entries of the audit trail. What is by hand is an event of its own; the rest is in AuditRecorded."""

    name: ClassVar[str] = "audit_trail"
    sql: ClassVar[Mapping[str, bytes]] = statements("audit_trail.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"audit_entries": ("position", "entry")}
    owner: ClassVar[str] = "stream_id"

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page."""
        rows: list[_Row] = []
        for event in events:
            kind = type(event.payload)
            if kind is AuditRecorded:
                entries = event.payload.request.entries
                rows += [_row(event, number, entry) for number, entry in enumerate(entries)]
            elif kind in _BY_HAND:
                if event.payload.HasField("request"):
                    rows.append(_by_hand(event, event.payload.request))
            elif kind is CommandRefused:
                field = event.payload.WhichOneof("request")
                if field in _REFUSED_BY_HAND:
                    rows.append(_by_hand(event, getattr(event.payload, field), event.payload.reason))
        return [Step("enter", columns(rows), len(rows))] if rows else []


def _by_hand(
    event: Event, request: Message, reason: ErrorReason.ValueType = ErrorReason.ERROR_REASON_UNSPECIFIED
) -> _Row:
    origin = event.payload.origin
    service = "CrmService" if isinstance(request, _OF_CRM) else "ProgramService"
    entry = AuditEntry(
        kind=AuditKind.AUDIT_KIND_REFUSAL if reason else AuditKind.AUDIT_KIND_ADMINISTRATION,
        actor=origin.credential,
        operator=origin.operator,
        method=f"loyalty.v1.{service}/{request.DESCRIPTOR.name.removesuffix('Request')}",
        resource=_resource(event, request),
        store=origin.store,
        terminal=origin.terminal,
        reason=reason,
        count=1,
    )
    at = effective_at(event.payload, event.recorded_at)
    return _row(event, 0, entry, at, at)


def _resource(event: Event, request: Any) -> str:
    """What a command by hand is about."""
    kind = type(event.payload)
    if kind is ProgramPublished:
        return str(request.program.name)
    if kind is VoucherCodesUploaded:
        return str(request.program)
    if kind in _OF_SEGMENTS:
        return name_of(request)
    for field in ("voucher", "entitlement"):
        if field in request.DESCRIPTOR.fields_by_name:
            return str(getattr(request, field))
    return member_name(event.stream_id)


def _row(event: Event, number: int, entry: AuditEntry, first_at: int | None = None, last_at: int | None = None) -> _Row:
    return (
        event.position,
        number,
        event.stream_id,
        event.recorded_at,
        entry.kind,
        entry.actor,
        entry.role,
        entry.operator,
        entry.method,
        entry.resource,
        _member(entry.resource),
        entry.store,
        entry.terminal,
        entry.network,
        entry.reason,
        entry.count,
        from_timestamp(entry.first_at) if first_at is None else first_at,
        from_timestamp(entry.last_at) if last_at is None else last_at,
        json.dumps(dict(entry.details), sort_keys=True),
    )


def _member(resource: str) -> UUID | None:
    """The member that a resource is, or belongs to."""
    return member_of(resource) if _OF_MEMBER(resource) else None
