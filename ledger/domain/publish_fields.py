"""Single fields of a program: each check adds what is wrong, with the field's path, to the problems found."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final
from zoneinfo import available_timezones

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import LocalizedText

NAME_CHARACTERS_MAX: Final = 100
"""Length of a display name in one language, and of an entry in a line filter."""

ID_FORM: Final = "1 to 63 lower-case letters, digits and dashes"

Problems = list[tuple[str, str]]

is_id: Final = re.compile("[a-z0-9-]{1,63}").fullmatch
has_control: Final = re.compile("[\x00-\x1f\x7f-\x9f]").search


def check_text(text: LocalizedText, path: str, found: Problems) -> None:
    """A name may be left out, but not in one language only: both members and cashiers read it."""
    if not text.en and not text.hi:
        return
    for language, value in (("en", text.en), ("hi", text.hi)):
        if not value.strip():
            found.append((f"{path}.{language}", "is required when the other language is given"))
        elif len(value) > NAME_CHARACTERS_MAX or has_control(value):
            found.append(
                (
                    f"{path}.{language}",
                    f"must be at most {NAME_CHARACTERS_MAX} characters without control characters",
                )
            )


def check_count(entries: Sequence[Message] | Sequence[str], most: int, path: str, found: Problems) -> None:
    """So many entries at most."""
    if len(entries) > most:
        found.append((path, f"must be at most {most}; there are {len(entries)}"))


def check_ids(ids: Sequence[str], path: str, field: str, found: Problems) -> None:
    """Ids of the right form, each once."""
    seen: set[str] = set()
    for index, value in enumerate(ids):
        if not is_id(value):
            found.append((f"{path}[{index}].{field}", f"must be {ID_FORM}"))
        elif value in seen:
            found.append((f"{path}[{index}].{field}", "must be unique in the program"))
        seen.add(value)


def check_enum(value: int, known: Iterable[int], path: str, found: Problems) -> None:
    """A value of an enum that this server knows."""
    if value not in known:
        found.append((path, "must be one of the values of its enum that this server knows"))


def check_positive(value: int, path: str, found: Problems) -> None:
    """A number from 1."""
    if value < 1:
        found.append((path, "must be more than 0"))


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """The IANA time zones."""
    return frozenset(available_timezones()) - {"Factory", "localtime"}
