"""Windows: times that come once or again and again, by RFC 5545, on the store's clock."""

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import islice, pairwise
from typing import Final

from loyalty.v1.earning_pb2 import Window as WindowMessage

from ledger.domain.rules.recurrence import WAIT_YEARS_MAX, YEAR, Recurrence, WindowError

HOUR: Final = timedelta(hours=1)

LONG_AGO: Final = datetime.min  # noqa: DTZ901 - on a local clock, like all of a window

OCCURRENCES_CHECKED: Final = 500
"""Occurrences that are looked at when a window is published; of a rule by months or years they take a year or more."""

OCCURRENCES_COMPARED: Final = 10_000
"""Occurrences that are compared with those of an exclusive window: 27 years of one that comes every day."""


class Window:
    """A window, compiled. Occurrences are worked out as far as they are asked for, once."""

    def __init__(self, message: WindowMessage) -> None:
        """Raises WindowError."""
        self.begins = _local(message.starts_at)
        duration = message.duration
        self._duration = timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1_000)
        if self._duration <= timedelta(0):
            raise WindowError("duration", "must be more than 0")
        self._recurrence = Recurrence(message.recurrence, self.begins) if message.recurrence else None
        self._begin(self.begins)

    def _begin(self, since: datetime) -> None:
        """Works occurrences out from one of them on, or from a moment from which on they are the same."""
        self._since = since
        self._is_over = False
        self._starts: list[datetime] = []
        self._more = iter((since,)) if self._recurrence is None else self._recurrence.since(since)

    def contains(self, local: datetime) -> bool:
        """Whether it is open then."""
        at = self._last(local)
        return at is not None and local - at < self._duration

    def touches_hour(self, local: datetime) -> bool:
        """Whether it is open at some moment of the hour that begins then."""
        at = self._last(local + HOUR - timedelta.resolution)
        return at is not None and local - at < self._duration

    def overlap(self, other: "Window") -> datetime | None:
        """A moment that some occurrences of both share, of the first OCCURRENCES_COMPARED of each."""
        rarer, other = sorted((self, other), key=lambda window: len(window._compared))
        starts = other._compared
        for begins in rarer._compared:
            at = bisect_left(starts, rarer._duration, key=partial(_after, begins))
            if at and begins - starts[at - 1] < other._duration:
                return max(begins, starts[at - 1])
        return None

    def check(self) -> None:
        """Raises WindowError where it recurs before it is over, or too often, or never comes."""
        if self._recurrence is None:
            return
        starts = self._recurrence.first(OCCURRENCES_CHECKED)
        if not starts:
            raise WindowError("recurrence", f"never comes in {WAIT_YEARS_MAX} years")
        for one, next_one in pairwise(starts):
            if next_one - one < max(self._duration, HOUR):
                raise WindowError("recurrence", "must not come again before the window is over, nor within the hour")
        if self._recurrence.step is None and len(starts) == OCCURRENCES_CHECKED and starts[-1] - starts[0] < YEAR:
            raise WindowError("recurrence", f"comes {OCCURRENCES_CHECKED} times in a year: use FREQ=DAILY or WEEKLY")

    @cached_property
    def _compared(self) -> list[datetime]:
        """Beginnings that are compared with another window's."""
        starts = [self.begins] if self._recurrence is None else self._recurrence.since(self.begins)
        return list(islice(starts, OCCURRENCES_COMPARED))

    def _last(self, local: datetime) -> datetime | None:
        """The last beginning up to a moment."""
        self._seek(local)
        starts = self._starts
        while not self._is_over and (not starts or starts[-1] <= local):
            found = next(self._more, None)
            if found is None:
                self._is_over = True
            else:
                starts.append(found)
        at = bisect_right(starts, local)
        return starts[at - 1] if at else None

    def _seek(self, local: datetime) -> None:
        """Leaves out what is long over, so that a rule that is old costs no more than a new one."""
        step = self._recurrence.step if self._recurrence is not None else None
        if step is None:
            return
        known = self._starts[-1] if self._starts else self._since
        is_behind = local - known > 2 * YEAR and not self._is_over
        is_ahead = self._since > self.begins and local - self._duration < self._since
        if is_behind or is_ahead:
            skipped = max((local - self.begins - self._duration - YEAR) // step, 0)
            self._begin(self.begins + skipped * step)


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
