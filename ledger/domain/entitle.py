"""Entitling members to services: issuing, using and taking back."""

from uuid import uuid5

from loyalty.v1.account_pb2 import Redemption
from loyalty.v1.commands_pb2 import RevokeEntitlementRequest, UseEntitlementRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import EntitlementIssued, EntitlementRevoked, EntitlementUsed, ReleaseReason
from loyalty.v1.reward_pb2 import EntitlementState, Reward
from loyalty.v1.sale_pb2 import SaleLine

from ledger.domain.basket import units_of
from ledger.domain.case import Case, RequestT
from ledger.domain.draw import give_back
from ledger.domain.entitlement import ISSUED, Entitlement
from ledger.domain.instant import from_timestamp, instant_text
from ledger.domain.names import entitlement_name, transaction_name
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.rules.conditions import Lines
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.reward import stock_of
from ledger.domain.validity import valid_between


def entitle(case: Case[RequestT], redemption: Redemption, reward: Reward, facts: Facts | None = None) -> None:
    """Issues the entitlements that a redemption bought, and names them in it.

    `facts` are those of the sale that it is redeemed with, which a warranty needs. Raises Refused where the sale has no
    such goods.
    """
    line = _goods(case, reward, redemption.quantity, facts) if _is_warranty(reward) else SaleLine()
    for number in range(redemption.quantity):
        key = f"entitlement/{redemption.hold[-36:]}/{number}"
        starts_at, expires_at = _validity(case, reward)
        entitlement = Entitlement(
            entitlement_name(case.account.account_id, uuid5(case.request_id, key)),
            reward,
            starts_at,
            expires_at,
            0,
            ISSUED,
            transaction_name(case.request_id) if line.line_id else "",
            line.line_id,
            line.sku,
        )
        event = EntitlementIssued(origin=case.origin, program_version=case.program.version)
        entitlement.write(event.entitlement)
        case.record(event, transaction_id=case.request_id)
        redemption.entitlements.append(entitlement.name)


def use_entitlement(case: Case[UseEntitlementRequest]) -> None:
    """Decides one use."""
    entitlement = _usable(case, case.request.entitlement)
    if entitlement.starts_at > case.at:
        raise _not_usable(entitlement)
    event = EntitlementUsed(origin=case.origin, request=case.request, program_version=case.program.version)
    entitlement.used().write(event.entitlement)
    case.record(event, main=True)
    case.write_receipt(event.receipt)


def revoke_entitlement(case: Case[RevokeEntitlementRequest]) -> None:
    """Decides that an entitlement can never be used. One that was not used is back in stock."""
    entitlement = _usable(case, case.request.entitlement)
    event = EntitlementRevoked(
        origin=case.origin,
        request=case.request,
        program_version=case.program.version,
        entitlement=entitlement.name,
    )
    case.record(event, main=True)
    if not entitlement.used_times:
        give_back(case, stock_of(entitlement.reward), ReleaseReason.RELEASE_REASON_REVERSED)
    case.write_receipt(event.receipt)


def unused_of_line(case: Case[RequestT], sale: str, line_id: str) -> list[Entitlement]:
    """The entitlements for the goods in a line of a sale that nobody has used."""
    return [
        one
        for one in case.account.entitlements.values()
        if (one.sale, one.line_id, one.used_times, one.state) == (sale, line_id, 0, ISSUED)
    ]


def _usable(case: Case[RequestT], name: str) -> Entitlement:
    entitlement = case.account.entitlements.get(name)
    if entitlement is None:
        raise Rejected(ErrorReason.ERROR_REASON_ENTITLEMENT_NOT_FOUND, entitlement=name)
    if entitlement.state != ISSUED:
        raise _not_usable(entitlement)
    return entitlement


def _not_usable(entitlement: Entitlement) -> Refused:
    return Refused(
        ErrorReason.ERROR_REASON_ENTITLEMENT_NOT_USABLE,
        entitlement=entitlement.name,
        state=EntitlementState.Name(entitlement.state).removeprefix("ENTITLEMENT_STATE_"),
        starts_at=instant_text(entitlement.starts_at),
        expires_at=instant_text(entitlement.expires_at),
    )


def _is_warranty(reward: Reward) -> bool:
    return reward.entitlement.HasField("extended_warranty")


def _goods(case: Case[RequestT], reward: Reward, quantity: int, facts: Facts | None) -> SaleLine:
    """The first line of the sale whose goods a warranty is for, with as many units that have none yet."""
    lines = Lines(reward.reward_id, reward.entitlement.extended_warranty.only, None)
    basket = facts.basket if facts is not None else None
    sale = transaction_name(case.request_id)
    if facts is not None and basket is not None:
        for line in basket.lines:
            covered = len(unused_of_line(case, sale, line.line_id))
            if lines.match(facts, line) and units_of(line) - covered >= quantity:
                return line
    raise Refused(ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE, reward_id=reward.reward_id)


def _validity(case: Case[RequestT], reward: Reward) -> tuple[int, int]:
    terms, zone = reward.entitlement, case.program.zone
    warranty = terms.extended_warranty
    period = warranty.period if _is_warranty(reward) else terms.validity if terms.HasField("validity") else None
    starts_at, expires_at = valid_between(case.at, terms.start_days, period, zone)
    if terms.event_seat.HasField("ends_at"):
        expires_at = min(expires_at, from_timestamp(terms.event_seat.ends_at))
    return starts_at, expires_at
