"""What all earning rules have in common."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import EarningRule

from ledger.domain.basket import Basket
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.tally import Tally
from ledger.domain.rules.terms import Terms
from ledger.domain.rules.unmet import Unmet


class Asked(NamedTuple):
    """What a rule would give."""

    award: Award
    """Its points may be 0, where only something is carried over."""
    carried: int | None = None
    """What is left below a step for the member's next sale; None for a rule that carries nothing over."""


class Rule(ABC):
    """An earning rule for sales, compiled."""

    def __init__(self, message: EarningRule, terms: Terms) -> None:
        self.terms = terms
        self.stop = message.stop

    @abstractmethod
    def ask(self, facts: Facts, basket: Basket, tally: Tally) -> Asked | None:
        """What it gives for a sale; None for nothing. Raises Overflow."""

    @abstractmethod
    def lacks(self, facts: Facts, basket: Basket) -> Unmet:
        """Why it gives nothing for a sale that its conditions hold for."""
