"""Item rule: points for goods, by the unit."""

from loyalty.v1.account_pb2 import Award, TakenBack
from loyalty.v1.earning_pb2 import EarningRule

from ledger.domain.basket import Basket
from ledger.domain.rounding import INT64_MAX, Overflow, whole_steps
from ledger.domain.rules.conditions import Lines
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.rule import Asked, Rule
from ledger.domain.rules.tally import Tally
from ledger.domain.rules.terms import Terms
from ledger.domain.rules.unmet import Unmet


class Item(Rule):
    """An item rule, compiled."""

    def __init__(self, message: EarningRule, terms: Terms) -> None:
        super().__init__(message, terms)
        self._points = message.item.points
        self._per = message.item.per_units or 1
        self._lines = Lines.of(terms.owner, message.item)

    def ask(self, facts: Facts, basket: Basket, tally: Tally) -> Asked | None:
        """Points for each whole step of units."""
        counted = [
            (line.line_id, line.quantity if line.HasField("quantity") else 1)
            for line in basket.lines
            if self._lines.match(facts, line)
        ]
        units = sum(quantity for _, quantity in counted)
        points = whole_steps(units, self._points, self._per)
        if points == 0:
            return None
        if points > INT64_MAX:
            raise Overflow
        award = Award(
            rule=self.terms.owner,
            points=points,
            basis=units,
            taken_back=TakenBack.TAKEN_BACK_BY_UNITS,
        )
        for line_id, quantity in counted:
            award.lines.add(line_id=line_id, basis=quantity)
        return Asked(award)

    def lacks(self, facts: Facts, basket: Basket) -> Unmet:
        """Whether it is the lines or the step."""
        return Unmet.STEP if any(self._lines.match(facts, line) for line in basket.lines) else Unmet.LINES
