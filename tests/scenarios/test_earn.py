"""Earning and rounding: E1, E7, E11 and E14 to E16 of the scenario book."""

from typing import Any

import pytest
from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.earning_pb2 import Basis, LineFilter, Promotion, Rounding
from loyalty.v1.program_pb2 import Program
from loyalty.v1.sale_pb2 import LineKind, SaleDiscount, SaleLine, Tender, TenderKind

from tests.conftest import OpenShop
from tests.programs import cashback, discount, program, spend
from tests.proof import prove
from tests.shop import basket_w, line, refused

FIXED = Promotion(promotion_id="fixed", fixed_points=9)
FOUR_A_EURO: dict[str, Any] = {"points": 4, "per_minor": 1_00}


def test_e1_beyond_int64(open_shop: OpenShop) -> None:
    """What an account ever earned never passes 64 bits, though it was spent: the sale is refused, and only that."""
    shop = open_shop(program(spend(2**62, 1_00)))
    member = shop.member()
    assert shop.sale(member, 1_00).receipt.earned_points == 2**62
    shop.adjust(member, -(2**62))
    for _ in range(2):
        with refused("OVERFLOW"):
            shop.sale(member, 1_00)
    with refused("OVERFLOW"):
        shop.sale(member, 2_00)
    assert shop.sale(member, 99).receipt.earned_points == 0
    assert prove(shop, member).available_points == 0


@pytest.mark.parametrize(
    ("definition", "amounts"),
    [
        (program(spend(1, 2**63 - 1, carry_over=True)), (2**62, 2**62)),
        (
            program(spend(1, 1, "a"), spend(1, 1, "b"), promotions=[Promotion(promotion_id="f", fixed_points=9)]),
            (2**62,),
        ),
    ],
    ids=["carried", "of a promotion"],
)
def test_e1_what_points_are_worked_out_from(open_shop: OpenShop, definition: Program, amounts: tuple[int, ...]) -> None:
    """An amount beyond 64 bits, though its points would fit, is refused like points that do not."""
    shop = open_shop(definition)
    member = shop.member()
    for amount in amounts[:-1]:
        shop.sale(member, amount)
    with refused("OVERFLOW"):
        shop.sale(member, amounts[-1])
    prove(shop, member)


@pytest.mark.parametrize(
    ("points", "per_minor", "price_minor", "earned"),
    [
        (1, 10_00, 105_00, 10),
        (1, 10_00, 9_99, 0),
        (1, 10_00, 10_00, 1),
        (3, 7_00, 48_99, 18),
        (250, 1, 3, 750),
        (1, 10_00, 0, 0),
    ],
)
def test_e1_whole_steps(open_shop: OpenShop, points: int, per_minor: int, price_minor: int, earned: int) -> None:
    """Points come for whole steps of the amount, and what is left below a step gives nothing."""
    shop = open_shop(program(spend(points, per_minor)))
    member = shop.member()
    sale = shop.sale(member, price_minor)
    assert sale.receipt.earned_points == earned
    assert [award.points for award in sale.awards] == ([earned] if earned else [])
    assert prove(shop, member).available_points == earned


@pytest.mark.parametrize(
    ("rounding", "price_minor", "earned"),
    [
        (Rounding.ROUNDING_UNSPECIFIED, 2_50, 8),
        (Rounding.ROUNDING_WHOLE_STEPS, 2_50, 8),
        (Rounding.ROUNDING_FLOOR, 2_50, 10),
        (Rounding.ROUNDING_FLOOR, 2_49, 9),
        (Rounding.ROUNDING_HALF_UP, 2_37, 9),
        (Rounding.ROUNDING_HALF_UP, 2_38, 10),
        (Rounding.ROUNDING_HALF_UP, 12, 0),
        (Rounding.ROUNDING_HALF_UP, 13, 1),
        (Rounding.ROUNDING_CEILING, 2_50, 10),
        (Rounding.ROUNDING_CEILING, 2_51, 11),
        (Rounding.ROUNDING_CEILING, 1, 1),
    ],
)
def test_e1_each_rounding(open_shop: OpenShop, rounding: Rounding.ValueType, price_minor: int, earned: int) -> None:
    """The rule names its rounding; it is applied once, to the sum of the lines and not to each of them."""
    shop = open_shop(program(spend(**FOUR_A_EURO, rounding=rounding)))
    one, others = price_minor // 3, price_minor - price_minor // 3
    member = shop.member()
    assert shop.sale(member, [line(one), line(others)]).receipt.earned_points == earned


def test_e1_rules_are_added_up(open_shop: OpenShop) -> None:
    """Every point is explained: the awards name their rules and add up to what the receipt says."""
    shop = open_shop(program(spend(1, 10_00), spend(2, 25_00, rule_id="more")))
    sale = shop.sale(shop.member(), 105_00)
    assert {award.rule: award.points for award in sale.awards} == {"spend": 10, "more": 8}
    assert sale.receipt.earned_points == 18


@pytest.mark.parametrize(
    ("filters", "earned"),
    [
        ({}, 608),
        ({"excluding": LineFilter(skus=["000"])}, 208),
        ({"excluding": LineFilter(labels=["red"])}, 560),
        ({"only": LineFilter(labels=["red"])}, 48),
        ({"excluding": LineFilter(labels=["red", "delivery"])}, 400),
        ({"excluding": LineFilter(skus=["0001"])}, 448),
        ({"excluding": LineFilter(skus=["00", "0000", "12"])}, 608),
        ({"excluding": LineFilter(skus=["123"], labels=["blue"])}, 160),
        ({"only": LineFilter(skus=["123"], labels=["delivery"])}, 208),
        ({"only": LineFilter(skus=["123", "000"]), "excluding": LineFilter(labels=["blue"])}, 48),
        ({"only": LineFilter(labels=["green"])}, 0),
        ({"excluding": LineFilter(labels=["red", "blue", "delivery"])}, 0),
    ],
)
def test_e7_exclusions(open_shop: OpenShop, filters: dict[str, Any], earned: int) -> None:
    """A rule counts only the lines that it names and never those that it excludes, by exact SKU or label."""
    shop = open_shop(program(spend(**FOUR_A_EURO, **filters)))
    member = shop.member()
    sale = shop.sale(member, basket_w())
    assert sale.receipt.earned_points == earned
    assert sale.receipt.payable_minor == 152_00
    assert prove(shop, member).available_points == earned


def _shelves() -> list[SaleLine]:
    return [
        line(10_00, category="dairy", brand="alp"),
        line(20_00, category="bakery", brand="alp"),
        line(30_00, category="bakery", brand="oven", kind=LineKind.LINE_KIND_SERVICE),
        line(40_00, kind=LineKind.LINE_KIND_GIFT_CARD),
    ]


@pytest.mark.parametrize(
    ("filters", "earned"),
    [
        ({"only": LineFilter(categories=["bakery"])}, 50),
        ({"excluding": LineFilter(brands=["alp"])}, 70),
        ({"excluding": LineFilter(kinds=[LineKind.LINE_KIND_GIFT_CARD])}, 60),
        ({"only": LineFilter(kinds=[LineKind.LINE_KIND_PRODUCT])}, 30),
        (
            {"only": LineFilter(brands=["alp"]), "excluding": LineFilter(categories=["bakery"])},
            10,
        ),
    ],
)
def test_e7_exclusions_by_category_brand_and_kind(open_shop: OpenShop, filters: dict[str, Any], earned: int) -> None:
    """Lines are named by category, brand or kind too; a line without a kind is goods."""
    shop = open_shop(program(spend(**filters)))
    assert shop.sale(shop.member(), _shelves()).receipt.earned_points == earned


def test_e7_award_names_its_lines(open_shop: OpenShop) -> None:
    """The breakdown names the lines that counted, with what of each did."""
    shop = open_shop(program(spend(**FOUR_A_EURO, excluding=LineFilter(skus=["000"]))))
    sale = shop.sale(shop.member(), basket_w(), discounts=[SaleDiscount(amount_minor=15_20, code="ten")])
    (award,) = sale.awards
    assert [(part.line_id, part.basis) for part in award.lines] == [
        ("1", 10_80),
        ("3", 36_00),
    ]
    assert (award.basis, award.points) == (46_80, 184)


@pytest.mark.parametrize(
    ("minimum_minor", "earned"), [(0, 608), (100_00, 608), (152_00, 608), (152_01, 0), (300_00, 0)]
)
def test_e11_minimum_basket(open_shop: OpenShop, minimum_minor: int, earned: int) -> None:
    """A rule gives nothing for a basket below its minimum, which is inclusive."""
    shop = open_shop(program(spend(**FOUR_A_EURO, minimum_minor=minimum_minor)))
    assert shop.sale(shop.member(), basket_w()).receipt.earned_points == earned


@pytest.mark.parametrize(
    ("basis", "earned"),
    [(Basis.BASIS_AFTER_DISCOUNT, 0), (Basis.BASIS_BEFORE_DISCOUNT, 48)],
)
def test_e11_minimum_counts_the_whole_basket(open_shop: OpenShop, basis: Basis.ValueType, earned: int) -> None:
    """The minimum looks at all lines, also those the rule does not count, on the rule's own basis."""
    rule = spend(**FOUR_A_EURO, minimum_minor=100_00, only=LineFilter(labels=["red"]), basis=basis)
    shop = open_shop(program(rule))
    assert shop.sale(shop.member(), basket_w()).receipt.earned_points == 48
    reduced = shop.sale(shop.member(), basket_w(), discounts=[SaleDiscount(amount_minor=60_00)])
    assert reduced.receipt.earned_points == earned


@pytest.mark.parametrize(("price", "percent"), [(100, 10), (100, 33), (250, 40), (80, 100)])
def test_e14_discount_reduces_what_is_earned(open_shop: OpenShop, price: int, percent: int) -> None:
    """What a promotion takes off is neither paid nor earned on, whoever gives it: till, line or reward."""
    shop = open_shop(program(rewards=[discount(1, percent_hundredths=percent * 100)]))
    rest = price * (100 - percent) // 100
    off = (price - rest) * 100
    member = shop.member()
    shop.adjust(member, 1)
    sales = [
        shop.sale(member, price * 100, discounts=[SaleDiscount(amount_minor=off)]),
        shop.sale(member, [line(price * 100, discount_minor=off)]),
        shop.sale(member, price * 100, holds=[shop.reserve(member, "discount").hold]),
    ]
    for sale in sales:
        assert (sale.receipt.payable_minor, sale.receipt.earned_points) == (rest * 100, rest)
    assert sales[2].receipt.reward_minor == off
    assert prove(shop, member).available_points == 3 * rest


@pytest.mark.parametrize(("price", "part"), [(100, 10), (100, 100), (7, 3)])
def test_e14_means_of_payment_do_not(open_shop: OpenShop, price: int, part: int) -> None:
    """A gift card or points pay for the sale and leave what is earned as it is."""
    shop = open_shop(program(rewards=[cashback(1_00)]))
    member = shop.member()
    shop.adjust(member, part)
    tenders = [
        Tender(kind=TenderKind.TENDER_KIND_GIFT_CARD, amount_minor=part * 100),
        Tender(kind=TenderKind.TENDER_KIND_CASH, amount_minor=max(price - part, 1) * 100),
    ]
    assert shop.sale(member, price * 100, tenders=tenders).receipt.earned_points == price
    payment = PointsPayment(reward_id="cashback", points=part)
    paid = shop.sale(member, price * 100, points_payment=payment).receipt
    assert (paid.earned_points, paid.spent_points) == (price, part)
    assert paid.payable_minor == (price - part) * 100
    assert prove(shop, member).available_points == 2 * price


@pytest.mark.parametrize(
    ("code", "paid", "earned"),
    [
        (SaleDiscount(amount_minor=15_00), 135_00, 100),
        (SaleDiscount(amount_minor=10_00, line_ids=["1"]), 140_00, 90),
    ],
)
def test_e15_discounts_on_the_order_and_on_lines(
    open_shop: OpenShop, code: SaleDiscount, paid: int, earned: int
) -> None:
    """A code for the whole basket takes nothing off what the food earns; a code for food does."""
    rule = spend(only=LineFilter(categories=["food"]), basis=Basis.BASIS_AFTER_LINE_DISCOUNT)
    shop = open_shop(program(rule, rewards=[discount(10, percent_hundredths=5_000)]))
    member = shop.member()
    lines = [line(100_00, category="food"), line(50_00)]
    sale = shop.sale(member, lines, discounts=[code])
    assert (sale.receipt.payable_minor, sale.receipt.earned_points) == (paid, earned)
    # A reward on the order takes nothing off it either, whatever else there is.
    hold = shop.reserve(member, "discount").hold
    assert shop.sale(member, lines, discounts=[code], holds=[hold]).receipt.earned_points == earned
    assert shop.give_back(sale.outcome.transaction, ["1"]).receipt.clawed_back_points == earned
    assert prove(shop, member).available_points == earned - 10


@pytest.mark.parametrize(("prices", "total"), [((267_39, 89), 268_28), ((10, 20), 30), ((33, 33, 33, 1), 1_00)])
def test_e16_sums_are_exact(open_shop: OpenShop, prices: tuple[int, ...], total: int) -> None:
    """Amounts are added exactly, to the minor unit."""
    shop = open_shop(program(spend(1, 1)))
    sale = shop.sale(shop.member(), [line(price) for price in prices])
    assert sale.receipt.payable_minor == sale.receipt.earned_points == total
    assert sale.awards[0].basis == total


@pytest.mark.parametrize(
    ("value_minor", "bill_minor", "points"),
    [
        (3, 3_000_00, 100_000),
        (3, 3_000_02, 100_000),
        (7, 10_00, 142),
        (29, 267_39 + 89, 925),
        (1, 1, 1),
    ],
)
@pytest.mark.parametrize("asked", ["exactly", "more", "as many as possible"])
def test_e16_points_pay_exactly(
    open_shop: OpenShop, value_minor: int, bill_minor: int, points: int, asked: str
) -> None:
    """Points pay the bill in whole steps and never slightly more than it, whatever the till asks for."""
    shop = open_shop(program(spend(1, 10**12), rewards=[cashback(value_minor)]))
    member = shop.member()
    shop.adjust(member, 150_000)
    wanted = {"exactly": points, "more": 150_000, "as many as possible": 0}[asked]
    payment = PointsPayment(reward_id="cashback", points=wanted)
    sale = shop.sale(member, bill_minor, points_payment=payment)
    assert sale.receipt.spent_points == points
    assert sale.receipt.payable_minor == bill_minor - points * value_minor < value_minor
    assert prove(shop, member).available_points == 150_000 - points


@pytest.mark.parametrize(
    ("prices", "off", "net"),
    [((10, 10, 10), 10, [7, 7, 6]), ((1, 1, 1), 2, [1, 0, 0]), ((0, 7, 90), 13, [0, 7, 77])],
)
def test_e16_discounts_are_shared_out_exactly(
    open_shop: OpenShop, prices: tuple[int, ...], off: int, net: list[int]
) -> None:
    """The lines' shares of a discount add up to it, though none of them is a whole cent."""
    shop = open_shop(program(spend(1, 1)))
    member = shop.member()
    lines = [line(price) for price in prices]
    sale = shop.sale(member, lines, discounts=[SaleDiscount(amount_minor=off)])
    (event,) = shop.events(member, "SaleRecorded")
    shares = list(event.sale_recorded.line_net_minor)
    assert sum(shares) == sale.receipt.payable_minor == sale.receipt.earned_points == sum(net)
    assert all(abs(share - due) <= 1 for share, due in zip(shares, net, strict=True))
