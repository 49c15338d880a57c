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
from ledger.domain.rules.discount import Benefit, Discount, Taken
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
        claims = [_best(facts, basket, claims)]
    partial = policy.conflict == DiscountConflict.DISCOUNT_CONFLICT_PARTIAL
    initial = list(basket.net)
    given: dict[str, int] = {}
    chosen: list[Claim] = []
    for claim in claims:
        base = initial if policy.base == DiscountBase.DISCOUNT_BASE_INITIAL else basket.net
        taken = _taken(facts, basket, claim, base)
        other = next((one for one in chosen if not _go_together(one.reward, claim.reward)), None)
        if taken is not None and other is None:
            basket.take(taken.parts, on_order=isinstance(claim.benefit, OrderDiscount))
            for place, units in taken.free.items():
                basket.free[place] = basket.free.get(place, 0) + units
            given[claim.name] = sum(taken.parts)
            chosen.append(claim)
        elif not partial:
            raise _not_stackable(claim, other) if taken is not None and other is not None else _not_applicable(claim)
    return given


def _best(facts: Facts, basket: Basket, claims: Sequence[Claim]) -> Claim:
    """The one that takes most off by itself."""
    values = [
        (sum(taken.parts), claim) for claim in claims if (taken := _taken(facts, basket, claim, basket.net)) is not None
    ]
    if not values:
        raise _not_applicable(claims[0])
    return max(values, key=lambda one: one[0])[1]


def _go_together(one: Reward, other: Reward) -> bool:
    kinds = (one.stackability, other.stackability)
    return Stackability.STACKABILITY_ALWAYS in kinds or Stackability.STACKABILITY_NEVER not in kinds


def _taken(facts: Facts, basket: Basket, claim: Claim, base: Sequence[int]) -> Taken | None:
    """What a discount takes off; None where the sale is not large enough for it, or has not what it is for."""
    least = claim.reward.minimum_units
    if least and sum(units_of(line) for line in basket.lines) < least:
        return None
    return claim.discount.of(facts, basket, base)


def _not_stackable(claim: Claim, other: Claim) -> Refused:
    return Refused(ErrorReason.ERROR_REASON_NOT_STACKABLE, discount=claim.name, other=other.name)


def _not_applicable(claim: Claim) -> Refused:
    return Refused(ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE, discount=claim.name)
