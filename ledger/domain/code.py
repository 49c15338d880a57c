"""Voucher codes: how they look, and by what they are found again."""

from hashlib import sha256
from typing import Final

SYMBOLS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0 and 1, O and I, which people mistake for each other."""

LENGTH: Final = 16
"""Symbols of a code: 80 random bits, which nobody guesses."""

GROUP: Final = 4
"""Symbols between two dashes."""

CODE_CHARACTERS_MAX: Final = 64
"""Length of a code as it is sent."""


def new_code(secret: bytes, number: int) -> str:
    """The so-manieth code that is made from some random bytes."""
    bits = int.from_bytes(sha256(secret + number.to_bytes(4)).digest())
    symbols = "".join(SYMBOLS[bits >> (5 * place) & 31] for place in range(LENGTH))
    return "-".join(symbols[at : at + GROUP] for at in range(0, LENGTH, GROUP))


def hash_of(code: str) -> str:
    """The key of a code, however it was typed: SHA-256 of its letters and digits in upper case."""
    return sha256("".join(code.upper().replace("-", "").split()).encode()).hexdigest()
