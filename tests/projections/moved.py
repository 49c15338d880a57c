"""Segments that members enter and leave."""

import random
from uuid import UUID

from loyalty.v1.events_pb2 import SegmentDeleted, SegmentListed, SegmentMembersChanged, SegmentSaved
from loyalty.v1.segment_pb2 import (
    DeleteSegmentRequest,
    SaveSegmentRequest,
    Segment,
    SegmentCause,
    SetSegmentMembersRequest,
)

from ledger.domain.names import member_name, segment_stream
from ledger.domain.new_event import NewEvent
from tests.projections.history import START


def moved(events: int, seed: int = 7) -> list[NewEvent]:
    """The events of two segments, the second of which is deleted at the end."""
    chance = random.Random(seed)  # noqa: S311 - not for cryptography
    names = ["programs/shop/segments/one", "programs/shop/segments/two"]
    versions = dict.fromkeys(names, 0)
    inside: dict[str, set[str]] = {name: set() for name in names}
    members = [member_name(UUID(int=number)) for number in range(1, 9)]
    made: list[NewEvent] = []

    def record(name: str, payload: SegmentSaved | SegmentDeleted | SegmentListed | SegmentMembersChanged) -> None:
        versions[name] += 1
        request_id = None
        if not isinstance(payload, SegmentMembersChanged):
            request_id = UUID(int=chance.getrandbits(128), version=4)
            payload.request.request_id = str(request_id)
        made.append(NewEvent(segment_stream(name), versions[name], payload, request_id, None, None))

    for name in names:
        record(name, SegmentSaved(request=SaveSegmentRequest(segment=Segment(name=name)), version=1))
    for number in range(events):
        name = chance.choice(names)
        if chance.random() < 0.2:
            listed = SetSegmentMembersRequest(
                name=name, add=chance.sample(members[:4], 2), remove=chance.sample(members[4:], 2)
            )
            record(name, SegmentListed(request=listed, definition_version=1))
            continue
        some = set(chance.sample(members, 3))
        changed = SegmentMembersChanged(
            segment=name,
            definition_version=1,
            entered=sorted(some - inside[name]),
            left=sorted(some & inside[name]),
            cause=SegmentCause.SEGMENT_CAUSE_CHANGED,
        )
        changed.at.FromMicroseconds(START + number)
        inside[name] ^= some
        record(name, changed)
    record(names[1], SegmentDeleted(request=DeleteSegmentRequest(name=names[1]), version=1))
    return made
