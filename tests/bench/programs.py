"""Programs with many rules for the sales of the bench, whose goods have random SKUs and a few categories."""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from loyalty.v1.earning_pb2 import Conditions, EarningRule, LineFilter, Promotion, SpendRule, Window
from loyalty.v1.program_pb2 import Program
from loyalty.v1.tier_pb2 import Tier

from ledger.sample_program import sample_program
from tests.bench.requests import CATEGORIES

ALWAYS: Final = Window(starts_at="2020-01-01T00:00:00", duration=Duration(seconds=100 * 365 * 86_400))
LONG_AGO: Final = Window(starts_at="2020-01-01T00:00:00", duration=Duration(seconds=86_400))
WEEKENDS: Final = Window(
    starts_at="2025-01-04T00:00:00", duration=Duration(seconds=86_400), recurrence="FREQ=WEEKLY;BYDAY=SA,SU"
)


def with_rules(count: int) -> Program:
    """The sample program with so many rules: its own, one for each of four categories, the rest for single goods."""
    program = sample_program()
    for number in range(1, count):
        only = LineFilter(categories=[CATEGORIES[number]]) if number < len(CATEGORIES) else _goods(number)
        spend = SpendRule(points=1, per_minor=50_00, only=only)
        program.earning_rules.append(EarningRule(rule_id=f"rule-{number}", spend=spend))
    return program


def fifty_rules() -> Program:
    """50 rules, 20 promotions and 5 tiers, of which some apply to every sale and most to none."""
    program = with_rules(50)
    effects = (
        Promotion(multiplier_thousandths=2_000, only=LineFilter(categories=["DAIRY"]), conditions=_in(ALWAYS)),
        Promotion(addition_points=5, conditions=Conditions(windows=[WEEKENDS], stores=["store-1"])),
        Promotion(addition_points=3, conditions=Conditions(expression="sale.total_minor > 100000", windows=[ALWAYS])),
    )
    for number in range(20):
        promotion = effects[number] if number < len(effects) else Promotion(addition_points=1, conditions=_in(LONG_AGO))
        promotion.promotion_id = f"promotion-{number}"
        if number >= len(effects) and number % 2:
            promotion.conditions.CopyFrom(_in(ALWAYS))
            promotion.only.CopyFrom(_goods(number))
        program.promotions.append(promotion)
    del program.tiers[:]
    program.tiers.extend(Tier(tier_id=f"tier-{number}", threshold=number * 10_000) for number in range(5))
    return program


def _in(window: Window) -> Conditions:
    return Conditions(windows=[window])


def _goods(number: int) -> LineFilter:
    """Goods that hardly any sale has."""
    return LineFilter(skus=[f"{number:08}"])
