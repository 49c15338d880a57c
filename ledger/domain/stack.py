"""Stacking: which of several discounts a sale is given, and what each takes off."""

from collections.abc import Sequence
from typing import NamedTuple

from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.reward_pb2 import (
    DiscountBase,
    DiscountChoice,
    DiscountConflict,
    DiscountPolicy,
    OrderDiscount,
    Reward,
    Stackability,
)

from ledger.domain.basket import Basket, units_of
from ledger.domain.names import reward_key
from ledger.domain.refusal import Refused
from ledger.domain.rules.discount import Benefit, Discount
from ledger.domain.rules.facts import Facts


class Claim(NamedTuple):
    """A discount that a sale asks for."""

    name: str
    """The hold or voucher."""
    reward: Reward
    benefit: Benefit
    quantity: int

    @property
    def discount(self) -> Discount:
        """What it takes off."""
        return Discount(reward_key(self.reward.reward_id), self.benefit, self.quantity)


def stack(policy: DiscountPolicy, facts: Facts, basket: Basket, claims: Sequence[Claim]) -> dict[str, int]:
    """Takes discounts off a basket, which never goes below zero; returns what each took, by name.

    Those that are not given are not among them. Raises Refused where one cannot be given and the program does not let
    the others be given without it.
    """
    if policy.choice == DiscountChoice.DISCOUNT_CHOICE_BEST:
        chosen = _best(facts, basket, claims)
    else:
        chosen = _together(policy, facts, basket, claims)
    initial = list(basket.net)
    given: dict[str, int] = {}
    for claim in chosen:
        base = initial if policy.base == DiscountBase.DISCOUNT_BASE_INITIAL else basket.net
        parts = claim.discount.parts(facts, basket, basket.net, base) or [0] * len(initial)
        basket.take(parts, on_order=isinstance(claim.benefit, OrderDiscount))
        given[claim.name] = sum(parts)
    return given


def _best(facts: Facts, basket: Basket, claims: Sequence[Claim]) -> list[Claim]:
    """The one that takes most off by itself."""
    values = [
        (sum(claim.discount.parts(facts, basket, basket.net, basket.net) or ()), claim)
        for claim in claims
        if _fits(facts, basket, claim)
    ]
    if not values:
        raise _not_applicable(claims[0])
    return [max(values, key=lambda one: one[0])[1]]


def _together(policy: DiscountPolicy, facts: Facts, basket: Basket, claims: Sequence[Claim]) -> list[Claim]:
    """All that can be given beside those before them."""
    partial = policy.conflict == DiscountConflict.DISCOUNT_CONFLICT_PARTIAL
    chosen: list[Claim] = []
    for claim in claims:
        refusal = None
        if not _fits(facts, basket, claim):
            refusal = _not_applicable(claim)
        other = next((one for one in chosen if not _go_together(one.reward, claim.reward)), None)
        if refusal is None and other is not None:
            refusal = Refused(ErrorReason.ERROR_REASON_NOT_STACKABLE, discount=claim.name, other=other.name)
        if refusal is None:
            chosen.append(claim)
        elif not partial:
            raise refusal
    return chosen


def _go_together(one: Reward, other: Reward) -> bool:
    kinds = (one.stackability, other.stackability)
    return Stackability.STACKABILITY_ALWAYS in kinds or Stackability.STACKABILITY_NEVER not in kinds


def _fits(facts: Facts, basket: Basket, claim: Claim) -> bool:
    """Whether a sale is large enough for a discount, and has what it is for."""
    least = claim.reward.minimum_units
    if least and sum(units_of(line) for line in basket.lines) < least:
        return False
    return claim.discount.parts(facts, basket, basket.net, basket.net) is not None


def _not_applicable(claim: Claim) -> Refused:
    return Refused(ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE, discount=claim.name)
