"""Recording who did what, where no other event says so."""

from uuid import UUID

from loyalty.v1.audit_trail_pb2 import RecordAuditRequest
from loyalty.v1.events_pb2 import AuditRecorded
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.names import last_id
from ledger.domain.new_event import NewEvent


def record_audit(request: RecordAuditRequest, request_id: UUID, origin: Origin) -> NewEvent:
    """Decides a request of the service itself: what happened cannot be refused."""
    return NewEvent(
        last_id(request.trail),
        request.number,
        AuditRecorded(origin=origin, request=request),
        request_id,
        None,
        None,
    )
