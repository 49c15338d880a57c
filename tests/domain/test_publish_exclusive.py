"""Exclusive groups: rules and promotions that can be in force together are not published."""

from typing import Any

import pytest
from loyalty.v1.earning_pb2 import Conditions, EarningRule, Promotion
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.program_pb2 import Program

from ledger.domain.publish import problems
from ledger.domain.publish_exclusive import GROUP_WINDOWS_MAX
from ledger.domain.rules.window import Window
from tests.programs import activity, plus, tiers, visit, window

NOON = "2026-03-02T12:00:00"
TWO = "2026-03-02T14:00:00"


def wrong(*parts: EarningRule | Promotion) -> list[tuple[str, str]]:
    """What is wrong with a program of these rules and promotions."""
    definition = Program(name="programs/p", currency="EUR", time_zone="Europe/Berlin", default_region="DE")
    definition.tiers.extend(tiers(base=0, gold=100))
    for part in parts:
        into: Any = definition.earning_rules if isinstance(part, EarningRule) else definition.promotions
        into.append(part)
    return problems(definition)


def during(name: str, *windows: Any, group: str = "hours", **conditions: Any) -> Promotion:
    """A promotion of a group."""
    return plus(1, name, exclusive_group=group, conditions=Conditions(windows=windows, **conditions))


def test_windows_that_follow_each_other_are_exclusive() -> None:
    """They are half-open: one begins where the other ends."""
    assert wrong(during("early", window(NOON, 2, "FREQ=DAILY")), during("late", window(TWO, 2, "FREQ=DAILY"))) == []


def test_windows_that_overlap() -> None:
    """The field, the other one, and the first moment that both share."""
    early, late = during("early", window(NOON, 3, "FREQ=DAILY")), during("late", window(TWO, 2, "FREQ=WEEKLY;BYDAY=TU"))
    assert wrong(early, late) == [
        (
            "promotions[1].conditions.windows[0]",
            "overlaps with early of its group: both are open at 2026-03-03T14:00:00",
        )
    ]
    late.exclusive_group = "others"
    assert wrong(early, late) == []
    late.exclusive_group = ""
    assert wrong(early, late) == []


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("first", "second", "moment"),
    [
        (("2020-01-01T08:00:00", 2, "FREQ=DAILY"), ("2029-12-24T09:00:00", 1, ""), "2029-12-24T09:00:00"),
        (("2026-01-31T00:00:00", 24, "FREQ=MONTHLY;BYMONTHDAY=-1"), ("2026-01-01T00:00:00", 24, "FREQ=YEARLY"), ""),
        (
            ("2026-01-01T00:00:00", 24, "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13"),
            ("2026-03-01T12:00:00", 24, "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=12"),
            "2026-11-13T00:00:00",
        ),
        (("2026-01-01T00:00:00", 1, ""), ("2026-01-01T01:00:00", 1, ""), ""),
        (("2026-01-01T00:00:00", 2, ""), ("2026-01-01T01:00:00", 1, ""), "2026-01-01T01:00:00"),
        (("2026-01-01T00:00:00", 24, "FREQ=WEEKLY;COUNT=3"), ("2026-01-22T00:00:00", 24, ""), ""),
    ],
)
def test_recurrences_are_compared(
    first: tuple[str, int, str], second: tuple[str, int, str], moment: str, *, swapped: bool
) -> None:
    """Whichever comes more often or begins first; the moment is the same from both sides."""
    one, other = (Window(window(*each)) for each in (first, second))
    found = other.first_overlap(one) if swapped else one.first_overlap(other)
    assert (found.isoformat() if found else "") == moment


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"stores": ["a"]}, {"stores": ["b", "c"]}),
        ({"channels": [Channel.CHANNEL_APP]}, {"channels": [Channel.CHANNEL_WEB]}),
        ({"tiers": ["base"]}, {"tiers": ["gold"]}),
    ],
)
def test_other_conditions_keep_apart(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Where both name some, and none the same."""
    assert wrong(during("one", window(NOON), **mine), during("other", window(NOON), **theirs)) == []
    assert len(wrong(during("one", window(NOON), **mine), during("other", window(NOON)))) == 1
    assert len(wrong(during("one", window(NOON), **mine), during("other", window(NOON), **mine))) == 1


def test_without_a_window() -> None:
    """It is in force always, so with every other of its group; rules and promotions, but no two occasions."""
    rule = visit(1, "rule", exclusive_group="hours")
    assert wrong(rule, during("late", window(TWO))) == [
        (
            "promotions[0].exclusive_group",
            "overlaps with rule of its group: rule has no window and so may apply at any time",
        )
    ]
    assert wrong(rule, during("always")) == [
        (
            "promotions[0].exclusive_group",
            "overlaps with rule of its group: both have no window and so may apply at any time",
        )
    ]
    occasions = [
        rule,
        *(activity(1, name, name, exclusive_group="hours") for name in ("review", "birthday")),
    ]
    assert wrong(*occasions) == []


def test_groups_are_bounded() -> None:
    """What is not compared is not published, and what is wrong by itself is told once."""
    many = [
        during(f"p-{number}", window(f"2026-01-01T{number % 24:02}:00:00", 1), stores=[f"s-{number}"])
        for number in range(GROUP_WINDOWS_MAX + 1)
    ]
    assert [path for path, _ in wrong(*many)] == [f"promotions[{GROUP_WINDOWS_MAX}].exclusive_group"]
    assert wrong(*many[:-1]) == []
    assert [path for path, _ in wrong(during("one", window("soon")), during("other", window(NOON)))] == [
        "promotions[0].conditions.windows[0].starts_at"
    ]
    assert [path for path, _ in wrong(during("one", window(NOON), group="A b"))] == ["promotions[0].exclusive_group"]


def test_a_window_can_last_as_long_as_calendars_do() -> None:
    """No sale fails because the end of a window is beyond them."""
    always = Window(window(NOON, 9_000 * 366 * 24))
    always.check()
    assert always.contains(Window(window(TWO)).begins)
    assert always.touches_hour(Window(window(TWO)).begins)
    assert always.first_overlap(Window(window(TWO))) == Window(window(TWO)).begins
