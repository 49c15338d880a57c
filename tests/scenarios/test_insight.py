"""Buying insight through the API: what sells with which offer, where, with what, and to whom no more."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from loyalty.v1 import insight_pb2 as i
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.sale_pb2 import ReturnLine, SaleDiscount, SaleLine

from tests.conftest import OpenShop
from tests.insight import demand, offer_figures, pairs, sales_figures, won_and_lost
from tests.members.known import get
from tests.people import erase
from tests.programs import cashback, discount, item, plus, program, spend, voucher
from tests.proof import prove
from tests.running import ServerProcess, token
from tests.scenarios.test_returns import pay
from tests.shop import TIMEOUT_S, Details, Shop, line, refused

WEB = Channel.CHANNEL_WEB
SUMS = [field.name for field in i.SalesFigures.DESCRIPTOR.fields if field.name not in {"key", "offers"}]


def bread(price_minor: int, **fields: Any) -> SaleLine:
    """A line of bread."""
    return line(price_minor, "bread", **{"category": "food", "brand": "own", "quantity": 1, **fields})


def soap(price_minor: int, **fields: Any) -> SaleLine:
    """A line of soap."""
    return line(price_minor, "soap", **{"category": "care", "brand": "clean", "quantity": 1, **fields})


def sell(shop: Shop, member: str, day: str, *lines: SaleLine, channel: Any = 0, store: str = "", **fields: Any) -> Any:
    """A sale at noon in Berlin."""
    request = shop.sale_request(member, list(lines), at=f"{day}T12:00", **fields)
    request.origin.channel = channel
    request.origin.store = store or shop.store
    return shop.record(request)


def sums(figures: i.SalesFigures) -> dict[str, Any]:
    """What is not zero of the figures."""
    return {name: getattr(figures, name) for name in SUMS if getattr(figures, name)}


@pytest.fixture(name="shop")
def _shop(open_shop: OpenShop) -> Shop:
    """A point per euro, 3 more for soap by a promotion; cashback, and a discount of 10.00 for 20 points."""
    return open_shop(
        program(
            spend(),
            item(5, "soap", "soap-points"),
            promotions=[plus(3, "three-more")],
            rewards=[cashback(), discount(20, amount_minor=10_00), voucher(20)],
        )
    )


def test_sales_by_what_and_where(shop: Shop) -> None:
    """Prices less both kinds of discounts less what came back are the net amount, by goods as by stores."""
    member = shop.member()
    first = sell(
        shop, member, "2026-03-02", bread(10_00, unit_cost_minor=2_00, quantity=3, labels=["red", "red", "new"]),
        soap(30_00, discount_minor=10_00), discounts=[SaleDiscount(code="x", amount_minor=6_00)],
    )  # fmt: skip
    hold = shop.reserve(member, "discount", at="2026-03-03T11:50").hold
    second = sell(shop, member, "2026-03-03", soap(40_00), channel=WEB, store="web", holds=[hold])
    sell(shop, shop.member(), "2026-03-04", bread(5_00))
    shop.give_back(
        first.outcome.transaction, [ReturnLine(line_id="1", quantity=1, amount_minor=2_00)], at="2026-04-01T12:00"
    )

    care, food = sales_figures(shop, "category")
    assert (care.key.category, food.key.category) == ("care", "food")
    # Till: 10.00 on soap's line, and 6.00 shared over 10.00 and 20.00: 2.00 and 4.00.
    assert sums(care) == {
        "sales": 2, "members": 1, "units": 2, "gross_minor": 70_00, "till_discount_minor": 14_00,
        "reward_discount_minor": 10_00, "net_minor": 46_00, "awarded_points": 17 + 5 + 2 + 30 + 5 + 3,
        "redeemed_points": 20, "first_date": "2026-03-02", "last_date": "2026-03-03",
    }  # fmt: skip
    assert food.returned_minor == 2_00
    assert sums(food) == {
        "sales": 2, "members": 2, "units": 3, "returned_units": 1, "gross_minor": 15_00, "till_discount_minor": 2_00,
        "returned_minor": 2_00, "net_minor": 11_00, "costed_net_minor": 6_00, "margin_minor": 2_00,
        "awarded_points": 7 + 1 + 5 + 3, "taken_back_points": food.taken_back_points,
        "first_date": "2026-03-02", "last_date": "2026-03-04",
    }  # fmt: skip
    assert food.taken_back_points > 0

    (everything,) = sales_figures(shop)
    for name in set(SUMS) - {"sales", "members", "first_date", "last_date"}:
        for dimension in ("sku", "category", "brand", "store", "day", "week", "month", "channel", "tier", "member"):
            assert sum(getattr(one, name) for one in sales_figures(shop, dimension)) == getattr(everything, name), name
    assert (everything.sales, everything.members) == (3, 2)

    by_channel = {one.key.channel: one.net_minor for one in sales_figures(shop, "channel")}
    assert by_channel == {Channel.CHANNEL_STORE: 27_00, WEB: 30_00}
    labels = {one.key.label: one.units for one in sales_figures(shop, "label", filter={"until_date": "2026-04-01"})}
    assert labels == {"new": 3, "red": 3}
    months = sales_figures(shop, "month", "store", order="SALES_ORDER_NET")
    assert [(one.key.date, one.key.store, one.net_minor) for one in months] == [
        ("2026-03-01", "web", 30_00), ("2026-03-01", shop.store, 29_00), ("2026-04-01", shop.store, -2_00),
    ]  # fmt: skip
    (only,) = sales_figures(shop, filter={"brands": ["own"], "channels": [Channel.CHANNEL_STORE], "labels": ["new"]})
    assert (only.sales, only.gross_minor) == (1, 10_00)

    shop.reverse(second.outcome.transaction, at="2026-04-02T12:00")
    care, food = sales_figures(shop, "category")
    assert (care.sales, care.units, care.net_minor, care.returned_minor) == (1, 1, 16_00, 30_00)
    assert (care.taken_back_points, care.restored_points, care.last_date) == (38, 20, "2026-03-02")
    prove(shop, member)


def test_bought_on_the_web_and_returned_in_a_store(shop: Shop) -> None:
    """Figures have it where it came back; what the member bought on the web is less."""
    member = shop.member()
    bought = sell(shop, member, "2026-03-02", bread(100_00), bread(20_00), channel=WEB, store="web")
    shop.give_back(bought.outcome.transaction, ["1"], at="2026-04-01T12:00")
    found = {(one.key.store, one.key.channel): one for one in sales_figures(shop, "store", "channel")}
    assert sums(found["web", WEB])["net_minor"] == 120_00
    back = found[shop.store, Channel.CHANNEL_STORE]
    assert (back.sales, back.units, back.returned_minor, back.net_minor) == (0, -1, 100_00, -100_00)
    facts = MessageToDict(get(shop, member).facts)
    places = {name: {key: one["spent_minor"] for key, one in facts[name].items()} for name in ("stores", "channels")}
    assert places == {"stores": {"web": 20_00}, "channels": {"web": 20_00}}
    prove(shop, member)


def test_a_return_that_waited_counts_when_and_where_it_came_back(shop: Shop) -> None:
    """Its sale is told of later, with a date a month before it and another store."""
    member = shop.member()
    receipt, store = shop.reference(7), shop.store
    shop.store = "s-2"
    shop.give_back(receipt=receipt, lines=["1"], member=member, at="2026-02-06T12:00")
    shop.store = store
    sale = shop.sale_request(member, [bread(10_00), bread(5_00)], at="2026-01-05T12:00", till=7)
    shop.record(sale)
    found = {(one.key.date, one.key.store, one.net_minor) for one in sales_figures(shop, "day", "store")}
    assert found == {("2026-01-05", store, 15_00), ("2026-02-06", "s-2", -10_00)}
    (returned,) = shop.events(member, "SaleReturned")
    (awaited,) = shop.events(member, "ReturnAwaited")
    assert returned.sale_returned.origin == awaited.return_awaited.origin
    prove(shop, member)


def test_what_offers_did(shop: Shop) -> None:
    """Rules and promotions with their points, rewards with what was redeemed, in a sale and alone, by channel."""
    member = shop.member()
    sell(shop, member, "2026-03-02", bread(100_00))
    sell(shop, member, "2026-03-02", soap(10_00), channel=WEB)
    hold = shop.reserve(member, "discount", at="2026-03-03T11:50").hold
    sell(shop, member, "2026-03-03", bread(50_00), holds=[hold])
    paid = sell(shop, member, "2026-03-04", bread(20_00), points_payment=pay(7))
    found = {one.offer: one for one in offer_figures(shop)}
    assert list(found) == ["soap-points", "spend", "three-more", "cashback", "discount"]
    kinds = i.OfferKind
    assert [one.kind for one in found.values()] == [
        kinds.OFFER_KIND_RULE, kinds.OFFER_KIND_RULE, kinds.OFFER_KIND_PROMOTION, kinds.OFFER_KIND_REWARD,
        kinds.OFFER_KIND_REWARD,
    ]  # fmt: skip
    assert (found["spend"].sales, found["spend"].awarded_points, found["spend"].net_minor) == (4, 170, 170_00)
    assert (found["soap-points"].sales, found["soap-points"].awarded_points) == (1, 5)
    assert (found["three-more"].awarded_points, found["three-more"].members) == (12, 1)
    reward = found["discount"]
    assert (reward.sales, reward.redemptions, reward.redeemed_points, reward.value_minor) == (1, 1, 20, 10_00)
    assert reward.net_minor == 40_00
    by_channel = {(one.offer, one.key.channel): one.sales for one in offer_figures(shop, "channel")}
    assert by_channel["soap-points", WEB] == 1
    assert by_channel["spend", Channel.CHANNEL_STORE] == 3
    (only,) = sales_figures(shop, "sku", filter={"offers": ["discount"]}, with_offers=True)
    assert (only.key.sku, only.net_minor) == ("bread", 40_00)
    assert [(one.offer, one.points) for one in only.offers] == [("spend", 40), ("three-more", 3)]

    shop.reverse(paid.outcome.transaction)
    assert "cashback" not in {one.offer for one in offer_figures(shop)}
    prove(shop, member)


def test_a_voucher_is_redeemed_when_it_is_used(shop: Shop) -> None:
    """Bought, bought with a sale and given by hand it has cost its points; used it is one redemption, with its sale."""
    member = shop.member()
    sell(shop, member, "2026-03-02", bread(200_00))
    code = shop.commit(shop.reserve(member, "voucher").hold).redemption.vouchers[0].code
    hold = shop.reserve(member, "voucher", at="2026-03-04T11:50").hold
    sell(shop, member, "2026-03-04", soap(1_00), holds=[hold])
    shop.grant(member, "voucher")

    def figures() -> dict[str, int]:
        (found,) = offer_figures(shop, filter={"offers": ["voucher"]})
        return {field.name: value for field, value in found.ListFields() if field.name not in {"kind", "offer", "key"}}

    assert figures() == {"members": 1, "redeemed_points": 40}
    assert sales_figures(shop, filter={"offers": ["voucher"]}) == []
    used = shop.sale(member, [bread(30_00)], voucher_codes=[code])
    value = 30_00 - used.receipt.payable_minor
    assert value > 0
    assert figures() == {
        "members": 1, "redeemed_points": 40, "sales": 1, "net_minor": 30_00 - value, "redemptions": 1, "quantity": 1,
        "value_minor": value,
    }  # fmt: skip
    (only,) = sales_figures(shop, filter={"offers": ["voucher"]})
    assert (only.sales, only.net_minor) == (1, 30_00 - value)
    prove(shop, member)


def test_what_a_reward_was_before_is_no_voucher(shop: Shop) -> None:
    """A discount that becomes a voucher under the same id: what it took off before stays a redemption with its sale."""
    member = shop.member()
    sell(shop, member, "2026-03-02", bread(200_00))
    hold = shop.reserve(member, "discount", at="2026-03-03T11:50").hold
    sell(shop, member, "2026-03-03", soap(40_00), holds=[hold])
    before = offer_figures(shop, filter={"offers": ["discount"]})
    shop.publish(program(spend(), rewards=[voucher(20, "discount")]))
    shop.grant(member, "discount")
    after = offer_figures(shop, filter={"offers": ["discount"]})
    assert after == before
    assert (after[0].sales, after[0].redemptions, after[0].value_minor) == (1, 1, 10_00)
    prove(shop, member)


def test_bought_together(shop: Shop) -> None:
    """Support, confidence and lift over four sales; a reversed sale never was, and delivery is no goods."""
    member = shop.member()
    delivery = line(5_00, "ship", category="delivery", kind="LINE_KIND_DELIVERY")
    sell(shop, member, "2026-03-01", bread(1_00), bread(2_00), soap(3_00), delivery)
    sell(shop, member, "2026-03-02", bread(1_00), soap(1_00), line(1_00, "tea", category="drinks"))
    sell(shop, member, "2026-03-03", bread(1_00), delivery)
    sell(shop, member, "2026-03-04", line(1_00, "tea", category="drinks"), channel=WEB)
    voided = sell(shop, member, "2026-03-05", bread(1_00), soap(1_00))
    shop.reverse(voided.outcome.transaction)
    (pair,) = pairs(shop)
    assert (pair.first, pair.second, pair.sales, pair.first_sales, pair.second_sales) == ("care", "food", 2, 2, 3)
    assert (pair.support, pair.confidence, pair.reverse_confidence) == (2 / 4, 2 / 2, 2 / 3)
    assert pair.lift == 2 * 4 / (2 * 3)
    assert [(one.first, one.second) for one in pairs(shop, "sku", min_sales=1)] == [
        ("bread", "soap"), ("bread", "tea"), ("soap", "tea"),
    ]  # fmt: skip
    companions = pairs(shop, "sku", min_sales=1, of="soap")
    assert [(one.first, one.second, one.sales, one.second_sales) for one in companions] == [
        ("soap", "bread", 2, 3), ("soap", "tea", 1, 2),
    ]  # fmt: skip
    assert pairs(shop, "sku", min_sales=1, filter={"channels": [WEB]}) == []
    assert [one.second for one in pairs(shop, "sku", min_sales=1, limit=1, order="PAIR_ORDER_LIFT")] == ["soap"]
    prove(shop, member)


def test_members_won_and_lost(shop: Shop) -> None:
    """Between January and February: who came to a category, who left it, and who is gone altogether."""
    kept, left, gone, new = (shop.member() for _ in range(4))
    for member in (kept, left, gone):
        sell(shop, member, "2026-01-10", bread(10_00))
    sell(shop, kept, "2026-02-10", bread(7_00))
    sell(shop, left, "2026-02-11", soap(4_00))
    sell(shop, new, "2026-02-28", bread(3_00))
    sell(shop, new, "2026-03-01", soap(3_00))
    days = ("2026-01-01", "2026-02-01", "2026-02-01", "2026-03-01")
    (care, food), members = won_and_lost(shop, *days, with_members=True)
    assert (care.item, care.won_members, care.new_members, care.won_minor, care.lost_members) == ("care", 1, 0, 4_00, 0)
    assert (food.won_members, food.new_members, food.won_minor) == (1, 1, 3_00)
    assert (food.lost_members, food.gone_members, food.lost_minor) == (2, 1, 20_00)
    assert (food.kept_members, food.kept_first_minor, food.kept_second_minor) == (1, 10_00, 7_00)
    lost = i.MemberChangeKind.MEMBER_CHANGE_KIND_LOST
    assert {(one.item, one.member) for one in members if one.kind == lost} == {("food", left), ("food", gone)}
    assert {(one.member, one.net_minor) for one in members if one.kind != lost} == {(left, 4_00), (new, 3_00)}
    (only,), _ = won_and_lost(shop, *days, item="sku", filter={"skus": ["soap"]})
    assert only.item == "soap"
    prove(shop, kept)


def test_nobody_wins_back_who_is_erased(shop: Shop) -> None:
    """They count as lost, and are not on the list of whom to write to."""
    gone, erased = shop.member(), shop.member()
    for member in (gone, erased):
        sell(shop, member, "2026-01-10", bread(10_00))
    erase(shop, erased)
    days = ("2026-01-01", "2026-02-01", "2026-02-01", "2026-03-01")
    (food,), members = won_and_lost(shop, *days, with_members=True)
    assert (food.lost_members, [one.member for one in members]) == (2, [gone])


def test_demand_by_store(shop: Shop) -> None:
    """Monday 2 March to Wednesday the 11th: 4 units, 2 units and none in between."""
    member = shop.member()
    sell(shop, member, "2026-03-02", bread(4_00, quantity=4))
    back = sell(shop, member, "2026-03-07", bread(2_00, quantity=2), soap(30_00))
    shop.give_back(back.outcome.transaction, ["1"], at="2026-03-08T12:00")
    sell(shop, member, "2026-03-07", bread(9_00), store="s-2")
    sell(shop, member, "2026-03-12", bread(9_00))
    sell(shop, member, "2026-03-09", bread(50, quantity=0))  # a deposit: no day on which bread was sold
    found = demand(shop, "2026-03-02", "2026-03-12", skus=["bread"])
    assert [(one.store, one.units) for one in found] == [("s-1", 6), ("s-2", 1)]
    first = found[0]
    assert (first.days, first.days_sold, first.mean_units, list(first.weekday_units)) == (
        10,
        2,
        0.6,
        [4, 0, 0, 0, 0, 2, 0],
    )
    assert first.stddev_units == pytest.approx(((16 + 4) / 10 - 0.36) ** 0.5)
    assert (first.first_date, first.last_date) == ("2026-03-02", "2026-03-07")
    assert (first.days_since, first.longest_gap_days) == (4, 4)
    assert first.offer_units == 6  # the promotion gave points for all of them
    prove(shop, member)


def test_who_may_ask_for_what(shop: Shop, server: ServerProcess) -> None:
    """Managers and CRM, about programs that there are."""
    request = i.ReadPairsRequest(program=shop.program)
    for role in ("crm", "manager", "pos"):
        metadata = (("authorization", f"Bearer {token(server.database_url, role)}"),)
        with nullcontext() if role != "pos" else refused("NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
            assert len(list(shop.crm.ReadPairs(request, metadata=metadata, timeout=TIMEOUT_S))) == 1
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        sales_figures(shop, program="programs/none")


WEEK = ("2026-02-01", "2026-02-08", "2026-02-08", "2026-02-15")
FAULTS: list[tuple[Callable[[Shop], Any], list[str]]] = [
    (
        lambda shop: sales_figures(
            shop, "sku", "day", "week", limit=-1, order=9, filter={"from_date": "2026-02-30", "stores": ["a\0"]}
        ),
        ["limit", "filter.from_date", "filter.stores[0]", "group_by[2]", "order"],
    ),
    (lambda shop: sales_figures(shop, "sku", "sku"), ["group_by[1]"]),
    (lambda shop: sales_figures(shop, "sku", "brand", "store", "tier"), ["group_by"]),
    (
        lambda shop: sales_figures(shop, filter={"skus": ["a"] * 1_001, "channels": [99]}),
        ["filter.skus", "filter.channels[0]"],
    ),
    (lambda shop: offer_figures(shop, "sku", filter={"skus": ["a"]}), ["filter.skus", "group_by[0]"]),
    (lambda shop: pairs(shop, min_sales=-1, filter={"categories": ["a"]}), ["filter.categories", "min_sales"]),
    (
        lambda shop: won_and_lost(shop, "2026-02-01", "2026-02-01", "2026-01-01", ""),
        ["second_until_date", "first_until_date", "second_from_date"],
    ),
    (
        lambda shop: won_and_lost(shop, *WEEK, filter={"skus": ["a"], "until_date": "2026-01-01"}),
        ["filter.skus", "filter.until_date"],
    ),
    (lambda shop: demand(shop, "", "2026-01-01"), ["filter.from_date"]),
    (lambda shop: demand(shop, "2020-01-01", "2026-01-01"), ["filter.until_date"]),
    (lambda shop: demand(shop, "2026-01-01", "2026-01-01"), ["filter.until_date"]),
]


def test_every_field_at_fault_is_named(shop: Shop) -> None:
    """All at once."""
    for ask, fields in FAULTS:
        with pytest.raises(grpc.RpcError) as caught:
            ask(shop)
        assert Details(caught.value).fields == fields


def test_a_limit_cuts_and_says_so(shop: Shop) -> None:
    """The last message says that there was more."""
    sell(shop, shop.member(), "2026-03-02", bread(1_00), soap(1_00))
    for limit, truncated in ((1, True), (2, False)):
        request = i.ReadSalesFiguresRequest(
            program=shop.program, limit=limit, min_position=shop.head(),
            group_by=[i.SalesDimension.SALES_DIMENSION_SKU],
        )  # fmt: skip
        answers = list(shop.crm.ReadSalesFigures(request, metadata=shop.metadata, timeout=TIMEOUT_S))
        assert len(answers[0].lines) == limit
        assert answers[-1].header.is_truncated == truncated
        assert answers[0].header.currency == "EUR"
