"""Of whom a segment's expression holds, among some members, by what the views say of them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Cursor

from ledger.domain.rules.expression import EVALUATION_ERRORS
from ledger.domain.segments.clauses import Clause
from ledger.domain.segments.criteria import MEASURE_FIELDS, Criteria, error_text
from projections.facts import read_facts, scan_facts
from projections.measures import NOTHING, Between, Values, read_measure

KNOWN_MAX: Final = 100_000
"""Different facts of which is remembered whether an expression holds."""


class Held(NamedTuple):
    """What an expression comes to for some members."""

    members: list[UUID]
    """Of whom it holds, in the order that they were given."""
    failed: int
    """Of how many it cannot be evaluated."""
    error: str
    """Why not, of the first of them."""


LAST: Final = UUID(int=2**128 - 1)
"""No member is behind it."""


class Page(NamedTuple):
    """Some members of a program, with all that is known of them and asked for."""

    program: str
    today: date
    facts: Sequence[tuple[UUID, Mapping[str, Any]]]
    members: Sequence[UUID] | Between
    """The same members, as measures ask for them."""

    def held(self, cursor: Cursor[Any], criteria: Criteria) -> Held:
        """Of whom an expression holds."""
        measures = {
            name: read_measure(cursor, self.program, self.today, measure, self.members)
            for name, measure in criteria.measures.items()
        }
        return evaluate(criteria, self.facts, measures)


def page_of(
    cursor: Cursor[Any], program: str, at: int, today: date, criteria: Sequence[Criteria], members: Sequence[UUID]
) -> Page:
    """Some members: those of them that the program has."""
    facts = read_facts(cursor, program, at, _names(criteria), members)
    return Page(program, today, list(facts.items()), members)


def page_behind(
    cursor: Cursor[Any], program: str, at: int, today: date, criteria: Sequence[Criteria], after: UUID, limit: int
) -> Page:
    """The next members behind one. Without any it is the end, and of everybody behind, who can only be erased."""
    facts = scan_facts(cursor, program, at, _names(criteria), after, limit)
    return Page(program, today, facts, Between(after, facts[-1][0] if facts else LAST))


def _names(criteria: Sequence[Criteria]) -> frozenset[str]:
    return frozenset().union(*(one.facts for one in criteria))


Row = tuple[UUID, Mapping[str, Any]]
Measured = Mapping[str, Mapping[UUID, Values]]
"""Measures of members, by name."""


def evaluate(criteria: Criteria, rows: Sequence[Row], measures: Measured) -> Held:
    """Of whom an expression holds.

    Each clause is evaluated by itself, for each combination of what it names once: a million members have few of them.
    """
    errors: list[str] = []
    outcomes = _outcomes(criteria, criteria.clause, rows, measures, errors)
    members = [member for (member, _), holds in zip(rows, outcomes, strict=True) if holds]
    failed = outcomes.count(None)
    return Held(members, failed, errors[0] if failed else "")


def _outcomes(
    criteria: Criteria, clause: Clause, rows: Sequence[Row], measures: Measured, errors: list[str]
) -> list[bool | None]:
    """What a clause comes to for each member; None where it cannot be evaluated and no other part settles it."""
    if not clause.clauses:
        return _of_leaf(criteria.leaves[clause.text], rows, measures, errors)
    parts = zip(*(_outcomes(criteria, part, rows, measures, errors) for part in clause.clauses), strict=True)
    settles = clause.operator == "or"
    return [settles if settles in row else None if None in row else not settles for row in parts]


def _of_leaf(leaf: Criteria, rows: Sequence[Row], measures: Measured, errors: list[str]) -> list[bool | None]:
    names = sorted(leaf.facts)
    asked = [(name, [MEASURE_FIELDS.index(field) for field in leaf.fields(name)]) for name in leaf.measures]
    known: dict[tuple[Any, ...], bool | None] = {}
    outcomes: list[bool | None] = []
    for member, facts in rows:
        key = tuple([facts[name] for name in names])
        for name, places in asked:
            value = measures[name].get(member, NOTHING)
            key += tuple([value[place] for place in places])
        try:
            holds = known[key]
        except (KeyError, TypeError) as miss:  # not known; or a list or map, of which nothing is remembered
            holds = _holds(leaf, names, key, errors)
            if isinstance(miss, KeyError):
                if len(known) >= KNOWN_MAX:
                    known.clear()
                known[key] = holds
        outcomes.append(holds)
    return outcomes


def _holds(leaf: Criteria, names: Sequence[str], key: Sequence[Any], errors: list[str]) -> bool | None:
    """Whether a clause is true; None where it cannot be evaluated, and then `errors` says why."""
    values = iter(key)
    context: dict[str, Any] = {name: next(values) for name in names}
    for name in leaf.measures:
        context[name] = {field: next(values) for field in leaf.fields(name)}
    try:
        return leaf.holds(context)
    except EVALUATION_ERRORS as error:
        errors.append(error_text(error, leaf.facts))
        return None
