"""Expressions: conditions in CEL, checked when they are published and compiled once."""

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import cel
from loyalty.v1.attribute_pb2 import AttributeDefinition
from loyalty.v1.events_pb2 import ConditionFailure
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.sale_pb2 import SaleLine

from ledger.domain.account import Account
from ledger.domain.attribute import sample_of
from ledger.domain.basket import LINES_MAX, Basket
from ledger.domain.instant import EARLIEST
from ledger.domain.member_profile import AttributeState, MemberProfile
from ledger.domain.rules.asks import asks_in, attributes_in
from ledger.domain.rules.expression_cost import steps_of
from ledger.domain.rules.facts import VARIABLES, Facts

CHARACTERS_MAX: Final = 1_000
"""Length of an expression."""

ERROR_CHARACTERS_MAX: Final = 200
"""How much of an error is recorded, or told."""

OF_PERSON: Final = "an attribute of the member is not set, or is of another type than the expression takes it for"
"""What is said where an expression fails that asks for personal data: the library's own words might tell some."""

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

_MACRO: Final = re.compile(r"\.\s*(?:all|exists|exists_one)\s*\(\s*([A-Za-z_]\w*)\s*,")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
ATTRIBUTE: Final = re.compile(r"""(?<![.\w])attributes\s*(?:\.\s*|\[\s*(["']))(\w+)(?(1)\1\s*\])""")
"""An entry of `attributes`, as attributes.size or attributes["size"]; its second group is the entry's name."""

_TYPES: Final = frozenset({"bool", "bytes", "double", "int", "string", "uint"})


class Compiled(NamedTuple):
    """An expression that can be evaluated with some variables."""

    program: cel.Program
    names: frozenset[str]
    """The variables that it names."""
    steps: int
    """What evaluating it costs at most."""


def compile_text(text: str, variables: Collection[str]) -> Compiled:
    """Compiles an expression. Raises ValueError where it cannot be checked, or names what is none of the variables."""
    if len(text) > CHARACTERS_MAX:
        raise ValueError(f"must be at most {CHARACTERS_MAX} characters")
    if _CONTROL(text):
        raise ValueError("must not have control characters, but for tabs and ends of lines")
    program = cel.compile(text)
    steps = steps_of(text)
    bound = set(_MACRO.findall(text))
    names = frozenset(program.variables())
    for name in names:
        if name not in variables and name not in _TYPES | bound:
            raise ValueError(f"there is no variable {name!r}: choose from {', '.join(sorted(variables))}")
    for name in program.functions():
        if name[0].isalpha() and name not in FUNCTIONS:
            raise ValueError(f"there is no function {name!r}: choose from {', '.join(sorted(FUNCTIONS))}")
    return Compiled(program, names & frozenset(variables), steps)


def attributes_named(text: str) -> list[str]:
    """The entries of `attributes` that an expression names, as attributes.size or attributes["size"], each time."""
    return [name for _, name in ATTRIBUTE.findall(text)]


class Expression:
    """An expression, compiled."""

    def __init__(self, text: str, *, of_line: bool = False) -> None:
        """`of_line` gives it the variable `line` too. Raises ValueError where it cannot be checked, saying why."""
        self._text = text
        self._of_line = of_line
        variables = (VARIABLES.keys() - {"lines"}) | {"line"} if of_line else VARIABLES.keys()
        compiled = compile_text(text, variables)
        self._program = compiled.program
        self.names = compiled.names & VARIABLES.keys()
        self._asks = asks_in(text)
        if of_line and self._asks:
            raise ValueError("must not ask for the member's attributes and segments: put that into the conditions")
        self.steps = compiled.steps * LINES_MAX if of_line else compiled.steps
        """What evaluating it costs at most, for all lines of the largest sale."""

    def check(self, attributes: Mapping[str, AttributeDefinition]) -> None:
        """Evaluates it for a sample, of a member with some attributes.

        Raises ValueError where that fails, so that it does not fail for every sale.
        """
        for name in attributes_in(self._text):
            if name not in attributes:
                raise ValueError(f"there is no attribute {name!r}: add it to the program's attributes")
        facts = _sample(dict.fromkeys(attributes_named(self._text), "1"))
        if self._asks:
            facts.profile, facts.segments = _sample_profile(attributes), []
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
                # However it got at them: a text that hides what it asks for must not tell it either.
                is_personal = bool(self._asks) or ("member" in self.names and facts.profile is not None)
                text = OF_PERSON if is_personal else f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]
                facts.failures.append(ConditionFailure(rule=owner, error=text))
            return False

    def evaluate(self, facts: Facts, line: SaleLine | None = None) -> bool:
        """Whether it is true. Raises one of EVALUATION_ERRORS."""
        found = self._program.execute(facts.context if line is None else facts.context_of_line(line, self.names))
        if not isinstance(found, bool):
            raise TypeError(f"it is a {type(found).__name__}, neither true nor false")
        return found


def _sample_profile(attributes: Mapping[str, AttributeDefinition]) -> MemberProfile:
    """A member who has every attribute."""
    states = {
        name: AttributeState(definition.type, sample_of(definition), 1, "", 0)
        for name, definition in attributes.items()
    }
    return MemberProfile(1, {}, attributes=states)


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
