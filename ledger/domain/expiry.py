"""When points expire: the calendar arithmetic of every expiry policy. All days are days in the program's zone."""

from calendar import monthrange
from datetime import date, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from loyalty.v1.expiry_pb2 import CalendarPeriod, CalendarUnit, ExpiryPolicy

from ledger.domain.instant import FOREVER, local_date, start_of_day


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def add_period(day: date, period: CalendarPeriod) -> date:
    """A day moved on by a calendar period."""
    if period.days:
        return day + timedelta(days=period.days)
    return add_months(day, period.months + 12 * period.years)


def last_day(day: date, unit: CalendarUnit.ValueType) -> date:
    """The last day of the month, quarter or year that a day lies in."""
    if unit == CalendarUnit.CALENDAR_UNIT_YEAR:
        return date(day.year, 12, 31)
    month = day.month
    if unit == CalendarUnit.CALENDAR_UNIT_QUARTER:
        month += -month % 3
    return date(day.year, month, monthrange(day.year, month)[1])


def next_day_of_year(day: date, month: int, day_of_month: int) -> date:
    """The first such day of a year on or after a day; 29 February is the 28th where there is none."""
    for year in (day.year, day.year + 1):
        found = date(year, month, min(day_of_month, monthrange(year, month)[1]))
        if found >= day:
            return found
    raise AssertionError("a day of the year comes at least once in two years")


def expires_at(policy: ExpiryPolicy, active_from: int, zone: ZoneInfo) -> int:
    """The first instant at which points that became active at `active_from` are gone.

    Points are valid through a whole last day, so this is the start of the day after it, in `zone`. For the
    inactivity policy, `active_from` is the last activity.
    """
    kind = policy.WhichOneof("policy")
    if kind is None or kind == "never":
        return FOREVER
    day = local_date(active_from, zone)
    match kind:
        case "rolling":
            last = add_period(day, policy.rolling.period)
        case "inactivity":
            last = add_period(day, policy.inactivity.period)
        case "end_of_unit":
            end = policy.end_of_unit
            last = last_day(add_period(day, end.after) if end.HasField("after") else day, end.unit)
        case "fixed_date":
            last = next_day_of_year(day, policy.fixed_date.month, policy.fixed_date.day)
        case _:
            assert_never(kind)
    return start_of_day(last + timedelta(days=1), zone)
