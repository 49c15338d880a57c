"""Discount: what a reward or voucher takes off a basket."""

from collections.abc import Sequence
from typing import Protocol

from loyalty.v1.reward_pb2 import FreeItems, LineDiscount, OrderDiscount, Reward

from ledger.domain.basket import Basket, units_of
from ledger.domain.rounding import share_out
from ledger.domain.rules.conditions import Lines
from ledger.domain.rules.facts import Facts

WHOLE_PERCENT = 10_000
"""All of an amount, in hundredths of a percent."""

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

    def parts(self, facts: Facts, basket: Basket, net: Sequence[int], base: Sequence[int]) -> list[int] | None:
        """What it takes off each line, of which `net` is left; percentages are taken of `base`.

        None where it is for no line, or for fewer items than are claimed.
        """
        places = [
            place for place, line in enumerate(basket.lines) if self._lines is None or self._lines.match(facts, line)
        ]
        if isinstance(self._benefit, FreeItems):
            return self._free(basket, net, places)
        if not places:
            return None
        weights = [net[place] if place in places else 0 for place in range(len(net))]
        remaining = sum(weights)
        taken = 0
        initial = sum(base[place] for place in places)
        for _ in range(self._quantity):
            of = remaining - taken if base is net else initial
            taken += min(discount_value(self._benefit, of), remaining - taken)
        return share_out(taken, weights)

    def _free(self, basket: Basket, net: Sequence[int], places: Sequence[int]) -> list[int] | None:
        """Units become free, the cheapest first; None where there are fewer than are claimed."""
        units = {place: units_of(basket.lines[place]) for place in places}
        claimed = self._quantity
        if sum(units.values()) < claimed:
            return None
        parts = [0] * len(net)
        for place in sorted((place for place in places if units[place]), key=lambda place: net[place] / units[place]):
            free = min(units[place], claimed)
            claimed -= free
            parts[place] = net[place] * free // units[place]
        return parts
