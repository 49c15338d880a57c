"""Segments: expressions, their clauses, and what is wrong with them."""

from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.program_pb2 import Program
from loyalty.v1.segment_pb2 import DateRange, Measure, SaveSegmentRequest, Segment

from ledger.domain.refusal import Rejected
from ledger.domain.rules.expression import EVALUATION_ERRORS
from ledger.domain.segments.clauses import Clause, clause_of
from ledger.domain.segments.criteria import MEASURE_FIELDS, Criteria
from ledger.domain.segments.decide import SEGMENTS_MAX, decide_segment
from ledger.domain.segments.decide import Segment as State
from ledger.domain.segments.problems import LAST_DAYS_MAX, MEASURES_MAX, problems
from ledger.segments.holding import evaluate
from tests.model.effort import examples

KINDS: Final = {"sales": "number", "last_purchase_days": "number", "tier": "text", "stores": "map", "attributes": "map"}


def criteria(expression: str, **measure: Any) -> Criteria:
    """An expression with a measure m."""
    return Criteria(Segment(expression=expression, measures=[Measure(measure_id="m", **measure)]), KINDS)


def shape(clause: Clause) -> Any:
    """A clause in short."""
    return (clause.operator, *map(shape, clause.clauses)) if clause.clauses else clause.text


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("a", "a"),
        ("a && b || c", ("or", ("and", "a", "b"), "c")),
        ("(a || b) && c", ("and", ("or", "a", "b"), "c")),
        ('a == "x || y" && b', ("and", 'a == "x || y"', "b")),
        ("!(a || b)", "!(a || b)"),
        ("(a) || (b)", ("or", "(a)", "(b)")),
        ("a ? b || c : d", "a ? b || c : d"),
        ("f(a, b && c) || d[e || f]", ("or", "f(a, b && c)", "d[e || f]")),
    ],
)
def test_clauses(expression: str, parts: Any) -> None:
    """Only what `&&` and `||` put together outside of brackets and texts comes apart."""
    assert shape(clause_of(expression)) == parts


LEAVES: Final = (
    "sales > 1",
    "last_purchase_days < 30",
    "m.sales == 0",
    "m.last_days > 5",
    'stores["a"].sales > 1',
    'tier == "gold"',
)
VALUES: Final = st.fixed_dictionaries(
    {
        "sales": st.integers(0, 3),
        "last_purchase_days": st.none() | st.integers(0, 60),
        "tier": st.sampled_from(["", "gold"]),
        "stores": st.sampled_from([{}, {"a": {"sales": 2}}]),
        "attributes": st.just({}),
    }
)
FIGURES: Final = st.tuples(
    st.integers(0, 2), st.just(1), st.just(1), st.none(), st.integers(0, 99), st.none() | st.integers(0, 9)
)
EXPRESSIONS: Final = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner),
    max_leaves=6,
)


@given(EXPRESSIONS, st.lists(st.tuples(VALUES, FIGURES), min_size=1, max_size=6))
@examples(60)
def test_clause_by_clause_is_as_the_whole(
    expression: str, members: list[tuple[dict[str, Any], tuple[Any, ...]]]
) -> None:
    """Also where a part cannot be evaluated: it does not matter where the others settle it."""
    one = criteria(expression)
    rows = [(UUID(int=number), facts) for number, (facts, _) in enumerate(members)]
    figures = {UUID(int=number): measure for number, (_, measure) in enumerate(members)}
    held = evaluate(one, rows, {"m": figures})
    expected, failed = [], 0
    for member, facts in rows:
        try:
            if one.holds({**facts, "m": dict(zip(MEASURE_FIELDS, figures[member], strict=True))}):
                expected.append(member)
        except EVALUATION_ERRORS:
            failed += 1
    assert held.members == expected
    assert held.failed == failed
    assert bool(held.error) == bool(failed)


@pytest.mark.parametrize(
    ("expression", "measure", "is_timed"),
    [
        ("sales > 1", {}, False),
        ("last_purchase_days > 1", {}, True),
        ("m.sales > 1", {}, False),
        ("m.sales > 1", {"last_days": 7}, True),
        ("m.sales > 1", {"dates": DateRange(until_date="2026-01-31")}, False),
        ("m.last_days > 1", {}, True),
        ('m["last_days"] > 1', {}, True),
    ],
)
def test_what_time_changes(expression: str, measure: dict[str, Any], is_timed: bool) -> None:
    """Such a segment is evaluated again when a day begins."""
    assert criteria(expression, **measure).is_timed == is_timed


def test_only_what_is_named_is_read() -> None:
    """Facts, measures and the fields of measures."""
    one = criteria('sales > 1 && m.sales > 0 && m.share_percent > 10 || tier == "m.units"')
    assert one.facts == {"sales", "tier"}
    assert list(one.measures) == ["m"]
    assert one.fields("m") == ("sales", "units", "share_percent")


@pytest.mark.parametrize(
    ("expression", "is_right"),
    [
        ("attributes.children > 1", True),
        ('attributes["children"] > 1 && has(attributes.children)', True),
        ("'children' in attributes || tier == \"gold\"", True),
        ('attributes.diet == "vegan"', False),
        ("attributes['diet'] == 'vegan'", False),
        ('"diet" in attributes', False),
        ('attributes["di" + "et"] == "vegan"', False),
        ('"di" + "et" in attributes', False),
        ("size(attributes) > 1", False),
        ('(attributes).diet == "vegan"', False),
        ("attributes[tier] == 'vegan'", False),
        ('"children" in attributes["di" + "et"]', False),
        ('sales == 1 ? (false && "children" in attributes.children) : attributes["di" + "et"] == "vegan"', False),
        ('tier == "attributes.children" && "children" in attributes.children', True),
    ],
)
def test_who_may_not_see_an_attribute_does_not_ask_for_it(expression: str, *, is_right: bool) -> None:
    """By no way of writing it; who may see it may ask."""
    segment = Segment(name="programs/p/segments/s", expression=expression)
    known = ["children", "diet", "di", "et"]

    def is_refused(hidden: list[str] | None) -> bool:
        return any("a manager must do it" in what for _, what in problems(segment, KINDS, known, hidden))

    assert is_refused(["diet"]) == (not is_right)
    assert not is_refused(None)


def test_an_explanation_shows_what_it_names_and_may_show() -> None:
    """Nothing of an attribute that the expression does not name, nor the value of one that is not to be shown."""
    one = criteria('attributes.children > 1 && attributes["diet"] == "vegan" && sales > 0')
    known = {"sales": 2, "attributes": {"children": 2, "diet": "vegan", "city": "Pune"}}
    facts = [(fact.name, fact.value) for clause in one.explain(known, ["children"]).clauses for fact in clause.facts]
    assert facts == [("attributes.children", "2"), ("attributes.diet", ""), ("sales", "2")]


def test_a_program_has_so_many_segments_and_no_more() -> None:
    """A new one too many is rejected; one that is there can still be changed."""
    request = SaveSegmentRequest(segment=Segment(name="programs/p/segments/s"))
    last = State(UUID(int=1), 0, others=SEGMENTS_MAX - 1)
    _, saved = decide_segment(request, UUID(int=2), Origin(), last, Program())
    assert decide_segment(request, UUID(int=3), Origin(), saved, Program())[1].version == saved.version + 1
    with pytest.raises(Rejected, match="TOO_MANY_SEGMENTS"):
        decide_segment(request, UUID(int=2), Origin(), last._replace(others=SEGMENTS_MAX), Program())


@pytest.mark.parametrize(
    ("measure", "path"),
    [
        (Measure(measure_id="M"), "measures[0].measure_id"),
        (Measure(measure_id="sales"), "measures[0].measure_id"),
        (Measure(measure_id="in"), "measures[0].measure_id"),
        (Measure(measure_id="m", last_days=LAST_DAYS_MAX + 1), "measures[0].last_days"),
        (Measure(measure_id="m", dates=DateRange(from_date="2026-02-30")), "measures[0].dates.from_date"),
        (
            Measure(measure_id="m", dates=DateRange(from_date="2026-02-02", until_date="2026-02-01")),
            "measures[0].dates.until_date",
        ),
        (Measure(measure_id="m", labels=["x" * 101]), "measures[0].labels[0]"),
        (Measure(measure_id="m", channels=[99]), "measures[0].channels[0]"),  # type: ignore[list-item]  # a newer one
        (Measure(measure_id="m"), "measures[0]"),
    ],
)
def test_wrong_measures(measure: Measure, path: str) -> None:
    """The last of them is right, and no expression names it."""
    segment = Segment(name="programs/p/segments/s", expression="sales > 1", measures=[measure])
    assert [where for where, _ in problems(segment, KINDS)] == [path]


def test_right_segments() -> None:
    """An expression alone, a list alone, and attributes whatever their type."""
    name = "programs/p/segments/s"
    measures = [Measure(measure_id=f"m{number}") for number in range(MEASURES_MAX)]
    expression = " && ".join(f"m{number}.sales > 0" for number in range(MEASURES_MAX))
    for segment in (
        Segment(name=name),
        Segment(name=name, expression=expression, measures=measures),
        Segment(name=name, expression='attributes.children > 1 || attributes["city"] == "Pune"'),
    ):
        assert problems(segment, KINDS, ["children", "city"]) == []
    measures.append(Measure(measure_id="more"))
    assert [path for path, _ in problems(Segment(name=name, measures=measures), KINDS)] == ["measures"]
