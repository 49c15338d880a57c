"""Deciding what somebody does to a segment."""

from collections.abc import Iterator
from typing import Final, NamedTuple
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import SegmentDeleted, SegmentListed, SegmentSaved
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.program_pb2 import Program
from loyalty.v1.segment_pb2 import DeleteSegmentRequest, SaveSegmentRequest, SetSegmentMembersRequest

from ledger.domain.names import segment_stream
from ledger.domain.new_event import NewEvent
from ledger.domain.refusal import Rejected

SEGMENTS_MAX: Final = 500
"""Segments of a program, deleted ones apart. All of them are decided whenever something happens to a member."""

SegmentCommand = SaveSegmentRequest | DeleteSegmentRequest | SetSegmentMembersRequest


class Segment(NamedTuple):
    """What a decision has to know of a segment."""

    stream_id: UUID
    version: int
    """Of its last event; 0 where there is none."""
    definition: SegmentSaved | SegmentDeleted | None = None
    """The event that has its definition, or says that it is deleted."""
    definition_version: int = 0
    """Which of its events that is."""
    others: int = 0
    """Where there is none: how many segments its program has, by the view, which may be some moments behind."""


class SegmentUnknown(Exception):
    """A segment that the decision needs and that nobody has looked up yet."""

    def __init__(self, stream_id: UUID, program: str) -> None:
        super().__init__(f"segment {stream_id} of {program} has to be looked up")
        self.stream_id = stream_id
        self.program = program


def name_of(request: SegmentCommand) -> str:
    """The segment that a command is about."""
    return request.segment.name if isinstance(request, SaveSegmentRequest) else request.name


def etag_of(version: int) -> str:
    """The etag of a definition."""
    return f'"v{version}"'


def decide_segment(
    request: SegmentCommand, request_id: UUID, origin: Origin, segment: Segment, program: Program
) -> tuple[NewEvent, Segment]:
    """Decides a checked command: its event, and the segment afterwards. Raises Rejected."""
    event: SegmentSaved | SegmentDeleted | SegmentListed
    match request:
        case SaveSegmentRequest():
            event = _save(request, origin, segment)
        case DeleteSegmentRequest():
            event = _delete(request, origin, segment, program)
        case SetSegmentMembersRequest():
            _live(request.name, segment)
            event = SegmentListed(origin=origin, request=request, definition_version=segment.definition_version)
    version = segment.version + 1
    after = segment._replace(version=version)
    if not isinstance(event, SegmentListed):
        after = after._replace(definition=event, definition_version=version)
    return NewEvent(segment_stream(name_of(request)), version, event, request_id, None, None), after


def _save(request: SaveSegmentRequest, origin: Origin, segment: Segment) -> SegmentSaved:
    if isinstance(segment.definition, SegmentDeleted):
        raise Rejected(ErrorReason.ERROR_REASON_SEGMENT_DELETED, segment=request.segment.name)
    if segment.others >= SEGMENTS_MAX:
        raise Rejected(ErrorReason.ERROR_REASON_TOO_MANY_SEGMENTS, limit=SEGMENTS_MAX)
    version = segment.definition.version if segment.definition is not None else 0
    _check_etag(request.segment.etag, version)
    return SegmentSaved(origin=origin, request=request, version=version + 1)


def _delete(request: DeleteSegmentRequest, origin: Origin, segment: Segment, program: Program) -> SegmentDeleted:
    saved = _live(request.name, segment)
    _check_etag(request.etag, saved.version)
    path = next(_uses(program, request.name.rpartition("/")[2]), None)
    if path is not None:
        raise Rejected(ErrorReason.ERROR_REASON_SEGMENT_IN_USE, segment=request.name, used_by=f"{program.name}: {path}")
    return SegmentDeleted(origin=origin, request=request, version=saved.version)


def _live(name: str, segment: Segment) -> SegmentSaved:
    if not isinstance(segment.definition, SegmentSaved):
        raise Rejected(ErrorReason.ERROR_REASON_SEGMENT_NOT_FOUND, segment=name)
    return segment.definition


def _check_etag(sent: str, version: int) -> None:
    etag = etag_of(version) if version else ""
    if sent and sent != etag:
        raise Rejected(ErrorReason.ERROR_REASON_ETAG_MISMATCH, etag=etag)


def _uses(message: Message, segment_id: str, path: str = "") -> Iterator[str]:
    """The paths of expressions within a program that name a segment."""
    for field, value in message.ListFields():
        where = f"{path}.{field.name}" if path else field.name
        if field.name == "expression":
            if "segments" in value and (f'"{segment_id}"' in value or f"'{segment_id}'" in value):
                yield where
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for index, entry in enumerate(value if field.is_repeated else [value]):
                yield from _uses(entry, segment_id, f"{where}[{index}]" if field.is_repeated else where)
