"""Rewards beside tiers, versions and explanations: what a voucher takes off counts towards nothing, and comes back."""

import grpc
from loyalty.v1.earning_pb2 import Conditions
from loyalty.v1.reward_pb2 import PriorityService, TierCost

from tests.conftest import OpenShop
from tests.programs import discount, entitlement, program, tier_policy, tiers, voucher
from tests.proof import prove
from tests.shop import instant, refused

DAY = "2020-06-01T12:00"
NEXT_DAY = "2020-06-02T12:00"


def test_tiers_by_spend_count_what_is_paid(open_shop: OpenShop) -> None:
    """A voucher lowers what a sale counts; its return takes exactly that back and gives the voucher back."""
    shop = open_shop(
        program(rewards=[voucher()], tiers=tiers(bronze=0, silver=9_00), tier_policy=tier_policy(basis="SPEND"))
    )
    member = shop.member()
    shop.adjust(member, 10, at=DAY)
    (bought,) = shop.commit(shop.reserve(member, "voucher", at=DAY).hold, at=DAY).redemption.vouchers
    sale = shop.sale(member, 10_00, voucher_codes=[bought.code], at=DAY)
    assert (sale.receipt.tier.tier, sale.receipt.tier.qualifying_amount) == ("silver", 9_00)
    back = shop.give_back(sale.outcome.transaction, at=DAY)
    assert (back.receipt.tier.tier, back.receipt.tier.qualifying_amount) == ("bronze", 0)
    again = shop.sale(member, 5_00, voucher_codes=[bought.code], at=DAY)
    assert again.receipt.tier.qualifying_amount == 4_00
    undone = shop.reverse(again.outcome.transaction, at=DAY)
    assert (undone.receipt.tier.qualifying_amount, undone.receipt.balance.available_points) == (0, 9)
    assert shop.sale(member, 5_00, voucher_codes=[bought.code], at=DAY).receipt.payable_minor == 4_00
    prove(shop, member)


def test_rewards_look_at_what_counts(open_shop: OpenShop) -> None:
    """Conditions name what counts towards tiers, and a tier has a price of its own."""
    enough = Conditions(expression="member.qualifying_amount >= 5")
    costs = [TierCost(tier="silver", cost_points=1)]
    reward = discount(3, terms={"conditions": enough, "tier_costs": costs})
    shop = open_shop(program(rewards=[reward], tiers=tiers(bronze=0, silver=8)))
    member = shop.member()
    shop.sale(member, 4_00, at=DAY)
    with refused("CONDITIONS_NOT_MET"):
        shop.reserve(member, "discount", at=DAY)
    shop.sale(member, 1_00, at=DAY)
    shop.release(shop.reserve(member, "discount", at=DAY).hold, at=DAY)
    shop.sale(member, 3_00, at=DAY)
    hold = shop.reserve(member, "discount", at=DAY)
    assert hold.receipt.balance.available_points == 7
    prove(shop, member)


def test_the_version_in_force_has_the_reward(open_shop: OpenShop) -> None:
    """A reward that a scheduled version brings can be had from its start on."""
    shop = open_shop(program())
    shop.publish(program(rewards=[voucher()], starts_at=instant(NEXT_DAY)))
    member = shop.member()
    shop.adjust(member, 10, at=DAY)
    with refused("REWARD_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        shop.reserve(member, "voucher", at=DAY)
    hold = shop.reserve(member, "voucher", at=NEXT_DAY).hold
    assert len(shop.commit(hold, at=NEXT_DAY).redemption.vouchers) == 1
    prove(shop, member)


def test_explanations(open_shop: OpenShop) -> None:
    """What is done with vouchers and entitlements can be explained too."""
    lounge = entitlement("lounge", priority_service=PriorityService(service="lounge", times=2))
    shop = open_shop(program(rewards=[voucher(), lounge]))
    member = shop.member()
    shop.adjust(member, 10)
    (bought,) = shop.commit(shop.reserve(member, "voucher").hold).redemption.vouchers
    (right,) = shop.commit(shop.reserve(member, "lounge").hold).redemption.entitlements
    done = {
        "VoucherRevoked": shop.revoke(bought.name),
        "VoucherCodesUploaded": shop.upload_codes("spring", "SPRING-0001", "SPRING-0002"),
        "EntitlementUsed": shop.use(right),
        "EntitlementRevoked": shop.revoke_entitlement(right),
    }
    for kind, response in done.items():
        explanation = shop.explain(response.outcome.transaction)
        assert explanation.type == kind
        assert [text.language_code for text in explanation.texts] == ["en", "hi"]
        assert "SPRING-0001" not in str(explanation)
    prove(shop, member)
