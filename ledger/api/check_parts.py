"""Checks of what several requests have: who asks, from where, under which id, for whom."""

import re
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.commands_pb2 import (
    RecordActivityRequest,
    RecordSaleRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    UpdateMemberRequest,
)
from loyalty.v1.consent_pb2 import RecordConsentsRequest
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.origin_pb2 import Channel, EntryMode, Origin, TillReference
from loyalty.v1.pos_service_pb2 import GetBalanceRequest

from ledger.api.fields import (
    ID,
    MEMBER,
    TEXT_CHARACTERS_MAX,
    Problems,
    check_day,
    check_enum,
    check_member_name,
    check_program_name,
    check_text,
    check_timestamp,
)
from ledger.api.identifiers import VALUE_CHARACTERS_MAX
from ledger.domain.instant import MINUTE

OCCURRED_AT_AHEAD_MAX: Final = 5 * MINUTE
"""How far a till's clock may be ahead of ours, in microseconds."""

_NIL: Final = "00000000-0000-0000-0000-000000000000"
_UUID: Final = re.compile(ID).fullmatch
_CARD: Final = re.compile("[0-9A-Za-z-]{4,64}").fullmatch

_CHANNELS: Final = frozenset(Channel.values())
_ENTRY_MODES: Final = frozenset(EntryMode.values())
_IDENTIFIER_TYPES: Final = frozenset(IdentifierType.values()) - {0}


def check_head(request_id: str, origin: Origin, now: int, problems: Problems) -> None:
    """The request id and origin that every command has."""
    if not _UUID(request_id) or request_id == _NIL:
        check_request_id(request_id, "request_id", problems)
    check_origin(origin, now, problems)


def check_request_id(value: str, path: str, problems: Problems) -> None:
    """A client's id of a command."""
    if not value:
        problems.append((path, "is required: a UUID of the client's, kept until it is answered"))
    elif not _UUID(value):
        problems.append((path, "must be a UUID in its form of 36 characters, in lower case"))
    elif value == _NIL:
        problems.append((path, "must not be the nil UUID: make a new one for each command"))


def check_origin(origin: Origin, now: int, problems: Problems) -> None:
    """Who recorded something, where, when and through which channel."""
    texts = origin.store + origin.terminal + origin.operator
    if len(texts) > TEXT_CHARACTERS_MAX or not texts.isprintable():
        check_text(origin.store, "origin.store", problems)
        check_text(origin.terminal, "origin.terminal", problems)
        check_text(origin.operator, "origin.operator", problems)
    if origin.credential:
        problems.append(("origin.credential", "must be empty: the server sets it"))
    if origin.channel not in _CHANNELS:
        check_enum(origin.channel, _CHANNELS, "origin.channel", problems)
    if origin.entry_mode not in _ENTRY_MODES:
        check_enum(origin.entry_mode, _ENTRY_MODES, "origin.entry_mode", problems)
    if origin.HasField("occurred_at"):
        _occurred_at(origin.occurred_at, now, problems)
    if origin.HasField("till"):
        check_till(origin.till, "origin.till", problems)
        if not origin.store:
            problems.append(("origin.store", "is required with origin.till"))
        if not origin.terminal:
            problems.append(("origin.terminal", "is required with origin.till"))


def _occurred_at(timestamp: Timestamp, now: int, problems: Problems) -> None:
    at = check_timestamp(timestamp, "origin.occurred_at", problems)
    if at is not None and at > now + OCCURRED_AT_AHEAD_MAX:
        minutes = OCCURRED_AT_AHEAD_MAX // MINUTE
        problems.append(
            (
                "origin.occurred_at",
                f"must be at most {minutes} minutes ahead of the server: set the till's clock",
            )
        )


def check_till(till: TillReference, path: str, problems: Problems) -> None:
    """A till's own reference of a receipt."""
    check_day(till.business_date, f"{path}.business_date", problems)
    if till.sequence < 1:
        problems.append((f"{path}.sequence", "must be 1 or more"))


def check_who(
    request: RecordSaleRequest
    | ReserveRewardRequest
    | ReturnSaleRequest
    | RecordActivityRequest
    | GetBalanceRequest
    | RecordConsentsRequest
    | RecordFeedbackRequest
    | UpdateMemberRequest,
    problems: Problems,
    *,
    is_required: bool = True,
) -> None:
    """The member, by name or by an identifier."""
    who = request.WhichOneof("who")
    if who == "member":
        if not MEMBER(request.member):
            check_member_name(request.member, "member", problems)
    elif who == "identifier":
        check_identifier(request.identifier, "identifier", problems)
    elif is_required:
        problems.append(("member", "is missing: name the member by member or identifier"))


def check_identifier(identifier: Identifier, path: str, problems: Problems) -> None:
    """A card, phone number, e-mail address or token."""
    kind, value = identifier.type, identifier.value.strip()
    check_enum(kind, _IDENTIFIER_TYPES, f"{path}.type", problems)
    if not value:
        problems.append((f"{path}.value", "is required"))
    elif kind == IdentifierType.IDENTIFIER_TYPE_CARD and not _CARD(value):
        problems.append((f"{path}.value", "must be 4 to 64 letters, digits and dashes for a card"))
    check_text(identifier.value, f"{path}.value", problems, most=VALUE_CHARACTERS_MAX)
    if identifier.program:
        check_program_name(identifier.program, f"{path}.program", problems)
