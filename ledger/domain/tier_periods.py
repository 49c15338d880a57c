"""The times over which what counts towards tiers is counted: for ever, the last days, the calendar, since the change.

Each is asked for a standing that was `rolled` to the instant in question.
"""

from datetime import date, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from loyalty.v1.expiry_pb2 import CalendarPeriod, CalendarUnit
from loyalty.v1.tier_pb2 import TierChangeReason, TierPolicy

from ledger.domain.expiry import add_period, last_day
from ledger.domain.instant import FOREVER, local_date, start_of_day
from ledger.domain.standing import Standing

_UNIX_ORDINAL = date(1970, 1, 1).toordinal()
_DAY = timedelta(days=1)


class TierPeriod(Protocol):
    """Over what time something is counted."""

    reason: TierChangeReason.ValueType
    """Why time takes a tier away."""

    def begun(self, standing: Standing, at: int) -> Standing:
        """The standing of somebody for whom something is counted, perhaps for the first time."""

    def rolled(self, standing: Standing, at: int) -> Standing:
        """The standing at an instant, without what cannot matter any more."""

    def period_of(self, standing: Standing, at: int) -> int | None:
        """Where something that happened at an instant is counted; None where it came too late to count."""

    def holding(self, standing: Standing, at: int) -> int:
        """The amount that the tier rests on."""

    def current(self, standing: Standing, at: int) -> int:
        """The amount that is counted now: what the next tier, and the next review, will look at."""

    def falls_at(self, standing: Standing, at: int, threshold: int) -> int:
        """When the holding amount falls below a threshold that it reaches now; FOREVER for never."""

    def review_at(self, standing: Standing, at: int) -> int:
        """The next review; FOREVER where there are none."""

    def next_step_at(self, standing: Standing, at: int) -> int:
        """When a member who lost one tier at an instant may lose the next."""

    def changed(self, standing: Standing, at: int) -> Standing:
        """The standing after the tier changed."""


class _Going:
    """A period whose counting goes on when the tier changes."""

    def begun(self, standing: Standing, _at: int) -> Standing:
        """There is nothing to begin."""
        return standing

    def changed(self, standing: Standing, _at: int) -> Standing:
        """Counting goes on."""
        return standing


class ForEver(_Going):
    """Everything counts."""

    reason = TierChangeReason.TIER_CHANGE_REASON_PROGRAM

    def rolled(self, standing: Standing, _at: int) -> Standing:
        """Nothing ever leaves."""
        return standing

    def period_of(self, _standing: Standing, _at: int) -> int | None:
        """One period holds all."""
        return 0

    def holding(self, standing: Standing, _at: int) -> int:
        """The sum."""
        return standing.total

    def current(self, standing: Standing, _at: int) -> int:
        """The sum."""
        return standing.total

    def falls_at(self, _standing: Standing, _at: int, _threshold: int) -> int:
        """Never."""
        return FOREVER

    def review_at(self, _standing: Standing, _at: int) -> int:
        """Never."""
        return FOREVER

    def next_step_at(self, _standing: Standing, _at: int) -> int:
        """Never."""
        return FOREVER


class Rolling(_Going):
    """The last days: each counts through the day that lies the period after it."""

    reason = TierChangeReason.TIER_CHANGE_REASON_LAPSED

    def __init__(self, period: CalendarPeriod, zone: ZoneInfo) -> None:
        self._period = period
        self._zone = zone

    def rolled(self, standing: Standing, at: int) -> Standing:
        """Without the days that have left the window."""
        gone = 0
        for day, _ in standing.amounts:
            if self._leaves_at(day) > at:
                break
            gone += 1
        return standing._replace(amounts=standing.amounts[gone:]) if gone else standing

    def period_of(self, _standing: Standing, at: int) -> int | None:
        """The day."""
        return _number(local_date(at, self._zone))

    def holding(self, standing: Standing, _at: int) -> int:
        """The sum."""
        return standing.total

    def current(self, standing: Standing, _at: int) -> int:
        """The sum."""
        return standing.total

    def falls_at(self, standing: Standing, _at: int, threshold: int) -> int:
        """When so many of the oldest days have left that the rest is too little."""
        left = standing.total
        for day, amount in standing.amounts:
            left -= amount
            if left < threshold:
                return self._leaves_at(day)
        return FOREVER

    def review_at(self, _standing: Standing, _at: int) -> int:
        """Every day is one, so none is."""
        return FOREVER

    def next_step_at(self, _standing: Standing, at: int) -> int:
        """A period later."""
        return later(at, self._period, self._zone)

    def _leaves_at(self, number: int) -> int:
        return _leaves_at(number, self._period.days, self._period.months, self._period.years, self._zone)


@lru_cache(maxsize=16_384)
def _leaves_at(number: int, days: int, months: int, years: int, zone: ZoneInfo) -> int:
    """When a day has left a window. Remembered, since members share their days."""
    day = add_period(_day(number), CalendarPeriod(days=days, months=months, years=years))
    return start_of_day(day + _DAY, zone)


class ByCalendar(_Going):
    """Months, quarters or years: what was reached in one holds through the end of the next."""

    reason = TierChangeReason.TIER_CHANGE_REASON_REVIEWED

    def __init__(self, unit: CalendarUnit.ValueType, zone: ZoneInfo) -> None:
        self._unit = unit
        self._zone = zone

    def rolled(self, standing: Standing, at: int) -> Standing:
        """Without what lies before the last period."""
        first = _number(self._first_day(self._first_day(local_date(at, self._zone)) - _DAY))
        if standing.amounts and standing.amounts[0][0] < first:
            return standing._replace(amounts=tuple(one for one in standing.amounts if one[0] >= first))
        return standing

    def period_of(self, _standing: Standing, at: int) -> int | None:
        """Its first day."""
        return _number(self._first_day(local_date(at, self._zone)))

    def holding(self, standing: Standing, at: int) -> int:
        """The better of this period and the last."""
        current = self.current(standing, at)
        return max(current, standing.total - current)

    def current(self, standing: Standing, at: int) -> int:
        """What was counted in this period."""
        day = local_date(at, self._zone)
        first, last = _number(self._first_day(day)), _number(last_day(day, self._unit))
        return sum(amount for counted, amount in standing.amounts if first <= counted <= last)

    def falls_at(self, standing: Standing, at: int, threshold: int) -> int:
        """At the end of this period, or of the next where the threshold was reached in this one."""
        end = self.review_at(standing, at)
        return self.review_at(standing, end) if self.current(standing, at) >= threshold else end

    def review_at(self, _standing: Standing, at: int) -> int:
        """The end of the period."""
        return start_of_day(last_day(local_date(at, self._zone), self._unit) + _DAY, self._zone)

    def next_step_at(self, standing: Standing, at: int) -> int:
        """The next review."""
        return self.review_at(standing, at)

    def _first_day(self, day: date) -> date:
        month = day.month
        if self._unit == CalendarUnit.CALENDAR_UNIT_YEAR:
            month = 1
        elif self._unit == CalendarUnit.CALENDAR_UNIT_QUARTER:
            month -= (month - 1) % 3
        return day.replace(month=month, day=1)


class SinceChange:
    """What was counted since the tier last changed or was last reviewed, and what the tier was reached or kept with."""

    reason = TierChangeReason.TIER_CHANGE_REASON_REVIEWED

    def __init__(self, review_after: CalendarPeriod | None, zone: ZoneInfo) -> None:
        self._review_after = review_after
        self._zone = zone

    def begun(self, standing: Standing, at: int) -> Standing:
        """Counting begins with the first that is counted."""
        return standing if standing.counting_since else standing._replace(counting_since=at)

    def rolled(self, standing: Standing, at: int) -> Standing:
        """Through the reviews and changes up to the instant; each begins counting anew."""
        if not standing.counting_since:
            standing = standing._replace(amounts=((0, standing.total), (1, 0)))
        while True:
            review = self.review_at(standing, at)
            change = standing.ahead[0].at if standing.ahead else FOREVER
            if min(review, change) > at:
                return standing
            if review <= change:
                standing = self._begun(standing, standing.amounts[1], review)
            else:
                standing = self.changed(standing, change)._replace(ahead=standing.ahead[1:])

    def period_of(self, standing: Standing, at: int) -> int | None:
        """The number of the change or review before it; there is none before the first."""
        (before, _), (present, _) = standing.amounts
        return present if at >= standing.counting_since or present == 1 else before

    def holding(self, standing: Standing, at: int) -> int:
        """The better of what was counted since, and of what the tier was reached or kept with."""
        return max(amount for _, amount in standing.amounts)

    def current(self, standing: Standing, _at: int) -> int:
        """What was counted since."""
        return standing.amounts[1][1]

    def falls_at(self, standing: Standing, at: int, threshold: int) -> int:
        """At the next review, or the one after it where enough was counted for the next."""
        review = self.review_at(standing, at)
        if review == FOREVER or self.current(standing, at) < threshold:
            return review
        return self._after(review)

    def review_at(self, standing: Standing, _at: int) -> int:
        """So long after counting began."""
        return self._after(standing.counting_since) if standing.counting_since else FOREVER

    def next_step_at(self, _standing: Standing, at: int) -> int:
        """The review after the change."""
        return self._after(at)

    def changed(self, standing: Standing, at: int) -> Standing:
        """Counting begins anew; what the tier was reached with is kept beside it."""
        return self._begun(standing, max(reversed(standing.amounts), key=lambda one: one[1]), at)

    def _begun(self, standing: Standing, kept: tuple[int, int], at: int) -> Standing:
        number = standing.amounts[1][0] + 1
        return standing._replace(amounts=(kept, (number, 0)), counting_since=at)

    def _after(self, at: int) -> int:
        return FOREVER if self._review_after is None else later(at, self._review_after, self._zone)


def tier_period(policy: TierPolicy, zone: ZoneInfo) -> TierPeriod:
    """The period of a policy."""
    match policy.WhichOneof("period"):
        case "rolling":
            return Rolling(policy.rolling.period, zone)
        case "calendar":
            return ByCalendar(policy.calendar.unit, zone)
        case "since_change":
            since = policy.since_change
            return SinceChange(since.review_after if since.HasField("review_after") else None, zone)
        case _:
            return ForEver()


def later(at: int, period: CalendarPeriod, zone: ZoneInfo) -> int:
    """The start of a day a calendar period later, counted from the first whole day."""
    day = local_date(at, zone)
    if start_of_day(day, zone) != at:
        day += _DAY
    return start_of_day(add_period(day, period), zone)


def _number(day: date) -> int:
    return day.toordinal() - _UNIX_ORDINAL


def _day(number: int) -> date:
    return date.fromordinal(number + _UNIX_ORDINAL)
