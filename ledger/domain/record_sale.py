"""Recording a sale: redeem what it redeems, award what the rules give, move the tier, apply returns that waited."""

from collections.abc import Sequence
from typing import Final

from loyalty.v1.account_pb2 import Award, Redemption
from loyalty.v1.commands_pb2 import RecordSaleRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import SaleRecorded

from ledger.domain.basket import Basket
from ledger.domain.case import Case
from ledger.domain.draw import draw
from ledger.domain.earn import Earned, earn, issue
from ledger.domain.instant import set_timestamp
from ledger.domain.qualify import amount_of, change_tier, qualify
from ledger.domain.redeem import pay_with_points
from ledger.domain.redeem_in_sale import redeem_in_sale
from ledger.domain.refusal import Rejected
from ledger.domain.return_sale import apply_awaited
from ledger.domain.rules.facts import Facts

AWARD_LINES_FEW: Final = 10_000
"""So many lines in all awards of a sale need not be looked at: they are always small enough."""

AWARD_BYTES_MAX: Final = 2 * 1024 * 1024
"""What the awards of one sale come to, so that every client can read its event: 300 rules for 500 lines each."""


def record_sale(case: Case[RecordSaleRequest]) -> None:
    """Decides a sale.

    Points pay before anything is earned, so that a sale cannot pay with its own points, unless the program lets it.
    """
    request, program = case.request, case.program
    basket = Basket.of(request.sale)
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
    facts.profile, facts.segments = case.profile, case.segments
    redemptions: Sequence[Redemption] = ()
    of_vouchers: Sequence[Award] = ()
    paid = 0
    if request.holds or request.voucher_codes:
        redemptions, paid, of_vouchers = redeem_in_sale(case, facts, basket)
        facts.basket_changed()
    payable = basket.total - paid
    pays = request.HasField("points_payment")
    payment = _pay(case, payable) if pays and not program.own_points_pay else None
    earned = earn(program, facts, basket, program.rules_for(facts), case.pools)
    earned.awards.extend((award, program.validity) for award in of_vouchers)
    _check_size(earned)
    points = earned.points
    case.account.check_room(points)
    event = _event(case, basket, earned)
    rung = qualify(case, event, amount_of(case, points=points, spent_minor=basket.total, visits=1))
    case.record(event, main=True, sale_reference=case.sale_reference)
    if event.uses:
        draw(case, event.uses)
    if pays and program.own_points_pay:
        payment = _pay(case, payable)
    _write(event, redemptions if payment is None else [*redemptions, payment])
    receipt = event.receipt
    receipt.earned_points += points
    receipt.payable_minor = payable - (payment.value_minor if payment is not None else 0)
    change_tier(case, rung)
    if case.account.awaited:
        apply_awaited(case, event)
    case.write_receipt(receipt)


def _check_size(earned: Earned) -> None:
    """Raises Rejected when the sale's event would be too long."""
    lines = sum(len(award.lines) for award, _ in earned.awards)
    if lines > AWARD_LINES_FEW and sum(award.ByteSize() for award, _ in earned.awards) > AWARD_BYTES_MAX:
        raise Rejected(
            ErrorReason.ERROR_REASON_INVALID_FIELD,
            field="sale.lines",
            description=f"are counted by so many rules that what each gave for which line is over {AWARD_BYTES_MAX:,}"
            " bytes: send fewer lines at once, or publish fewer rules for all lines",
        )


def _pay(case: Case[RecordSaleRequest], payable: int) -> Redemption | None:
    event = pay_with_points(case, case.request.points_payment, payable)
    return event.redemption if event is not None else None


def _event(case: Case[RecordSaleRequest], basket: Basket, earned: Earned) -> SaleRecorded:
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
    return event


def _write(event: SaleRecorded, redemptions: Sequence[Redemption]) -> None:
    """Writes what a sale redeemed into its event."""
    for redemption in redemptions:
        event.redemptions.append(redemption)
        event.receipt.spent_points += redemption.points
        event.receipt.reward_minor += redemption.value_minor
        event.receipt.earned_points += redemption.issued_points
