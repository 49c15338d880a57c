"""Windows: times that come once or again and again, by RFC 5545, on the store's clock."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice, pairwise
from typing import Final

from dateutil.rrule import rrule, rruleset, rrulestr
from loyalty.v1.earning_pb2 import Window as WindowMessage

HOUR: Final = timedelta(hours=1)

LONG_AGO: Final = datetime.min  # noqa: DTZ901 - on a local clock, like all of a window

OCCURRENCES_CHECKED: Final = 500
"""Occurrences that are looked at when a window is published."""

OCCURRENCES_COMPARED: Final = 10_000
"""Occurrences that are compared with those of an exclusive window: 27 years of one that comes every day."""

OCCURRENCES_MAX: Final = 200_000
"""Occurrences that a window can have: every hour for twenty years."""


class WindowError(ValueError):
    """A window that cannot be one, with the field at fault."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class Window:
    """A window, compiled. Occurrences are worked out as far as they are asked for, once."""

    def __init__(self, message: WindowMessage) -> None:
        """Raises WindowError."""
        self.begins = _local(message.starts_at)
        duration = message.duration
        self._duration = timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1_000)
        if self._duration <= timedelta(0):
            raise WindowError("duration", "must be more than 0")
        self._starts: list[datetime] = []
        self._more: Iterator[datetime] = iter((self.begins,))
        if message.recurrence:
            self._more = islice(iter(_rule(message.recurrence, self.begins)), OCCURRENCES_MAX)

    def contains(self, local: datetime) -> bool:
        """Whether it is open then."""
        at = self._last(local)
        return at is not None and local - at < self._duration

    def touches_hour(self, local: datetime) -> bool:
        """Whether it is open at some moment of the hour that begins then."""
        at = self._last(local + HOUR - timedelta.resolution)
        return at is not None and local - at < self._duration

    def first_overlap(self, other: "Window") -> datetime | None:
        """The first moment that some occurrences of both share, of the first OCCURRENCES_COMPARED of each."""
        rarer, other = sorted((self, other), key=lambda window: len(window._compared()))
        starts = other._compared()
        for begins in rarer._compared():
            at = bisect_left(starts, rarer._duration, key=partial(_after, begins))
            if at and begins - starts[at - 1] < other._duration:
                return max(begins, starts[at - 1])
        return None

    def check(self) -> None:
        """Raises WindowError where it recurs before it is over, or too often, or never comes."""
        starts = list(islice(self._more, OCCURRENCES_CHECKED))
        if not starts:
            raise WindowError("recurrence", "never comes")
        for one, next_one in pairwise(starts):
            if next_one - one < max(self._duration, HOUR):
                raise WindowError("recurrence", "must not come again before the window is over, nor within the hour")
        self._starts = starts

    def _compared(self) -> list[datetime]:
        """Beginnings that are compared with another window's."""
        self._starts += islice(self._more, max(OCCURRENCES_COMPARED - len(self._starts), 0))
        return self._starts

    def _last(self, local: datetime) -> datetime | None:
        """The last beginning up to a moment."""
        starts = self._starts
        while not starts or starts[-1] <= local:
            found = next(self._more, None)
            if found is None:
                break
            starts.append(found)
        at = bisect_right(starts, local)
        return starts[at - 1] if at else None


def _after(begins: datetime, start: datetime) -> timedelta:
    """How long after one beginning another is."""
    return start - begins


def _local(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise WindowError("starts_at", "must be a local time such as 2026-12-24T18:00:00")
    return found


def _rule(text: str, begins: datetime) -> Iterable[datetime]:
    if text.upper().startswith(("RRULE", "DTSTART", "EXRULE", "RDATE", "EXDATE")) or "\n" in text:
        raise WindowError("recurrence", "must be one rule such as FREQ=WEEKLY;BYDAY=SA,SU")
    try:
        rule: rrule | rruleset = rrulestr(text, dtstart=begins)
    except (ValueError, TypeError, KeyError) as error:
        raise WindowError("recurrence", f"is no rule of RFC 5545: {error}") from None
    return rule
