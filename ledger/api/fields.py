"""Checks of single fields. Each adds what is wrong, with the field's path, to the problems of its request."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ledger.api.errors import Violation
from ledger.domain.code import CODE_CHARACTERS_MAX, hash_of
from ledger.domain.instant import EARLIEST, LATEST, SECOND, is_day

TEXT_CHARACTERS_MAX: Final = 100
"""Length of ids, codes, names and labels."""

CODE_CHARACTERS_MIN: Final = 8
"""Letters and digits of an uploaded voucher code: fewer could be guessed."""

ATTRIBUTES_MAX: Final = 50
"""Attributes of a sale or activity."""

NANOS: Final = 1_000_000_000
"""Nanoseconds of a second."""

Problems = list[Violation]
Check = Callable[[Any, int, Problems], None]
"""Adds what is wrong with a request to its problems; it is given the server's clock in microseconds."""

Checks = Mapping[type[Message], Check]
"""The check of each request of a part of the API."""

ID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
MEMBER: Final = re.compile(f"members/{ID}").fullmatch
_HOLD: Final = re.compile(f"members/{ID}/holds/{ID}").fullmatch
_VOUCHER: Final = re.compile(f"members/{ID}/vouchers/{ID}").fullmatch
_ENTITLEMENT: Final = re.compile(f"members/{ID}/entitlements/{ID}").fullmatch
_TRANSACTION: Final = re.compile(f"transactions/{ID}").fullmatch
TRAIL: Final = re.compile(f"trails/{ID}").fullmatch
POOL: Final = re.compile("programs/[a-z0-9-]{1,63}/pools/[a-z0-9/-]{1,200}").fullmatch
SEGMENT: Final = re.compile("programs/[a-z0-9-]{1,63}/segments/[a-z0-9-]{1,63}").fullmatch
PROGRAM: Final = re.compile("programs/[a-z0-9-]{1,63}").fullmatch
_ATTRIBUTE: Final = re.compile("[a-z0-9_]{1,63}").fullmatch
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]").search


def check_text(value: str, path: str, problems: Problems, *, least: int = 0, most: int = TEXT_CHARACTERS_MAX) -> None:
    """A text of a length, without control characters."""
    if len(value) < least:
        problems.append((path, "is required"))
    if len(value) > most:
        problems.append((path, f"must be at most {most} characters; it has {len(value)}"))
    if _CONTROL(value):
        problems.append((path, "must not have control characters"))


def check_day(value: str, path: str, problems: Problems) -> None:
    """A calendar day."""
    if not is_day(value):
        problems.append((path, "must be a day that exists, as YYYY-MM-DD"))


def check_enum(value: int, known: frozenset[int], path: str, problems: Problems) -> None:
    """A value of an enum that this server knows."""
    if value not in known:
        problems.append((path, "must be one of the values of its enum that this server knows"))


def check_not_negative(value: int, path: str, problems: Problems) -> None:
    """A number from 0."""
    if value < 0:
        problems.append((path, "must be 0 or more"))


def check_timestamp(timestamp: Timestamp, path: str, problems: Problems) -> int | None:
    """The instant, if it is one of ours: from the year 2000 to the year 9999."""
    nanos = timestamp.nanos
    at = timestamp.seconds * SECOND + nanos // 1_000
    if EARLIEST <= at < LATEST and 0 <= nanos < NANOS:
        return at
    problems.append((path, "must be a time from the year 2000 on, with nanos from 0 to 999999999"))
    return None


def check_member_name(name: str, path: str, problems: Problems) -> None:
    """A name members/{member}."""
    if not MEMBER(name):
        problems.append((path, "must be members/{member}, with a UUID in lower case"))


def check_hold_name(name: str, path: str, problems: Problems) -> None:
    """A name members/{member}/holds/{hold}."""
    if not _HOLD(name):
        problems.append((path, "must be members/{member}/holds/{hold}, with UUIDs in lower case"))


def check_voucher_name(name: str, path: str, problems: Problems) -> None:
    """A name members/{member}/vouchers/{voucher}."""
    if not _VOUCHER(name):
        problems.append((path, "must be members/{member}/vouchers/{voucher}, with UUIDs in lower case"))


def check_entitlement_name(name: str, path: str, problems: Problems) -> None:
    """A name members/{member}/entitlements/{entitlement}."""
    if not _ENTITLEMENT(name):
        problems.append((path, "must be members/{member}/entitlements/{entitlement}, with UUIDs in lower case"))


def check_transaction_name(name: str, path: str, problems: Problems) -> None:
    """A name transactions/{request_id}."""
    if not _TRANSACTION(name):
        problems.append((path, "must be transactions/{request_id}, with a UUID in lower case"))


def check_program_name(name: str, path: str, problems: Problems) -> None:
    """A name programs/{program}."""
    if not PROGRAM(name):
        problems.append((path, "must be programs/{program}, with 1 to 63 lower-case letters, digits and dashes"))


def check_segment_name(name: str, path: str, problems: Problems) -> None:
    """A name programs/{program}/segments/{segment}."""
    if not SEGMENT(name):
        form = "each with 1 to 63 lower-case letters, digits and dashes"
        problems.append((path, f"must be programs/{{program}}/segments/{{segment}}, {form}"))


def check_attributes(attributes: Mapping[str, str], path: str, problems: Problems) -> None:
    """Checks free attributes that conditions may ask for."""
    if len(attributes) > ATTRIBUTES_MAX:
        problems.append((path, f"must be at most {ATTRIBUTES_MAX}"))
    for name, value in attributes.items():
        if not _ATTRIBUTE(name):
            problems.append((path, "must be named with 1 to 63 lower-case letters, digits and underscores"))
        check_text(value, f"{path}[{name!r}]", problems)


def check_codes(codes: Iterable[str], path: str, problems: Problems, *, least: int = 1) -> None:
    """Voucher codes, each once."""
    seen: set[str] = set()
    for index, code in enumerate(codes):
        at = f"{path}[{index}]"
        check_text(code, at, problems, least=1, most=CODE_CHARACTERS_MAX)
        if sum(map(str.isalnum, code)) < least:
            problems.append((at, f"must have at least {least} letters and digits"))
        if hash_of(code) in seen:
            problems.append((at, "is named twice"))
        seen.add(hash_of(code))
