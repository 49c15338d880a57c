"""A basket: what each line comes to after its share of every discount."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loyalty.v1.earning_pb2 import Basis
from loyalty.v1.sale_pb2 import Sale, SaleLine

from ledger.domain.rounding import INT64_MAX, Overflow, share_out

LINES_MAX: Final = 500
"""Lines of a sale, and of a return."""


@dataclass(slots=True)
class Basket:
    """The lines of a sale with their net amounts, in minor units."""

    lines: list[SaleLine]
    net: list[int]
    tenders: frozenset[int] = frozenset()
    """How it was paid."""
    order_off: list[int] | None = None
    """What discounts on the whole order took off each line; None while there is none."""

    @classmethod
    def of(cls, sale: Sale) -> "Basket":
        """The basket of a checked sale: line discounts first, then the order's, each in proportion to what is left."""
        lines = list(sale.lines)
        net = [line.price_minor - line.discount_minor for line in lines]
        basket = cls(lines, net)
        if sale.tenders:
            basket.tenders = frozenset(tender.kind for tender in sale.tenders)
        if sum(net) > INT64_MAX:
            raise Overflow
        for discount in sale.discounts:
            basket.take_off(discount.amount_minor, frozenset(discount.line_ids))
        return basket

    @property
    def total(self) -> int:
        """What is left to pay for all lines."""
        return sum(self.net)

    def take_off(self, amount: int, line_ids: frozenset[str] = frozenset()) -> int:
        """Takes a discount off the named lines (all, when none is named) and returns what could be taken off.

        It is shared out in proportion to the lines' net amounts and never brings one below zero.
        """
        weights = [
            net if not line_ids or line.line_id in line_ids else 0
            for line, net in zip(self.lines, self.net, strict=True)
        ]
        taken = min(amount, sum(weights))
        self.take(share_out(taken, weights), on_order=not line_ids)
        return taken

    def take(self, parts: Sequence[int], *, on_order: bool) -> None:
        """Takes off each line what a discount takes off it."""
        self.net = [net - part for net, part in zip(self.net, parts, strict=True)]
        if on_order:
            before = self.order_off or [0] * len(parts)
            self.order_off = [off + part for off, part in zip(before, parts, strict=True)]


def units_of(line: SaleLine) -> int:
    """Units of a line; a weighed item is one unit."""
    return line.quantity if line.HasField("quantity") else 1


def _after_discount(basket: Basket) -> list[int]:
    return basket.net


def _before_discount(basket: Basket) -> list[int]:
    return [line.price_minor for line in basket.lines]


def _before_discount_without_tax(basket: Basket) -> list[int]:
    return [line.price_minor - line.tax_minor for line in basket.lines]


def _after_discount_without_tax(basket: Basket) -> list[int]:
    """The tax of a discounted line is reduced in the proportion in which its price is."""
    return [
        net - (line.tax_minor * net // line.price_minor if line.price_minor else 0)
        for line, net in zip(basket.lines, basket.net, strict=True)
    ]


def _after_line_discount(basket: Basket) -> list[int]:
    if basket.order_off is None:
        return basket.net
    return [net + off for net, off in zip(basket.net, basket.order_off, strict=True)]


BASIS: Final = {
    Basis.BASIS_UNSPECIFIED: _after_discount,
    Basis.BASIS_AFTER_DISCOUNT: _after_discount,
    Basis.BASIS_BEFORE_DISCOUNT: _before_discount,
    Basis.BASIS_AFTER_DISCOUNT_WITHOUT_TAX: _after_discount_without_tax,
    Basis.BASIS_BEFORE_DISCOUNT_WITHOUT_TAX: _before_discount_without_tax,
    Basis.BASIS_AFTER_LINE_DISCOUNT: _after_line_discount,
}
"""What each line of a basket counts for, by basis."""
