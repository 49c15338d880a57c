"""What expressions ask for that is not in the account: a member's attributes and segments.

The writer looks it up for programs that ask for it, and for no others.
"""

import re
from typing import Final

from loyalty.v1.program_pb2 import Program

ATTRIBUTES: Final = "attributes"
SEGMENTS: Final = "segments"

_ASKS: Final = re.compile(r"""\bmember\s*(?:\.\s*|\[\s*["'])(attributes|segments)\b""")
_ASKS_IN_BYTES: Final = re.compile(_ASKS.pattern.encode())
_NAMED: Final = re.compile(r"""\bmember\s*(?:\.\s*|\[\s*["'])attributes["']?\s*\]?\s*(?:\.\s*|\[\s*["'])(\w+)""")
_SOUGHT: Final = re.compile(r"""["'](\w*)["']\s+in\s+member\s*(?:\.\s*|\[\s*["'])attributes\b""")


def asks_of(definition: Program) -> frozenset[str]:
    """What the expressions of a program ask for. What another text of it seems to ask for is looked up in vain."""
    return frozenset(found.decode() for found in _ASKS_IN_BYTES.findall(definition.SerializeToString()))


def asks_in(expression: str) -> frozenset[str]:
    """What one expression asks for."""
    return frozenset(_ASKS.findall(expression))


def attributes_in(expression: str) -> list[str]:
    """The attributes of the member that an expression names, each once, in order."""
    return list(dict.fromkeys([*_NAMED.findall(expression), *_SOUGHT.findall(expression)]))
