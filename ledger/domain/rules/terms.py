"""Terms: when rules and promotions are in force, how far they go and what their points are like."""

from collections.abc import Sequence
from datetime import datetime

from loyalty.v1.earning_pb2 import EarningRule, Promotion

from ledger.domain.rules.conditions import Conditions
from ledger.domain.rules.limit import Limit
from ledger.domain.rules.window import LONG_AGO
from ledger.domain.validity import Validity


class Terms:
    """The terms of one rule or promotion, compiled."""

    def __init__(self, owner: str, message: EarningRule | Promotion, validity: Validity) -> None:
        """`validity` is its own, or the program's where it has none."""
        self.owner = owner
        self.priority = message.priority
        self.conditions = Conditions(owner, message.conditions) if message.HasField("conditions") else None
        self.limits: Sequence[Limit] = [Limit(owner, limit) for limit in message.limits]
        self.validity = validity

    @property
    def begins(self) -> datetime:
        """When its first window begins; long ago where it has none."""
        return self.conditions.begins if self.conditions is not None else LONG_AGO
