"""Index: the rules or promotions that can apply to a sale, found by what its lines are and where it is."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

from loyalty.v1.earning_pb2 import LineFilter
from loyalty.v1.sale_pb2 import LineKind

from ledger.domain.rules.facts import Facts
from ledger.domain.rules.terms import Terms

HOURS_REMEMBERED: Final = 48
"""Hours whose rules are remembered: late sales of yesterday come beside those of now."""

_PRODUCT: Final = LineKind.LINE_KIND_PRODUCT


class HasTerms(Protocol):
    """What is indexed."""

    terms: Terms


EntryT = TypeVar("EntryT", bound=HasTerms)
Entries = Sequence[tuple[EntryT, LineFilter | None]]

_Ranks = dict[Hashable, list[int]]
"""The places of entries in their order, by key."""


class Index(Generic[EntryT]):
    """Rules or promotions in order, each with the filter that at least one line must match."""

    def __init__(self, entries: Entries[EntryT]) -> None:
        self._entries = entries
        self.names: frozenset[str] = frozenset().union(
            *(entry.terms.conditions.names for entry, _ in entries if entry.terms.conditions is not None)
        )
        """The variables that their conditions name."""
        self._has_windows = any(entry.terms.conditions and entry.terms.conditions.has_windows for entry, _ in entries)
        self._always = _Keys(entries, None)
        self._by_hour: OrderedDict[datetime, _Keys[EntryT]] = OrderedDict()

    @property
    def all(self) -> Sequence[EntryT]:
        """All of them, in order."""
        return [entry for entry, _ in self._entries]

    def candidates(self, facts: Facts) -> Iterable[EntryT]:
        """Those that can apply, in order. All that do apply are among them."""
        if not self._has_windows:
            return self._always.candidates(facts)
        hour = facts.local.replace(minute=0, second=0, microsecond=0)
        keys = self._by_hour.get(hour)
        if keys is None:
            keys = self._by_hour[hour] = _Keys(self._entries, hour)
            if len(self._by_hour) > HOURS_REMEMBERED:
                self._by_hour.popitem(last=False)
        return keys.candidates(facts)


class _Keys(Generic[EntryT]):
    """The entries that can be in force in an hour, each under its keys; those without any are always looked at."""

    def __init__(self, entries: Entries[EntryT], hour: datetime | None) -> None:
        self._entries = [entry for entry, _ in entries]
        self._always: list[int] = []
        self._by_store: _Ranks = {}
        self._by_tier: _Ranks = {}
        self._by_sku: _Ranks = {}
        self._by_category: _Ranks = {}
        self._by_brand: _Ranks = {}
        self._by_kind: _Ranks = {}
        self._by_label: _Ranks = {}
        for rank, (entry, only) in enumerate(entries):
            conditions = entry.terms.conditions
            if hour is not None and conditions is not None and not conditions.touch_hour(hour):
                continue
            if only is not None and not only.expression:
                self._by_lines(rank, only)
            elif conditions is not None and conditions.stores:
                _put(self._by_store, conditions.stores, rank)
            elif conditions is not None and conditions.tiers:
                _put(self._by_tier, conditions.tiers, rank)
            else:
                self._always.append(rank)

    def _by_lines(self, rank: int, only: LineFilter) -> None:
        _put(self._by_sku, only.skus, rank)
        _put(self._by_category, only.categories, rank)
        _put(self._by_brand, only.brands, rank)
        _put(self._by_kind, only.kinds, rank)
        _put(self._by_label, only.labels, rank)

    def candidates(self, facts: Facts) -> Iterable[EntryT]:
        if len(self._always) == len(self._entries):
            return self._entries
        ranks = set(self._always)
        if self._by_store:
            ranks.update(self._by_store.get(facts.origin.store, ()))
        if self._by_tier:
            ranks.update(self._by_tier.get(facts.account.tier, ()))
        if facts.basket is not None:
            lines = facts.basket.lines
            # Only what some entry asks for is read of the lines.
            if self._by_sku:
                _add(ranks, self._by_sku, [line.sku for line in lines])
            if self._by_category:
                _add(ranks, self._by_category, [line.category for line in lines])
            if self._by_brand:
                _add(ranks, self._by_brand, [line.brand for line in lines])
            if self._by_kind:
                _add(ranks, self._by_kind, [line.kind or _PRODUCT for line in lines])
            if self._by_label:
                _add(ranks, self._by_label, [label for line in lines for label in line.labels])
        return [self._entries[rank] for rank in sorted(ranks)]


def _put(ranks: _Ranks, keys: Iterable[Hashable], rank: int) -> None:
    for key in keys:
        ranks.setdefault(key, []).append(rank)


def _add(ranks: set[int], by_key: _Ranks, keys: Iterable[Hashable]) -> None:
    for key in keys:
        found = by_key.get(key)
        if found is not None:
            ranks.update(found)
