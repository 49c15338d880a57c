"""A segment as decisions know it, from the log: its last event says which one has its definition."""

from uuid import UUID

from eventsourcing.persistence import MapperDeserialisationError
from loyalty.v1.events_pb2 import SegmentDeleted, SegmentSaved

from ledger.domain.refusal import InvariantBroken
from ledger.domain.segments.decide import Segment
from ledger.store.recorder import Session


def segment_of(session: Session, stream_id: UUID, program: str) -> Segment:
    """The segment of a stream, which may be empty. Raises InvariantBroken when its events cannot be read."""
    last = session.event(stream_id)
    if last is None:
        return Segment(stream_id, 0, others=session.count_segments(program))
    try:
        payload = last.payload
        version = getattr(payload, "definition_version", last.version)
        at = last if version == last.version else session.event(stream_id, version)
        definition = at.payload if at is not None else None
    except MapperDeserialisationError as error:
        raise InvariantBroken(f"segment {stream_id}: {error}") from error
    if not isinstance(definition, SegmentSaved | SegmentDeleted):
        raise InvariantBroken(f"segment {stream_id}: event {version} is no definition")
    return Segment(stream_id, last.version, definition, version)
