"""Attributes: what CRM systems know of members. Each value is a text in the one form that its type has."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from loyalty.v1.attribute_pb2 import AttributeDefinition, AttributeType

from ledger.domain.instant import is_day

TEXT_CHARACTERS_MAX: Final = 500
"""Length of a value of type TEXT."""

INTEGER_MAX: Final = 2**63 - 1

DIGITS_MAX: Final = 18
"""Digits of a value of type DECIMAL."""

Value = str | int | float | bool

_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII).fullmatch
_DECIMAL: Final = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII).fullmatch
_FLAGS: Final = ("true", "false")
_LONELY: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def canonical(definition: AttributeDefinition, text: str) -> str:
    """A value in the form in which it is stored. Raises ValueError that says what is allowed, not what was given."""
    value = _CANONICAL[definition.type](text.strip())
    if definition.allowed_values and value not in definition.allowed_values:
        raise ValueError(f"must be one of {', '.join(definition.allowed_values)}")
    return value


def value_of(kind: int, text: str) -> Value:
    """A stored value as expressions see it: days are texts, which sort as they should."""
    match kind:
        case AttributeType.ATTRIBUTE_TYPE_INTEGER:
            return int(text)
        case AttributeType.ATTRIBUTE_TYPE_DECIMAL:
            return float(text)
        case AttributeType.ATTRIBUTE_TYPE_FLAG:
            return text == "true"
        case _:
            return text


def sample_of(definition: AttributeDefinition) -> str:
    """A value that the attribute can have, to try expressions with."""
    return definition.allowed_values[0] if definition.allowed_values else _SAMPLES.get(definition.type, "")


def _text(text: str) -> str:
    if not 1 <= len(text) <= TEXT_CHARACTERS_MAX or _LONELY(text):
        raise ValueError(f"must be 1 to {TEXT_CHARACTERS_MAX} characters without control characters")
    return text


def _integer(text: str) -> str:
    if not _INTEGER(text) or not -INTEGER_MAX - 1 <= int(text) <= INTEGER_MAX:
        raise ValueError("must be a whole number of 64 bits, such as -12")
    return str(int(text))


def _decimal(text: str) -> str:
    if not _DECIMAL(text) or sum(map(str.isdigit, text)) > DIGITS_MAX:
        raise ValueError(f"must be a number of at most {DIGITS_MAX} digits, such as 12.50")
    number = format(Decimal(text), "f").removeprefix("+")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return "0" if number in ("-0", "") else number


def _flag(text: str) -> str:
    if text.lower() not in _FLAGS:
        raise ValueError("must be true or false")
    return text.lower()


def _date(text: str) -> str:
    if is_day(text):
        return text
    raise ValueError("must be a day that exists, such as 2026-01-31")


_CANONICAL: Final[Mapping[int, Callable[[str], str]]] = {
    AttributeType.ATTRIBUTE_TYPE_TEXT: _text,
    AttributeType.ATTRIBUTE_TYPE_INTEGER: _integer,
    AttributeType.ATTRIBUTE_TYPE_DECIMAL: _decimal,
    AttributeType.ATTRIBUTE_TYPE_FLAG: _flag,
    AttributeType.ATTRIBUTE_TYPE_DATE: _date,
}

_SAMPLES: Final[Mapping[int, str]] = {
    AttributeType.ATTRIBUTE_TYPE_TEXT: "text",
    AttributeType.ATTRIBUTE_TYPE_INTEGER: "1",
    AttributeType.ATTRIBUTE_TYPE_DECIMAL: "1.5",
    AttributeType.ATTRIBUTE_TYPE_FLAG: "true",
    AttributeType.ATTRIBUTE_TYPE_DATE: "2026-01-31",
}
