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

FILTERS_MAX = STEPS_MAX // LINES_MAX


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
        ("sale.total_minor > 1", False, 1),
        ('"lines.all((" != tier', False, 1),
        ("lines.exists(l, l.quantity > 1)", False, 500),
        ("lines.exists(l, l.quantity > 1) && lines.all(l, (l.price_minor > 1))", False, 500),
        ("lines.exists(l, lines.all(m, m.quantity > l.quantity))", False, 250_000),
        ('line.brand == "b"', True, 500),
        ('line.labels.exists(l, l == "a") || line.labels.exists(l, l == "b")', True, 25_000),
    ],
)
def test_what_an_expression_costs(text: str, of_line: bool, steps: int) -> None:
    """Macros multiply where one stands in another; line filters are for each line."""
    assert Expression(text, of_line=of_line).steps == steps


def test_too_many_line_expressions_are_not_published() -> None:
    """The first expression that is too much is named, once."""
    assert problems(by_expression(FILTERS_MAX)) == []
    ((path, reason),) = problems(by_expression(FILTERS_MAX + 2))
    assert path == f"earning_rules[{FILTERS_MAX}].spend.only.expression"
    assert "300,500 steps, 300,000 at most" in reason


def test_conditions_and_rewards_count() -> None:
    """Of rewards as many as one sale can redeem."""
    nested = Conditions(expression="lines.exists(l, lines.all(m, m.quantity > l.quantity))")
    rules = [visit(1, f"r-{number}", conditions=nested) for number in range(2)]
    assert problems(a_program(earning_rules=rules[:1])) == []
    assert [path for path, _ in problems(a_program(earning_rules=rules))] == ["earning_rules[1].conditions.expression"]
    only = LineFilter(expression='line.labels.exists(l, l == "a")')
    rewards = [
        Reward(reward_id=f"r-{number}", cost_points=1, free_items=FreeItems(units=1, only=only))
        for number in range(REWARDS_IN_SALE_MAX + 1)
    ]
    assert [path for path, _ in problems(a_program(rewards=rewards))] == ["rewards[12].free_items.only.expression"]


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
