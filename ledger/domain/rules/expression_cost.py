"""What an expression costs at most, worked out from its text, and what would cost more than anybody can bound.

A step is a name or constant that is looked at once: up to half a microsecond. What stands within `all`, `exists` or
`exists_one` is looked at for each entry. The library copies lists that are built or kept (filter, map, literals of
lists), and compiles a regular expression each time that it meets it, so those are bounded here or refused.
"""

import re
from typing import Final

from ledger.domain.basket import LINES_MAX

MACROS: Final = ("all", "exists", "exists_one")

MACROS_MAX: Final = 2
"""Of them in one expression."""

ENTRIES_MAX: Final = 50
"""Entries of the lists besides `lines` that an expression can go through, such as a line's labels."""

EVALUATION_STEPS: Final = 5
"""What it costs to evaluate anything."""

PATTERN_CHARACTERS_MAX: Final = 100
"""Length of a regular expression."""

PATTERN_STEPS: Final = 8
"""What a regular expression costs for each of its characters."""

_WORD: Final = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<comment>//)|(?P<name>[A-Za-z_]\w*)|(?P<number>\d\w*)|\S""",
    re.DOTALL,
)
_QUOTES: Final = ("'", '"')
_BEFORE_A_TEXT: Final = frozenset("rRbB'\"")
"""What makes a text another kind of text: a prefix, or more quotes."""


def steps_of(text: str) -> int:
    """The steps that evaluating an expression takes at most. Raises ValueError where it has what cannot be bounded.

    The expression is one that the library has compiled.
    """
    words = _words(text)
    steps, weight = EVALUATION_STEPS, 1
    weights: list[int] = []
    macros = 0
    for at, word in enumerate(words):
        if word in ("(", "[", "{"):
            weights.append(weight)
            if word == "(" and _is_macro(words, at - 1):
                macros += 1
                weight *= _entries(words[at - 3])
        elif word in (")", "]", "}"):
            weight = weights.pop()
        elif word == "lines":
            _check_lines(words, at)
            steps += weight
        elif word == "matches":
            steps += weight * _steps_of_pattern(words, at)
        elif word[0].isalnum() or word[0] in ("_", *_QUOTES):
            steps += weight
    if macros > MACROS_MAX:
        raise ValueError(f"must have at most {MACROS_MAX} of {', '.join(MACROS)}")
    return steps


def _words(text: str) -> list[str]:
    words: list[str] = []
    end = 0
    for found in _WORD.finditer(text):
        if found["comment"]:
            raise ValueError("must have no comments")
        is_prefixed = bool(words) and found.start() == end and words[-1][-1] in _BEFORE_A_TEXT
        if found[0] in _QUOTES or (found["string"] and is_prefixed):
            raise ValueError("must have its texts between single quotes or double quotes, with nothing before them")
        words.append(found[0])
        end = found.end()
    return words


def _is_macro(words: list[str], at: int) -> bool:
    """Whether a word calls a macro. Raises ValueError for one that builds a list."""
    if at < 1 or words[at - 1] != ".":
        return False
    if words[at] in ("filter", "map"):
        raise ValueError(f"must not have {words[at]}: go through lists by {', '.join(MACROS)}")
    return words[at] in MACROS


def _entries(of: str) -> int:
    """How many entries a macro goes through; `of` is the last word of the list."""
    return ENTRIES_MAX if of[0].isalpha() and of != "lines" else LINES_MAX


def _check_lines(words: list[str], at: int) -> None:
    """Raises ValueError where all lines are used as a value, which would be copied."""
    after = words[at + 1 : at + 3]
    if len(after) > 1:
        _is_macro(words, at + 2)  # which says what is wrong with filter and map
    if after[:1] == ["["] or (after[:1] == ["."] and after[1] in (*MACROS, "size")):
        return
    if words[at - 2 : at] == ["size", "("] and after[:1] == [")"]:
        return
    raise ValueError(f"may use lines only as in lines.all(l, ...), {', '.join(MACROS[1:])}, lines[0] and size(lines)")


def _steps_of_pattern(words: list[str], at: int) -> int:
    """What a regular expression costs. Raises ValueError for one that is not a short constant."""
    pattern = words[at + 2] if words[at + 1 : at + 2] == ["("] and words[at - 1 : at] == ["."] else ""
    if not pattern.startswith(_QUOTES) or words[at + 3 : at + 4] != [")"]:
        raise ValueError('must give matches a constant, as in line.sku.matches("^A[0-9]+$")')
    if len(pattern) > PATTERN_CHARACTERS_MAX or "{" in pattern or re.search(r"\\[A-Za-z]", pattern):
        raise ValueError(
            f"has a regular expression that is too costly: at most {PATTERN_CHARACTERS_MAX} characters, no counted"
            " repetition {n}, and [0-9] in place of classes with a backslash"
        )
    return PATTERN_STEPS * len(pattern)
