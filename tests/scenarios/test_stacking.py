"""Stacking of discounts: S1 to S4 of the scenario book; R4, R5 and R7, discounts on lines and free items."""

from typing import Any

import pytest
from loyalty.v1.earning_pb2 import LineFilter
from loyalty.v1.reward_pb2 import (
    DiscountBase,
    DiscountChoice,
    DiscountConflict,
    DiscountPolicy,
    LineDiscount,
    Reward,
    Stackability,
)
from loyalty.v1.sale_pb2 import SaleLine

from tests.conftest import OpenShop
from tests.programs import cashback, discount, free, program, spend
from tests.proof import prove
from tests.shop import Shop, line, refused

INITIAL = DiscountPolicy(base=DiscountBase.DISCOUNT_BASE_INITIAL)
BEST = DiscountPolicy(choice=DiscountChoice.DISCOUNT_CHOICE_BEST)
PARTIAL = DiscountPolicy(conflict=DiscountConflict.DISCOUNT_CONFLICT_PARTIAL)

NEVER = Stackability.STACKABILITY_NEVER
ALWAYS = Stackability.STACKABILITY_ALWAYS


def off(percent: int, reward_id: str = "off", **terms: Any) -> Reward:
    """A percentage off the order, for one point."""
    return discount(1, reward_id, percent_hundredths=percent * 100, terms=terms)


def open_with(open_shop: OpenShop, *rewards: Reward, **fields: Any) -> tuple[Shop, str]:
    """A shop with some rewards, and a member with 100 points."""
    shop = open_shop(program(rewards=rewards, **fields))
    member = shop.member()
    shop.adjust(member, 100)
    return shop, member


def payable(shop: Shop, member: str, lines: Any, *reward_ids: str) -> int:
    """What is left to pay with one of each reward."""
    holds = [shop.reserve(member, reward_id).hold for reward_id in reward_ids]
    return shop.sale(member, lines, holds=holds).receipt.payable_minor


@pytest.mark.parametrize(("items", "left"), [(3, 95_00), (5, 90_00)])
def test_s1_best_only(open_shop: OpenShop, items: int, left: int) -> None:
    """5 % from 2 items on and 10 % from 4 on: 3 items 5 %, 5 items 10 %. The other one is not used up."""
    rewards = (off(5, "two", minimum_units=2), off(10, "four", minimum_units=4))
    shop, member = open_with(open_shop, *rewards, discounts=BEST)
    holds = [shop.reserve(member, reward_id).hold for reward_id in ("two", "four")]
    sale = shop.sale(member, [line(100_00, quantity=items)], holds=holds)
    assert sale.receipt.payable_minor == left
    assert len(sale.redemptions) == 1
    (other,) = {*holds} - {redemption.hold for redemption in sale.redemptions}
    shop.release(other)
    prove(shop, member)


@pytest.mark.parametrize(("policy", "left"), [(None, 218_70), (INITIAL, 210_00)])
@pytest.mark.parametrize("is_one_hold", [True, False])
def test_s2_remainder_or_initial(
    open_shop: OpenShop, policy: DiscountPolicy | None, left: int, *, is_one_hold: bool
) -> None:
    """10 % three times on 300."""
    shop, member = open_with(open_shop, off(10), discounts=policy)
    if is_one_hold:
        holds = [shop.reserve(member, "off", 3).hold]
    else:
        holds = [shop.reserve(member, "off").hold for _ in range(3)]
    sale = shop.sale(member, 300_00, holds=holds)
    assert (sale.receipt.payable_minor, sale.receipt.earned_points) == (left, left // 100)
    prove(shop, member)


def test_s3_groups(open_shop: OpenShop) -> None:
    """Never with common: not combined. Always with either: combined."""
    rewards = (off(10, "common"), off(10, "never", stackability=NEVER), off(10, "always", stackability=ALWAYS))
    shop, member = open_with(open_shop, *rewards)
    with refused("NOT_STACKABLE"):
        payable(shop, member, 100_00, "common", "never")
    with refused("NOT_STACKABLE"):
        payable(shop, member, 100_00, "never", "never")
    assert payable(shop, member, 100_00, "always", "never") == 81_00
    assert payable(shop, member, 100_00, "common", "always", "common") == 72_90
    prove(shop, member)


def test_s3_all_or_the_valid_ones(open_shop: OpenShop) -> None:
    """Policy all with an invalid one: nothing; partial: the valid ones, and the others stay."""
    rewards = (off(10, "valid"), off(50, "large", minimum_units=9), off(50, "never", stackability=NEVER))
    shop, member = open_with(open_shop, *rewards)
    with refused("REWARD_NOT_APPLICABLE"):
        payable(shop, member, 100_00, "valid", "large")
    shop, member = open_with(open_shop, *rewards, discounts=PARTIAL)
    holds = [shop.reserve(member, reward_id).hold for reward_id in ("valid", "large", "never")]
    sale = shop.sale(member, 100_00, holds=holds)
    assert sale.receipt.payable_minor == 90_00
    assert [redemption.hold for redemption in sale.redemptions] == holds[:1]
    shop.commit(holds[1])
    prove(shop, member)


def test_s4_maximum_and_never_below_zero(open_shop: OpenShop) -> None:
    """At most 9.00 off, 10 % of 120: 9.00."""
    most = discount(1, "most", percent_hundredths=10_00, maximum_minor=9_00)
    shop, member = open_with(open_shop, most, discount(1, "much", amount_minor=80_00), discounts=INITIAL)
    assert payable(shop, member, 120_00, "most") == 111_00
    assert payable(shop, member, 120_00, "much", "most", "much") == 0
    prove(shop, member)


@pytest.mark.parametrize(("own_points", "earns", "pays"), [(True, 1, False), (True, 2, True), (False, 2, False)])
def test_r4_points_of_the_same_sale(open_shop: OpenShop, *, own_points: bool, earns: int, pays: bool) -> None:
    """A reward of 5, a member with 3 who earns 1 or 2 now."""
    shop = open_shop(program(spend(), rewards=[cashback(1_00, points=5)], own_points_pay=own_points))
    member = shop.member()
    shop.adjust(member, 3)
    payment = {"reward_id": "cashback", "points": 5}
    if not pays:
        with refused("INSUFFICIENT_POINTS"):
            shop.sale(member, earns * 100, points_payment=payment)
    else:
        sale = shop.sale(member, earns * 100, points_payment=payment)
        assert (sale.receipt.payable_minor, sale.receipt.earned_points, sale.receipt.spent_points) == (1_00, 2, 5)
        assert sale.receipt.balance.available_points == 0
        shop.give_back(sale.outcome.transaction)
    assert prove(shop, member).available_points == 3


def test_r7_free_items(open_shop: OpenShop) -> None:
    """2 free items for 3 points, a claim of 5: 9 points. R5: whole multiples. The cheapest become free."""
    shop, member = open_with(open_shop, free(2, "cup", 3))
    hold = shop.reserve(member, "free", 5)
    assert hold.points == 9
    lines = [line(30_00, "cup", quantity=3), line(8_00, "cup", quantity=4), line(7_00, "tea", quantity=7)]
    sale = shop.sale(member, lines, holds=[hold.hold])
    assert sale.receipt.reward_minor == 8_00 + 10_00
    with refused("REWARD_NOT_APPLICABLE"):
        shop.sale(member, [line(30_00, "cup", quantity=4)], holds=[shop.reserve(member, "free", 5).hold])
    prove(shop, member)


def test_discounts_on_lines(open_shop: OpenShop) -> None:
    """E15 for a reward: 10 % off food only, which earns on what is left; 5.00 off one product."""
    food = Reward(
        reward_id="food",
        cost_points=1,
        line_discount=LineDiscount(percent_hundredths=10_00, only=LineFilter(categories=["food"])),
    )
    tea = Reward(
        reward_id="tea", cost_points=1, line_discount=LineDiscount(amount_minor=5_00, only=LineFilter(skus=["tea"]))
    )
    only_food = spend(only=LineFilter(categories=["food"]))
    shop = open_shop(program(only_food, rewards=[food, tea]))
    member = shop.member()
    shop.adjust(member, 100)
    lines = [line(100_00, "rice", category="food"), line(50_00, "soap"), line(3_00, "tea")]
    holds = [shop.reserve(member, reward_id).hold for reward_id in ("food", "tea")]
    sale = shop.sale(member, lines, holds=holds)
    assert (sale.receipt.payable_minor, sale.receipt.earned_points) == (140_00, 90)
    with refused("REWARD_NOT_APPLICABLE"):
        shop.sale(member, [line(50_00, "soap")], holds=[shop.reserve(member, "food").hold])
    prove(shop, member)


@pytest.mark.parametrize(
    "lines",
    [
        [line(10_00, "coffee", quantity=2)],
        [line(5_00, "coffee", line_id="1"), line(5_00, "coffee", line_id="2")],
    ],
)
def test_s3_no_item_is_free_twice(open_shop: OpenShop, lines: list[SaleLine]) -> None:
    """Two free items of one reward each are two free items, on one line or on two."""
    shop, member = open_with(open_shop, free(1, "coffee", 10))
    assert payable(shop, member, lines, "free", "free") == 0
    prove(shop, member)


def test_s3_three_free_items_one_by_one(open_shop: OpenShop) -> None:
    """They come to what one claim of three comes to."""
    shop, member = open_with(open_shop, free(1, "coffee", 10))
    assert payable(shop, member, [line(9_00, "coffee", quantity=3)], "free", "free", "free") == 0


def test_s3_more_free_items_than_items(open_shop: OpenShop) -> None:
    """One coffee cannot be free twice: refused, or with partial discounts one reward is not used up."""
    shop, member = open_with(open_shop, free(1, "coffee", 10))
    with refused("REWARD_NOT_APPLICABLE"):
        payable(shop, member, [line(5_00, "coffee")], "free", "free")
    shop, member = open_with(open_shop, free(1, "coffee", 10), discounts=PARTIAL)
    holds = [shop.reserve(member, "free").hold for _ in range(2)]
    receipt = shop.sale(member, [line(5_00, "coffee")], holds=holds).receipt
    assert (receipt.payable_minor, receipt.spent_points, receipt.balance.held_points) == (0, 10, 10)
    prove(shop, member)


def test_all_expressions_see_what_is_left_to_pay(open_shop: OpenShop) -> None:
    """After discounts, rules and their lines alike, also where a discount's filter saw the sale before."""
    large = "sale.total_minor >= 10000"
    of_lines = spend(1, 1_00, "lines", only=LineFilter(expression=large))
    of_sales = spend(1, 1_00, "sales")
    of_sales.conditions.expression = large
    ten_off = LineDiscount(amount_minor=10_00, only=LineFilter(expression="sale.total_minor > 0"))
    off_ten = Reward(reward_id="ten", cost_points=1, line_discount=ten_off)
    shop = open_shop(program(of_lines, of_sales, rewards=[off_ten]))
    member = shop.member()
    shop.adjust(member, 10)
    sale = shop.sale(member, [line(105_00)], holds=[shop.reserve(member, "ten").hold])
    assert (sale.receipt.payable_minor, sale.receipt.earned_points) == (95_00, 0)
    assert shop.sale(member, [line(105_00)]).receipt.earned_points == 2 * 105
