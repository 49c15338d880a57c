"""The calendar of the model: when points become active and when they are gone, found by looking day by day."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

US = 1_000_000
NEVER = 2**63 - 1


@dataclass(frozen=True)
class Expiry:
    """never, days, months, years, month, quarter, year (with months before), date (month, day) or inactivity."""

    kind: str = "never"
    number: int = 0
    day: int = 0
    unit: str = "days"
    """Of inactivity: days, months or years."""


@dataclass(frozen=True)
class Pending:
    """none, days, until (an instant) or event."""

    kind: str = "none"
    number: int = 0


FOR_EVER = Expiry()
AT_ONCE = Pending()


def local(instant: int, zone: str) -> datetime:
    """What a clock in a zone shows, without the zone."""
    whole, micros = divmod(instant, US)
    moment = datetime.fromtimestamp(whole, UTC).replace(microsecond=micros)
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def day_of(instant: int, zone: str) -> date:
    """The local day."""
    return local(instant, zone).date()


@cache
def first_instant(day: date, zone: str) -> int:
    """The first second of a local day, found by looking."""
    low = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) - 40 * 3600
    high = low + 80 * 3600
    while high - low > 1:
        middle = (low + high) // 2
        if day_of(middle * US, zone) < day:
            low = middle
        else:
            high = middle
    return high * US


def months_later(day: date, months: int) -> date:
    """The same day of a later month, or the last one that exists."""
    year, month = day.year, day.month
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    for number in range(day.day, 0, -1):
        try:
            return date(year, month, number)
        except ValueError:
            continue
    raise AssertionError("each month has a first day")


def gone_at(expiry: Expiry, start: int, zone: str) -> int:
    """The first instant at which points that are active from `start` on are gone."""
    if expiry.kind == "never":
        return NEVER
    return first_instant(_last_day(expiry, day_of(start, zone)) + timedelta(days=1), zone)


def _last_day(expiry: Expiry, day: date) -> date:
    """The last day of points that are active from a day on."""
    last = day
    match expiry.kind:
        case "inactivity":
            return _last_day(Expiry(expiry.unit, expiry.number), day)
        case "days":
            return day + timedelta(days=expiry.number)
        case "months":
            return months_later(day, expiry.number)
        case "years":
            return months_later(day, 12 * expiry.number)
        case "date":
            while True:
                wanted = months_later(date(last.year, expiry.number, 1), 0)
                clamped = min(expiry.day, (months_later(wanted, 1) - timedelta(days=1)).day)
                if (last.month, last.day) == (expiry.number, clamped):
                    return last
                last += timedelta(days=1)
        case unit:
            last = months_later(day, expiry.number)
            length = {"month": 1, "quarter": 3, "year": 12}[unit]
            while (last + timedelta(days=1)).day != 1 or (last + timedelta(days=1)).month % length != 1 % length:
                last += timedelta(days=1)
            return last


def active_from(pending: Pending, at: int, zone: str) -> int:
    """When points earned at an instant become active: 0 for at once, NEVER until somebody says so."""
    match pending.kind:
        case "days":
            return first_instant(day_of(at, zone) + timedelta(days=pending.number), zone)
        case "until":
            return pending.number if pending.number > at else 0
        case "event":
            return NEVER
        case _:
            return 0


def same_period(period: str, one: date, other: date) -> bool:
    """Whether two days are in one day, week (from Monday), month or year; ever is one period."""
    match period:
        case "day":
            return one == other
        case "week":
            return one - timedelta(days=one.weekday()) == other - timedelta(days=other.weekday())
        case "month":
            return (one.year, one.month) == (other.year, other.month)
        case "year":
            return one.year == other.year
        case _:
            return True
