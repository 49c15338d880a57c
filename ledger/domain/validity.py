"""Validity: when points become active and when they expire."""

from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from loyalty.v1.expiry_pb2 import CalendarPeriod, ExpiryPolicy, PendingPolicy, RollingExpiry

from ledger.domain.expiry import expires_at
from ledger.domain.instant import FOREVER, HOUR, from_timestamp, local_date, start_of_day

HOURS_REMEMBERED_MAX: Final = 10_000
"""Hours whose expiry is remembered: more than a year of sales."""


class Validity:
    """A pending policy and an expiry policy in a time zone."""

    def __init__(self, pending: PendingPolicy, expiry: ExpiryPolicy, zone: ZoneInfo) -> None:
        self._pending = pending
        self._expiry = expiry
        self._zone = zone
        self._pending_kind = pending.WhichOneof("policy")
        self._until = from_timestamp(pending.until) if self._pending_kind == "until" else 0
        self._never_expires = expiry.WhichOneof("policy") in (None, "never")
        self.follows_activity = expiry.WhichOneof("policy") == "inactivity"
        self.policy = expiry.SerializeToString(deterministic=True)
        """The expiry policy, as what pending points of different policies are told apart by."""
        self._expiry_by_hour: dict[int, int] = {}

    def activates_at(self, earned_at: int) -> int:
        """When points earned at an instant become active: 0 for at once, FOREVER for when somebody says so."""
        if self._pending_kind is None:
            return 0
        if self._pending_kind == "days":
            return start_of_later_day(earned_at, self._pending.days, self._zone)
        if self._pending_kind == "until":
            return self._until if self._until > earned_at else 0
        return FOREVER

    def expires_at(self, active_from: int) -> int:
        """The first instant at which points that are active from an instant on are gone.

        All policies count whole local days, so an hour whose first and last instant have the same answer has no other
        in between, and is remembered: the calendar costs more than the rest of a sale. In some zones (Asia/Kolkata)
        the day begins in the middle of an hour.
        """
        if self._never_expires or active_from == FOREVER:
            return FOREVER
        hour = active_from // HOUR
        known = self._expiry_by_hour.get(hour)
        if known is not None:
            return known
        first = expires_at(self._expiry, hour * HOUR, self._zone)
        if first != expires_at(self._expiry, (hour + 1) * HOUR - 1, self._zone):
            return expires_at(self._expiry, active_from, self._zone)
        if len(self._expiry_by_hour) >= HOURS_REMEMBERED_MAX:
            self._expiry_by_hour.clear()
        self._expiry_by_hour[hour] = first
        return first


def start_of_later_day(at: int, days: int, zone: ZoneInfo) -> int:
    """The start of a later local day. Counted on the calendar, since some days have 23 or 25 hours."""
    return start_of_day(local_date(at, zone) + timedelta(days=days), zone)


def valid_between(at: int, start_days: int, period: CalendarPeriod | None, zone: ZoneInfo) -> tuple[int, int]:
    """From when, and until when, something can be used that is issued at an instant: 0 for at once, FOREVER for ever.

    It starts at the start of the day so many days later, and is good through the day that lies the period after that.
    """
    starts_at = start_of_later_day(at, start_days, zone) if start_days else 0
    if period is None:
        return starts_at, FOREVER
    policy = ExpiryPolicy(rolling=RollingExpiry(period=period))
    return starts_at, expires_at(policy, starts_at or at, zone)
