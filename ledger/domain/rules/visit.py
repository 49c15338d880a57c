"""Visit rule: points for coming, from a minimum basket."""

from loyalty.v1.account_pb2 import Award, TakenBack
from loyalty.v1.earning_pb2 import Basis, EarningRule

from ledger.domain.basket import BASIS, Basket
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.rule import Asked, Rule
from ledger.domain.rules.tally import Tally
from ledger.domain.rules.terms import Terms
from ledger.domain.rules.unmet import Unmet


class Visit(Rule):
    """A visit rule, compiled."""

    def __init__(self, message: EarningRule, terms: Terms) -> None:
        super().__init__(message, terms)
        rule = message.visit
        self._points = rule.points
        self._minimum = rule.minimum_minor
        self._amounts = BASIS[rule.basis]
        self._is_net = self._amounts is BASIS[Basis.BASIS_AFTER_DISCOUNT]

    def ask(self, facts: Facts, basket: Basket, tally: Tally) -> Asked | None:
        """Its points, for a basket that reaches the minimum. The award keeps the minimum, for returns."""
        amounts = self._amounts(basket)
        total = sum(amounts)
        if total < self._minimum:
            return None
        award = Award(
            rule=self.terms.owner,
            points=self._points,
            basis=total,
            taken_back=TakenBack.TAKEN_BACK_BELOW_MINIMUM,
            minimum_minor=self._minimum,
        )
        if not self._is_net:
            for line, amount in zip(basket.lines, amounts, strict=True):
                award.lines.add(line_id=line.line_id, basis=amount)
        return Asked(award)

    def lacks(self, facts: Facts, basket: Basket) -> Unmet:
        """The minimum: it asks for nothing else."""
        return Unmet.MINIMUM
