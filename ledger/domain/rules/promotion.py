"""Promotion: points on top of what the rules gave, or fewer."""

from collections.abc import Sequence

from loyalty.v1.account_pb2 import Award, TakenBack
from loyalty.v1.earning_pb2 import Promotion as PromotionMessage

from ledger.domain.basket import Basket
from ledger.domain.rounding import INT64_MAX, Overflow
from ledger.domain.rules.conditions import Lines
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.terms import Terms
from ledger.domain.rules.unmet import Unmet

THOUSAND = 1_000


class Promotion:
    """A promotion, compiled."""

    def __init__(self, message: PromotionMessage, terms: Terms) -> None:
        self.terms = terms
        self._message = message
        self._effect = message.WhichOneof("effect")
        self._lines = Lines.of(terms.owner, message)

    def ask(self, facts: Facts, basket: Basket, base: int, by_line: Sequence[int]) -> Award | None:
        """What it gives for a sale whose lines earned some points by the rules, `base` in all; None for nothing.

        Raises Overflow.
        """
        if self._lines.is_all:
            counted = list(enumerate(by_line))
            earned = base
        else:
            counted = [(at, by_line[at]) for at, line in enumerate(basket.lines) if self._lines.match(facts, line)]
            earned = sum(points for _, points in counted)
        if earned <= 0:
            return None
        points = self._bonus(earned)
        if points == 0:
            return None
        if abs(points) > INT64_MAX:
            raise Overflow
        award = Award(rule=self.terms.owner, points=points, basis=earned, taken_back=TakenBack.TAKEN_BACK_WITH_BASE)
        for at, part in counted:
            if part:
                award.lines.add(line_id=basket.lines[at].line_id, basis=part)
        return award

    def lacks(self, facts: Facts, basket: Basket, by_line: Sequence[int]) -> Unmet:
        """Why it gives nothing for a sale that its conditions hold for and whose lines earned some points."""
        counted = zip(basket.lines, by_line, strict=True)
        earned = self._lines.is_all or any(points and self._lines.match(facts, line) for line, points in counted)
        return Unmet.STEP if earned else Unmet.LINES

    def _bonus(self, earned: int) -> int:
        match self._effect:
            case "addition_points":
                return self._message.addition_points
            case "multiplier_thousandths":
                return earned * self._message.multiplier_thousandths // THOUSAND - earned
            case _:
                return self._message.fixed_points - earned
