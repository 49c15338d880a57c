"""Discount: what a reward or voucher takes off a basket."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple, Protocol

from loyalty.v1.reward_pb2 import FreeItems, LineDiscount, OrderDiscount, Reward

from ledger.domain.basket import Basket, units_of
from ledger.domain.rounding import share_out
from ledger.domain.rules.conditions import Lines
from ledger.domain.rules.facts import Facts

WHOLE_PERCENT = 10_000
"""All of an amount, in hundredths of a percent."""

_NOTHING: Final[Mapping[int, int]] = {}

Benefit = OrderDiscount | LineDiscount | FreeItems


class Amounts(Protocol):
    """What order and line discounts have in common."""

    percent_hundredths: int
    amount_minor: int
    maximum_minor: int


def benefit_of(reward: Reward) -> Benefit | None:
    """What a reward, or the voucher that it is, takes off a sale; None where it pays or does something else."""
    voucher = reward.HasField("voucher")
    kind = reward.voucher.WhichOneof("benefit") if voucher else reward.WhichOneof("kind")
    owner = reward.voucher if voucher else reward
    found = getattr(owner, kind) if kind is not None else None
    return found if isinstance(found, Benefit) else None


def discount_value(discount: Amounts, total: int) -> int:
    """What a discount takes off an amount, fraction of a minor unit dropped."""
    value = discount.amount_minor or total * discount.percent_hundredths // WHOLE_PERCENT
    if discount.maximum_minor:
        value = min(value, discount.maximum_minor)
    return min(value, total)


class Taken(NamedTuple):
    """What a discount takes off."""

    parts: list[int]
    """Of each line, in minor units."""
    free: Mapping[int, int] = _NOTHING
    """Units that it makes free, by the place of their line."""


class Discount:
    """What a benefit takes off each line of a basket, worked out on the lines as they were at some moment."""

    def __init__(self, owner: str, benefit: Benefit, quantity: int) -> None:
        """`quantity` counts discounts, or free items."""
        self._benefit = benefit
        self._quantity = quantity
        self._lines = None
        if isinstance(benefit, LineDiscount | FreeItems):
            excluding = benefit.excluding if isinstance(benefit, LineDiscount) else None
            self._lines = Lines(owner, benefit.only, excluding)

    def of(self, facts: Facts, basket: Basket, base: Sequence[int]) -> "Taken | None":
        """What it takes off each line of a basket as it is now; percentages are taken of `base`.

        None where it is for no line, or for fewer items than are claimed.
        """
        net = basket.net
        places = [
            place for place, line in enumerate(basket.lines) if self._lines is None or self._lines.match(facts, line)
        ]
        if isinstance(self._benefit, FreeItems):
            return self._free(basket, places)
        if not places:
            return None
        weights = [net[place] if place in places else 0 for place in range(len(net))]
        remaining = sum(weights)
        taken = 0
        initial = sum(base[place] for place in places)
        for _ in range(self._quantity):
            of = remaining - taken if base is net else initial
            taken += min(discount_value(self._benefit, of), remaining - taken)
        return Taken(share_out(taken, weights))

    def _free(self, basket: Basket, places: Sequence[int]) -> "Taken | None":
        """Units that are not free become so, the cheapest first; None where there are fewer than are claimed."""
        left = {place: units_of(basket.lines[place]) - basket.free.get(place, 0) for place in places}
        claimed = self._quantity
        if sum(left.values()) < claimed:
            return None
        net = basket.net
        parts = [0] * len(net)
        free: dict[int, int] = {}
        cheapest = sorted((place for place in places if left[place]), key=lambda at: Fraction(net[at], left[at]))
        for place in cheapest:
            free[place] = min(left[place], claimed)
            claimed -= free[place]
            parts[place] = net[place] * free[place] // left[place]
        return Taken(parts, free)
