"""Expiry: calendar days in the program's zone, through month ends, leap years and clock changes."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from loyalty.v1.expiry_pb2 import (
    CalendarPeriod,
    CalendarUnit,
    EndOfUnitExpiry,
    ExpiryPolicy,
    FixedDateExpiry,
    InactivityExpiry,
    NeverExpiry,
    RollingExpiry,
)
from loyalty.v1.program_pb2 import Program as Definition

from ledger.domain.expiry import add_months, expires_at, last_day, next_day_of_year
from ledger.domain.instant import (
    FOREVER,
    SECOND,
    from_datetime,
    local_date,
    start_of_day,
    to_datetime,
)
from ledger.domain.program import Program
from ledger.sample_program import sample_program

DAY: Final = 86_400 * SECOND
KOLKATA: Final = ZoneInfo("Asia/Kolkata")
NEW_YORK: Final = ZoneInfo("America/New_York")
MONTH: Final = CalendarUnit.CALENDAR_UNIT_MONTH
QUARTER: Final = CalendarUnit.CALENDAR_UNIT_QUARTER
YEAR: Final = CalendarUnit.CALENDAR_UNIT_YEAR

ZONES: Final = sorted(available_timezones() - {"Factory", "localtime"})
ZONE: Final = st.sampled_from(ZONES).map(ZoneInfo)
DATES: Final = st.dates(date(2000, 1, 2), date(2060, 12, 31))
INSTANTS: Final = st.integers(
    from_datetime(datetime(2000, 1, 2, tzinfo=UTC)), from_datetime(datetime(2060, 12, 31, tzinfo=UTC))
)


def rolling(**period: int) -> ExpiryPolicy:
    """So long after activation."""
    return ExpiryPolicy(rolling=RollingExpiry(period=CalendarPeriod(**period)))


def end_of(unit: CalendarUnit.ValueType, **after: int) -> ExpiryPolicy:
    """At the end of a unit, a period later."""
    end = EndOfUnitExpiry(unit=unit)
    if after:
        end.after.CopyFrom(CalendarPeriod(**after))
    return ExpiryPolicy(end_of_unit=end)


def fixed(month: int, day: int) -> ExpiryPolicy:
    """On a day of the year."""
    return ExpiryPolicy(fixed_date=FixedDateExpiry(month=month, day=day))


POLICIES: Final = st.one_of(
    st.builds(rolling, days=st.integers(1, 36_500)),
    st.builds(rolling, months=st.integers(1, 1_200)),
    st.builds(rolling, years=st.integers(1, 100)),
    st.builds(end_of, st.sampled_from([MONTH, QUARTER, YEAR])),
    st.builds(end_of, st.sampled_from([MONTH, QUARTER, YEAR]), months=st.integers(1, 1_200)),
    st.builds(fixed, st.integers(1, 12), st.integers(1, 28)),
    st.just(fixed(2, 29)),
    st.just(fixed(12, 31)),
)


def at(text: str, zone: ZoneInfo = KOLKATA) -> int:
    """A local time as an instant."""
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=zone))


@pytest.mark.parametrize(
    ("policy", "active_from", "gone_at"),
    [
        # X1: 12 months, end of month.
        (end_of(MONTH, months=12), "2020-07-06T15:00", "2021-08-01"),
        (end_of(MONTH, months=12), "2020-07-31T23:59:59.999999", "2021-08-01"),
        (end_of(MONTH, months=12), "2020-08-01T00:00", "2021-09-01"),
        # X2: end of month, of quarter, of year.
        (end_of(MONTH), "2026-01-22T10:00", "2026-02-01"),
        (end_of(MONTH), "2024-02-29T10:00", "2024-03-01"),
        (end_of(MONTH), "2026-12-31T23:59", "2027-01-01"),
        (end_of(QUARTER), "2026-01-01T00:00", "2026-04-01"),
        (end_of(QUARTER), "2026-05-31T10:00", "2026-07-01"),
        (end_of(QUARTER), "2026-12-31T10:00", "2027-01-01"),
        (end_of(QUARTER, months=1), "2026-03-31T10:00", "2026-07-01"),
        (end_of(YEAR), "2018-06-15T10:00", "2019-01-01"),
        (end_of(YEAR, years=1), "2018-06-15T10:00", "2020-01-01"),
        (end_of(YEAR, days=1), "2018-12-31T10:00", "2020-01-01"),
        # X3: one month is valid through the same day of the next; month ends clamp.
        (rolling(months=1), "2026-01-25T10:00", "2026-02-26"),
        (rolling(months=1), "2026-01-31T10:00", "2026-03-01"),
        (rolling(months=1), "2024-01-31T10:00", "2024-03-01"),
        (rolling(months=1), "2026-03-31T10:00", "2026-05-01"),
        (rolling(months=13), "2026-01-31T10:00", "2027-03-01"),
        (rolling(years=1), "2024-02-29T10:00", "2025-03-01"),
        (rolling(years=4), "2024-02-29T10:00", "2028-03-01"),
        (rolling(years=1), "2023-02-28T10:00", "2024-02-29"),
        (rolling(days=1), "2026-02-28T10:00", "2026-03-02"),
        (rolling(days=90), "2026-01-01T00:00", "2026-04-02"),
        (rolling(days=366), "2024-01-01T00:00", "2025-01-02"),
        # On a day of the year, that day included.
        (fixed(3, 31), "2026-03-30T10:00", "2026-04-01"),
        (fixed(3, 31), "2026-03-31T23:59", "2026-04-01"),
        (fixed(3, 31), "2026-04-01T00:00", "2027-04-01"),
        (fixed(2, 29), "2026-01-01T10:00", "2026-03-01"),
        (fixed(2, 29), "2024-02-28T10:00", "2024-03-01"),
        (fixed(2, 29), "2023-03-01T10:00", "2024-03-01"),
        (fixed(12, 31), "2026-12-31T10:00", "2027-01-01"),
        (
            ExpiryPolicy(inactivity=InactivityExpiry(period=CalendarPeriod(months=6))),
            "2026-08-31T10:00",
            "2027-03-01",
        ),
    ],
)
def test_points_are_gone_at(policy: ExpiryPolicy, active_from: str, gone_at: str) -> None:
    """Through a whole last day in the program's zone, gone at the start of the next."""
    assert expires_at(policy, at(active_from), KOLKATA) == at(gone_at)


@pytest.mark.parametrize("policy", [ExpiryPolicy(), ExpiryPolicy(never=NeverExpiry())])
def test_points_may_be_for_ever(policy: ExpiryPolicy) -> None:
    """X6: no date, never expires."""
    assert expires_at(policy, at("2026-01-01"), KOLKATA) == FOREVER


@pytest.mark.parametrize(
    ("zone", "active_from", "gone_at"),
    [
        # Clocks skip midnight: the day begins at 01:00.
        ("America/Sao_Paulo", "2018-11-02T12:00", "2018-11-04T03:00+00:00"),
        ("Africa/Cairo", "2023-04-26T12:00", "2023-04-27T22:00+00:00"),
        ("Asia/Beirut", "2022-03-25T12:00", "2022-03-26T22:00+00:00"),
        # Midnight comes twice: the first one ends the day.
        ("America/Havana", "2023-11-03T12:00", "2023-11-05T04:00+00:00"),
        # The hour before midnight comes twice: the day is 25 hours long.
        ("America/Sao_Paulo", "2018-02-16T12:00", "2018-02-18T03:00+00:00"),
        ("America/Nuuk", "2024-10-25T12:00", "2024-10-27T02:00+00:00"),
        # Ordinary clock changes do not move midnight.
        ("America/New_York", "2026-03-07T12:00", "2026-03-09T04:00+00:00"),
        ("Europe/Berlin", "2026-10-24T12:00", "2026-10-25T23:00+00:00"),
        # Samoa left out 30 December 2011.
        ("Pacific/Apia", "2011-12-28T12:00", "2011-12-30T10:00+00:00"),
    ],
)
def test_clock_changes_keep_whole_days(zone: str, active_from: str, gone_at: str) -> None:
    """One day of validity, wherever the clocks change at its end."""
    found = expires_at(rolling(days=1), at(active_from, ZoneInfo(zone)), ZoneInfo(zone))
    assert to_datetime(found) == datetime.fromisoformat(gone_at)


@given(zone=ZONE, policy=POLICIES, active_from=INSTANTS)
def test_points_never_expire_before_they_are_active(zone: ZoneInfo, policy: ExpiryPolicy, active_from: int) -> None:
    """Nor on the day on which they become active."""
    gone_at = expires_at(policy, active_from, zone)
    assert gone_at > active_from
    assert local_date(gone_at - 1, zone) >= local_date(active_from, zone)
    assert local_date(gone_at, zone) > local_date(active_from, zone)


@given(zone=ZONE, policy=POLICIES, active_from=INSTANTS, later=st.integers(0, 400 * DAY))
def test_later_points_never_expire_earlier(zone: ZoneInfo, policy: ExpiryPolicy, active_from: int, later: int) -> None:
    """So the order of spending is fair."""
    first = expires_at(policy, active_from, zone)
    assert first <= expires_at(policy, active_from + later, zone)


@given(zone=ZONE, day=DATES)
@example(zone=ZoneInfo("America/Havana"), day=date(2023, 11, 5))
@example(zone=ZoneInfo("Pacific/Apia"), day=date(2011, 12, 30))
def test_a_day_starts_once(zone: ZoneInfo, day: date) -> None:
    """The instant before belongs to an earlier day; the instant itself does not."""
    start = start_of_day(day, zone)
    assert local_date(start - 1, zone) < day <= local_date(start, zone)
    assert start <= start_of_day(day + timedelta(days=1), zone)


@given(day=DATES, months=st.integers(0, 1_200))
def test_months_clamp_to_the_last_day(day: date, months: int) -> None:
    """The month is exact; the day is the same, or the month's last where it is shorter."""
    later = add_months(day, months)
    assert (later.year - day.year) * 12 + later.month - day.month == months
    assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).month != later.month)


@given(day=DATES)
def test_the_last_day_of_a_unit(day: date) -> None:
    """The next day begins another unit, and the unit is the day's own."""
    for unit, months in ((MONTH, 1), (QUARTER, 3), (YEAR, 12)):
        last = last_day(day, unit)
        assert last >= day
        assert (last.year, (last.month - 1) // months) == (day.year, (day.month - 1) // months)
        after = last + timedelta(days=1)
        assert (after.day, (after.month - 1) % months) == (1, 0)


@given(day=DATES, month=st.integers(1, 12), day_of_month=st.integers(1, 31))
def test_a_day_of_the_year_comes_within_a_year(day: date, month: int, day_of_month: int) -> None:
    """On or after the day, and clamped to its month."""
    found = next_day_of_year(day, month, day_of_month)
    assert day <= found <= add_months(day, 12)
    assert found.month == month
    assert found.day == day_of_month or (found + timedelta(days=1)).month != month


def program(policy: ExpiryPolicy, zone: ZoneInfo, pending_days: int = 0) -> Program:
    """A program with an expiry policy."""
    definition: Definition = sample_program()
    definition.expiry.CopyFrom(policy)
    definition.time_zone = zone.key
    if pending_days:
        definition.pending.days = pending_days
    return Program(definition)


@given(zone=ZONE, policy=POLICIES, around=INSTANTS, data=st.data())
def test_a_program_remembers_the_right_days(
    zone: ZoneInfo, policy: ExpiryPolicy, around: int, data: st.DataObject
) -> None:
    """What it remembers of earlier sales never changes the answer for another one."""
    compiled = program(policy, zone)
    for offset in data.draw(st.lists(st.integers(-3 * 3_600 * SECOND, 3 * 3_600 * SECOND))):
        assert compiled.validity.expires_at(around + offset) == expires_at(policy, around + offset, zone)


def test_a_program_remembers_days_that_change_within_an_hour() -> None:
    """India's midnight is at half past an hour of UTC: the day before must not get the next one's."""
    compiled = program(rolling(days=1), KOLKATA)
    assert compiled.validity.expires_at(at("2026-07-02T00:15")) == at("2026-07-04")
    assert compiled.validity.expires_at(at("2026-07-01T23:45")) == at("2026-07-03")


def test_the_clock_of_expiry_starts_on_activation() -> None:
    """X4: pending 10 days, validity 90 days, counted from activation."""
    compiled = program(rolling(days=90), KOLKATA, pending_days=10)
    active = compiled.validity.activates_at(at("2026-01-01T15:00"))
    assert active == at("2026-01-11")
    assert compiled.validity.expires_at(active) == at("2026-04-12")


@pytest.mark.parametrize(
    ("earned_at", "active_from"),
    [
        ("2026-03-01T23:30", "2026-03-11"),  # clocks go forward on 8 March
        ("2026-10-25T00:30", "2026-11-04"),  # clocks go back on 1 November
    ],
)
def test_pending_days_are_days_of_the_calendar(earned_at: str, active_from: str) -> None:
    """A day of 23 or 25 hours is one day."""
    compiled = program(rolling(days=90), NEW_YORK, pending_days=10)
    assert compiled.validity.activates_at(at(earned_at, NEW_YORK)) == at(active_from, NEW_YORK)
