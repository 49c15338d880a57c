"""Spend rule: points for money spent, on all lines or some, from a minimum basket."""

from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import Basis, EarningRule, Period

from ledger.domain.basket import BASIS, Basket
from ledger.domain.rounding import BY_NAME, INT64_MAX, Overflow
from ledger.domain.rules.conditions import Lines
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.rule import Asked, Rule
from ledger.domain.rules.tally import Tally
from ledger.domain.rules.terms import Terms
from ledger.domain.rules.unmet import Unmet


class Spend(Rule):
    """A spend rule, compiled."""

    def __init__(self, message: EarningRule, terms: Terms) -> None:
        super().__init__(message, terms)
        rule = message.spend
        self._points = rule.points
        self._per = rule.per_minor
        self._to_points = BY_NAME[rule.rounding]
        self._amounts = BASIS[rule.basis]
        self._is_net = self._amounts is BASIS[Basis.BASIS_AFTER_DISCOUNT]
        self._minimum = rule.minimum_minor
        self._lines = Lines.of(terms.owner, rule)
        self._carries = rule.carry_over
        self.carry_key = f"{terms.owner}/carry"

    def ask(self, facts: Facts, basket: Basket, tally: Tally) -> Asked | None:
        """Points for what the lines come to. Names them only where they are not simply all with their net amounts."""
        amounts = self._amounts(basket)
        total = sum(amounts)
        if total < self._minimum:
            return None
        counted: list[tuple[str, int]] | None = None
        if not self._lines.is_all:
            counted = [
                (line.line_id, amount)
                for line, amount in zip(basket.lines, amounts, strict=True)
                if self._lines.match(facts, line)
            ]
            total = sum(amount for _, amount in counted)
            if self._is_net and len(counted) == len(amounts):
                counted = None
        elif not self._is_net:
            counted = [(line.line_id, amount) for line, amount in zip(basket.lines, amounts, strict=True)]
        carried = None
        if self._carries:
            total += tally.used(self.carry_key, Period.PERIOD_EVER) or 0
            # Less than nothing is carried where goods came back whose remainder later sales had used.
            carried = total % self._per if total > 0 else total
            total = max(total, 0)
        points = self._to_points(total, self._points, self._per)
        if points == 0 and carried is None:
            return None
        if points > INT64_MAX:
            raise Overflow
        award = Award(rule=self.terms.owner, points=points, basis=total)
        for line_id, amount in counted or ():
            award.lines.add(line_id=line_id, basis=amount)
        return Asked(award, carried)

    def lacks(self, facts: Facts, basket: Basket) -> Unmet:
        """Whether it is the minimum, the lines or the step."""
        if sum(self._amounts(basket)) < self._minimum:
            return Unmet.MINIMUM
        return Unmet.STEP if any(self._lines.match(facts, line) for line in basket.lines) else Unmet.LINES
