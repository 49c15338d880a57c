"""Checks of the requests about segments. What makes a good segment is in ledger.domain.segments.problems."""

from typing import Final

from loyalty.v1.segment_pb2 import DeleteSegmentRequest, SaveSegmentRequest, SetSegmentMembersRequest
from loyalty.v1.segment_reads_pb2 import (
    ExplainSegmentRequest,
    GetSegmentRequest,
    ListMemberSegmentsRequest,
    ListSegmentMembersRequest,
    ListSegmentsRequest,
    PreviewSegmentRequest,
)

from ledger.api.check_parts import check_head
from ledger.api.check_reads import TOKEN_CHARACTERS_MAX
from ledger.api.fields import (
    Checks,
    Problems,
    check_member_name,
    check_not_negative,
    check_program_name,
    check_segment_name,
    check_text,
    check_timestamp,
)
from ledger.api.identifiers import VALUE_CHARACTERS_MAX

LISTED_MAX: Final = 1_000
"""Members that one SetSegmentMembers names."""

SAMPLE_MAX: Final = 100
"""Members that a preview names."""


def _check_save_segment(request: SaveSegmentRequest, now: int, problems: Problems) -> None:
    """What SaveSegment is asked with."""
    check_head(request.request_id, request.origin, now, problems)
    check_segment_name(request.segment.name, "segment.name", problems)
    check_text(request.segment.etag, "segment.etag", problems)


def _check_delete_segment(request: DeleteSegmentRequest, now: int, problems: Problems) -> None:
    """What DeleteSegment is asked with."""
    check_head(request.request_id, request.origin, now, problems)
    check_segment_name(request.name, "name", problems)
    check_text(request.etag, "etag", problems)


def _check_set_segment_members(request: SetSegmentMembersRequest, now: int, problems: Problems) -> None:
    """What SetSegmentMembers is asked with."""
    check_head(request.request_id, request.origin, now, problems)
    check_segment_name(request.name, "name", problems)
    fields = ("add", "remove", "add_external_ids", "remove_external_ids")
    count = sum(len(getattr(request, field)) for field in fields)
    if not 1 <= count <= LISTED_MAX:
        problems.append(("add", f"must be 1 to {LISTED_MAX} members in all fields; there are {count}"))
        return
    seen: set[str] = set()
    for field, members in (("add", request.add), ("remove", request.remove)):
        for index, member in enumerate(members):
            check_member_name(member, f"{field}[{index}]", problems)
            if member in seen:
                problems.append((f"{field}[{index}]", "is named twice"))
            seen.add(member)
    for field in fields[2:]:
        for index, external_id in enumerate(getattr(request, field)):
            check_text(external_id, f"{field}[{index}]", problems, least=1, most=VALUE_CHARACTERS_MAX)


def _check_get_segment(request: GetSegmentRequest, _now: int, problems: Problems) -> None:
    """What GetSegment is asked with."""
    check_segment_name(request.name, "name", problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_list_segments(request: ListSegmentsRequest, _now: int, problems: Problems) -> None:
    """What ListSegments is asked with."""
    check_program_name(request.program, "program", problems)
    _page(request, problems)


def _check_preview_segment(request: PreviewSegmentRequest, _now: int, problems: Problems) -> None:
    """What PreviewSegment is asked with."""
    check_segment_name(request.segment.name, "segment.name", problems)
    if not 0 <= request.sample_size <= SAMPLE_MAX:
        problems.append(("sample_size", f"must be 1 to {SAMPLE_MAX}, or 0 for 10"))


def _check_explain_segment(request: ExplainSegmentRequest, _now: int, problems: Problems) -> None:
    """What ExplainSegment is asked with."""
    check_segment_name(request.name, "name", problems)
    check_member_name(request.member, "member", problems)


def _check_list_segment_members(request: ListSegmentMembersRequest, _now: int, problems: Problems) -> None:
    """What ListSegmentMembers is asked with."""
    check_segment_name(request.name, "name", problems)
    _page(request, problems)
    if request.HasField("as_of"):
        check_timestamp(request.as_of, "as_of", problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_list_member_segments(request: ListMemberSegmentsRequest, _now: int, problems: Problems) -> None:
    """What ListMemberSegments is asked with."""
    check_member_name(request.member, "member", problems)
    _page(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _page(
    request: ListSegmentsRequest | ListSegmentMembersRequest | ListMemberSegmentsRequest, problems: Problems
) -> None:
    check_not_negative(request.page_size, "page_size", problems)
    check_text(request.page_token, "page_token", problems, most=TOKEN_CHARACTERS_MAX)


CHECKS: Final[Checks] = {
    SaveSegmentRequest: _check_save_segment,
    DeleteSegmentRequest: _check_delete_segment,
    SetSegmentMembersRequest: _check_set_segment_members,
    GetSegmentRequest: _check_get_segment,
    ListSegmentsRequest: _check_list_segments,
    PreviewSegmentRequest: _check_preview_segment,
    ExplainSegmentRequest: _check_explain_segment,
    ListSegmentMembersRequest: _check_list_segment_members,
    ListMemberSegmentsRequest: _check_list_member_segments,
}
