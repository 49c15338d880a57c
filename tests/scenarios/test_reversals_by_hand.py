"""Reversing what a manager or a machine did beside sales: T11 for activities, pending points and expiry by hand."""

from typing import Any

import pytest
from loyalty.v1.expiry_pb2 import PendingPolicy, PendingUntilEvent
from loyalty.v1.program_pb2 import ClawBack, RestoreExpired, ReturnPolicy

from tests.conftest import OpenShop
from tests.programs import activity, inactivity, pending, program, rolling, spend, tier_policy, tiers
from tests.proof import fold, prove
from tests.shop import line, new_id, refused

DAY = "2026-03-02T12:00:00Z"
LATER = "2026-03-05T12:00:00Z"
WAITS = PendingPolicy(until_event=PendingUntilEvent())


@pytest.mark.parametrize(
    ("may_owe", "taken", "shortfall", "left"), [(False, 30, 20, 0), (True, 50, 0, -20)], ids=["clamp", "owe"]
)
def test_t11_an_activity_that_was_spent(
    open_shop: OpenShop, *, may_owe: bool, taken: int, shortfall: int, left: int
) -> None:
    """What is not there any more is forgiven or owed, as the program says; the tier goes with it."""
    policy = ReturnPolicy(claw_back=ClawBack.CLAW_BACK_NEGATIVE if may_owe else ClawBack.CLAW_BACK_CLAMP)
    shop = open_shop(program(activity(50), returns=policy, tiers=tiers(base=0, top=50)))
    member = shop.member()
    done = shop.activity(member, "review", at=DAY)
    assert done.receipt.tier.tier == "top"
    shop.adjust(member, -20, at=DAY)
    receipt = shop.reverse(done.outcome.transaction, at=DAY).receipt
    assert (receipt.clawed_back_points, receipt.shortfall_points) == (taken, shortfall)
    assert (receipt.tier.tier, receipt.tier.qualifying_amount) == ("base", 0)
    assert prove(shop, member).available_points == left


def test_t11_a_pending_activity(open_shop: OpenShop) -> None:
    """Pending points go first; others stay as they are."""
    shop = open_shop(program(activity(50), pending=pending(10)))
    member = shop.member()
    shop.adjust(member, 25, at=DAY)
    done = shop.activity(member, "review", at=DAY)
    assert done.receipt.balance.pending_points == 50
    balance = shop.reverse(original_request_id=done.outcome.transaction[13:], at=DAY).receipt.balance
    assert (balance.available_points, balance.pending_points) == (25, 0)
    prove(shop, member)


def test_t11_an_activity_before_it_arrives(open_shop: OpenShop) -> None:
    """The reversal blocks it; a reversal of a reversal is refused."""
    shop = open_shop(program(activity(50)))
    member, request_id = shop.member(), new_id()
    assert shop.reverse(original_request_id=request_id).blocked
    with refused("REVERSED_BEFORE_ARRIVAL"):
        shop.activity(member, "review", request_id=request_id)
    done = shop.activity(member, "review").outcome.transaction
    reversal = shop.reverse(done).outcome.transaction
    with refused("NOT_REVERSIBLE", type="TransactionReversed"):
        shop.reverse(reversal)
    with refused("ALREADY_REVERSED", reversal=reversal):
        shop.reverse(done)
    assert prove(shop, member).available_points == 0


def test_t11_an_activation(open_shop: OpenShop) -> None:
    """What is not spent is pending again, with its old dates, and can be activated once more by the same policy."""
    shop = open_shop(program(pending=WAITS, expiry=rolling(days=90), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 40_00, at=DAY)
    done = shop.settle_pending(member, "activate", lot=1, at=DAY).outcome.transaction
    shop.adjust(member, -15, at=LATER)
    reversal = shop.reverse(done, at=LATER)
    balance = reversal.receipt.balance
    assert (balance.available_points, balance.pending_points) == (0, 25)
    told = [text.lines for text in shop.explain(reversal.outcome.transaction).texts]
    assert "25 points have their old dates again." in told[0]
    assert "25 पॉइंट की पुरानी तारीखें फिर लागू हैं।" in told[1]
    assert prove(shop, member).pending_points == 25
    again = shop.settle_pending(member, "activate", lot=1, at="2026-04-01T12:00:00Z")
    assert again.points == 25
    assert shop.balance(member, "2026-06-30T23:59:59").available_points == 25
    assert shop.balance(member, "2026-07-01T00:00").available_points == 0
    prove(shop, member)


def test_t11_an_activation_before_its_time(open_shop: OpenShop) -> None:
    """Points that become active by a date get that date back, and the expiry that counts from it."""
    shop = open_shop(program(pending=pending(10), expiry=rolling(days=90), time_zone="UTC"))
    member = shop.member()
    sale = shop.sale(member, 40_00, at=DAY).outcome.transaction
    done = shop.settle_pending(member, "activate", transaction=sale, at=LATER)
    assert done.receipt.balance.available_points == 40
    assert shop.reverse(done.outcome.transaction, at=LATER).receipt.balance.pending_points == 40
    balances = [
        shop.balance(member, at).available_points
        for at in ("2026-03-11T23:59:59", "2026-03-12T00:00", "2026-06-10T23:59:59", "2026-06-11T00:00")
    ]
    assert balances == [0, 40, 40, 0]
    prove(shop, member)


def test_t11_an_activation_of_points_that_follow_activity(open_shop: OpenShop) -> None:
    """Wherever their expiry has moved since, they are pending again."""
    shop = open_shop(program(pending=WAITS, expiry=inactivity(days=30), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 40_00, at=DAY)
    done = shop.settle_pending(member, "activate", lot=1, at=DAY).outcome.transaction
    shop.sale(member, 2_00, at=LATER)
    balance = shop.reverse(done, at=LATER).receipt.balance
    assert (balance.available_points, balance.pending_points) == (0, 42)
    prove(shop, member)


def test_t11_a_cancellation(open_shop: OpenShop) -> None:
    """The points are there again, pending until their date, and count towards tiers again."""
    shop = open_shop(program(pending=pending(10), tiers=tiers(base=0, top=40), time_zone="UTC"))
    member = shop.member()
    sale = shop.sale(member, 40_00, at=DAY).outcome.transaction
    done = shop.settle_pending(member, "cancel", transaction=sale, at=DAY)
    assert done.receipt.tier.tier == "base"
    receipt = shop.reverse(done.outcome.transaction, at=LATER).receipt
    assert (receipt.restored_points, receipt.balance.pending_points) == (40, 40)
    assert (receipt.tier.tier, receipt.tier.qualifying_amount) == ("top", 40)
    assert shop.balance(member, "2026-03-12T00:00").available_points == 40
    # As if nobody had cancelled them, the return of the sale takes them.
    assert shop.give_back(sale, at=LATER).receipt.clawed_back_points == 40
    balance = prove(shop, member)
    assert (balance.available_points, balance.pending_points) == (0, 0)


@pytest.mark.parametrize(("returned", "revived"), [(("1",), 30), (("1", "2"), 0)])
def test_t11_a_cancellation_of_what_came_back(open_shop: OpenShop, returned: tuple[str, ...], revived: int) -> None:
    """Points of goods that came back meanwhile stay gone, and no return takes the others twice."""
    shop = open_shop(program(pending=WAITS))
    member = shop.member()
    shop.adjust(member, 100)
    sale = shop.sale(member, [line(10_00), line(30_00)]).outcome.transaction
    done = shop.settle_pending(member, "cancel", transaction=sale).outcome.transaction
    for one in returned:
        shop.give_back(sale, [one])
    assert shop.reverse(done).receipt.restored_points == revived
    assert prove(shop, member).pending_points == revived
    if revived:
        assert shop.give_back(sale).receipt.clawed_back_points == revived
    balance = prove(shop, member)
    assert (balance.available_points, balance.pending_points) == (100, 0)


def test_t11_a_cancelled_activity(open_shop: OpenShop) -> None:
    """Once the activity itself is reversed, its cancelled points do not come back either."""
    shop = open_shop(program(activity(50), pending=WAITS))
    member = shop.member()
    done = shop.activity(member, "review").outcome.transaction
    cancelled = shop.settle_pending(member, "cancel", transaction=done).outcome.transaction
    assert shop.reverse(done).receipt.clawed_back_points == 0
    assert shop.reverse(cancelled).receipt.restored_points == 0
    balance = prove(shop, member)
    assert (balance.available_points, balance.pending_points) == (0, 0)


def test_t11_a_later_expiry(open_shop: OpenShop) -> None:
    """What is left of each lot has its old date again."""
    shop = open_shop(program(expiry=rolling(days=30), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 10_00, at=DAY)
    shop.sale(member, 20_00, at=LATER)
    done = shop.extend_expiry(member, "2026-12-31T00:00", at=LATER).outcome.transaction
    shop.adjust(member, -14, at=LATER)
    shop.reverse(done, at=LATER)
    left = [shop.balance(member, at).available_points for at in ("2026-04-04T23:59:59", "2026-04-05")]
    assert left == [16, 0]
    assert [(lot.number, lot.points) for lot in fold(shop, member).lots] == [(2, 16)]
    prove(shop, member)


def test_t11_one_of_two_later_expiries(open_shop: OpenShop) -> None:
    """The later one stays in force."""
    shop = open_shop(program(expiry=rolling(days=30), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 10_00, at=DAY)
    first = shop.extend_expiry(member, "2026-05-01T00:00", at=DAY).outcome.transaction
    second = shop.extend_expiry(member, "2026-06-01T00:00", at=DAY).outcome.transaction
    shop.reverse(first, at=LATER)
    assert shop.balance(member, "2026-05-31T23:59:59").available_points == 10
    shop.reverse(second, at=LATER)
    assert shop.balance(member, "2026-04-30T23:59:59").available_points == 10
    assert shop.balance(member, "2026-05-01T00:00").available_points == 0
    prove(shop, member)


@pytest.mark.parametrize(("grace_days", "left"), [(0, 0), (5, 10)])
def test_t11_a_later_expiry_too_late(open_shop: OpenShop, grace_days: int, left: int) -> None:
    """Points that would have expired meanwhile do so at once, or have the program's grace, as returned ones have."""
    policy = ReturnPolicy(
        restore_expired=RestoreExpired.RESTORE_EXPIRED_GRACE if grace_days else RestoreExpired.RESTORE_EXPIRED_FORFEIT,
        grace_days=grace_days,
    )
    shop = open_shop(program(expiry=rolling(days=30), returns=policy, time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 10_00, at=DAY)
    done = shop.extend_expiry(member, "2026-12-31T00:00", at=DAY).outcome.transaction
    assert shop.reverse(done, at="2026-05-01T12:00:00Z").receipt.balance.available_points == left
    assert shop.balance(member, "2026-05-07T00:00").available_points == 0
    prove(shop, member)


def test_t11_reinstated_points(open_shop: OpenShop) -> None:
    """They count as expired again and can be reinstated once more; what was spent of them meanwhile cannot."""
    shop = open_shop(program(spend(1, 100_00), expiry=rolling(days=30), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 1_000_00, at=DAY)
    late = "2026-06-01T12:00:00Z"
    done = shop.reinstate(member, 8, at=late).outcome.transaction
    shop.adjust(member, -3, at=late)
    receipt = shop.reverse(done, at=late).receipt
    assert (receipt.clawed_back_points, receipt.shortfall_points) == (5, 3)
    with refused("NOT_EXPIRED", expired_points=7):
        shop.reinstate(member, 8, at=late)
    assert shop.reinstate(member, 7, at=late).receipt.balance.available_points == 7
    prove(shop, member)


def test_t11_what_has_a_counterpart(open_shop: OpenShop) -> None:
    """A pinned tier is let go of by a command of its own."""
    shop = open_shop(program(tiers=tiers(base=0, top=40)))
    member = shop.member()
    pinned = shop.pin(member, "top").outcome.transaction
    with refused("NOT_REVERSIBLE", type="TierFloorSet"):
        shop.reverse(pinned)
    assert prove(shop, member).available_points == 0


@pytest.mark.parametrize(
    ("period", "qualifying"), [({"rolling": {"days": 30}}, 0), ({"since_change": {"months": 1}}, 0), ({}, 40)]
)
def test_t11_what_was_counted_long_ago(open_shop: OpenShop, period: dict[str, Any], qualifying: int) -> None:
    """Points whose cancellation is undone count where they counted, which may be past."""
    policy = tier_policy(**period)
    shop = open_shop(program(spend(), pending=WAITS, tiers=tiers(base=0, top=100), tier_policy=policy))
    member = shop.member()
    sale = shop.sale(member, 40_00, at="2026-01-05T12:00:00Z")
    cancelled = shop.settle_pending(member, "cancel", transaction=sale.outcome.transaction, at="2026-01-06T12:00Z")
    assert cancelled.receipt.tier.qualifying_amount == 0
    receipt = shop.reverse(cancelled.outcome.transaction, at="2026-06-05T12:00:00Z").receipt
    assert (receipt.balance.pending_points, receipt.tier.qualifying_amount) == (40, qualifying)
    prove(shop, member)


def test_t11_what_was_cancelled_by_its_lot(open_shop: OpenShop) -> None:
    """Of points that a lot names nobody knows when they counted: once there again they count as new."""
    policy = tier_policy(rolling={"days": 30})
    shop = open_shop(program(spend(), pending=WAITS, tiers=tiers(base=0, top=40), tier_policy=policy))
    member = shop.member()
    shop.sale(member, 40_00, at="2026-01-05T12:00:00Z")
    cancelled = shop.settle_pending(member, "cancel", lot=1, at="2026-01-06T12:00Z")
    receipt = shop.reverse(cancelled.outcome.transaction, at="2026-06-05T12:00:00Z").receipt
    assert (receipt.tier.tier, receipt.tier.qualifying_amount) == ("top", 40)
    prove(shop, member)
