"""From ListMembers to a question to the views, and the tokens of its pages."""

import base64
import binascii
from uuid import NAMESPACE_URL, UUID, uuid5

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.profile_pb2 import ListMembersRequest

from ledger.api.errors import ApiError
from ledger.domain.instant import from_timestamp
from ledger.member_views import MembersQuestion

_FIRST = UUID(int=0)


def members_question(request: ListMembersRequest, program: str) -> MembersQuestion:
    """The question of a checked request."""

    def given(name: str) -> int | None:
        stamp: Timestamp = getattr(request, name)
        return from_timestamp(stamp) if request.HasField(name) else None  # type: ignore[arg-type]  # one of its fields

    return MembersQuestion(
        program,
        request.tier,
        given("purchased_from"),
        given("not_purchased_since"),
        given("enrolled_from"),
        given("enrolled_until"),
        request.segment,
    )


def token_after(member: UUID, question: MembersQuestion) -> str:
    """The token of the page behind a member."""
    return base64.urlsafe_b64encode(member.bytes + _owner(question).bytes).decode().rstrip("=")


def after_token(token: str, question: MembersQuestion) -> UUID:
    """Behind which member a page begins. Raises ApiError."""
    if not token:
        return _FIRST
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (ValueError, binascii.Error):
        raw = b""
    if raw[16:] != _owner(question).bytes:
        raise ApiError.invalid([("page_token", "is not a token of this list: send it as it came, or none")])
    return UUID(bytes=raw[:16])


def _owner(question: MembersQuestion) -> UUID:
    """What makes the page tokens of a list its own: its conditions."""
    return uuid5(NAMESPACE_URL, f"loyalty:members:{question!r}")
