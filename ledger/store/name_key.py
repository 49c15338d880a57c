"""The form in which names are searched: without regard to case, accents and spaces."""

from typing import Final
from unicodedata import normalize

_FIRST_ACCENT: Final = "\u0300"
_LAST_ACCENT: Final = "\u036f"


def fold(text: str) -> str:
    """A text without case, the accents of Latin, Greek and Cyrillic letters, and extra spaces.

    The vowel signs of Devanagari are marks too, and stay: without them other names would be the same.
    """
    decomposed = normalize("NFKD", normalize("NFKD", text).casefold())
    letters = "".join(letter for letter in decomposed if not _FIRST_ACCENT <= letter <= _LAST_ACCENT)
    return " ".join(letters.split())


def name_keys(given_name: str, family_name: str) -> tuple[str, str]:
    """The keys of a name: given name first, and family name first."""
    return fold(f"{given_name} {family_name}"), fold(f"{family_name} {given_name}")
