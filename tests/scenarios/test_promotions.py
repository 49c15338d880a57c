"""Rules, promotions and how they are combined: E2 to E6, E8 to E10, E12 and E13 of the scenario book."""

from typing import Any

import pytest
from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import Basis, Combination, Conditions, EarningRule, LineFilter, Promotion, Stacking

from tests.conftest import OpenShop
from tests.programs import item, labelled, limit, plus, program, spend, times, visit, window
from tests.proof import prove
from tests.shop import basket_w, line

BEST, FIRST = Combination.COMBINATION_BEST, Combination.COMBINATION_FIRST


def parts(awards: Any) -> dict[str, int]:
    """Points by rule or promotion."""
    found: dict[str, int] = {}
    award: Award
    for award in awards:
        found[award.rule] = found.get(award.rule, 0) + award.points
    return found


@pytest.mark.parametrize(
    ("base", "promotion", "expected"),
    [
        (5, plus(3), {"spend": 5, "plus": 3}),
        (5, times(3_000), {"spend": 5, "times": 10}),
        (4, times(1_500), {"spend": 4, "times": 2}),
        (5, times(1_500), {"spend": 5, "times": 2}),
        (7, times(1_333), {"spend": 7, "times": 2}),
        (5, times(500), {"spend": 5, "times": -3}),
        (5, Promotion(promotion_id="fixed", fixed_points=50), {"spend": 5, "fixed": 45}),
        (5, Promotion(promotion_id="fixed", fixed_points=2), {"spend": 5, "fixed": -3}),
    ],
)
def test_e2_e3_base_and_promotion(
    open_shop: OpenShop, base: int, promotion: Promotion, expected: dict[str, int]
) -> None:
    """Both parts are visible in the breakdown; a multiplier drops the fraction."""
    shop = open_shop(program(promotions=[promotion]))
    member = shop.member()
    sale = shop.sale(member, base * 1_00)
    assert parts(sale.awards) == expected
    assert sale.receipt.earned_points == sum(expected.values())
    assert prove(shop, member).available_points == sum(expected.values())


@pytest.mark.parametrize(
    ("combination", "earned"),
    [(Combination.COMBINATION_SUM, 21), (BEST, 12), (FIRST, 9)],
)
def test_e4_combination(open_shop: OpenShop, combination: Combination.ValueType, earned: int) -> None:
    """Rules worth 12 and 9. First in order is the one with the higher priority, wherever it stands."""
    low, high = spend(12, 10_00, rule_id="a-twelve"), spend(9, 10_00, rule_id="nine")
    high.priority = 1
    for rules in ([low, high], [high, low]):
        shop = open_shop(program(*rules, combination=combination))
        assert shop.sale(shop.member(), 10_00).receipt.earned_points == earned


def test_e5_the_newer_until_its_limit_then_the_older(open_shop: OpenShop) -> None:
    """One promotion a sale, newest first: the newer applies until its limit of one a day is used."""
    older = plus(1, "older", conditions=Conditions(windows=[window("2026-01-01T00:00:00", 24 * 365)]))
    newer = plus(
        5,
        "newer",
        conditions=Conditions(windows=[window("2026-03-01T00:00:00", 24 * 100)]),
        limits=[limit("day", times=1)],
    )
    shop = open_shop(
        program(promotions=[older, newer], promotion_stacking=Stacking.STACKING_FIRST, time_zone="Europe/Berlin")
    )
    member = shop.member()
    got = [
        parts(shop.sale(member, 1_00, at=at).awards)
        for at in (
            "2026-02-10T10:00+01:00",
            "2026-03-02T09:00+01:00",
            "2026-03-02T23:59:59+01:00",
            "2026-03-03T00:00+01:00",
        )
    ]
    assert [sorted(one.keys() - {"spend"}) for one in got] == [["older"], ["newer"], ["older"], ["newer"]]
    prove(shop, member)


def test_e6_no_base_no_promotion(open_shop: OpenShop) -> None:
    """A sale that earns no base points gets no promotion points."""
    shop = open_shop(program(spend(1, 10_00), promotions=[plus(3), times(2_000)]))
    member = shop.member()
    assert shop.sale(member, 9_99).receipt.earned_points == 0
    assert shop.sale(member, 10_00).receipt.earned_points == 1 + 3 + 1
    assert prove(shop, member).available_points == 5


@pytest.mark.parametrize(
    ("rules", "promotions", "earned"),
    [
        ([spend(10), spend(4, rule_id="four")], [], 2_128),
        ([spend(4), item(100, "123")], [], 708),
        ([spend(4)], [times(3_000, only=LineFilter(skus=["123"]))], 704),
        ([spend(4)], [times(3_000, "red", only=labelled("red")), times(6_000, "blue", only=labelled("blue"))], 2_704),
        ([spend(4)], [times(0, "red", only=labelled("red")), times(0, "blue", only=labelled("blue"))], 160),
        ([spend(4)], [times(0, "a"), times(0, "b")], 0),
        ([spend(4)], [times(3_000, excluding=labelled("blue", "delivery"))], 704),
    ],
)
def test_e8_e9_e10_basket_w(
    open_shop: OpenShop, rules: list[EarningRule], promotions: list[Promotion], earned: int
) -> None:
    """Several rules, a fixed number for a product, and multipliers on lines."""
    shop = open_shop(program(*rules, promotions=promotions))
    member = shop.member()
    sale = shop.sale(member, basket_w(), till=1)
    assert sale.receipt.earned_points == earned
    assert prove(shop, member).available_points == earned
    shop.give_back(sale.outcome.transaction)
    assert prove(shop, member).available_points == 0


def test_e12_stop(open_shop: OpenShop) -> None:
    """A "stop after me" rule stops later ones only if it applied."""
    first = spend(1, rule_id="first", minimum_minor=50_00)
    first.stop, first.priority = True, 9
    shop = open_shop(program(first, visit(7)))
    member = shop.member()
    assert parts(shop.sale(member, 50_00).awards) == {"first": 50}
    assert parts(shop.sale(member, 49_99).awards) == {"visit": 7}
    prove(shop, member)


@pytest.mark.parametrize(
    ("basis", "minimum_minor", "tax_minor", "price_minor", "earned"),
    [
        (Basis.BASIS_AFTER_DISCOUNT_WITHOUT_TAX, 1_006_00, 150_75, 1_155_75, 0),
        (Basis.BASIS_AFTER_DISCOUNT_WITHOUT_TAX, 1_005_00, 150_75, 1_155_75, 1_005),
        (Basis.BASIS_AFTER_DISCOUNT, 1_006_00, 150_75, 1_155_75, 1_155),
    ],
)
def test_e13_minimum_with_and_without_tax(
    open_shop: OpenShop, basis: Basis.ValueType, minimum_minor: int, tax_minor: int, price_minor: int, earned: int
) -> None:
    """The minimum is looked at on the rule's own basis."""
    shop = open_shop(program(spend(1, basis=basis, minimum_minor=minimum_minor)))
    sale = shop.sale(shop.member(), [line(price_minor, tax_minor=tax_minor)])
    assert sale.receipt.earned_points == earned


@pytest.mark.parametrize(
    ("stacking", "expected"),
    [
        (Stacking.STACKING_ALL, {"spend": 10, "plus": 3, "times": 10}),
        (Stacking.STACKING_BEST, {"spend": 10, "times": 10}),
        (Stacking.STACKING_FIRST, {"spend": 10, "plus": 3}),
    ],
)
def test_stacking_of_promotions(open_shop: OpenShop, stacking: Stacking.ValueType, expected: dict[str, int]) -> None:
    """All, the one that gives most, or the first in order."""
    shop = open_shop(program(promotions=[times(2_000), plus(3, priority=1)], promotion_stacking=stacking))
    assert parts(shop.sale(shop.member(), 10_00).awards) == expected


def test_lines_that_come_back_take_their_own_promotion(open_shop: OpenShop) -> None:
    """E9 and back: line A earned 48 and 96 on top; returning B or C leaves both alone."""
    shop = open_shop(program(spend(4), promotions=[times(3_000, only=LineFilter(skus=["123"]))]))
    member = shop.member()
    sale = shop.sale(member, basket_w()).outcome.transaction
    taken = [shop.give_back(sale, lines=[name]).receipt.clawed_back_points for name in ("2", "1", "3")]
    assert taken == [400, 48 + 96, 160]
    assert prove(shop, member).available_points == 0
