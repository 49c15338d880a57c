"""Spend rule: points for money spent, on all lines or some, from a minimum basket."""

from collections.abc import Callable

from loyalty.v1.account_pb2 import Award
from loyalty.v1.program_pb2 import Basis, LineFilter, SpendRule
from loyalty.v1.sale_pb2 import LineKind, SaleLine

from ledger.domain.basket import BASIS, Basket
from ledger.domain.rounding import BY_NAME, INT64_MAX, Overflow


def matcher(lines: LineFilter) -> Callable[[SaleLine], bool]:
    """A test of whether any entry of any list of a filter matches a line."""
    skus, labels = frozenset(lines.skus), frozenset(lines.labels)
    categories, brands = frozenset(lines.categories), frozenset(lines.brands)
    kinds = frozenset(lines.kinds)

    def matches(line: SaleLine) -> bool:
        return (
            line.sku in skus
            or line.category in categories
            or line.brand in brands
            or (line.kind or LineKind.LINE_KIND_PRODUCT) in kinds
            or not labels.isdisjoint(line.labels)
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

    def award(self, basket: Basket) -> Award | None:
        """What the rule gives for a basket; None when it gives nothing. Raises Overflow.

        The award names its lines only where they are not simply all lines with their net amounts.
        """
        amounts = self._amounts(basket)
        total = sum(amounts)
        if total < self._minimum:
            return None
        award = Award(rule=self.rule_id)
        if self._only or self._excluding:
            total = 0
            for line, amount in zip(basket.lines, amounts, strict=True):
                if (self._only is None or self._only(line)) and not (
                    self._excluding is not None and self._excluding(line)
                ):
                    award.lines.add(line_id=line.line_id, basis_minor=amount)
                    total += amount
        elif not self._is_net:
            for line, amount in zip(basket.lines, amounts, strict=True):
                award.lines.add(line_id=line.line_id, basis_minor=amount)
        points = self._to_points(total, self._points, self._per)
        if points == 0:
            return None
        if points > INT64_MAX:
            raise Overflow
        award.points = points
        award.basis_minor = total
        return award
