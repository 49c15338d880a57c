"""Clauses: the parts of an expression that `&&` and `||` put together, for checking and explaining each by itself."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_WORD: Final = re.compile(r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\|\||&&|.""", re.DOTALL)

OPERATORS: Final = {"||": "or", "&&": "and"}
"""What puts clauses together, the loosest first."""


class Clause(NamedTuple):
    """A part of an expression."""

    text: str
    operator: str = ""
    """"and" or "or"; empty where it has no parts."""
    clauses: tuple["Clause", ...] = ()

    def leaves(self) -> Iterator["Clause"]:
        """The clauses that have no parts."""
        if not self.clauses:
            yield self
        for clause in self.clauses:
            yield from clause.leaves()


def clause_of(text: str) -> Clause:
    """An expression that can be compiled, in its parts."""
    text = text.strip()
    words = [found[0] for found in _WORD.finditer(text)]
    if "?" in words:  # it binds looser than all else
        return Clause(text)
    for sign, operator in OPERATORS.items():
        parts = _split(words, sign)
        if len(parts) > 1:
            return Clause(text, operator, tuple(clause_of(part) for part in parts))
    inner = _unwrapped(words)
    if inner is not None:
        found = clause_of(inner)
        return found if found.clauses else Clause(text)
    return Clause(text)


def _split(words: list[str], sign: str) -> list[str]:
    """What stands between the signs that are in no brackets."""
    parts, depth = [""], 0
    for word in words:
        if word in "([{":
            depth += 1
        elif word in ")]}":
            depth -= 1
        if word == sign and depth == 0:
            parts.append("")
        else:
            parts[-1] += word
    return parts


def _unwrapped(words: list[str]) -> str | None:
    """What is between the brackets around all of it; None where there are none."""
    if words[:1] != ["("] or words[-1] != ")":
        return None
    depth = 0
    for at, word in enumerate(words):
        depth += (word in "([{") - (word in ")]}")
        if depth == 0 and at < len(words) - 1:
            return None
    return "".join(words[1:-1])
