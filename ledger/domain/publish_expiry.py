"""What pending and expiry policies must be to be published."""

from calendar import monthrange
from collections.abc import Mapping
from typing import Final

from loyalty.v1.expiry_pb2 import CalendarPeriod, CalendarUnit, ExpiryPolicy, FixedDateExpiry, PendingPolicy

from ledger.domain.instant import EARLIEST, from_timestamp
from ledger.domain.publish_fields import Problems, check_enum

PERIOD_YEARS_MAX: Final = 100
"""The longest period until expiry, and that many years in months and days."""

PERIOD_MAX: Final[Mapping[str, int]] = {
    "days": PERIOD_YEARS_MAX * 365,
    "months": PERIOD_YEARS_MAX * 12,
    "years": PERIOD_YEARS_MAX,
}

PENDING_DAYS_MAX: Final = 3_650
"""Days until earned points become active."""


def check_pending(policy: PendingPolicy, path: str, found: Problems) -> None:
    """When points become active."""
    match policy.WhichOneof("policy"):
        case "days" if not 1 <= policy.days <= PENDING_DAYS_MAX:
            found.append((f"{path}.days", f"must be from 1 to {PENDING_DAYS_MAX}; leave the policy out for at once"))
        case "until" if from_timestamp(policy.until) < EARLIEST:
            found.append((f"{path}.until", "must be a time from the year 2000 on"))
        case _:
            pass


def check_expiry(policy: ExpiryPolicy, path: str, found: Problems) -> None:
    """When points expire."""
    match policy.WhichOneof("policy"):
        case "rolling":
            check_period(policy.rolling.period, f"{path}.rolling.period", found)
        case "inactivity":
            check_period(policy.inactivity.period, f"{path}.inactivity.period", found)
        case "end_of_unit":
            end = policy.end_of_unit
            units = frozenset(CalendarUnit.values()) - {CalendarUnit.CALENDAR_UNIT_UNSPECIFIED}
            check_enum(end.unit, units, f"{path}.end_of_unit.unit", found)
            if end.HasField("after"):
                check_period(end.after, f"{path}.end_of_unit.after", found)
        case "fixed_date":
            _fixed_date(policy.fixed_date, f"{path}.fixed_date", found)
        case None | "never":
            pass


def check_period(period: CalendarPeriod, path: str, found: Problems, limits: Mapping[str, int] = PERIOD_MAX) -> None:
    """A calendar period."""
    given = {name: getattr(period, name) for name in limits if getattr(period, name)}
    if len(given) != 1:
        found.append((path, "must have exactly one of days, months and years"))
    for name, length in given.items():
        if not 1 <= length <= limits[name]:
            found.append((f"{path}.{name}", f"must be from 1 to {limits[name]}"))


def _fixed_date(policy: FixedDateExpiry, path: str, found: Problems) -> None:
    leap_year = 2024
    month, day = policy.month, policy.day
    if month not in range(1, 13):
        found.append((f"{path}.month", "must be from 1 to 12"))
    elif not 1 <= day <= monthrange(leap_year, month)[1]:
        last = monthrange(leap_year, month)[1]
        found.append((f"{path}.day", f"must be from 1 to {last} in that month"))
