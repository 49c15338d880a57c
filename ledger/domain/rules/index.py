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
        self._by_key: dict[Hashable, list[int]] = {}
        for rank, (entry, only) in enumerate(entries):
            conditions = entry.terms.conditions
            if hour is not None and conditions is not None and not conditions.touch_hour(hour):
                continue
            keys: list[Hashable] = []
            if only is not None and not only.expression:
                keys = _keys_of_lines(only)
            elif conditions is not None:
                keys = [("store", store) for store in conditions.stores]
            for key in keys:
                self._by_key.setdefault(key, []).append(rank)
            if not keys:
                self._always.append(rank)

    def candidates(self, facts: Facts) -> Iterable[EntryT]:
        by_key, entries = self._by_key, self._entries
        if not by_key:
            return entries if len(self._always) == len(entries) else [entries[rank] for rank in self._always]
        ranks = set(self._always)
        ranks.update(by_key.get(("store", facts.origin.store), ()))
        if facts.basket is not None:
            for line in facts.basket.lines:
                ranks.update(by_key.get(("sku", line.sku), ()))
                ranks.update(by_key.get(("category", line.category), ()))
                ranks.update(by_key.get(("brand", line.brand), ()))
                ranks.update(by_key.get(("kind", line.kind or _PRODUCT), ()))
                for label in line.labels:
                    ranks.update(by_key.get(("label", label), ()))
        return [entries[rank] for rank in sorted(ranks)]


def _keys_of_lines(only: LineFilter) -> list[Hashable]:
    return [
        *(("sku", sku) for sku in only.skus),
        *(("label", label) for label in only.labels),
        *(("category", category) for category in only.categories),
        *(("brand", brand) for brand in only.brands),
        *(("kind", kind) for kind in only.kinds),
    ]
