"""Spend rule: points for money spent, on all lines or some, from a minimum basket."""

from collections.abc import Callable
from typing import Final

from loyalty.v1.account_pb2 import Award
from loyalty.v1.program_pb2 import Basis, LineFilter, SpendRule
from loyalty.v1.sale_pb2 import LineKind, SaleLine

from ledger.domain.basket import BASIS, Basket
from ledger.domain.rounding import BY_NAME, INT64_MAX, Overflow

_PRODUCT: Final = LineKind.LINE_KIND_PRODUCT


def matcher(lines: LineFilter) -> Callable[[SaleLine], bool]:
    """A test of whether any entry of any list of a filter matches a line."""
    skus, labels = frozenset(lines.skus), frozenset(lines.labels)
    categories, brands = frozenset(lines.categories), frozenset(lines.brands)
    kinds = frozenset(lines.kinds)

    def matches(line: SaleLine) -> bool:
        return (
            (line.kind or _PRODUCT) in kinds
            or line.sku in skus
            or line.category in categories
            or line.brand in brands
            or (bool(labels) and not labels.isdisjoint(line.labels))
        )

    return matches


class Spend:
    """A spend rule, compiled."""

    def __init__(self, rule_id: str, rule: SpendRule) -> None:
        self.rule_id = rule_id
        self._points = rule.points
        self._per = rule.per_minor
        self._to_points = BY_NAME[rule.rounding]
        self._amounts = BASIS[rule.basis]
        self._is_net = self._amounts is BASIS[Basis.BASIS_AFTER_DISCOUNT]
        self._minimum = rule.minimum_minor
        self._only = matcher(rule.only) if rule.HasField("only") else None
        self._excluding = matcher(rule.excluding) if rule.HasField("excluding") else None
        self._is_filtered = self._only is not None or self._excluding is not None

    def award(self, basket: Basket) -> Award | None:
        """What the rule gives for a basket; None when it gives nothing. Raises Overflow.

        The award names its lines only where they are not simply all lines with their net amounts.
        """
        amounts = self._amounts(basket)
        total = sum(amounts)
        if total < self._minimum:
            return None
        counted: list[tuple[SaleLine, int]] | None = None
        if self._is_filtered:
            counted = [
                (line, amount)
                for line, amount in zip(basket.lines, amounts, strict=True)
                if (self._only is None or self._only(line))
                and not (self._excluding is not None and self._excluding(line))
            ]
            total = sum(amount for _, amount in counted)
            if self._is_net and len(counted) == len(amounts):
                counted = None
        elif not self._is_net:
            counted = list(zip(basket.lines, amounts, strict=True))
        points = self._to_points(total, self._points, self._per)
        if points == 0:
            return None
        if points > INT64_MAX:
            raise Overflow
        award = Award(rule=self.rule_id, points=points, basis_minor=total)
        for line, amount in counted or ():
            award.lines.add(line_id=line.line_id, basis_minor=amount)
        return award
