"""Segments for tests: saved, listed and read in few words, with who is in up to the last event."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1 import segment_pb2 as commands
from loyalty.v1 import segment_reads_pb2 as pb

from tests.shop import TIMEOUT_S, Details, Shop, new_id

Measure = commands.Measure
ResponseT = TypeVar("ResponseT")


WAIT_S: Final = 120.0
"""How long a test waits for the segmenter, which has to start first."""


def waited(call: Callable[..., ResponseT], request: Any, **options: Any) -> ResponseT:
    """What a call answers that waits for a position: it waits for some seconds, then it is asked again."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return call(request, **options)
        except grpc.RpcError as error:
            behind = "did not reach min_position" in (error.details() or "")
            if not behind or time.monotonic() > deadline:
                raise


@contextmanager
def failing(reason: str) -> Iterator[list[tuple[str, str]]]:
    """A block whose last call fails for this reason, and then the fields at fault with what is wrong."""
    found: list[tuple[str, str]] = []
    with pytest.raises(grpc.RpcError) as caught:
        yield found
    details = Details(caught.value)
    assert details.reason == reason
    if reason == "INVALID_FIELD":
        found += [(one.field, one.description) for one in details.bad_request.field_violations]


class Segments:
    """The segments of a shop's program."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.options: Any = {"metadata": shop.metadata, "timeout": TIMEOUT_S}

    def name(self, segment_id: str) -> str:
        """A segment's name."""
        return f"{self.shop.program}/segments/{segment_id}"

    def segment(self, segment_id: str, expression: str = "", *measures: Measure, **fields: Any) -> commands.Segment:
        """A segment."""
        return commands.Segment(name=self.name(segment_id), expression=expression, measures=measures, **fields)

    def save(
        self, segment_id: str, expression: str = "", *measures: Measure, request_id: str = "", **fields: Any
    ) -> pb.SaveSegmentResponse:
        """Makes or changes a segment."""
        request = commands.SaveSegmentRequest(
            request_id=request_id or new_id(),
            origin=self.shop.origin(),
            validate_only=fields.pop("validate_only", False),
            segment=self.segment(segment_id, expression, *measures, **fields),
        )
        return self.shop.crm.SaveSegment(request, **self.options)

    def delete(self, segment_id: str, etag: str = "") -> pb.DeleteSegmentResponse:
        """Deletes a segment."""
        request = commands.DeleteSegmentRequest(
            request_id=new_id(), origin=self.shop.origin(), name=self.name(segment_id), etag=etag
        )
        return self.shop.crm.DeleteSegment(request, **self.options)

    def put(self, segment_id: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Any:
        """Puts members on a segment's list, or takes them off it."""
        request = commands.SetSegmentMembersRequest(
            request_id=new_id(), origin=self.shop.origin(), name=self.name(segment_id), add=add, remove=remove
        )
        return self.shop.crm.SetSegmentMembers(request, **self.options)

    def get(self, segment_id: str, *, now: bool = True) -> pb.SegmentState:
        """A segment, as the whole log has it."""
        request = pb.GetSegmentRequest(name=self.name(segment_id), min_position=self.shop.head() if now else 0)
        return waited(self.shop.crm.GetSegment, request, **self.options).segment

    def members(self, segment_id: str, *, as_of: Timestamp | None = None, page_size: int = 0) -> list[str]:
        """Who is in, as the whole log has it, page by page."""
        request = pb.ListSegmentMembersRequest(
            name=self.name(segment_id), min_position=self.shop.head(), page_size=page_size, as_of=as_of
        )
        found: list[str] = []
        while True:
            page = waited(self.shop.crm.ListSegmentMembers, request, **self.options)
            found += [one.member for one in page.members]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def of(self, member: str, *, current_only: bool = False, page_size: int = 0) -> list[pb.SegmentMembership]:
        """The memberships of a member, newest first."""
        request = pb.ListMemberSegmentsRequest(
            member=member, min_position=self.shop.head(), page_size=page_size, current_only=current_only
        )
        found: list[pb.SegmentMembership] = []
        while True:
            page = waited(self.shop.crm.ListMemberSegments, request, **self.options)
            found += page.memberships
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def explain(self, segment_id: str, member: str, **options: Any) -> pb.ExplainSegmentResponse:
        """Why a member is in."""
        request = pb.ExplainSegmentRequest(name=self.name(segment_id), member=member)
        return self.shop.crm.ExplainSegment(request, **(self.options | options))

    def preview(self, expression: str, *measures: Measure, sample_size: int = 0) -> pb.PreviewSegmentResponse:
        """What a segment would come to."""
        request = pb.PreviewSegmentRequest(
            segment=self.segment("preview", expression, *measures), sample_size=sample_size
        )
        return self.shop.crm.PreviewSegment(request, **self.options)

    def moves(self, segment_id: str) -> list[tuple[str, str]]:
        """Who entered ("+") and left ("-"), in order, by the segment's events."""
        moves: list[tuple[str, str]] = []
        for event in self.shop.events(self.name(segment_id), "SegmentMembersChanged"):
            changed = event.segment_members_changed
            moves += [("-", member) for member in changed.left]
            moves += [("+", member) for member in changed.entered]
        return moves
