"""Of whom a segment's expression holds, among some members, by what the views say of them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Cursor

from ledger.domain.rules.expression import EVALUATION_ERRORS
from ledger.domain.segments.criteria import MEASURE_FIELDS, Criteria
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
    """The next members behind one; none at the end."""
    facts = scan_facts(cursor, program, at, _names(criteria), after, limit)
    return Page(program, today, facts, Between(after, facts[-1][0] if facts else after))


def _names(criteria: Sequence[Criteria]) -> frozenset[str]:
    return frozenset().union(*(one.facts for one in criteria))


def evaluate(
    criteria: Criteria,
    rows: Sequence[tuple[UUID, Mapping[str, Any]]],
    measures: Mapping[str, Mapping[UUID, Values]],
) -> Held:
    """Of whom an expression holds. What is the same of many members is evaluated once."""
    names = sorted(criteria.facts)
    asked = [_Asked(name, criteria.fields(name), measures[name]) for name in criteria.measures]
    known: dict[tuple[Any, ...], bool | None] = {}
    members: list[UUID] = []
    failed, error = 0, ""
    for member, facts in rows:
        key = tuple([facts[name] for name in names])
        for measure in asked:
            value = measure.values.get(member, NOTHING)
            key += tuple([value[at] for at in measure.places])
        try:
            holds = known[key]
        except (KeyError, TypeError):  # not known; or a list or map, of which nothing is remembered
            holds, why = _holds(criteria, names, asked, member, facts)
            error = error or why
            _remember(known, key, holds)
        if holds:
            members.append(member)
        elif holds is None:
            failed += 1
    return Held(members, failed, error)


class _Asked:
    """What an expression asks of a measure."""

    def __init__(self, name: str, fields: Sequence[str], values: Mapping[UUID, Values]) -> None:
        self.name = name
        self.values = values
        self.places = [MEASURE_FIELDS.index(field) for field in fields]
        self._fields = fields

    def of(self, member: UUID) -> dict[str, int | None]:
        """The measure of a member, as far as it is asked for."""
        value = self.values.get(member, NOTHING)
        return {field: value[at] for field, at in zip(self._fields, self.places, strict=True)}


def _holds(
    criteria: Criteria,
    names: Sequence[str],
    asked: Sequence[_Asked],
    member: UUID,
    facts: Mapping[str, Any],
) -> tuple[bool | None, str]:
    """Whether it holds; None, with the reason, where it cannot be evaluated."""
    context: dict[str, Any] = {name: facts[name] for name in names}
    for measure in asked:
        context[measure.name] = measure.of(member)
    try:
        return criteria.holds(context), ""
    except EVALUATION_ERRORS as error:
        return None, f"{type(error).__name__}: {error}"


def _remember(known: dict[tuple[Any, ...], bool | None], key: tuple[Any, ...], holds: bool | None) -> None:
    if len(known) >= KNOWN_MAX:
        known.clear()
    try:
        known[key] = holds
    except TypeError:
        return
