"""Programs in the model's words, read back from what is published."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings

from ledger.programs import find, names
from tests.model.programs import definition, rules
from tests.model.published import NotKnown, read, rules_of
from tests.model.scheme import Rules


@settings(max_examples=150)
@given(program=rules())
def test_a_published_program_says_what_the_model_said(program: Rules) -> None:
    """Every program that is compared with the ledger at random, through its JSON."""
    said = MessageToDict(definition(program, "programs/p"), preserving_proto_field_name=True)
    assert rules_of(said) == program


@pytest.mark.parametrize("name", names())
def test_the_example_programs_are_known(name: str) -> None:
    """All that they say."""
    program = read(find(name))
    assert program.zone == "America/New_York"
    assert program.earning


def _happy(recurrence: str, expression: str = "") -> dict[str, Any]:
    """A promotion on a Monday."""
    window = {"starts_at": "2017-01-02T14:00:00", "duration": "7200s", "recurrence": recurrence}
    conditions = {"windows": [window], "expression": expression}
    return {"promotion_id": "happy", "multiplier_thousandths": "2000", "conditions": conditions}


LEAST: dict[str, Any] = {
    "name": "programs/p",
    "time_zone": "UTC",
    "earning_rules": [{"rule_id": "spend", "spend": {"points": 1, "per_minor": 100}}],
}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"own_points_pay": True}, "program: own_points_pay"),
        ({"returns": {"keeps_vouchers": True}}, "program.returns: keeps_vouchers"),
        ({"combination": "COMBINATION_WORST"}, "program.combination: COMBINATION_WORST"),
        ({"rewards": [{"reward_id": "tree", "cost_points": 5, "donation": {}}]}, r"program.rewards\[0\]: donation"),
        ({"promotions": [_happy("FREQ=MONTHLY;BYMONTHDAY=1")]}, "the recurrence FREQ=MONTHLY;BYMONTHDAY=1"),
        ({"promotions": [_happy("FREQ=WEEKLY;BYDAY=TU")]}, "whose first time is none of its own"),
        ({"promotions": [_happy("", expression="1 == 1")]}, "the expression 1 == 1"),
    ],
)
def test_what_the_model_does_not_know_is_refused(more: dict[str, Any], problem: str) -> None:
    """With where it is said."""
    assert len(rules_of(LEAST).earning) == 1
    with pytest.raises(NotKnown, match=problem):
        rules_of({**LEAST, **more})
