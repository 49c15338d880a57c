"""Recording a sale: redeem what it redeems, award what the rules give, move the tier, apply returns that waited."""

from typing import Final

from loyalty.v1.commands_pb2 import RecordSaleRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import PointsRedeemed, SaleRecorded

from ledger.domain.basket import Basket
from ledger.domain.case import Case
from ledger.domain.earn import Earned, earn, issue
from ledger.domain.instant import set_timestamp
from ledger.domain.qualify import amount_of, change_tier, qualify
from ledger.domain.redeem import pay_with_points, redeem_holds
from ledger.domain.refusal import Rejected
from ledger.domain.return_sale import apply_awaited
from ledger.domain.rules.facts import Facts

AWARD_LINES_MAX: Final = 10_000
"""Lines that the awards of one sale name in all, so that every client can read its event."""


def record_sale(case: Case[RecordSaleRequest]) -> None:
    """Decides a sale. What is redeemed is taken before anything is earned, so a sale cannot pay with its own points."""
    request, program = case.request, case.program
    basket = Basket.of(request.sale)
    redeemed: list[PointsRedeemed] = []
    paid = 0
    if request.holds:
        redeemed, paid = redeem_holds(case, list(request.holds), basket)
    payable = basket.total - paid
    if request.HasField("points_payment"):
        payment = pay_with_points(case, request.points_payment, payable)
        if payment is not None:
            payable -= payment.redemption.value_minor
            redeemed.append(payment)
    facts = Facts(
        case.account,
        case.origin,
        case.at,
        program.zone_of(case.origin.store),
        names=program.expression_names,
        basket=basket,
        attributes=request.sale.attributes,
    )
    facts.ladder = program.ladder
    earned = earn(program, facts, basket, program.rules_for(facts))
    if sum(len(award.lines) for award, _ in earned.awards) > AWARD_LINES_MAX:
        raise Rejected(
            ErrorReason.ERROR_REASON_INVALID_FIELD,
            field="sale.lines",
            description=f"are counted by so many rules that more than {AWARD_LINES_MAX:,} parts would have to be kept:"
            " send fewer lines at once",
        )
    points = earned.points
    case.account.check_room(points)
    event = _event(case, basket, earned, redeemed)
    receipt = event.receipt
    receipt.earned_points = points
    receipt.payable_minor = payable
    rung = qualify(case, event, amount_of(case, points=points, spent_minor=basket.total, visits=1))
    case.record(event, main=True, sale_reference=case.sale_reference)
    change_tier(case, rung)
    if case.account.awaited:
        apply_awaited(case, event)
    case.write_receipt(receipt)


def _event(
    case: Case[RecordSaleRequest],
    basket: Basket,
    earned: Earned,
    redeemed: list[PointsRedeemed],
) -> SaleRecorded:
    event = SaleRecorded(
        origin=case.origin,
        request=case.request,
        program_version=case.program.version,
        line_net_minor=basket.net,
    )
    issue(event, case.account, earned)
    validity = case.program.validity
    if validity.follows_activity:
        set_timestamp(event.activity_expires_at, validity.expires_at(case.at))
    for redemption in redeemed:
        event.redemptions.append(redemption.redemption)
        event.receipt.spent_points += redemption.redemption.points
        event.receipt.reward_minor += redemption.redemption.value_minor
    return event
