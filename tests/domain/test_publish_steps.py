"""What expressions cost: counted when they are published, and no more than that when they are evaluated."""

from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from loyalty.v1.earning_pb2 import Conditions, LineFilter
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import FreeItems, Reward
from loyalty.v1.sale_pb2 import SaleLine

from ledger.domain.account import Account
from ledger.domain.basket import LINES_MAX, Basket
from ledger.domain.instant import EARLIEST
from ledger.domain.pool import Pools
from ledger.domain.program import Program as Compiled
from ledger.domain.publish import problems
from ledger.domain.publish_steps import REWARDS_IN_SALE_MAX, STEPS_MAX
from ledger.domain.rules import facts as facts_module
from ledger.domain.rules.expression import Expression
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.tally import Tally
from tests.programs import spend, visit

FILTER_STEPS = LINES_MAX * 11
"""Of the filters of `by_expression`."""

FILTERS_MAX = STEPS_MAX // FILTER_STEPS


def a_program(**fields: object) -> Program:
    """A program that lacks nothing but rules."""
    return Program(name="programs/p", currency="EUR", time_zone="UTC", default_region="DE", **fields)  # type: ignore[arg-type]  # as each test gives them


def by_expression(count: int) -> Program:
    """Rules that each look at every line by an expression."""
    only = LineFilter(expression='line.sku == "x" && sale.total_minor > 0')
    return a_program(earning_rules=[spend(rule_id=f"r-{number}", only=only) for number in range(count)])


@pytest.mark.parametrize(
    ("text", "of_line", "steps"),
    [
        ("sale.total_minor > 1", False, 5 + 3),
        ('"lines.all((" != tier', False, 5 + 2),
        ("lines.exists(l, l.quantity > 1)", False, 5 + 2 + 500 * 4),
        ("lines.exists(l, l.quantity > 1) && lines.all(l, (l.price_minor > 1))", False, 5 + 2 * (2 + 500 * 4)),
        ("lines.exists(l, lines.all(m, m.quantity > l.quantity))", False, 5 + 2 + 500 * (3 + 500 * 5)),
        ("sale.tenders.exists(t, t == 'cash')", False, 5 + 3 + 50 * 3),
        ("[1, 2].exists(n, n == sale.line_count)", False, 5 + 3 + 500 * 4),
        ("size(lines) == lines.size() || lines[0].quantity == 1", False, 5 + 8),
        ('line.brand == "b"', True, 500 * (5 + 3)),
        ('line.labels.exists(l, l == "a") || line.labels.exists(l, l == "b")', True, 500 * (5 + 2 * (3 + 50 * 3))),
        ('line.sku.matches("^A[0-9]+$")', True, 500 * (5 + 3 + 8 * 11)),
    ],
)
def test_what_an_expression_costs(text: str, of_line: bool, steps: int) -> None:
    """Names and constants count, within a macro for each entry; line filters are for each line."""
    assert Expression(text, of_line=of_line).steps == steps


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lines.map(a, lines).all(b, size(b) > 0)", "must not have map"),
        ("lines.filter(l, l.quantity > 1).size() > 2", "must not have filter"),
        ("[lines, lines].all(b, size(b) > 0)", "may use lines only as in"),
        ("{'a': lines}.a.all(l, true)", "may use lines only as in"),
        ("lines == lines", "may use lines only as in"),
        ("(lines).all(l, true)", "may use lines only as in"),
        ("lines.all(a, // )\n lines.all(b, true))", "must have no comments"),
        ('r"\\" != tier', "must have its texts between"),
        ('tier != """lines.all("""', "must have its texts between"),
        ("b'a' != b'b'", "must have its texts between"),
        ('tier.matches("(a{100}){10}")', "too costly"),
        (r'tier.matches("\\w+")', "too costly"),
        (f'tier.matches("{"a" * 100}")', "too costly"),
        ("tier.matches(store)", "must give matches a constant"),
        ('matches(tier, "a")', "must give matches a constant"),
        (" || ".join(["lines.exists(l, l.quantity > 1)"] * 3), "at most 2 of all, exists, exists_one"),
    ],
)
def test_what_nobody_can_bound_is_refused(text: str, reason: str) -> None:
    """What copies lists, hides a macro from the count, or compiles a costly regular expression for each line."""
    with pytest.raises(ValueError, match=reason):
        Expression(text)


def test_too_many_line_expressions_are_not_published() -> None:
    """The first expression that is too much is named, once."""
    assert problems(by_expression(FILTERS_MAX)) == []
    ((path, reason),) = problems(by_expression(FILTERS_MAX + 2))
    assert path == f"earning_rules[{FILTERS_MAX}].spend.only.expression"
    assert f"{(FILTERS_MAX + 1) * FILTER_STEPS:,} steps, 300,000 at most" in reason


def test_conditions_and_rewards_count() -> None:
    """Of rewards as many as one sale can redeem."""
    nested = Conditions(expression="lines.exists(l, l.labels.exists(m, m == l.sku && m != l.brand && m != l.category))")
    rules = [visit(1, f"r-{number}", conditions=nested) for number in range(2)]
    assert problems(a_program(earning_rules=rules[:1])) == []
    assert [path for path, _ in problems(a_program(earning_rules=rules))] == ["earning_rules[1].conditions.expression"]
    only = LineFilter(expression='line.labels.exists(l, l == "a")')
    rewards = [
        Reward(reward_id=f"r-{number}", cost_points=1, free_items=FreeItems(units=1, only=only))
        for number in range(REWARDS_IN_SALE_MAX + 1)
    ]
    assert [path for path, _ in problems(a_program(rewards=rewards))] == ["rewards[3].free_items.only.expression"]


def test_a_line_filter_has_no_lines() -> None:
    """It would go through all lines for each of them."""
    only = LineFilter(expression="lines.exists(l, l.sku == line.sku)")
    ((path, reason),) = problems(a_program(earning_rules=[spend(only=only)]))
    assert path == "earning_rules[0].spend.only.expression"
    assert reason.startswith("there is no variable 'lines': choose from activity, attributes,")


def test_a_line_is_put_into_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all expressions that look at it: that is what costs, not evaluating them."""
    made: list[str] = []
    evaluated = 0
    of_line, evaluate = facts_module.line_variable, Expression.evaluate

    def count_line(line: SaleLine) -> dict[str, object]:
        made.append(line.line_id)
        return of_line(line)

    def count(self: Expression, facts: Facts, line: SaleLine | None = None) -> bool:
        nonlocal evaluated
        evaluated += 1
        return evaluate(self, facts, line)

    monkeypatch.setattr(facts_module, "line_variable", count_line)
    monkeypatch.setattr(Expression, "evaluate", count)
    program = Compiled(by_expression(10))
    lines = [SaleLine(line_id=str(number), sku="x", price_minor=1_00) for number in range(LINES_MAX)]
    basket = Basket(lines, [1_00] * LINES_MAX)
    account = Account(UUID(int=0))
    facts = Facts(account, Origin(), EARLIEST, ZoneInfo("UTC"), names=program.expression_names, basket=basket)
    tally = Tally({}, Pools("", {}), EARLIEST, program.zone)
    asked = [rule.ask(facts, basket, tally) for rule in program.rules_for(facts)]
    assert [one.award.points for one in asked if one is not None] == [LINES_MAX] * 10
    assert made == [line.line_id for line in lines]
    assert evaluated == 10 * LINES_MAX
