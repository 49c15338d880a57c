"""Page tokens of lists that are worked out: from what the first page was, so that all pages show the same."""

import base64
import binascii
import json
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID

from loyalty.v1 import value_pb2 as pb

from ledger.api.errors import ApiError
from ledger.domain.rounding import INT64_MAX
from ledger.value.reading import Cut, Cuts
from ledger.value.rfm import SCORE_MAX

_DIGEST_BYTES: Final = 8
_ID_BYTES: Final = 16
_NUMBER_CHARACTERS_MAX: Final = 40

ListRequest = pb.ListRfmMembersRequest | pb.ListHighValueMembersRequest


class Place(NamedTuple):
    """Where a list goes on."""

    as_of: date
    position: int
    after: int
    """Behind which rank, or which member's id as a number."""
    cuts: Cuts
    """Where quintiles begin; empty for a list without any."""


def token_of(request: ListRequest, place: Place) -> str:
    """An opaque token of a place in the list that a request is for."""
    cuts = place.cuts
    words = [place.as_of.isoformat(), place.position, str(place.after), [[cut.value for cut in one] for one in cuts]]
    ids = b"".join(cut.member.bytes for one in cuts for cut in one)
    raw = _digest(request) + json.dumps(words, separators=(",", ":")).encode() + b"\n" + ids
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def place_of(request: ListRequest) -> Place | None:
    """The place that a request's token says; None without a token. Raises ApiError."""
    if not request.page_token:
        return None
    token = request.page_token
    try:
        return _place(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), _digest(request))
    except (ValueError, TypeError, ArithmeticError, RecursionError, binascii.Error):
        raise ApiError.invalid(
            [("page_token", "is not a token of this list: send it and the other fields as they were, or no token")]
        ) from None


def _place(raw: bytes, digest: bytes) -> Place:
    """The place that a token says. Raises ValueError, TypeError and ArithmeticError where it is none of that list."""
    if not raw.startswith(digest):
        raise ValueError(raw)
    text, _, ids = raw[_DIGEST_BYTES:].partition(b"\n")
    as_of, position, after, values = json.loads(text)
    members = [UUID(bytes=ids[at : at + _ID_BYTES]) for at in range(0, len(ids), _ID_BYTES)]
    cuts = []
    for kind, one in zip((date.fromisoformat, int, Decimal), values, strict=True):
        if len(one) >= SCORE_MAX:
            raise ValueError(one)
        cuts.append([Cut(_checked(value, kind), members.pop(0)) for value in one])
    if members or not 0 <= position <= INT64_MAX or not 0 <= int(after) < 2**128:
        raise ValueError(after)
    return Place(date.fromisoformat(as_of), position, int(after), Cuts(*cuts))


def _checked(value: Any, kind: Any) -> str:
    """A value as it was sent, if it is one of a kind. Raises ValueError and ArithmeticError."""
    if len(value) > _NUMBER_CHARACTERS_MAX or not value.isascii() or (kind is int and not 0 <= int(value) <= INT64_MAX):
        raise ValueError(value)
    if kind is Decimal and not Decimal(value).is_finite():
        raise ValueError(value)
    kind(value)
    return str(value)


def _digest(request: ListRequest) -> bytes:
    """What the pages of a list have in common."""
    question = type(request)()
    question.CopyFrom(request)  # type: ignore[arg-type]  # both are of one type
    for field in ("page_size", "page_token", "min_position"):
        question.ClearField(field)
    return sha256(question.SerializeToString(deterministic=True)).digest()[:_DIGEST_BYTES]


NO_CUTS: Final = Cuts(*((),) * 3)
