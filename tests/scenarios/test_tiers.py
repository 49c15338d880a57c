"""Tiers: G1, G2 and G8 of the scenario book."""

from collections.abc import Callable
from typing import Any

import pytest
from loyalty.v1.account_pb2 import TierProgress
from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.pos_service_pb2 import GetBalanceRequest
from loyalty.v1.tier_pb2 import TierChangeReason

from tests.conftest import OpenShop
from tests.programs import cashback, discount, program, tiers
from tests.proof import prove
from tests.shop import Shop

METALS = {"bronze": 0, "silver": 10_000, "gold": 20_000}
LADDER = {"base": 0, "one": 1, "two": 250, "three": 251}


def changes(shop: Shop, member: str) -> list[tuple[str, str]]:
    """The recorded tier changes."""
    events = shop.events(member, "TierChanged")
    return [(event.tier_changed.from_tier, event.tier_changed.to_tier) for event in events]


def shown(shop: Shop, member: str) -> TierProgress:
    """The tier that GetBalance shows now."""
    request = GetBalanceRequest(member=member, min_position=shop.head())
    return shop.pos.GetBalance(request, metadata=shop.metadata).tier


@pytest.mark.parametrize(
    ("thresholds", "so_far", "now", "tier"),
    [
        (METALS, 0, 6_000, "bronze"),
        (METALS, 0, 9_999, "bronze"),
        (METALS, 0, 10_000, "silver"),
        (METALS, 0, 15_000, "silver"),
        (METALS, 0, 19_999, "silver"),
        (METALS, 0, 20_000, "gold"),
        (METALS, 0, 25_000, "gold"),
        (METALS, 8_000, 3_000, "silver"),
        (METALS, 18_000, 3_000, "gold"),
        (METALS, 7_000, 3_000, "silver"),
        (LADDER, 0, 1, "one"),
        (LADDER, 249, 1, "two"),
        (LADDER, 249, 2, "three"),
        ({"only": 0}, 5, 5, "only"),
    ],
)
def test_g1_thresholds_are_inclusive(
    open_shop: OpenShop, thresholds: dict[str, int], so_far: int, now: int, tier: str
) -> None:
    """The highest tier whose threshold is reached holds right after the sale that reaches it."""
    shop = open_shop(program(tiers=tiers(**thresholds)))
    member = shop.member()
    if so_far:
        shop.sale(member, so_far * 1_00)
    sale = shop.sale(member, now * 1_00)
    assert (sale.receipt.tier.tier, sale.receipt.tier.qualifying_amount) == (tier, so_far + now)
    assert shown(shop, member) == sale.receipt.tier
    steps = changes(shop, member)
    assert all(one != other for one, other in steps)
    assert ([to for _, to in steps] or [next(iter(thresholds))])[-1] == tier
    prove(shop, member)


def test_g1_one_event_for_several_steps(open_shop: OpenShop) -> None:
    """A sale that passes several thresholds changes the tier once, and the event says why."""
    shop = open_shop(program(tiers=tiers(**METALS)))
    member = shop.member()
    sale = shop.sale(member, 25_000_00)
    (event,) = shop.events(member, "TierChanged")
    changed = event.tier_changed
    assert (changed.from_tier, changed.to_tier) == ("bronze", "gold")
    assert (changed.qualifying_amount, changed.reason) == (
        25_000,
        TierChangeReason.TIER_CHANGE_REASON_EARNED,
    )
    assert event.transaction == sale.outcome.transaction


@pytest.mark.parametrize("spent", [1, 9_000, 10_000])
@pytest.mark.parametrize("by", ["payment", "hold", "adjustment"])
def test_g2_spending_never_lowers_a_tier(open_shop: OpenShop, spent: int, by: str) -> None:
    """The tier is what was earned: spending every point leaves it, and what counts towards the next, as they were."""
    shop = open_shop(program(tiers=tiers(**METALS), rewards=[cashback(1), discount(1, amount_minor=1)]))
    member = shop.member()
    before = shop.sale(member, 10_000_00).receipt.tier
    if by == "payment":
        payment = PointsPayment(reward_id="cashback", points=spent)
        after = shop.sale(member, spent, points_payment=payment).receipt
        assert after.spent_points == spent
        earned = after.earned_points
    elif by == "hold":
        hold = shop.reserve(member, "cashback", min(spent, 1_000)).hold
        after, earned = shop.commit(hold).receipt, 0
    else:
        after, earned = shop.adjust(member, -spent).receipt, 0
    assert (before.tier, after.tier.tier) == ("silver", "silver")
    assert after.tier.qualifying_amount == before.qualifying_amount + earned
    assert changes(shop, member) == [("bronze", "silver")]
    prove(shop, member)


def test_g2_points_by_hand_do_not_count(open_shop: OpenShop) -> None:
    """Points that were added by hand were not earned, so they do not lead to a tier."""
    shop = open_shop(program(tiers=tiers(**METALS)))
    member = shop.member()
    receipt = shop.adjust(member, 50_000).receipt
    assert (receipt.tier.tier, receipt.tier.qualifying_amount) == ("bronze", 0)
    assert shop.sale(member, 10_000_00).receipt.tier.tier == "silver"
    prove(shop, member)


@pytest.mark.parametrize("by", ["return", "reversal"])
def test_g7_a_return_lowers_the_tier(open_shop: OpenShop, by: str) -> None:
    """A return takes its points from what counts, and the tier follows, also when they were spent already."""
    shop = open_shop(program(tiers=tiers(**METALS)))
    member = shop.member()
    shop.sale(member, 9_999_00)
    sale = shop.sale(member, 10_001_00)
    assert sale.receipt.tier.tier == "gold"
    shop.adjust(member, -15_000)
    undo = shop.give_back if by == "return" else shop.reverse
    receipt = undo(sale.outcome.transaction).receipt
    assert (receipt.tier.tier, receipt.tier.qualifying_amount) == ("bronze", 9_999)
    assert receipt.tier.amount_to_next == 1
    assert changes(shop, member) == [("bronze", "gold"), ("gold", "bronze")]
    (_, event) = shop.events(member, "TierChanged")
    assert event.tier_changed.reason == TierChangeReason.TIER_CHANGE_REASON_RETURNED
    assert shop.sale(member, 1_00).receipt.tier.tier == "silver"
    prove(shop, member)


@pytest.mark.parametrize(
    ("earned", "expected"),
    [
        (0, ("bronze", "silver", 10_000)),
        (6_000, ("bronze", "silver", 4_000)),
        (10_000, ("silver", "gold", 10_000)),
        (19_999, ("silver", "gold", 1)),
        (20_000, ("gold", "", 0)),
        (99_999, ("gold", "", 0)),
    ],
)
def test_g8_what_is_needed(open_shop: OpenShop, earned: int, expected: tuple[str, str, int]) -> None:
    """What is needed for the next tier, and to keep this one, is right after every event."""
    shop = open_shop(program(tiers=tiers(**METALS)))
    member = shop.member()
    progress = shop.sale(member, earned * 1_00).receipt.tier
    assert (progress.tier, progress.next_tier, progress.amount_to_next) == expected
    assert (progress.qualifying_amount, progress.amount_to_keep) == (earned, 0)
    assert shown(shop, member) == progress


def test_g8_to_keep_after_the_rules_changed(open_shop: OpenShop) -> None:
    """Where a new version raised a threshold, the receipt says what is needed to keep the tier."""
    shop = open_shop(program(tiers=tiers(**METALS)))
    member = shop.member()
    shop.sale(member, 12_000_00)
    shop.publish(program(tiers=tiers(bronze=0, silver=15_000, gold=30_000)))
    progress = shop.adjust(member, 1).receipt.tier
    assert (progress.tier, progress.amount_to_keep) == ("silver", 3_000)
    assert (progress.next_tier, progress.amount_to_next) == ("gold", 18_000)
    assert shown(shop, member) == progress


def test_g8_every_receipt_has_it(open_shop: OpenShop) -> None:
    """Every reply with a receipt carries the tier, right after its event, and GetBalance shows the same then."""
    shop = open_shop(program(tiers=tiers(base=0, top=60), rewards=[discount(5), cashback(1)]))
    enrolled = shop.enroll()
    member = enrolled.member
    assert enrolled.receipt.tier == TierProgress(tier="base", next_tier="top", amount_to_next=60)

    def sold() -> str:
        return shop.sale(member, 7_00).outcome.transaction

    sales = [sold() for _ in range(3)]
    holds = [shop.reserve(member, "discount").hold for _ in range(2)]
    quote = shop.quote(member, 5_00)
    assert (quote.receipt.tier.qualifying_amount, quote.receipt.tier.amount_to_next) == (26, 34)
    steps: list[tuple[Callable[[], Any], int]] = [
        (lambda: shop.sale(member, 50_00), 71),
        (lambda: shop.reserve(member, "discount"), 71),
        (lambda: shop.commit(holds[0]), 71),
        (lambda: shop.release(holds[1]), 71),
        (lambda: shop.adjust(member, 3), 71),
        (lambda: shop.give_back(sales[0]), 64),
        (lambda: shop.reverse(sales[1]), 57),
    ]
    for step, points in steps:
        progress = step().receipt.tier
        assert progress.qualifying_amount == points
        assert progress.tier == ("top" if points >= 60 else "base")
        assert shown(shop, member) == progress
    assert changes(shop, member) == [("base", "top"), ("top", "base")]
    prove(shop, member)


def test_no_tiers(open_shop: OpenShop) -> None:
    """A program without tiers has none to show, and changes none."""
    shop = open_shop(program())
    member = shop.member()
    assert shop.sale(member, 99_00).receipt.tier == TierProgress(qualifying_amount=99)
    assert changes(shop, member) == []
