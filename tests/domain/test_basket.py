"""Baskets: what each line comes to, and what a spend rule gives for it."""

from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import Basis, EarningRule, LineFilter, Rounding, SpendRule
from loyalty.v1.expiry_pb2 import ExpiryPolicy, PendingPolicy
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.sale_pb2 import LineKind, Sale, SaleDiscount, SaleLine

from ledger.domain.account import Account
from ledger.domain.basket import BASIS, Basket
from ledger.domain.instant import EARLIEST
from ledger.domain.pool import Pools
from ledger.domain.rounding import INT64_MAX, Overflow
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.spend import Spend
from ledger.domain.rules.tally import Tally
from ledger.domain.rules.terms import Terms
from ledger.domain.validity import Validity

RED: Final = LineFilter(labels=["red"])
DELIVERY: Final = LineFilter(kinds=[LineKind.LINE_KIND_DELIVERY])


def basket_w() -> Sale:
    """Basket W of the scenario book: 12.00 red, 100.00 blue, 40.00 delivery."""
    return Sale(
        lines=[
            SaleLine(line_id="A", sku="123", labels=["red"], price_minor=12_00),
            SaleLine(line_id="B", sku="000", labels=["blue"], price_minor=100_00),
            SaleLine(line_id="C", sku="0001", kind=LineKind.LINE_KIND_DELIVERY, price_minor=40_00),
        ]
    )


def awarded(rule: SpendRule, basket: Basket) -> Award | None:
    """What a rule gives for a basket."""
    message = EarningRule(rule_id="rule", spend=rule)
    zone = ZoneInfo("UTC")
    facts = Facts(Account(UUID(int=1)), Origin(), EARLIEST, zone, basket=basket)
    terms = Terms("rule", message, Validity(PendingPolicy(), ExpiryPolicy(), zone))
    asked = Spend(message, terms).ask(facts, basket, Tally({}, Pools("", {}), EARLIEST, zone))
    return asked.award if asked is not None else None


def points(rule: SpendRule, sale: Sale) -> int:
    """What a rule gives for a sale."""
    award = awarded(rule, Basket.of(sale))
    return award.points if award is not None else 0


def four_per_unit(**fields: object) -> SpendRule:
    """4 points per 1.00."""
    rule = SpendRule(points=4, per_minor=1_00)
    for name, value in fields.items():
        if isinstance(value, LineFilter):
            getattr(rule, name).CopyFrom(value)
        else:
            setattr(rule, name, value)
    return rule


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (four_per_unit(), 608),
        (four_per_unit(excluding=LineFilter(skus=["000"])), 208),
        (four_per_unit(excluding=RED), 560),
        (four_per_unit(only=RED), 48),
        (
            four_per_unit(excluding=LineFilter(labels=["red"], kinds=[LineKind.LINE_KIND_DELIVERY])),
            400,
        ),
        (four_per_unit(only=RED, excluding=RED), 0),
        (four_per_unit(only=LineFilter(kinds=[LineKind.LINE_KIND_PRODUCT])), 448),
        (four_per_unit(only=LineFilter(skus=["00"])), 0),
        (four_per_unit(only=LineFilter()), 0),
    ],
)
def test_filters_choose_lines(rule: SpendRule, expected: int) -> None:
    """E7: exclusion of a SKU, a label, a kind; only a label. What is excluded never counts."""
    assert points(rule, basket_w()) == expected


@pytest.mark.parametrize(("minimum", "expected"), [(0, 608), (100_00, 608), (152_00, 608), (152_01, 0), (300_00, 0)])
def test_a_minimum_basket(minimum: int, expected: int) -> None:
    """E11: minimum 100 on basket W gives 608, minimum 300 gives nothing; the bound belongs to it."""
    assert points(four_per_unit(minimum_minor=minimum), basket_w()) == expected


def test_the_minimum_is_of_the_whole_basket() -> None:
    """Also where the rule counts only some of its lines."""
    assert points(four_per_unit(only=RED, minimum_minor=100_00), basket_w()) == 48


def test_one_point_per_ten() -> None:
    """E1: a sale of 105.00 gives 10."""
    rule = SpendRule(points=1, per_minor=10_00)
    assert points(rule, Sale(lines=[SaleLine(price_minor=105_00)])) == 10


def test_the_fraction_is_dropped_once_per_sale() -> None:
    """Three lines of 3.50 are 10.50: ten points, not nine."""
    rule = SpendRule(points=1, per_minor=1_00)
    assert points(rule, Sale(lines=[SaleLine(price_minor=3_50)] * 3)) == 10


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.ROUNDING_UNSPECIFIED, 8),
        (Rounding.ROUNDING_WHOLE_STEPS, 8),
        (Rounding.ROUNDING_FLOOR, 10),
        (Rounding.ROUNDING_HALF_UP, 10),
        (Rounding.ROUNDING_CEILING, 10),
    ],
)
def test_a_rule_rounds_as_it_says(rounding: Rounding.ValueType, expected: int) -> None:
    """4 points per 1.00 on 2.50."""
    sale = Sale(lines=[SaleLine(price_minor=2_50)])
    assert points(four_per_unit(rounding=rounding), sale) == expected


def test_discounts_reduce_the_basis_and_payments_do_not() -> None:
    """E14: 100 with a 10 % promotion earns on 90; 100 with 10 paid by gift card earns on 100."""
    rule = SpendRule(points=1, per_minor=1_00)
    sale = Sale(lines=[SaleLine(price_minor=100_00)])
    sale.tenders.add(amount_minor=10_00)
    assert points(rule, sale) == 100
    sale.discounts.add(amount_minor=10_00)
    assert points(rule, sale) == 90


def test_an_award_explains_itself() -> None:
    """It names the lines that counted, and none when simply all did."""
    basket = Basket.of(basket_w())
    some = awarded(four_per_unit(excluding=DELIVERY), basket)
    assert some is not None
    assert [(line.line_id, line.basis) for line in some.lines] == [
        ("A", 12_00),
        ("B", 100_00),
    ]
    assert (some.rule, some.basis) == ("rule", 112_00)
    every = awarded(four_per_unit(), basket)
    assert every is not None
    assert not every.lines


def test_the_same_rule_gives_the_same_points_to_the_last_unit() -> None:
    """E16: 267.39 and 0.89 are 268.28, not 268.27999."""
    sale = Sale(lines=[SaleLine(price_minor=267_39), SaleLine(price_minor=89)])
    assert Basket.of(sale).total == 268_28
    assert points(SpendRule(points=1, per_minor=1), sale) == 26_828


@pytest.mark.parametrize(
    ("basis", "expected"),
    [
        (Basis.BASIS_UNSPECIFIED, [90_00, 45_00]),
        (Basis.BASIS_AFTER_DISCOUNT, [90_00, 45_00]),
        (Basis.BASIS_BEFORE_DISCOUNT, [110_00, 55_00]),
        (Basis.BASIS_BEFORE_DISCOUNT_WITHOUT_TAX, [100_00, 55_00]),
        (Basis.BASIS_AFTER_DISCOUNT_WITHOUT_TAX, [81_82, 45_00]),
    ],
)
def test_a_basis_counts_the_right_amount(basis: Basis.ValueType, expected: list[int]) -> None:
    """Before or after discounts, with or without the tax contained in what is paid."""
    sale = Sale(
        lines=[
            SaleLine(price_minor=110_00, discount_minor=10_00, tax_minor=10_00),
            SaleLine(price_minor=55_00, discount_minor=5_00),
        ],
        discounts=[SaleDiscount(amount_minor=15_00)],
    )
    assert BASIS[basis](Basket.of(sale)) == expected


def test_every_basis_has_its_function() -> None:
    """None can be published that cannot be computed."""
    assert set(BASIS) == set(Basis.values())


def test_a_discount_on_some_lines_leaves_the_others() -> None:
    """E15: a 10 % code on food only leaves what is not food."""
    sale = Sale(
        lines=[SaleLine(line_id="f", price_minor=100_00), SaleLine(line_id="o", price_minor=50_00)],
        discounts=[SaleDiscount(amount_minor=10_00, line_ids=["f"])],
    )
    assert Basket.of(sale).net == [90_00, 50_00]


def test_the_order_of_discounts_counts() -> None:
    """Each is shared out in proportion to what the ones before it left."""
    sale = Sale(
        lines=[SaleLine(line_id="a", price_minor=100), SaleLine(line_id="b", price_minor=100)],
        discounts=[
            SaleDiscount(amount_minor=100, line_ids=["a"]),
            SaleDiscount(amount_minor=50),
        ],
    )
    assert Basket.of(sale).net == [0, 50]


def test_a_discount_takes_no_more_than_there_is() -> None:
    """S4: the total never goes below zero."""
    basket = Basket.of(basket_w())
    assert basket.take_off(1_000_00) == 152_00
    assert basket.net == [0, 0, 0]
    assert basket.take_off(1) == 0


def test_what_does_not_fit_into_64_bits_is_refused() -> None:
    """The sum of a sale, and the points for it."""
    huge = Sale(lines=[SaleLine(price_minor=INT64_MAX)])
    assert Basket.of(huge).total == INT64_MAX
    assert points(SpendRule(points=1, per_minor=1), huge) == INT64_MAX
    with pytest.raises(Overflow):
        points(SpendRule(points=2, per_minor=1), huge)
    huge.lines.add(price_minor=1)
    with pytest.raises(Overflow):
        Basket.of(huge)


LINES: Final = st.lists(
    st.builds(
        lambda price, part, tax: SaleLine(
            price_minor=price, discount_minor=price * part // 10, tax_minor=price * tax // 10
        ),
        st.integers(0, 10**15),
        st.integers(0, 10),
        st.integers(0, 10),
    ),
    min_size=1,
    max_size=20,
)


@given(lines=LINES, amounts=st.lists(st.integers(1, 10**16), max_size=5))
def test_what_is_taken_off_is_gone(lines: list[SaleLine], amounts: list[int]) -> None:
    """No unit of money is lost or made, no line goes below zero, and no basis above its price."""
    basket = Basket.of(Sale(lines=lines))
    total = basket.total
    taken = sum(basket.take_off(amount) for amount in amounts)
    assert basket.total == total - taken
    assert taken == min(total, sum(amounts))
    for counted in BASIS.values():
        for line, amount in zip(lines, counted(basket), strict=True):
            assert 0 <= amount <= line.price_minor
