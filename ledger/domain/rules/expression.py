"""Expressions: conditions in CEL, checked when they are published and compiled once."""

import re
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import cel
from loyalty.v1.events_pb2 import ConditionFailure
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.sale_pb2 import SaleLine

from ledger.domain.account import Account
from ledger.domain.basket import LINES_MAX, Basket
from ledger.domain.instant import EARLIEST
from ledger.domain.rules.facts import VARIABLES, Facts

CHARACTERS_MAX: Final = 1_000
"""Length of an expression."""

MACROS_MAX: Final = 2
"""all, exists, map and the like in one expression: nested, they multiply what it costs."""

ENTRIES_MAX: Final = 50
"""Entries of the lists besides `lines` that an expression can go through, such as a line's labels."""

ERROR_CHARACTERS_MAX: Final = 200
"""How much of an error is recorded with a sale."""

EVALUATION_ERRORS: Final = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What evaluating an expression raises."""

FUNCTIONS: Final = frozenset(
    (
        "bool",
        "bytes",
        "contains",
        "double",
        "duration",
        "endsWith",
        "int",
        "matches",
        "size",
        "startsWith",
        "string",
        "timestamp",
        "type",
        "uint",
    )
)

_MACRO: Final = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,")
_BRACKETS: Final = re.compile(
    r"""\"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\.\s*(?:all|exists|exists_one|filter|map)\s*\(|[()]"""
)
_ATTRIBUTE: Final = re.compile(r"""\battributes\s*(?:\.\s*|\[\s*["'])(\w+)""")
_TYPES: Final = frozenset({"bool", "bytes", "double", "int", "string", "uint"})


class Expression:
    """An expression, compiled."""

    def __init__(self, text: str, *, of_line: bool = False) -> None:
        """`of_line` gives it the variable `line` too. Raises ValueError where it cannot be checked, saying why."""
        if len(text) > CHARACTERS_MAX:
            raise ValueError(f"must be at most {CHARACTERS_MAX} characters")
        self._text = text
        self._of_line = of_line
        self._program = cel.compile(text)
        bound = _MACRO.findall(text)
        if len(bound) > MACROS_MAX:
            raise ValueError(f"must have at most {MACROS_MAX} of all, exists, exists_one, filter and map")
        variables = (VARIABLES.keys() - {"lines"}) | {"line"} if of_line else VARIABLES.keys()
        self.names = frozenset(self._program.variables()) & VARIABLES.keys()
        for name in self._program.variables():
            if name not in variables | _TYPES | set(bound):
                raise ValueError(f"there is no variable {name!r}: choose from {', '.join(sorted(variables))}")
        self.steps = self._steps()
        """What evaluating it costs at most, for all lines of the largest sale, in about a microsecond each."""
        for name in self._program.functions():
            if name[0].isalpha() and name not in FUNCTIONS:
                raise ValueError(f"there is no function {name!r}: choose from {', '.join(sorted(FUNCTIONS))}")

    def _steps(self) -> int:
        each = 1
        for _ in range(_depth(self._text)):
            each *= LINES_MAX if "lines" in self.names else ENTRIES_MAX
        return each * LINES_MAX if self._of_line else each

    def check(self) -> None:
        """Evaluates it for a sample. Raises ValueError where that fails, so that it does not fail for every sale."""
        facts = _sample(dict.fromkeys(_ATTRIBUTE.findall(self._text), "1"))
        try:
            self.evaluate(facts, SaleLine() if self._of_line else None)
        except KeyError as error:
            raise ValueError(f"there is no field {error}") from None
        except EVALUATION_ERRORS as error:
            raise ValueError(f"fails for a sample sale: {error}") from None

    def holds(self, owner: str, facts: Facts, line: SaleLine | None = None) -> bool:
        """Whether it is true. Where it cannot be evaluated it is not; the facts remember why, once for each owner."""
        try:
            return self.evaluate(facts, line)
        except EVALUATION_ERRORS as error:
            if not facts.failures or facts.failures[-1].rule != owner:
                text = f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]
                facts.failures.append(ConditionFailure(rule=owner, error=text))
            return False

    def evaluate(self, facts: Facts, line: SaleLine | None = None) -> bool:
        """Whether it is true. Raises one of EVALUATION_ERRORS."""
        found = self._program.execute(facts.context if line is None else facts.context_of_line(line, self.names))
        if not isinstance(found, bool):
            raise TypeError(f"it is a {type(found).__name__}, neither true nor false")
        return found


def _depth(text: str) -> int:
    """How deep the macros of an expression stand in one another: each goes through all entries of its list."""
    deepest = 0
    within: list[bool] = []
    for found in _BRACKETS.finditer(text):
        if found[0] == ")":
            within = within[:-1]
        elif found[0].endswith("("):
            within.append(found[0] != "(")
            deepest = max(deepest, sum(within))
    return deepest


def _sample(attributes: dict[str, str]) -> Facts:
    """A sale of one line, with some attributes."""
    return Facts(
        Account(UUID(int=0)),
        Origin(),
        EARLIEST,
        ZoneInfo("UTC"),
        names=frozenset(VARIABLES),
        basket=Basket([SaleLine(line_id="1", price_minor=1)], [1]),
        attributes=attributes,
    )
