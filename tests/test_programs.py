"""The example programs: each can be published, and does what its comments say."""

from typing import Any

import pytest
from loyalty.v1.sale_pb2 import LineKind

from ledger import programs
from ledger.program_file import read_file
from tests.conftest import OpenShop
from tests.proof import prove
from tests.shop import Shop, line


def open_example(open_shop: OpenShop, name: str) -> Shop:
    """A shop with an example program, under a name of its own."""
    definition, problems = read_file(programs.find(name))
    assert problems == []
    definition.ClearField("name")
    return open_shop(definition)


@pytest.mark.parametrize("name", programs.names())
def test_every_example_can_be_published(open_shop: OpenShop, name: str) -> None:
    """As it is, and everything in it has a name in both languages."""
    shop = open_example(open_shop, name)
    definition = read_file(programs.find(name)).definition
    assert definition.name == f"programs/{name}"
    named: list[Any] = [*definition.earning_rules, *definition.promotions, *definition.tiers, *definition.rewards]
    named += definition.consents
    assert all(one.display_name.en and one.display_name.hi for one in [definition, *named])
    prove(shop, shop.member())


def test_there_are_three() -> None:
    """And a name that is none of them is a file, or told."""
    assert programs.names() == ["coffee", "fashion", "grocery"]
    with pytest.raises(FileNotFoundError, match="neither a file nor one of coffee, fashion, grocery"):
        programs.find("bakery")


def test_the_grocer(open_shop: OpenShop) -> None:
    """Fresh food twice, the own brand by half more, no points for spirits, fuel carried over, a bonus on Wednesdays."""
    shop = open_example(open_shop, "grocery")
    member = shop.member()
    basket = [
        line(10_00, "apples", category="PRODUCE"),
        line(20_00, "flour", category="GROCERY", brand="Private"),
        line(30_00, "whisky", category="SPIRITS"),
    ]
    sale = shop.sale(member, basket, at="2026-03-03T12:00-05:00")
    assert {award.rule: award.points for award in sale.awards} == {"spend": 30, "fresh": 10, "own-brand": 10}
    on_wednesday = shop.sale(member, [line(60_00)], at="2026-03-04T12:00-05:00")
    assert {award.rule: award.points for award in on_wednesday.awards} == {"spend": 60, "senior-wednesday": 20}
    for points in (0, 1):  # 4 dollars, and 4 more
        fuel = shop.sale(member, [line(4_00, category="FUEL")], at="2026-03-05T12:00-05:00")
        assert fuel.receipt.earned_points == points
    capped = shop.sale(member, [line(5_000_00)], at="2026-03-06T12:00-05:00")
    assert capped.receipt.earned_points == 2_000
    prove(shop, member)


def test_the_fashion_shop(open_shop: OpenShop) -> None:
    """Points wait for two weeks, tiers earn faster, the season's weekend is the better of two promotions."""
    shop = open_example(open_shop, "fashion")
    member = shop.member()
    gift = line(50_00, kind=LineKind.LINE_KIND_GIFT_CARD)
    sale = shop.sale(member, [line(1_250_00), gift], at="2026-03-02T12:00-05:00")
    assert (sale.receipt.earned_points, sale.receipt.balance.pending_points) == (2_500, 2_500)
    assert sale.receipt.tier.tier == "silver"
    assert shop.balance(member, "2026-03-16T12:00-04:00").available_points == 2_500
    ordinary = shop.sale(member, 100_00, at="2026-03-03T12:00-05:00")
    assert {award.rule: award.points for award in ordinary.awards} == {"spend": 200, "silver-rate": 50}
    weekend = shop.sale(member, 100_00, at="2026-10-04T12:00-04:00")
    assert {award.rule: award.points for award in weekend.awards} == {"spend": 200, "autumn-weekend": 200}
    assert shop.give_back(ordinary.outcome.transaction, at="2026-03-04T12:00-05:00").receipt.clawed_back_points == 250
    prove(shop, member)


def test_the_coffee_bar(open_shop: OpenShop) -> None:
    """A stamp a visit, two in the afternoon, two visits a day, no more than five cards; ten stamps buy a drink."""
    shop = open_example(open_shop, "coffee")
    member = shop.member()
    stamps = [
        shop.sale(member, minor, at=f"2026-03-02T{hour}:00-05:00").receipt.earned_points
        for hour, minor in (("08", 3_50), ("09", 2_00), ("14", 3_50), ("15", 3_50))
    ]
    assert stamps == [1, 0, 2, 0]
    shop.adjust(member, 46, at="2026-03-03T08:00-05:00")
    assert shop.sale(member, 3_50, at="2026-03-03T09:00-05:00").receipt.earned_points == 1
    assert shop.sale(member, 3_50, at="2026-03-04T09:00-05:00").receipt.earned_points == 0
    hold = shop.reserve(member, "drink", at="2026-03-05T09:00-05:00").hold
    paid = shop.sale(member, 4_50, holds=[hold], at="2026-03-05T09:01-05:00").receipt
    assert (paid.payable_minor, paid.spent_points) == (0, 10)
    prove(shop, member)
