"""Totals: what the members of a program have together, by tier."""

from collections.abc import Mapping
from typing import NamedTuple

from ledger.as_of.state import points_at, purse_at, tier_at
from ledger.domain.account import Account


class Sum(NamedTuple):
    """Members and their points."""

    members: int = 0
    active: int = 0
    pending: int = 0
    held: int = 0
    owed: int = 0

    @property
    def total(self) -> int:
        """All points, less what is owed."""
        return self.active + self.pending + self.held - self.owed

    def plus(self, other: "Sum") -> "Sum":
        """Both together."""
        return Sum(*(a + b for a, b in zip(self, other, strict=True)))


NOBODY = Sum()


class Totals:
    """Sums by tier, which members are added to."""

    def __init__(self, by_tier: Mapping[str, Sum] | None = None) -> None:
        self.by_tier = dict(by_tier or {})

    @property
    def all(self) -> Sum:
        """The sum of all tiers."""
        total = NOBODY
        for one in self.by_tier.values():
            total = total.plus(one)
        return total

    def add(self, account: Account, at: int) -> None:
        """Adds a member as they were at an instant."""
        self._add(tier_at(account, at), Sum(1, *points_at(purse_at(account, at), at)))

    def merge(self, other: "Totals") -> None:
        """Adds other members."""
        for tier, one in other.by_tier.items():
            self._add(tier, one)

    def _add(self, tier: str, more: Sum) -> None:
        self.by_tier[tier] = self.by_tier.get(tier, NOBODY).plus(more)
