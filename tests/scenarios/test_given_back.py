"""What returns and reversals give back beside points: limits, caps and remainders (E17 to E19, T9, T11, T12)."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.earning_pb2 import Cap, EarningRule, Limit, LineFilter, Period, Promotion
from loyalty.v1.program_pb2 import ClawBack, Program, ReturnPolicy
from loyalty.v1.sale_pb2 import ReturnLine

from tests import programs
from tests.conftest import OpenShop
from tests.programs import activity, cashback, item, limit, plus, program, times, visit
from tests.proof import fold, prove
from tests.shop import Shop, line, new_id

DAY = "2026-03-02T12:00:00Z"
NEXT_DAY = "2026-03-03T12:00:00Z"
WEEK = Period.PERIOD_WEEK

both = pytest.mark.parametrize("how", ["return", "reversal"])


def spend(points: int = 1, per_minor: int = 1_00, *, limits: Sequence[Limit] = (), **fields: Any) -> EarningRule:
    """A rule that gives points for money spent, up to some limits."""
    rule = programs.spend(points, per_minor, **fields)
    rule.limits.extend(limits)
    return rule


def undo(shop: Shop, how: str, transaction: str, *, at: str = DAY) -> Any:
    """A full return or a reversal."""
    return shop.give_back(transaction, at=at) if how == "return" else shop.reverse(transaction, at=at)


def earned(shop: Shop, member: str, price: int, *, at: str = DAY) -> int:
    """The points of a sale."""
    return shop.sale(member, price, at=at).receipt.earned_points


@both
@pytest.mark.parametrize(
    ("definition", "points"),
    [
        (program(visit(7, limits=[limit("day", times=1)])), 7),
        (program(spend(limits=[limit("week", points=50)])), 50),
        (program(spend(limits=[limit("ever", points=50), limit("day", times=1)])), 50),
        (program(caps=[Cap(cap_id="weekly", period=WEEK, points=60)]), 60),
        (program(visit(7, limits=[limit("day", times=1, of_all=True)])), 7),
        (program(spend(limits=[limit("month", points=50, of_all=True)])), 50),
        (program(promotions=[plus(9, limits=[limit("ever", times=1)])]), 89),
        (program(promotions=[plus(9, limits=[limit("year", points=5, of_all=True)])]), 85),
    ],
)
def test_t11_limits_are_free_again(open_shop: OpenShop, definition: Program, points: int, how: str) -> None:
    """After a sale is void the next one earns as if it had never been."""
    shop = open_shop(definition)
    member = shop.member()
    for _ in range(2):
        sale = shop.sale(member, 80_00, at=DAY)
        assert sale.receipt.earned_points == points
        undo(shop, how, sale.outcome.transaction)
    assert prove(shop, member).available_points == 0
    counters = fold(shop, member).counters
    assert {value for values in counters.values() for _, value in values} <= {0}


def test_t11_a_cap_has_the_room_of_what_is_left(open_shop: OpenShop) -> None:
    """80 of 100 a week, in one sale of 50 and one of 30; the 50 are void: 70 more."""
    shop = open_shop(program(caps=[Cap(cap_id="weekly", period=WEEK, points=100)]))
    member = shop.member()
    first = shop.sale(member, 50_00, at=DAY).outcome.transaction
    assert earned(shop, member, 30_00) == 30
    shop.reverse(first, at=NEXT_DAY)
    assert earned(shop, member, 90_00, at=NEXT_DAY) == 70
    assert prove(shop, member).available_points == 100


def test_room_is_made_in_the_period_of_the_sale(open_shop: OpenShop) -> None:
    """What is void next week makes no room next week, but for a sale of this week that comes late."""
    shop = open_shop(program(caps=[Cap(cap_id="weekly", period=WEEK, points=100)]))
    member = shop.member()
    sale = shop.sale(member, 100_00, at=DAY).outcome.transaction
    next_week = "2026-03-09T12:00:00Z"
    assert earned(shop, member, 100_00, at=next_week) == 100
    shop.reverse(sale, at=next_week)
    assert earned(shop, member, 10_00, at=next_week) == 0
    assert earned(shop, member, 10_00, at=NEXT_DAY) == 10
    assert prove(shop, member).available_points == 110


@pytest.mark.parametrize(
    ("limits", "caps", "after_a_half", "after_all"),
    [
        ([limit("day", points=100)], [], 50, 100),
        ([], [Cap(cap_id="daily", period=Period.PERIOD_DAY, points=100)], 50, 100),
        ([limit("day", times=1)], [], 0, 100),
        ([limit("day", points=100, of_all=True)], [], 50, 100),
        ([limit("day", times=1, of_all=True)], [], 0, 100),
    ],
)
def test_parts_make_room_as_far_as_points_are_taken(
    open_shop: OpenShop, limits: list[Limit], caps: list[Cap], after_a_half: int, after_all: int
) -> None:
    """Points make room for as many; a time is free once all of its award is gone."""
    shop = open_shop(program(spend(limits=limits), caps=caps))
    member = shop.member()
    sale = shop.sale(member, [line(100_00, quantity=2)], at=DAY).outcome.transaction
    half = ReturnLine(line_id="1", quantity=1)
    room = []
    for _ in range(2):
        assert shop.give_back(sale, [half], at=DAY).receipt.clawed_back_points == 50
        room.append(shop.quote(member, 100_00, at=DAY).receipt.earned_points)
    assert room == [after_a_half, after_all]
    assert prove(shop, member).available_points == 0


@both
def test_forgiven_points_stay_counted(open_shop: OpenShop, how: str) -> None:
    """A member who keeps what they spent has used up their cap and their turn for it."""
    clamp = ReturnPolicy(claw_back=ClawBack.CLAW_BACK_CLAMP)
    cap = Cap(cap_id="weekly", period=WEEK, points=100)
    rules = (spend(), visit(5, limits=[limit("day", times=1)]))
    shop = open_shop(program(*rules, caps=[cap], returns=clamp))
    member = shop.member()
    sale = shop.sale(member, 50_00, at=DAY).outcome.transaction
    shop.adjust(member, -20, at=DAY)
    receipt = undo(shop, how, sale).receipt
    assert (receipt.clawed_back_points, receipt.shortfall_points) == (35, 20)
    # The 5 of the visit, which came last, and 15 of the 50 were kept.
    assert earned(shop, member, 100_00) == 100 - 20
    assert prove(shop, member).available_points == 80


@both
def test_e19_a_void_remainder_is_not_carried(open_shop: OpenShop, how: str) -> None:
    """7.00 are carried and void: the next 5.00 are 5.00. Used by a later sale they are made up for."""
    shop = open_shop(program(spend(1, 10_00, carry_over=True)))
    member = shop.member()
    void = shop.sale(member, 7_00).outcome.transaction
    undo(shop, how, void)
    assert [earned(shop, member, price) for price in (5_00, 4_00)] == [0, 0]
    used = shop.sale(member, 1_00)
    assert used.receipt.earned_points == 1
    # 10.00 in all gave a point; without this sale they are 9.00 and nothing.
    assert undo(shop, how, used.outcome.transaction).receipt.clawed_back_points == 1
    assert [earned(shop, member, price) for price in (99, 1)] == [0, 1]
    assert prove(shop, member).available_points == 1


def test_e19_no_points_out_of_returns(open_shop: OpenShop) -> None:
    """What a later sale earned on a remainder that is void since, the sale after it makes up for."""
    shop = open_shop(program(spend(1, 10_00, carry_over=True)))
    member = shop.member()
    for expected in (1, 0, 0):
        large = shop.sale(member, 9_99).outcome.transaction
        assert earned(shop, member, 1) == expected
        shop.give_back(large)
    assert earned(shop, member, 9_96) == 0
    assert earned(shop, member, 1_00) == 0
    assert earned(shop, member, 9_01) == 1
    assert prove(shop, member).available_points == 2


@pytest.mark.parametrize("order", ["before", "after"])
def test_c6_a_return_before_its_sale(open_shop: OpenShop, order: str) -> None:
    """The limit is free again, whichever came first."""
    shop = open_shop(program(visit(7, limits=[limit("day", times=1)]), caps=[Cap(cap_id="w", period=WEEK, points=9)]))
    member = shop.member()
    request = shop.sale_request(member, 10_00, at=DAY, request_id=new_id())
    steps: list[Callable[[], Any]] = [
        lambda: shop.give_back(f"transactions/{request.request_id}", member=member, at=DAY),
        lambda: shop.record(request),
    ]
    for step in steps if order == "before" else reversed(steps):
        step()
    assert earned(shop, member, 10_00) == 7
    assert prove(shop, member).available_points == 7


@pytest.mark.parametrize(
    "definition",
    [
        program(spend(3), caps=[Cap(cap_id="weekly", period=WEEK, points=400)]),
        program(spend(limits=[limit("day", points=100)])),
        program(spend(limits=[limit("day", points=100, of_all=True)])),
        program(spend(1, 30_00, carry_over=True)),
        program(spend(1, 30_00, carry_over=True), caps=[Cap(cap_id="weekly", period=WEEK, points=3)]),
        program(visit(5, minimum_minor=40_00, limits=[limit("day", times=1)])),
        program(item(7, "old", limits=[limit("day", points=7)]), item(7, "new", "i2", limits=[limit("day", points=7)])),
        program(promotions=[times(2_000, limits=[limit("week", points=40)])]),
    ],
)
def test_t12_equal_exchange_with_limits(open_shop: OpenShop, definition: Program) -> None:
    """A sale that comes back in full and another for the same money leave the points as they were."""
    shop = open_shop(definition)
    member = shop.member()
    earned(shop, member, 17_00)
    old = shop.sale(member, [line(100_00, "old")], at=DAY)
    before = shop.balance(member).available_points
    assert old.receipt.earned_points
    shop.give_back(old.outcome.transaction, at=DAY)
    shop.sale(member, [line(100_00, "new")], at=DAY)
    assert prove(shop, member).available_points == before


def test_t12_exchange_of_a_part(open_shop: OpenShop) -> None:
    """One of several lines for another, with the cap reached: nothing is lost and nothing won."""
    cap = Cap(cap_id="weekly", period=WEEK, points=100)
    shop = open_shop(program(caps=[cap]))
    member = shop.member()
    sale = shop.sale(member, [line(40_00, "old"), line(60_00, "other")], at=DAY)
    assert shop.give_back(sale.outcome.transaction, ["1"], at=DAY).receipt.clawed_back_points == 40
    assert earned(shop, member, 40_00) == 40
    assert earned(shop, member, 40_00) == 0
    assert prove(shop, member).available_points == 100


def _promoted(promotion: Promotion, *rules: Any) -> Program:
    return program(*rules, promotions=[promotion])


@pytest.mark.parametrize(
    ("definition", "returned", "taken"),
    [
        # A visit of 10, times 3: nothing until the rest falls below the minimum, then all.
        (_promoted(times(3_000), visit(10, minimum_minor=20_00)), ("a", "b", "c"), (0, 30, 0)),
        (_promoted(plus(5), visit(10)), ("b", "c", "a", "a"), (0, 0, 0, 15)),
        # 2 points a unit, times 2: by the unit.
        (_promoted(times(2_000), item(2, "a")), ("b", "a", "a"), (0, 4, 4)),
        # Both: 2 x 2 for the units of a, 10 for the visit, times 2.
        (_promoted(times(2_000), item(2, "a"), visit(10, minimum_minor=1)), ("a", "a", "b", "c"), (4, 4, 0, 20)),
        # Only what b earned is multiplied.
        (_promoted(times(2_000, only=LineFilter(skus=["b"])), spend()), ("a", "b", "a"), (10, 20, 10)),
    ],
)
def test_t9_promotions_follow_what_they_worked_on(
    open_shop: OpenShop, definition: Program, returned: tuple[str, ...], taken: tuple[int, ...]
) -> None:
    """By amount where their points come from amounts, by units from units, as a whole from visits."""
    shop = open_shop(definition)
    member = shop.member()
    lines = [line(20_00, "a", quantity=2, line_id="a"), line(10_00, "b", line_id="b"), line(5_00, "c", line_id="c")]
    sale = shop.sale(member, lines, at=DAY)
    back = [
        shop.give_back(
            sale.outcome.transaction, [ReturnLine(line_id=one, quantity=1)], at=DAY
        ).receipt.clawed_back_points
        for one in returned
    ]
    assert tuple(back) == taken
    assert prove(shop, member).available_points == sale.receipt.earned_points - sum(taken)


def test_t9_money_back_takes_no_promotion_of_an_item(open_shop: OpenShop) -> None:
    """A refund without goods takes neither an item's points nor what multiplied them."""
    shop = open_shop(_promoted(times(2_000), item(2, "a")))
    member = shop.member()
    sale = shop.sale(member, [line(20_00, "a", quantity=2)], at=DAY).outcome.transaction
    refund = ReturnLine(line_id="1", amount_minor=10_00)
    assert shop.give_back(sale, [refund], at=DAY).receipt.clawed_back_points == 0
    assert prove(shop, member).available_points == 8


def test_t11_an_activity(open_shop: OpenShop) -> None:
    """Its points are taken back and its limit is free again; once."""
    shop = open_shop(program(activity(30, limits=[limit("day", times=1)]), rewards=[cashback()]))
    member = shop.member()
    first = shop.activity(member, "review", at=DAY).outcome.transaction
    assert shop.activity(member, "review", at=DAY).receipt.earned_points == 0
    request_id = new_id()
    receipts = [shop.reverse(first, request_id=request_id, at=DAY).receipt for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert receipts[0].clawed_back_points == 30
    assert shop.activity(member, "review", at=DAY).receipt.earned_points == 30
    spent = shop.sale(member, 30_00, at=DAY, points_payment=PointsPayment(reward_id="cashback", points=10))
    assert spent.receipt.spent_points == 10
    assert prove(shop, member).available_points == 20
