"""Activity rule: points for something other than a sale."""

from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import EarningRule

from ledger.domain.basket import Basket
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.rule import Asked, Rule
from ledger.domain.rules.tally import Tally
from ledger.domain.rules.terms import Terms
from ledger.domain.rules.unmet import Unmet


class Activity(Rule):
    """An activity rule, compiled."""

    def __init__(self, message: EarningRule, terms: Terms) -> None:
        super().__init__(message, terms)
        self._points = message.activity.points

    def ask(self, facts: Facts, basket: Basket, tally: Tally) -> Asked | None:
        """Its points; which activity it is for, the index has seen to."""
        return Asked(Award(rule=self.terms.owner, points=self._points))

    def lacks(self, facts: Facts, basket: Basket) -> Unmet:
        """The occasion: it asks for nothing else."""
        return Unmet.OCCASION
