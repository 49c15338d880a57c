"""Tallies: how often and how much a member, or all of them, have had in a day, a week, a month, a year or ever."""

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from loyalty.v1.earning_pb2 import LimitScope, Period
from loyalty.v1.events_pb2 import Counter
from loyalty.v1.reward_pb2 import Use

from ledger.domain.instant import local_date

KEPT: Final = 62
"""Periods of one counter that an account keeps. A sale that comes later than that counts as if nothing were left."""

Counters = Mapping[str, tuple[tuple[int, int], ...]]
"""By key, (period, value) in order of the periods."""

_MEMBER: Final = LimitScope.LIMIT_SCOPE_MEMBER
_PROGRAM: Final = LimitScope.LIMIT_SCOPE_PROGRAM

_UNIX_ORDINAL: Final = date(1970, 1, 1).toordinal()

PERIODS: Final = {
    Period.PERIOD_DAY: "day",
    Period.PERIOD_WEEK: "week",
    Period.PERIOD_MONTH: "month",
    Period.PERIOD_YEAR: "year",
    Period.PERIOD_EVER: "ever",
}


def number_of(period: Period.ValueType, day: date) -> int:
    """The number of the period that a day of the program lies in; numbers grow with time."""
    match period:
        case Period.PERIOD_DAY:
            return day.toordinal() - _UNIX_ORDINAL
        case Period.PERIOD_WEEK:
            year, week, _ = day.isocalendar()
            return year * 100 + week
        case Period.PERIOD_MONTH:
            return day.year * 100 + day.month
        case Period.PERIOD_YEAR:
            return day.year
        case _:
            return 0


class Shared(Protocol):
    """The counts of all members together."""

    def drawn(self, key: str, period: int, at: int) -> int | None:
        """What is drawn of a limit or stock in a period; None where that was forgotten."""

    def uploaded(self, key: str) -> int:
        """How many codes a pool of codes has had."""


class Tally:
    """The counters of an account and those of all members together, and what one decision adds to them."""

    def __init__(self, counters: Counters, shared: Shared, at: int, zone: ZoneInfo) -> None:
        """For what happens at an instant; periods are counted in the program's zone."""
        self._shared = shared
        self._counters = counters
        self._at = at
        self._zone = zone
        self._added: dict[tuple[str, int], int] = {}
        self._drawn: dict[tuple[str, int], int] = {}

    @cached_property
    def _day(self) -> date:
        return local_date(self._at, self._zone)

    def used(self, key: str, period: Period.ValueType) -> int | None:
        """What is used of a counter in the period of the sale; None where that is not known any more."""
        number = number_of(period, self._day)
        used = value_of(self._counters, key, number)
        return None if used is None else used + self._added.get((key, number), 0)

    def add(self, key: str, period: Period.ValueType, more: int) -> None:
        """Counts something, in the period of the sale."""
        number = number_of(period, self._day)
        self._added[key, number] = self._added.get((key, number), 0) + more

    def used_by_all(self, key: str, period: Period.ValueType) -> int | None:
        """What all members have used in the period of the sale; None where that is not known any more."""
        number = number_of(period, self._day)
        drawn = self._shared.drawn(key, number, self._at)
        return None if drawn is None else drawn + self._drawn.get((key, number), 0)

    def codes_left(self, key: str) -> int:
        """How many codes of a pool nobody has drawn."""
        return self._shared.uploaded(key) - (self._shared.drawn(key, 0, self._at) or 0)

    def add_for_all(self, key: str, period: Period.ValueType, more: int) -> None:
        """Counts something for all members together."""
        number = number_of(period, self._day)
        self._drawn[key, number] = self._drawn.get((key, number), 0) + more

    def use(self, key: str, period: Period.ValueType, amount: int, scope: LimitScope.ValueType) -> Use:
        """A use in the period of the sale."""
        return Use(key=key, period=number_of(period, self._day), amount=amount, scope=scope)

    def set(self, key: str, value: int) -> None:
        """Gives a counter that counts for ever a value."""
        self._added[key, 0] = value - (value_of(self._counters, key, 0) or 0)

    def uses(self) -> Iterable[Use]:
        """What the decision takes of the member's own limits and of those of all members together."""
        for scope, added in ((_MEMBER, self._added), (_PROGRAM, self._drawn)):
            for (key, number), amount in added.items():
                if amount:
                    yield Use(key=key, period=number, amount=amount, scope=scope)


def value_of(counters: Counters, key: str, number: int) -> int | None:
    """The value of a counter in a period; None where it was forgotten since."""
    known = counters.get(key)
    if known is None:
        return 0
    for period, value in reversed(known):
        if period == number:
            return value
    return None if len(known) >= KEPT and number < known[0][0] else 0


def with_counters(counters: Counters, moved: Iterable[Counter]) -> Counters:
    """The counters after some of them moved. The ones before are left as they were."""
    after = dict(counters)
    for counter in moved:
        _put(after, counter.key, counter.period, counter.value)
    return after


def with_uses(counters: Counters, uses: Iterable[Use], sign: int) -> Counters:
    """The counters after some uses of the member's own limits, or after they were given back.

    What was counted in a period that is forgotten stays as it is: nobody can ask for it any more.
    """
    after = dict(counters)
    for use in uses:
        used = None if use.scope == _PROGRAM else value_of(after, use.key, use.period)
        if used is not None:
            _put(after, use.key, use.period, used + sign * use.amount)
    return after


def _put(counters: dict[str, tuple[tuple[int, int], ...]], key: str, period: int, value: int) -> None:
    values = dict(counters.get(key, ()))
    values[period] = value
    counters[key] = tuple(sorted(values.items()))[-KEPT:]
