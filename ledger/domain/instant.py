"""Instants: whole microseconds since 1970-01-01 UTC, as int. FOREVER stands for "never"."""

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
FOREVER: Final = 2**63 - 1

EARLIEST: Final = 946_684_800 * SECOND
"""2000-01-01 UTC. No loyalty scheme that this ledger serves is older; an earlier clock is broken."""

LATEST: Final = 253_402_300_800 * SECOND
"""The end of the year 9999, where calendars of computers end."""

_DAY_FORM: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def from_timestamp(timestamp: Timestamp) -> int:
    """The instant of a protobuf timestamp; what is finer than a microsecond is dropped."""
    return timestamp.seconds * SECOND + timestamp.nanos // 1_000


def set_timestamp(timestamp: Timestamp, instant: int) -> None:
    """Writes an instant into a message's timestamp field."""
    timestamp.seconds, micros = divmod(instant, SECOND)
    timestamp.nanos = micros * 1_000


def to_timestamp(instant: int) -> Timestamp:
    """An instant as a protobuf timestamp."""
    seconds, micros = divmod(instant, SECOND)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)


def from_datetime(moment: datetime) -> int:
    """The instant of an aware datetime."""
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: int) -> datetime:
    """An instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=instant)


@lru_cache(maxsize=256)
def is_day(text: str) -> bool:
    """Whether a text is a calendar day that exists, as 2026-01-31."""
    try:
        return bool(_DAY_FORM(text) and date.fromisoformat(text))
    except ValueError:
        return False


def local_date(instant: int, zone: ZoneInfo) -> date:
    """The calendar day in a zone on which an instant falls."""
    return to_datetime(instant).astimezone(zone).date()


def start_of_day(day: date, zone: ZoneInfo) -> int:
    """The first instant of a calendar day in a zone.

    Where the clocks skip midnight, the first instant after the gap; where midnight comes twice, the first one.
    """
    return from_datetime(datetime.combine(day, time.min, zone).astimezone(UTC))


def instant_text(at: int) -> str:
    """An instant as errors name it; empty for none."""
    return to_timestamp(at).ToJsonString() if 0 < at < FOREVER else ""
