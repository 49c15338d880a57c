"""Values of attributes, and the form in which names are searched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.attribute_pb2 import AttributeDefinition
from loyalty.v1.earning_pb2 import Conditions, LineFilter

from ledger.domain.attribute import canonical, value_of
from ledger.domain.publish import problems
from ledger.store.name_key import fold, name_keys
from tests.members.known import attribute
from tests.programs import plus, program, spend

FORMS = [
    ("text", " Rao ", "Rao"),
    ("text", "राव", "राव"),
    ("text", "x" * 501, None),
    ("text", "a\tb", None),
    ("integer", "+007", "7"),
    ("integer", "-9223372036854775808", "-9223372036854775808"),
    ("integer", "9223372036854775808", None),
    ("integer", "1.0", None),
    ("integer", "\u0661", None),
    ("decimal", "12.50", "12.5"),
    ("decimal", "-0.00", "0"),
    ("decimal", "100", "100"),
    ("decimal", "1e3", None),
    ("decimal", "1234567890123456789", None),
    ("flag", "TRUE", "true"),
    ("flag", "yes", None),
    ("date", "2024-02-29", "2024-02-29"),
    ("date", "2023-02-29", None),
    ("date", "20240229", None),
]


@pytest.mark.parametrize(("kind", "text", "form"), FORMS)
def test_a_value_has_one_form(kind: str, text: str, form: str | None) -> None:
    """Or is none, and the message does not repeat it: it may be personal."""
    definition = attribute("a", kind)
    if form is None:
        with pytest.raises(ValueError, match="must be") as caught:
            canonical(definition, text)
        assert text not in str(caught.value)
    else:
        assert canonical(definition, text) == canonical(definition, form) == form


@given(st.integers(-(2**63), 2**63 - 1), st.decimals(-(10**12), 10**12, places=4), st.dates())
def test_values_mean_what_they_say(integer: int, decimal: object, day: object) -> None:
    """Whatever is stored reads as what was meant."""
    for kind, meant in (("integer", integer), ("decimal", decimal), ("date", day)):
        definition = attribute("a", kind)
        found = value_of(definition.type, canonical(definition, str(meant)))
        assert found == (float(str(meant)) if kind == "decimal" else meant if kind == "integer" else str(meant))


def test_only_what_is_allowed() -> None:
    """Where the program names the values, there are no others."""
    assert canonical(attribute("a", "integer", "1", "2"), "02") == "2"
    with pytest.raises(ValueError, match="must be one of 1, 2"):
        canonical(attribute("a", "integer", "1", "2"), "3")


def test_names_are_searched_in_one_form() -> None:
    """Case, accents and spaces do not count; the vowel signs of Hindi do."""
    assert fold("  ÅSA   Öberg ") == "asa oberg"
    assert fold("Straße") == "strasse"
    assert fold("कि") != fold("कु")
    assert name_keys("Zoë", "Müller") == ("zoe muller", "muller zoe")
    assert name_keys("", "") == ("", "")


WRONG: list[tuple[AttributeDefinition, list[str]]] = [
    (AttributeDefinition(), ["attribute_id", "type"]),
    (attribute("Big", "flag"), ["attribute_id"]),
    (attribute("a", "integer", "x", "01", "1", "1"), ["allowed_values[0]", "allowed_values[1]", "allowed_values[3]"]),
    (attribute("a", "text", *map(str, range(101))), ["allowed_values"]),
]


@pytest.mark.parametrize(("definition", "fields"), WRONG)
def test_attributes_are_checked_when_published(definition: AttributeDefinition, fields: list[str]) -> None:
    """All problems at once, with their paths."""
    found = problems(program(spend(), attributes=[definition], **NAMED))
    assert [path for path, _ in found] == [f"attributes[0].{field}" for field in fields]


NAMED = {"name": "programs/p", "currency": "EUR", "time_zone": "Europe/Berlin", "default_region": "DE"}

EXPRESSIONS = [
    ("member.attributes.children > 1", ""),
    ("has(member.attributes.children) && 'vip' in member.segments", ""),
    ("'children' in member.attributes", ""),
    ("member.attributes['children'] == 2", ""),
    ("member.attributes.age > 1", "no attribute 'age'"),
    ("'age' in member.attributes", "no attribute 'age'"),
    ("member.attributes.children > 'x'", "fails for a sample"),
    ("member.attributes.children", "neither true nor false"),
]


@pytest.mark.parametrize(("text", "problem"), EXPRESSIONS)
def test_expressions_name_attributes_that_there_are(text: str, problem: str) -> None:
    """As they are: one that is misspelt would never hold."""
    promotion = plus(1, conditions=Conditions(expression=text))
    definition = program(spend(), promotions=[promotion], attributes=[attribute("children", "integer")], **NAMED)
    found = problems(definition)
    assert [path for path, _ in found] == (["promotions[0].conditions.expression"] if problem else [])
    assert all(problem in why for _, why in found)


def test_lines_are_not_filtered_by_persons() -> None:
    """Conditions are: they are looked at once for a sale and not for each line."""
    only = LineFilter(expression="member.attributes.children > 1")
    definition = program(spend(only=only), attributes=[attribute("children", "integer")], **NAMED)
    ((path, why),) = problems(definition)
    assert path == "earning_rules[0].spend.only.expression"
    assert "put that into the conditions" in why


def test_nobody_is_twice_an_attribute() -> None:
    """An id is one attribute's."""
    definition = program(spend(), attributes=[attribute("a", "flag"), attribute("a", "date")], **NAMED)
    assert problems(definition) == [("attributes[1].attribute_id", "must be unique in the program")]
