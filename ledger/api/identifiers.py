"""Identifiers in the one form in which they are stored and looked up."""

import re
from typing import Final
from unicodedata import normalize

import phonenumbers
from loyalty.v1.member_pb2 import Identifier, IdentifierType

from ledger.api.errors import ApiError

VALUE_CHARACTERS_MAX: Final = 254
"""Length of an identifier; RFC 5321 allows no longer e-mail address."""

_EMAIL: Final = re.compile(r"[^\s@]{1,64}@[^\s@.]+(\.[^\s@.]+)+").fullmatch
"""One @, no spaces, a domain of two parts or more. A stricter pattern refuses addresses in use."""


def normalise(
    identifier: Identifier, program: str, default_region: str, path: str = "identifier"
) -> tuple[str, int, str]:
    """The (program, type, value) under which a checked identifier is stored.

    `default_region` completes a national phone number; without it only numbers with a country code
    are understood. `program` is used where the identifier names none. `path` is where the
    identifier is in the request. Raises ApiError when the value cannot be what its type says.
    """
    value = identifier.value.strip()
    if identifier.type == IdentifierType.IDENTIFIER_TYPE_PHONE:
        value = _phone(value, default_region, path)
    elif identifier.type == IdentifierType.IDENTIFIER_TYPE_EMAIL:
        value = _email(value, path)
    return identifier.program or program, identifier.type, value


def _phone(value: str, default_region: str, path: str) -> str:
    """The number in E.164.

    Only its length is checked for its country: number ranges are opened more often than this
    library is updated.
    """
    try:
        number = phonenumbers.parse(value, default_region or None)
    except phonenumbers.NumberParseException:
        number = None
    if (
        number is None
        or number.extension
        or phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE
    ):
        known = f", or a national number of region {default_region}" if default_region else ""
        raise ApiError.invalid(
            [
                (
                    f"{path}.value",
                    f"must be a phone number with + and country code{known}, without extension",
                )
            ]
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(value: str, path: str) -> str:
    """The address in Unicode's composed form and without regard to case."""
    folded = normalize("NFC", normalize("NFC", value).casefold())
    if not _EMAIL(folded) or len(folded) > VALUE_CHARACTERS_MAX:
        raise ApiError.invalid([(f"{path}.value", "must be an e-mail address such as name@example.com")])
    return folded
