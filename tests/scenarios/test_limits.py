"""Limits, caps, carried remainders, activities and conditions: E17 to E19 of the scenario book."""

import grpc
import pytest
from loyalty.v1.earning_pb2 import Cap, Combination, Conditions, Excess, LineFilter, Period, Promotion
from loyalty.v1.expiry_pb2 import PendingPolicy, PendingUntilEvent
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.program_pb2 import Store
from loyalty.v1.sale_pb2 import Tender, TenderKind

from tests.conftest import OpenShop
from tests.programs import activity, limit, pending, plus, program, rolling, spend, visit, window
from tests.proof import prove
from tests.shop import Details, instant, line, refused

WEEK = Period.PERIOD_WEEK


def test_e17_weekly_cap(open_shop: OpenShop) -> None:
    """Cap 100 a week, 80 used, 50 asked: 20 granted, and the outcome says so. The next week begins on Monday."""
    cap = Cap(cap_id="weekly", period=WEEK, points=100)
    shop = open_shop(program(spend(), caps=[cap], time_zone="Europe/Berlin"))
    member = shop.member()
    assert shop.sale(member, 80_00, at="2026-03-02T00:00+01:00").receipt.earned_points == 80
    capped = shop.sale(member, 50_00, at="2026-03-08T23:59:59+01:00")
    (award,) = capped.awards
    assert (award.points, [(less.limit, less.points) for less in award.reductions]) == (20, [("weekly", 30)])
    assert shop.sale(member, 50_00, at="2026-03-09T00:00+01:00").receipt.earned_points == 50
    # A sale of the week before that comes late still finds its week full.
    assert shop.sale(member, 5_00, at="2026-03-05T12:00+01:00").receipt.earned_points == 0
    assert prove(shop, member).available_points == 150


@pytest.mark.parametrize(("excess", "earned"), [(Excess.EXCESS_CUT, 30), (Excess.EXCESS_REJECT, 0)])
def test_e17_per_sale(open_shop: OpenShop, excess: Excess.ValueType, earned: int) -> None:
    """Over the maximum of a sale: the maximum, or nothing."""
    shop = open_shop(program(caps=[Cap(cap_id="sale", per_sale=True, points=30, excess=excess)]))
    member = shop.member()
    over = shop.sale(member, 31_00)
    assert over.receipt.earned_points == earned
    assert over.awards[0].reductions[0].points == 31 - earned
    assert shop.sale(member, 30_00).receipt.earned_points == 30
    assert prove(shop, member).available_points == earned + 30


def test_balance_cap(open_shop: OpenShop) -> None:
    """Earning fills the balance up to the cap, pending points included."""
    cap = Cap(cap_id="full", balance=True, points=50)
    shop = open_shop(program(caps=[cap], pending=pending(10)))
    member = shop.member()
    earned = [shop.sale(member, 30_00).receipt.earned_points for _ in range(3)]
    assert earned == [30, 20, 0]
    assert prove(shop, member).pending_points == 50


def test_e18_activities(open_shop: OpenShop) -> None:
    """Two rules for one activity, policy best: 200. Once a day: nothing more that day, again the next, program time."""
    shop = open_shop(
        program(
            activity(200, rule_id="a", limits=[limit("day", times=1)]),
            activity(56, rule_id="b", limits=[limit("day", times=1)]),
            combination=Combination.COMBINATION_BEST,
            time_zone="Asia/Kolkata",
        )
    )
    member = shop.member()
    first = shop.activity(member, "review", at="2026-03-02T23:00+05:30")
    assert [(award.rule, award.points) for award in first.awards] == [("a", 200)]
    same_day = shop.activity(member, "review", at="2026-03-02T23:59:59+05:30")
    assert same_day.receipt.earned_points == 56
    assert shop.activity(member, "review", at="2026-03-02T23:59:59+05:30").receipt.earned_points == 0
    assert shop.activity(member, "review", at="2026-03-03T00:00+05:30").receipt.earned_points == 200
    assert shop.activity(member, "birthday").receipt.earned_points == 0
    assert prove(shop, member).available_points == 456


@pytest.mark.parametrize(
    ("period", "same", "next_"),
    [
        ("week", "2026-03-08T23:00:00Z", "2026-03-09T00:00:00Z"),
        ("month", "2026-03-31T23:00:00Z", "2026-04-01T00:00:00Z"),
        ("year", "2026-10-31T23:00:00Z", "2027-01-01T00:00:00Z"),
    ],
)
def test_limits_of_each_period(open_shop: OpenShop, period: str, same: str, next_: str) -> None:
    """A limit in points cuts the award that reaches it."""
    shop = open_shop(program(visit(7, limits=[limit(period, points=10)]), time_zone="UTC"))
    member = shop.member()
    earned = [shop.quote(member, 1_00, at="2026-03-02T00:00:00Z").receipt.earned_points]
    if next_ < "2026-11":
        earned += [shop.sale(member, 1_00, at=at).receipt.earned_points for at in ("2026-03-02T00:00:00Z", same, next_)]
        assert earned == [7, 7, 3, 7]
    prove(shop, member)


def test_limit_for_ever(open_shop: OpenShop) -> None:
    """Once in a life."""
    shop = open_shop(program(visit(7, limits=[limit("ever", times=1)])))
    member = shop.member()
    assert [shop.sale(member, 1_00).receipt.earned_points for _ in range(3)] == [7, 0, 0]
    # A counter belongs to a member.
    assert shop.sale(shop.member(), 1_00).receipt.earned_points == 7


def test_e19_carry_over(open_shop: OpenShop) -> None:
    """What a sale leaves below the rule's unit counts at the next sale of the same rule."""
    shop = open_shop(program(spend(1, 10_00, carry_over=True)))
    member = shop.member()
    earned = [shop.sale(member, amount).receipt.earned_points for amount in (7_00, 2_99, 1, 25_00, 4_99, 1)]
    assert earned == [0, 0, 1, 2, 0, 1]
    assert prove(shop, member).available_points == 4


def test_conditions(open_shop: OpenShop) -> None:
    """Store, channel, tender, tier and time of the week; a condition in CEL over the sale."""
    shop = open_shop(
        program(
            visit(1, "store", conditions=Conditions(stores=["s-1"])),
            visit(2, "elsewhere", conditions=Conditions(stores=["s-2"])),
            visit(4, "till", conditions=Conditions(channels=[Channel.CHANNEL_STORE])),
            visit(8, "web", conditions=Conditions(channels=[Channel.CHANNEL_WEB])),
            visit(16, "cash", conditions=Conditions(tenders=[TenderKind.TENDER_KIND_CASH])),
            visit(32, "card", conditions=Conditions(tenders=[TenderKind.TENDER_KIND_CARD])),
            visit(
                64,
                "weekend",
                conditions=Conditions(windows=[window("2026-01-03T00:00:00", 24, "FREQ=WEEKLY;BYDAY=SA,SU")]),
            ),
            visit(128, "expression", conditions=Conditions(expression="sale.total_minor >= 500 && clock.hour < 12")),
            visit(256, "lines", conditions=Conditions(expression="lines.exists(l, l.sku == 'x' && l.quantity > 1)")),
            time_zone="Asia/Kolkata",
        )
    )
    member = shop.member()
    cash = [Tender(kind=TenderKind.TENDER_KIND_CASH, amount_minor=5_00)]
    saturday = shop.sale(member, [line(5_00, "x", quantity=2)], tenders=cash, at="2026-03-07T11:59+05:30")
    assert {award.rule for award in saturday.awards} == {"store", "till", "cash", "weekend", "expression", "lines"}
    monday = shop.sale(member, [line(5_00, "x")], at="2026-03-09T12:00+05:30")
    assert {award.rule for award in monday.awards} == {"store", "till"}
    prove(shop, member)


def test_a_condition_of_an_activity_rule(open_shop: OpenShop) -> None:
    """It can look at all that conditions of sales can, also where no rule for sales does."""
    morning = Conditions(expression="clock.hour < 12")
    shop = open_shop(program(activity(5, conditions=morning), time_zone="UTC"))
    member = shop.member()
    earned = [
        shop.activity(member, "review", at=f"2026-03-02T{hour}:00:00Z").receipt.earned_points for hour in (11, 12)
    ]
    assert earned == [5, 0]
    (before, after) = shop.events(member, "ActivityRecorded")
    assert not before.activity_recorded.failures
    assert not after.activity_recorded.failures
    assert prove(shop, member).available_points == 5


@pytest.mark.parametrize(
    ("conditions", "path"),
    [
        (Conditions(expression="tier =="), "expression"),
        (Conditions(expression="tierx == 'gold'"), "expression"),
        (Conditions(expression="sale.nope > 1"), "expression"),
        (Conditions(expression="tier + 1 > 2"), "expression"),
        (Conditions(expression="sale.total_minor"), "expression"),
        (Conditions(expression="nothing(1)"), "expression"),
        (Conditions(expression="x" * 1_001), "expression"),
        (Conditions(tiers=["platinum"]), "tiers[0]"),
        (Conditions(windows=[window("2026-01-03", 0)]), "windows[0].duration"),
        (Conditions(windows=[window("soon")]), "windows[0].starts_at"),
        (Conditions(windows=[window("2026-01-03T00:00:00", 25, "FREQ=DAILY")]), "windows[0].recurrence"),
        (Conditions(windows=[window("2026-01-03T00:00:00", 1, "FREQ=MINUTELY")]), "windows[0].recurrence"),
        (Conditions(windows=[window("2026-01-03T00:00:00", 1, "FREQ=SOMETIMES")]), "windows[0].recurrence"),
    ],
)
def test_what_cannot_be_checked_is_not_published(open_shop: OpenShop, conditions: Conditions, path: str) -> None:
    """The field at fault is named."""
    with pytest.raises(grpc.RpcError) as error:
        open_shop(program(visit(1, conditions=conditions)))
    assert Details(error.value).fields == [f"program.earning_rules[0].conditions.{path}"]


def test_own_validity(open_shop: OpenShop) -> None:
    """A promotion's points may wait longer and expire sooner than the rest: each in a lot of its own."""
    bonus = plus(5, pending=pending(1), expiry=rolling(days=2))
    shop = open_shop(program(promotions=[bonus], time_zone="UTC"))
    member = shop.member()
    sale = shop.sale(member, 10_00, at="2026-03-02T12:00:00Z")
    (recorded,) = shop.events(member, "SaleRecorded")
    assert [(lot.number, lot.points) for lot in recorded.sale_recorded.lots] == [(1, 10), (2, 5)]
    assert [award.lot for award in sale.awards] == [1, 2]
    balances = [
        shop.balance(member, at).available_points
        for at in ("2026-03-02T23:59:59", "2026-03-03T00:00", "2026-03-05T23:59:59", "2026-03-06T00:00")
    ]
    assert balances == [10, 15, 15, 10]
    back = shop.give_back(sale.outcome.transaction, at="2026-03-02T13:00:00Z")
    assert back.receipt.clawed_back_points == 15
    assert prove(shop, member).available_points == 0


def test_points_that_wait_for_a_word(open_shop: OpenShop) -> None:
    """Pending until an event: activated or cancelled by lot or sale; X4: their expiry counts from activation."""
    shop = open_shop(program(pending=_until_event(), expiry=rolling(days=90), time_zone="UTC"))
    member = shop.member()
    first = shop.sale(member, 10_00, at="2026-03-02T12:00:00Z").outcome.transaction
    second = shop.sale(member, 7_00, at="2026-03-02T13:00:00Z").outcome.transaction
    assert shop.balance(member, "2028-01-01T00:00").pending_points == 17
    done = shop.settle_pending(member, "activate", transaction=first, at="2026-03-10T12:00:00Z")
    assert done.points == 10
    assert done.receipt.balance.next_expiry.expires_at == instant("2026-06-09T00:00")
    assert shop.settle_pending(member, "cancel", lot=2).points == 7
    for again in ({"lot": 2}, {"transaction": first}, {"transaction": second}, {"lot": 99}):
        with refused("NOTHING_PENDING"):
            shop.settle_pending(member, "activate", **again)
    balance = prove(shop, member)
    assert (balance.available_points, balance.pending_points) == (0, 0)
    assert shop.balance(member, "2026-06-08T23:59:59").available_points == 10


def test_pending_points_keep_their_own_expiry(open_shop: OpenShop) -> None:
    """Those that become active by a word expire by the policy that they were issued under, whatever came later."""
    rules = (spend(), visit(3, expiry=rolling(days=2)))
    shop = open_shop(program(*rules, pending=_until_event(), expiry=rolling(days=90), time_zone="UTC"))
    member = shop.member()
    sale = shop.sale(member, 10_00, at="2026-03-02T12:00:00Z")
    assert {award.rule: award.lot for award in sale.awards} == {"spend": 1, "visit": 2}
    shop.publish(program(*rules, pending=_until_event(), expiry=rolling(days=5), time_zone="UTC"))
    shop.settle_pending(member, "activate", transaction=sale.outcome.transaction, at="2026-03-10T12:00:00Z")
    balances = [
        shop.balance(member, at).available_points
        for at in ("2026-03-12T23:59:59", "2026-03-13T00:00", "2026-06-08T23:59:59", "2026-06-09T00:00")
    ]
    assert balances == [13, 10, 10, 0]
    prove(shop, member)


@pytest.mark.parametrize("how", ["return", "reverse"])
def test_cancelled_points_are_not_taken_again(open_shop: OpenShop, how: str) -> None:
    """A return of a sale whose pending points were cancelled leaves other points alone."""
    shop = open_shop(program(pending=_until_event()))
    member = shop.member()
    shop.adjust(member, 50)
    sale = shop.sale(member, [line(10_00), line(30_00)]).outcome.transaction
    assert shop.give_back(sale, ["1"]).receipt.clawed_back_points == 10
    assert shop.settle_pending(member, "cancel", transaction=sale).points == 30
    undone = shop.give_back(sale) if how == "return" else shop.reverse(sale)
    assert (undone.receipt.clawed_back_points, undone.receipt.shortfall_points) == (0, 0)
    assert prove(shop, member).available_points == 50


def _until_event() -> PendingPolicy:
    return PendingPolicy(until_event=PendingUntilEvent())


def test_a_promotion_for_some_lines_by_expression(open_shop: OpenShop) -> None:
    """Lines above 10.00 count twice."""
    dear = LineFilter(expression="line.price_minor > 1000")
    promotion = Promotion(promotion_id="dear", multiplier_thousandths=2_000, only=dear)
    shop = open_shop(program(promotions=[promotion]))
    sale = shop.sale(shop.member(), [line(10_00), line(11_00)])
    assert [(award.rule, award.points) for award in sale.awards] == [("spend", 21), ("dear", 11)]


def test_x9_midnight_at_the_store(open_shop: OpenShop) -> None:
    """A basket before midnight in California, after midnight UTC: decided once, on the store's clock, and kept."""
    december = Conditions(windows=[window("2025-12-01T00:00:00", 31 * 24)])
    shop = open_shop(
        program(
            promotions=[plus(5, conditions=december)],
            stores=[Store(store_id="s-1", time_zone="America/Los_Angeles")],
            time_zone="UTC",
        )
    )
    member = shop.member()
    request = shop.sale_request(member, 10_00, at="2025-12-31T23:30-08:00")
    quoted = shop.quote(member, 10_00, at="2025-12-31T23:30-08:00")
    assert quoted.receipt.earned_points == 15
    sold = [
        shop.sale(member, 10_00, at=at).receipt.earned_points
        for at in ("2025-11-30T23:59:59-08:00", "2025-12-01T00:00-08:00", "2025-12-31T23:59:59-08:00")
    ]
    assert sold == [10, 15, 15]
    assert shop.sale(member, 10_00, at="2026-01-01T00:00-08:00").receipt.earned_points == 10
    assert shop.record(request).receipt.earned_points == 15
    prove(shop, member)
