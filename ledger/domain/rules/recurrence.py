"""Recurrences: the rules of RFC 5545 that windows may come by, and when they do."""

import re
from collections.abc import Iterator, Mapping
from datetime import MAXYEAR, datetime, timedelta
from itertools import islice
from typing import Final

from dateutil.rrule import rrule, rruleset, rrulestr

COUNT_MAX: Final = 10_000
"""COUNT of a recurrence."""

WAIT_YEARS_MAX: Final = 40
"""A window that does not come in so many years never comes."""

YEAR: Final = timedelta(days=366)

_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")

_STEPS: Final = {"DAILY": timedelta(days=1), "WEEKLY": timedelta(weeks=1)}

_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "INTERVAL": (1, 1_000),
    "COUNT": (1, COUNT_MAX),
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYSETPOS": (-366, 366),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),
}
"""The numbers that each part of a rule may have."""

_NOT_ZERO: Final = frozenset({"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"})

_NUMBERS: Final = re.compile(r"[+-]?\d{1,6}(,[+-]?\d{1,6})*").fullmatch


class WindowError(ValueError):
    """A window that cannot be one, with the field at fault."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class Recurrence:
    """One rule."""

    def __init__(self, text: str, begins: datetime) -> None:
        """Raises WindowError where it is none that can be worked out."""
        self._parts = _parts(text)
        self._begins = begins
        frequency = self._parts.get("FREQ", "")
        if frequency not in _FREQUENCIES:
            raise WindowError("recurrence", f"must have FREQ={', '.join(_FREQUENCIES)}; name hours by BYHOUR")
        step = _STEPS.get(frequency)
        interval = int(self._parts.get("INTERVAL", "1"))
        self.step = step * interval if step is not None and "COUNT" not in self._parts else None
        """Moved on by this, the rule gives the same occurrences; None where it has no such step."""
        self._rule(begins)

    def since(self, begins: datetime) -> Iterator[datetime]:
        """The occurrences from when it began, or from some steps later."""
        return iter(self._rule(begins))

    def first(self, count: int) -> list[datetime]:
        """So many occurrences, of the first forty years."""
        end = f"{min(self._begins.year + WAIT_YEARS_MAX, MAXYEAR):04}1231T235959"
        count = min(count, int(self._parts.get("COUNT", count)))
        if end[:8] < self._parts.get("UNTIL", "9")[:8]:
            return list(islice(self._rule(self._begins, UNTIL=end), count))
        return list(islice(self._rule(self._begins), count))

    def _rule(self, begins: datetime, **other: str) -> rrule | rruleset:
        parts = {name: value for name, value in self._parts.items() if not other or name != "COUNT"} | other
        text = ";".join(f"{name}={value}" for name, value in parts.items())
        try:
            return rrulestr(text, dtstart=begins)
        except (ValueError, TypeError, KeyError) as error:
            raise WindowError("recurrence", f"is no rule of RFC 5545: {error}") from None


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, equals, value = part.strip().partition("=")
        if not equals or not name.isalpha() or name in ("DTSTART", "EXDATE", "RDATE", "EXRULE"):
            raise WindowError("recurrence", "must be one rule such as FREQ=WEEKLY;BYDAY=SA,SU")
        if name in parts:
            raise WindowError("recurrence", f"names {name} twice")
        if name in _BOUNDS:
            _check_numbers(name, value)
        parts[name] = value
    return parts


def _check_numbers(name: str, value: str) -> None:
    least, most = _BOUNDS[name]
    numbers = [int(number) for number in value.split(",")] if _NUMBERS(value) else [most + 1]
    if any(not least <= number <= most or (number == 0 and name in _NOT_ZERO) for number in numbers):
        but = ", without 0" if name in _NOT_ZERO else ""
        raise WindowError("recurrence", f"must have whole numbers from {least} to {most}{but} in {name}")
    if name in ("INTERVAL", "COUNT") and len(numbers) > 1:
        raise WindowError("recurrence", f"must have one number in {name}")
