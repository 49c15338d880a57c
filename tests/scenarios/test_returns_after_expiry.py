"""Returns of sales whose points have expired: what is gone is neither taken elsewhere nor owed (T1 to T8, C6)."""

from collections.abc import Sequence
from typing import Any

import pytest
from loyalty.v1.earning_pb2 import Cap, Period, Promotion
from loyalty.v1.expiry_pb2 import ExpiryPolicy, PendingPolicy, PendingUntilEvent
from loyalty.v1.program_pb2 import ClawBack, Program, RestoreExpired, ReturnPolicy

from tests import programs
from tests.conftest import OpenShop
from tests.programs import activity, cashback, end_of, item, limit, rolling, spend, tiers
from tests.proof import fold, prove
from tests.shop import Shop, line

FIRST = "2026-01-02T12:00Z"
EXPIRED = "2026-03-02T12:00Z"
LATER = "2026-03-03T12:00Z"
CLAMP = ReturnPolicy(claw_back=ClawBack.CLAW_BACK_CLAMP)
NEGATIVE = ReturnPolicy(claw_back=ClawBack.CLAW_BACK_NEGATIVE)

either = pytest.mark.parametrize("policy", [CLAMP, NEGATIVE], ids=["clamp", "owe"])


def program(
    *rules: Any, returns: ReturnPolicy = NEGATIVE, expiry: ExpiryPolicy | None = None, **fields: Any
) -> Program:
    """Points for 30 days."""
    return programs.program(*rules, returns=returns, expiry=expiry or rolling(days=30), time_zone="UTC", **fields)


def undo(shop: Shop, how: str, transaction: str, *, at: str = LATER) -> Any:
    """What the receipt of a full return or a reversal shows."""
    return (shop.give_back if how == "return" else shop.reverse)(transaction, at=at).receipt


def taken(receipt: Any) -> tuple[int, int, int]:
    """Points taken back, forgiven, and expired already."""
    return receipt.clawed_back_points, receipt.shortfall_points, receipt.already_expired_points


@either
@pytest.mark.parametrize("how", ["return", "reversal"])
def test_t2_expired_points_are_gone_already(open_shop: OpenShop, policy: ReturnPolicy, how: str) -> None:
    """A sale that earned 100, all expired, nets to nothing: the 70 of another sale stay."""
    shop = open_shop(program(returns=policy))
    member = shop.member()
    sale = shop.sale(member, 100_00, at=FIRST).outcome.transaction
    shop.sale(member, 70_00, at=EXPIRED)
    receipt = undo(shop, how, sale)
    assert taken(receipt) == (0, 0, 100)
    assert receipt.balance.available_points == 70
    assert [text.lines[0] for text in receipt.texts] == [
        "100 points had expired already and were not taken back.",
        "100 पॉइंट पहले ही समाप्त हो चुके थे, इसलिए वापस नहीं लिए गए।",
    ]
    assert shop.balance(member, LATER).available_points == 70
    prove(shop, member)
    assert not fold(shop, member).expired_by_lot


@pytest.mark.parametrize(("policy", "shown", "left"), [(CLAMP, (30, 30, 40), 0), (NEGATIVE, (60, 0, 40), -30)])
def test_t5_what_was_spent_before(
    open_shop: OpenShop, policy: ReturnPolicy, shown: tuple[int, int, int], left: int
) -> None:
    """Of 100 points 60 were spent and 40 expired: 60 are taken from the member's other 30, the rest as ever."""
    shop = open_shop(program(returns=policy))
    member = shop.member()
    sale = shop.sale(member, 100_00, at=FIRST).outcome.transaction
    shop.adjust(member, -60, at=FIRST)
    shop.sale(member, 30_00, at=EXPIRED)
    assert taken(undo(shop, "return", sale)) == shown
    assert shop.balance(member, LATER).available_points == left
    prove(shop, member)


@pytest.mark.parametrize(
    ("returned", "shown"),
    [((("1",), ("2",)), ((0, 0, 30), (60, 0, 10))), ((("2",), ("1",)), ((30, 0, 40), (30, 0, 0)))],
)
def test_t3_several_returns(
    open_shop: OpenShop, returned: Sequence[Sequence[str]], shown: Sequence[tuple[int, int, int]]
) -> None:
    """What expired is used up once: 40 of 100, however the lines of 30 and 70 come back."""
    shop = open_shop(program())
    member = shop.member()
    sale = shop.sale(member, [line(30_00), line(70_00)], at=FIRST).outcome.transaction
    shop.adjust(member, -60, at=FIRST)
    shop.sale(member, 200_00, at=EXPIRED)
    assert [taken(shop.give_back(sale, lines, at=LATER).receipt) for lines in returned] == [*shown]
    assert prove(shop, member).available_points == 0  # and all is over by now
    assert shop.balance(member, LATER).available_points == 140


def test_c6_a_return_that_arrives_late(open_shop: OpenShop) -> None:
    """A return of 1 January, sent before or after the expiry of 1 February was recorded: the same balance."""
    shop = open_shop(program())
    for is_late in (False, True):
        member = shop.member()
        sale = shop.sale(member, [line(30_00), line(70_00)], at=FIRST).outcome.transaction
        shop.adjust(member, -60, at=FIRST)
        if not is_late:
            shop.give_back(sale, ["2"], at="2026-01-03T12:00Z")
        shop.sale(member, 200_00, at=EXPIRED)
        if is_late:
            shop.give_back(sale, ["2"], at="2026-01-03T12:00Z")
        assert shop.balance(member, LATER).available_points == 170
        prove(shop, member)


def test_t1_lots_of_one_sale(open_shop: OpenShop) -> None:
    """A promotion takes away the points of the first lot, so the return finds all in the second, expired or not."""
    bonus = item(50, "a", "bonus")
    bonus.expiry.CopyFrom(rolling(days=10))
    half = Promotion(promotion_id="half", multiplier_thousandths=500)
    shop = open_shop(program(spend(), bonus, promotions=[half]))
    for at, shown in (("2026-01-20T12:00Z", (75, 0, 0)), (EXPIRED, (0, 0, 75))):
        member = shop.member()
        sale = shop.sale(member, [line(100_00, "a")], at=FIRST)
        assert sale.receipt.earned_points == 75
        shop.sale(member, 10_00, at=at)
        receipt = undo(shop, "return", sale.outcome.transaction, at=at)
        assert (taken(receipt), receipt.balance.available_points) == (shown, 5)
        prove(shop, member)


def test_g7_what_counted_goes_back(open_shop: OpenShop) -> None:
    """Expiry has not lowered what counts towards tiers, so the return does; limits and caps are free again."""
    capped = program(
        spend(), caps=[Cap(cap_id="year", period=Period.PERIOD_YEAR, points=100)], tiers=tiers(base=0, top=150)
    )
    capped.earning_rules[0].limits.append(limit("year", points=100))
    shop = open_shop(capped)
    member = shop.member()
    sale = shop.sale(member, 100_00, at=FIRST).outcome.transaction
    assert shop.sale(member, 60_00, at=EXPIRED).receipt.earned_points == 0
    receipt = undo(shop, "return", sale)
    assert (receipt.already_expired_points, receipt.tier.qualifying_amount) == (100, 0)
    assert shop.sale(member, 60_00, at=LATER).receipt.earned_points == 60
    prove(shop, member)


def test_t11_an_activity_a_gift_and_an_adjustment(open_shop: OpenShop) -> None:
    """Their reversal leaves other points alone too, once theirs have expired."""
    shop = open_shop(program(spend(), activity(30)))
    member = shop.member()
    done = [shop.activity(member, "review", at=FIRST), shop.adjust(member, 20, at=FIRST)]
    shop.sale(member, 70_00, at=EXPIRED)
    assert [taken(undo(shop, "reversal", one.outcome.transaction)) for one in done] == [(0, 0, 30), (0, 0, 20)]
    assert shop.balance(member, LATER).available_points == 70
    prove(shop, member)


def test_t8_given_back_and_expired(open_shop: OpenShop) -> None:
    """Spent points that come back after their expiry are gone with it, and no return asks for them again."""
    forfeit = ReturnPolicy(
        claw_back=ClawBack.CLAW_BACK_NEGATIVE, restore_expired=RestoreExpired.RESTORE_EXPIRED_FORFEIT
    )
    shop = open_shop(program(returns=forfeit, rewards=[cashback()]))
    member = shop.member()
    sale = shop.sale(member, 100_00, at=FIRST).outcome.transaction
    spent = shop.adjust(member, -60, at=FIRST).outcome.transaction
    shop.sale(member, 70_00, at=EXPIRED)
    shop.reverse(spent, at=EXPIRED)
    assert taken(undo(shop, "return", sale)) == (0, 0, 100)
    assert shop.balance(member, LATER).available_points == 70
    prove(shop, member)


def test_x10_reinstated_points_stay(open_shop: OpenShop) -> None:
    """They are a lot of their own. Once it has expired too, taking back the reinstatement takes nothing."""
    shop = open_shop(program())
    member = shop.member()
    sale = shop.sale(member, 100_00, at=FIRST).outcome.transaction
    back = shop.reinstate(member, 100, at=EXPIRED).outcome.transaction
    assert taken(undo(shop, "return", sale)) == (0, 0, 100)
    assert shop.balance(member, LATER).available_points == 100
    shop.sale(member, 5_00, at="2026-06-01T12:00Z")
    assert taken(undo(shop, "reversal", back, at="2026-06-02T12:00Z")) == (0, 0, 100)
    assert shop.balance(member, "2026-06-02T12:00Z").available_points == 5
    account = fold(shop, member)
    assert (account.expired, account.reinstated, account.clawed_back) == (200, 100, 0)
    prove(shop, member)


def test_t7_cancelled_and_returned_by_parts(open_shop: OpenShop) -> None:
    """Cancelled points are used up by returns as expired ones are, and count towards tiers no second time."""
    waits = PendingPolicy(until_event=PendingUntilEvent())
    shop = open_shop(program(pending=waits, expiry=end_of(programs.YEAR), tiers=tiers(base=0, top=90)))
    member = shop.member()
    sale = shop.sale(member, [line(30_00), line(70_00)], at=FIRST).outcome.transaction
    cancelled = shop.settle_pending(member, "cancel", transaction=sale, at=FIRST)
    assert cancelled.receipt.tier.qualifying_amount == 0
    assert fold(shop, member).cancelled_by_lot == {1: 100}
    for lines, left in ((["1"], {1: 70}), (["2"], {})):
        receipt = shop.give_back(sale, lines, at=LATER).receipt
        assert (*taken(receipt), receipt.tier.qualifying_amount) == (0, 0, 0, 0)
        assert fold(shop, member).cancelled_by_lot == left
    assert shop.reverse(cancelled.outcome.transaction, at=LATER).receipt.restored_points == 0
    prove(shop, member)


def test_explained_as_expired(open_shop: OpenShop) -> None:
    """What the sale's explanation says of the return."""
    shop = open_shop(program())
    member = shop.member()
    sale = shop.sale(member, 100_00, at=FIRST).outcome.transaction
    back = shop.give_back(sale, at=LATER).outcome.transaction
    english, hindi = shop.explain(sale).texts
    assert english.lines[-1] == "100 points had expired already and were not taken back."
    assert hindi.lines[-1] == "100 पॉइंट पहले ही समाप्त हो चुके थे, इसलिए वापस नहीं लिए गए।"
    assert shop.explain(back).receipt.already_expired_points == 100
