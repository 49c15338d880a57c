"""Windows: open when dateutil's own way through all occurrences says so, however old the rule is."""

from bisect import bisect_left
from datetime import datetime, timedelta
from itertools import takewhile

import pytest
from dateutil.rrule import rrulestr
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st
from loyalty.v1.earning_pb2 import Window as WindowMessage

from ledger.domain.rules.recurrence import WindowError
from ledger.domain.rules.window import Window

HOURS = 3_600
RULES = (
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=DAILY;BYHOUR=9,17;BYMINUTE=30",
    "FREQ=DAILY;BYMONTH=12;BYDAY=MO,TU",
    "FREQ=DAILY;UNTIL=20230301T000000",
    "FREQ=DAILY;COUNT=700",
    "FREQ=WEEKLY;BYDAY=SA,SU",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR",
    "FREQ=WEEKLY;INTERVAL=5",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYMONTHDAY=31",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY",
)
BEGINS = st.datetimes(datetime(2012, 1, 1), datetime(2022, 12, 31)).map(lambda at: at.replace(microsecond=0))  # noqa: DTZ001 - local clocks
ASKED = st.lists(st.datetimes(datetime(2011, 1, 1), datetime(2033, 1, 1)), min_size=1, max_size=12)  # noqa: DTZ001 - a local clock


def window(rule: str, begins: datetime, hours: int = 1) -> WindowMessage:
    """A window by a rule."""
    return WindowMessage(starts_at=begins.isoformat(), duration=Duration(seconds=hours * HOURS), recurrence=rule)


@given(rule=st.sampled_from(RULES), begins=BEGINS, hours=st.sampled_from((1, 5)), asked=ASKED)
@settings(max_examples=80)
def test_open_when_every_occurrence_says_so(rule: str, begins: datetime, hours: int, asked: list[datetime]) -> None:
    """In any order of questions, years apart, forwards and backwards, at the edges of occurrences too."""
    compiled, length = Window(window(rule, begins, hours)), timedelta(hours=hours)
    occurrences = list(takewhile(lambda at: at.year < 2034, rrulestr(rule, dtstart=begins)))
    edges = [
        occurrence + offset
        for occurrence in occurrences[:: len(occurrences) // 3 + 1]
        for offset in (-timedelta.resolution, timedelta(0), length - timedelta.resolution, length)
    ]
    for moment in [*asked, *edges, *reversed(asked)]:
        near = occurrences[max(bisect_left(occurrences, moment) - 3, 0) :][:6]
        is_open = any(at <= moment < at + length for at in near)
        assert compiled.contains(moment) == is_open, moment
        hour = moment.replace(minute=0, second=0, microsecond=0)
        touches = any(at < hour + timedelta(hours=1) and hour < at + length for at in near)
        assert compiled.touches_hour(hour) == touches, hour


def test_an_old_rule_costs_no_more_than_a_new_one() -> None:
    """What is long over is not worked out."""
    old = Window(window("FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))), datetime(1901, 1, 1)))  # noqa: DTZ001 - a local clock
    assert old.contains(datetime(2026, 11, 22, 12, 30))  # noqa: DTZ001 - a local clock
    assert len(old._starts) < 24 * 800


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("FREQ=HOURLY", "name hours by BYHOUR"),
        ("FREQ=MINUTELY;INTERVAL=60;BYHOUR=9", "name hours by BYHOUR"),
        ("FREQ=SECONDLY;BYSECOND=61", "from 0 to 59 in BYSECOND"),
        ("FREQ=DAILY;INTERVAL=-1", "from 1 to 1000 in INTERVAL"),
        ("FREQ=DAILY;BYHOUR=25", "from 0 to 23 in BYHOUR"),
        ("FREQ=DAILY;BYMINUTE=60", "from 0 to 59 in BYMINUTE"),
        ("FREQ=DAILY;BYMONTHDAY=32", "in BYMONTHDAY"),
        ("FREQ=DAILY;BYMONTHDAY=0", "without 0 in BYMONTHDAY"),
        ("FREQ=YEARLY;BYMONTH=0", "from 1 to 12 in BYMONTH"),
        ("FREQ=DAILY;COUNT=99999", "from 1 to 10000 in COUNT"),
        ("FREQ=DAILY;COUNT=1,2", "one number in COUNT"),
        ("FREQ=DAILY;INTERVAL=x", "in INTERVAL"),
        ("FREQ=DAILY;FREQ=WEEKLY", "names FREQ twice"),
        ("FREQ=WEEKLY;BYDAY=XX", "no rule of RFC 5545"),
        ("FREQ=DAILY;UNTIL=never", "no rule of RFC 5545"),
        ("BYDAY=MO", "must have FREQ="),
        ("every day", "one rule such as"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes in 40 years"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3", "never comes in 40 years"),
        ("FREQ=DAILY;UNTIL=20190101T000000", "never comes"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=8,12,16", "500 times in a year"),
        ("FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,30", "within the hour"),
    ],
)
def test_rules_that_are_none(rule: str, reason: str) -> None:
    """Each is refused at once, with what to do."""
    with pytest.raises(WindowError, match=reason):
        Window(window(rule, datetime(2020, 1, 1, 9))).check()  # noqa: DTZ001 - a local clock
