"""A trail of what somebody did."""

import random
from uuid import UUID

from loyalty.v1.audit_trail_pb2 import AuditKind, RecordAuditRequest
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.instant import set_timestamp
from ledger.domain.names import member_name, trail_name
from ledger.domain.new_event import NewEvent
from ledger.domain.record_audit import record_audit
from tests.projections.history import START

TRAIL = UUID(int=1)


def audited(requests: int, seed: int = 7) -> list[NewEvent]:
    """The events of one trail, of one to three entries each."""
    chance = random.Random(seed)  # noqa: S311 - not for cryptography
    events: list[NewEvent] = []
    for number in range(1, requests + 1):
        request_id = UUID(int=chance.getrandbits(128), version=4)
        request = RecordAuditRequest(request_id=str(request_id), trail=trail_name(TRAIL), number=number)
        for _ in range(chance.randint(1, 3)):
            entry = request.entries.add(
                kind=chance.choice([AuditKind.AUDIT_KIND_READ, AuditKind.AUDIT_KIND_REFUSAL]),
                actor=f"credentials/t-{chance.randint(2, 9)}",
                method="loyalty.v1.PosService/LookupMember",
                resource=member_name(UUID(int=chance.randint(1, 9))),
                count=chance.randint(1, 5),
                details={"b": "2", "a": "1"},
            )
            set_timestamp(entry.first_at, START + number)
            set_timestamp(entry.last_at, START + number)
        events.append(record_audit(request, request_id, Origin()))
    return events
