"""Redeeming within a sale: what holds and vouchers take off it and pay."""

from collections.abc import Sequence
from typing import NamedTuple

from loyalty.v1.account_pb2 import Award, Redemption, TakenBack
from loyalty.v1.commands_pb2 import RecordSaleRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import VoucherUse, VoucherUsed
from loyalty.v1.reward_pb2 import VoucherState

from ledger.domain.basket import Basket
from ledger.domain.case import Case
from ledger.domain.draw import keep
from ledger.domain.issue_reward import issue_points, issue_reward
from ledger.domain.issue_vouchers import voucher_by_code
from ledger.domain.names import hold_name
from ledger.domain.purse import Hold
from ledger.domain.redeem import open_hold, redeemed, redemption_of
from ledger.domain.refusal import Refused
from ledger.domain.rules.discount import benefit_of
from ledger.domain.rules.facts import Facts
from ledger.domain.stack import Claim, stack
from ledger.domain.voucher import Voucher


class InSale(NamedTuple):
    """What a sale redeems."""

    redemptions: list[Redemption]
    paid_minor: int
    """What cashback and gift cards paid."""
    awards: list[Award]
    """The points of vouchers."""


def redeem_in_sale(case: Case[RecordSaleRequest], facts: Facts, basket: Basket) -> InSale:
    """Redeems a sale's holds and vouchers: discounts come off the basket, cashback and gift cards pay what is left.

    A discount that the program's policy does not give, and a gift card with nothing left to pay, stay as they are.
    """
    request = case.request
    holds = {name: open_hold(case, name) for name in request.holds}
    vouchers = {voucher.name: voucher for voucher in (voucher_by_code(case, code) for code in request.voucher_codes)}
    claims = _claims(holds, vouchers)
    given = stack(case.program.discounts, facts, basket, claims) if claims else {}
    for claim in claims:
        if claim.name not in given:
            holds.pop(claim.name, None)
            vouchers.pop(claim.name, None)
    redemptions: list[Redemption] = []
    awards: list[Award] = []
    paid = 0
    # Discounts first: cashback pays what they leave.
    for name, hold in sorted(holds.items(), key=lambda one: one[1].reward.HasField("cashback")):
        value = given.get(name, 0)
        if hold.reward.HasField("cashback"):
            value = _cashback(case, hold, basket.total - paid)
            paid += value
        redemptions.append(_redeem_hold(case, facts, hold, value))
    for name, voucher in vouchers.items():
        value = given.get(name, 0)
        if name not in given:
            value = min(voucher.left_minor, basket.total - paid)
            paid += value
        if voucher.reward.voucher.HasField("points"):
            awards.append(_award(voucher))
        elif name not in given and not value:
            continue
        redemptions.append(_use_voucher(case, voucher, value))
    return InSale(redemptions, paid, awards)


def _claims(holds: dict[str, Hold], vouchers: dict[str, Voucher]) -> Sequence[Claim]:
    """The discounts among them, in order."""
    claims = [
        Claim(name, hold.reward, benefit, hold.quantity)
        for name, hold in holds.items()
        if not hold.reward.HasField("voucher") and (benefit := benefit_of(hold.reward)) is not None
    ]
    claims += [
        Claim(voucher.name, voucher.reward, benefit, _quantity(voucher))
        for voucher in vouchers.values()
        if (benefit := benefit_of(voucher.reward)) is not None
    ]
    return claims


def _award(voucher: Voucher) -> Award:
    """The points of a voucher: no line of the sale counts for them, so they go when nothing of it is left."""
    return Award(
        rule=f"reward/{voucher.reward.reward_id}",
        points=voucher.reward.voucher.points,
        taken_back=TakenBack.TAKEN_BACK_BY_UNITS,
    )


def _quantity(voucher: Voucher) -> int:
    return max(voucher.reward.voucher.free_items.units, 1)


def _cashback(case: Case[RecordSaleRequest], hold: Hold, payable: int) -> int:
    value = hold.reward.cashback.value_minor * hold.quantity
    if value > payable:
        raise Refused(
            ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE,
            hold=hold_name(case.account.account_id, hold.hold_id),
            value_minor=value,
            payable_minor=payable,
        )
    return value


def _redeem_hold(case: Case[RecordSaleRequest], facts: Facts, hold: Hold, value: int) -> Redemption:
    event = redeemed(case, redemption_of(case, hold, value), hold.allocations)
    event.uses.extend(hold.uses)
    issue_points(case, event, hold.reward)
    case.record(event, transaction_id=case.request_id)
    codes = keep(case, hold.uses, event.redemption.hold)
    issue_reward(case, event.redemption, hold.reward, codes, facts)
    return event.redemption


def _use_voucher(case: Case[RecordSaleRequest], voucher: Voucher, value: int) -> Redemption:
    is_gift_card = voucher.reward.voucher.HasField("value_minor")
    left = voucher.left_minor - value if is_gift_card else 0
    use = VoucherUse(
        voucher=voucher.name,
        value_minor=value,
        left_minor=left,
        state=VoucherState.VOUCHER_STATE_ISSUED if left else VoucherState.VOUCHER_STATE_USED,
    )
    event = VoucherUsed(origin=case.origin, program_version=case.program.version, use=use)
    case.record(event, transaction_id=case.request_id)
    return Redemption(
        reward_id=voucher.reward.reward_id, voucher=voucher.name, value_minor=value, quantity=1, left_minor=left
    )
