"""Conditions: when and where a rule or promotion is in force, and which lines it is for."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from loyalty.v1.earning_pb2 import Conditions as ConditionsMessage
from loyalty.v1.earning_pb2 import ItemRule, LineFilter, Promotion, SpendRule
from loyalty.v1.sale_pb2 import LineKind, SaleLine

from ledger.domain.rules.expression import Expression
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.unmet import Unmet
from ledger.domain.rules.window import LONG_AGO, Window

_PRODUCT: Final = LineKind.LINE_KIND_PRODUCT

LineTest = Callable[[SaleLine, Facts], bool]


class Conditions:
    """The conditions of a rule or promotion, compiled."""

    def __init__(self, owner: str, message: ConditionsMessage) -> None:
        self._owner = owner
        self.stores = frozenset(message.stores)
        self._channels = frozenset(message.channels)
        self._tenders = frozenset(message.tenders)
        self.tiers = frozenset(message.tiers)
        self._windows = [Window(window) for window in message.windows]
        self._expression = Expression(message.expression) if message.expression else None
        self.names = self._expression.names if self._expression is not None else frozenset[str]()

    @property
    def has_windows(self) -> bool:
        """Whether it is not in force at all times."""
        return bool(self._windows)

    @property
    def begins(self) -> datetime:
        """When the first window begins; for the order of promotions."""
        return min((window.begins for window in self._windows), default=LONG_AGO)

    def touch_hour(self, local: datetime) -> bool:
        """Whether some window is open at some moment of the hour that begins then."""
        return not self._windows or any(window.touches_hour(local) for window in self._windows)

    def unmet(self, facts: Facts) -> Unmet | None:
        """The first that does not hold; None where all do. The cheap ones are looked at first."""
        if self.stores and facts.origin.store not in self.stores:
            return Unmet.STORE
        if self._channels and facts.channel not in self._channels:
            return Unmet.CHANNEL
        if self.tiers and facts.account.tier not in self.tiers:
            return Unmet.TIER
        if self._tenders and (facts.basket is None or self._tenders.isdisjoint(facts.basket.tenders)):
            return Unmet.TENDER
        if self._windows and not any(window.contains(facts.local) for window in self._windows):
            return Unmet.WINDOW
        if self._expression is not None and not self._expression.holds(self._owner, facts):
            return Unmet.EXPRESSION
        return None


def line_test(owner: str, lines: LineFilter) -> LineTest:
    """A test of whether any entry of any list of a filter matches a line, or its expression does."""
    skus, labels = frozenset(lines.skus), frozenset(lines.labels)
    categories, brands = frozenset(lines.categories), frozenset(lines.brands)
    kinds = frozenset(lines.kinds)
    tests: list[LineTest] = []
    if kinds:
        tests.append(lambda line, _: (line.kind or _PRODUCT) in kinds)
    if skus:
        tests.append(lambda line, _: line.sku in skus)
    if categories:
        tests.append(lambda line, _: line.category in categories)
    if brands:
        tests.append(lambda line, _: line.brand in brands)
    if labels:
        tests.append(lambda line, _: not labels.isdisjoint(line.labels))
    if lines.expression:
        expression = Expression(lines.expression, of_line=True)
        tests.append(lambda line, facts: expression.holds(owner, facts, line))
    if len(tests) == 1:
        return tests[0]
    return lambda line, facts: any(test(line, facts) for test in tests)


class Lines:
    """Which lines of a basket count: those of one filter that another does not exclude."""

    def __init__(self, owner: str, only: LineFilter | None, excluding: LineFilter | None) -> None:
        self._only = line_test(owner, only) if only is not None else None
        self._excluding = line_test(owner, excluding) if excluding is not None else None
        self.is_all = self._only is None and self._excluding is None

    @classmethod
    def of(cls, owner: str, message: SpendRule | ItemRule | Promotion) -> "Lines":
        """The lines that a rule or promotion is for."""
        return cls(
            owner,
            message.only if message.HasField("only") else None,
            message.excluding if message.HasField("excluding") else None,
        )

    def match(self, facts: Facts, line: SaleLine) -> bool:
        """Whether a line counts."""
        return (self._only is None or self._only(line, facts)) and not (
            self._excluding is not None and self._excluding(line, facts)
        )
