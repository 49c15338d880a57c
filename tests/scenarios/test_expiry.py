"""Expiry and balance: X1 to X3 and X5 to X8 of the scenario book.

Every deadline here lies in the past, and no job records it: what is right is right without one.
"""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.expiry_pb2 import ExpiryPolicy

from tests.conftest import OpenShop
from tests.programs import (
    MONTH,
    NEVER,
    QUARTER,
    YEAR,
    cashback,
    discount,
    end_of,
    fixed_date,
    inactivity,
    program,
    rolling,
)
from tests.proof import fold, prove
from tests.shop import Shop, instant, refused

BERLIN = "Europe/Berlin"
KOLKATA = "Asia/Kolkata"
LOS_ANGELES = "America/Los_Angeles"
EXPIRED = "PointsExpired"


def just_before(text: str) -> str:
    """The last microsecond before an instant."""
    moment = datetime.fromisoformat(text).astimezone(UTC) - timedelta(microseconds=1)
    return moment.isoformat()


def expiries(shop: Shop, member: str) -> list[tuple[int, str]]:
    """The recorded expiries: how many points, and the instant of effect."""
    return [
        (
            sum(part.points for part in event.points_expired.allocations),
            event.points_expired.effective_at.ToDatetime(UTC).isoformat(),
        )
        for event in shop.events(member, EXPIRED)
    ]


def check_expiry(open_shop: OpenShop, policy: ExpiryPolicy, zone: str, earned: str, gone: str) -> None:
    """Points earned at one instant are there until the microsecond before the other, and gone at it."""
    shop = open_shop(program(expiry=policy, time_zone=zone))
    member = shop.member()
    receipt = shop.sale(member, 70_00, at=earned).receipt
    assert receipt.balance.next_expiry.points == 70
    assert receipt.balance.next_expiry.expires_at == instant(gone)
    assert shop.balance(member, just_before(gone)).available_points == 70
    assert shop.balance(member, gone).available_points == 0
    assert not shop.balance(member, gone).HasField("next_expiry")
    assert shop.events(member, EXPIRED) == []
    assert prove(shop, member).available_points == 0


@pytest.mark.parametrize(
    ("zone", "after", "earned", "gone"),
    [
        (BERLIN, 12, "2020-07-06T12:00+02:00", "2021-08-01T00:00+02:00"),
        (KOLKATA, 12, "2020-07-06T12:00+05:30", "2021-08-01T00:00+05:30"),
        # In Kolkata it is July already.
        (KOLKATA, 12, "2020-06-30T18:30+00:00", "2021-08-01T00:00+05:30"),
        (KOLKATA, 12, "2020-06-30T18:29:59+00:00", "2021-07-01T00:00+05:30"),
        (BERLIN, 1, "2024-01-31T23:59:59+01:00", "2024-03-01T00:00+01:00"),
        (BERLIN, 18, "2022-08-15T08:00+02:00", "2024-03-01T00:00+01:00"),
    ],
)
def test_x1_months_then_end_of_month(open_shop: OpenShop, zone: str, after: int, earned: str, gone: str) -> None:
    """Points are valid through the end of the month that lies so many months ahead, in program time."""
    check_expiry(open_shop, end_of(MONTH, months=after), zone, earned, gone)


@pytest.mark.parametrize(
    ("policy", "zone", "earned", "gone"),
    [
        (end_of(MONTH), BERLIN, "2024-01-22T10:00+01:00", "2024-02-01T00:00+01:00"),
        (end_of(MONTH), LOS_ANGELES, "2024-02-29T23:59-08:00", "2024-03-01T00:00-08:00"),
        (end_of(QUARTER), BERLIN, "2024-01-22T10:00+01:00", "2024-04-01T00:00+02:00"),
        (end_of(QUARTER), KOLKATA, "2023-12-31T23:00+05:30", "2024-01-01T00:00+05:30"),
        (end_of(YEAR), BERLIN, "2018-03-03T10:00+01:00", "2019-01-01T00:00+01:00"),
        (end_of(YEAR), LOS_ANGELES, "2018-12-31T23:59:59-08:00", "2019-01-01T00:00-08:00"),
        (end_of(YEAR, years=2), KOLKATA, "2019-01-01T00:00+05:30", "2022-01-01T00:00+05:30"),
    ],
)
def test_x2_end_of_calendar_unit(open_shop: OpenShop, policy: ExpiryPolicy, zone: str, earned: str, gone: str) -> None:
    """Points are gone at the first instant of the next month, quarter or year, in program time."""
    check_expiry(open_shop, policy, zone, earned, gone)


@pytest.mark.parametrize(
    ("policy", "zone", "earned", "gone"),
    [
        (rolling(months=1), BERLIN, "2024-01-25T09:00+01:00", "2024-02-26T00:00+01:00"),
        (rolling(months=1), BERLIN, "2024-01-31T09:00+01:00", "2024-03-01T00:00+01:00"),
        (rolling(months=1), BERLIN, "2023-01-31T09:00+01:00", "2023-03-01T00:00+01:00"),
        (rolling(months=1), KOLKATA, "2023-03-31T00:00+05:30", "2023-05-01T00:00+05:30"),
        (rolling(months=13), BERLIN, "2023-01-30T09:00+01:00", "2024-03-01T00:00+01:00"),
        (rolling(years=1), BERLIN, "2020-02-29T09:00+01:00", "2021-03-01T00:00+01:00"),
        (rolling(years=4), BERLIN, "2020-02-29T09:00+01:00", "2024-03-01T00:00+01:00"),
        (rolling(days=1), BERLIN, "2024-03-30T23:30+01:00", "2024-04-01T00:00+02:00"),
        (rolling(days=90), LOS_ANGELES, "2024-01-01T00:00-08:00", "2024-04-01T00:00-07:00"),
    ],
)
def test_x3_rolling_and_clamped(open_shop: OpenShop, policy: ExpiryPolicy, zone: str, earned: str, gone: str) -> None:
    """Points are valid through the day that lies the period ahead, or that month's last day."""
    check_expiry(open_shop, policy, zone, earned, gone)


@pytest.mark.parametrize(
    ("day", "earned", "gone"),
    [
        ((6, 30), "2023-07-01T00:00+02:00", "2024-07-01T00:00+02:00"),
        ((6, 30), "2023-06-30T23:59+02:00", "2023-07-01T00:00+02:00"),
        ((2, 29), "2023-01-10T12:00+01:00", "2023-03-01T00:00+01:00"),
        ((2, 29), "2024-02-29T12:00+01:00", "2024-03-01T00:00+01:00"),
        ((12, 31), "2023-01-10T12:00+01:00", "2024-01-01T00:00+01:00"),
    ],
)
def test_fixed_date(open_shop: OpenShop, day: tuple[int, int], earned: str, gone: str) -> None:
    """Points are valid through the next such day of a year, the day of the sale included."""
    check_expiry(open_shop, fixed_date(*day), BERLIN, earned, gone)


@pytest.mark.parametrize("is_reversed", [True, False])
def test_day_that_begins_within_an_hour(open_shop: OpenShop, *, is_reversed: bool) -> None:
    """In Kolkata midnight is at half past by UTC: sales on both sides of it differ, whichever came first."""
    shop = open_shop(program(expiry=rolling(days=1), time_zone=KOLKATA))
    sides = [
        ("2024-05-01T18:15+00:00", "2024-05-03T00:00+05:30"),
        ("2024-05-01T18:45+00:00", "2024-05-04T00:00+05:30"),
    ]
    for earned, gone in reversed(sides) if is_reversed else sides:
        receipt = shop.sale(shop.member(), 5_00, at=earned).receipt
        assert receipt.balance.next_expiry.expires_at == instant(gone)


def test_inactivity(open_shop: OpenShop) -> None:
    """A sale or redemption moves the expiry of all points; a refusal, an adjustment or an older sale does not."""
    shop = open_shop(program(expiry=inactivity(months=1), rewards=[discount(10)]))
    member = shop.member()

    def next_expiry() -> str:
        balance = shop.balance(member, "2024-01-20T12:00+01:00")
        return balance.next_expiry.expires_at.ToDatetime(UTC).isoformat()

    shop.sale(member, 50_00, at="2024-01-10T12:00+01:00")
    assert next_expiry() == "2024-02-10T23:00:00+00:00"
    shop.sale(member, 20_00, at="2024-01-15T12:00+01:00")
    assert next_expiry() == "2024-02-15T23:00:00+00:00"
    older = shop.sale(member, 1_00, at="2024-01-12T12:00+01:00").receipt.balance.next_expiry
    assert (older.points, older.expires_at) == (71, instant("2024-02-15T23:00"))
    shop.adjust(member, 9, at="2024-01-16T12:00+01:00")
    with refused("INSUFFICIENT_POINTS", available_points=80, needed_points=90):
        shop.reserve(member, "discount", 9, at="2024-01-17T12:00+01:00")
    hold = shop.reserve(member, "discount", at="2024-01-18T12:00+01:00").hold
    assert next_expiry() == "2024-02-15T23:00:00+00:00"
    shop.commit(hold, at="2024-01-18T12:05+01:00")
    assert next_expiry() == "2024-02-18T23:00:00+00:00"
    assert shop.balance(member, "2024-02-18T22:59:59").available_points == 70
    assert shop.balance(member, "2024-02-18T23:00:00").available_points == 0
    with refused("INSUFFICIENT_POINTS", available_points=0):
        shop.reserve(member, "discount", at="2024-03-01T00:00")
    assert expiries(shop, member) == [(70, "2024-02-18T23:00:00+00:00")]
    assert prove(shop, member).available_points == 0


def test_inactivity_of_points_given_back(open_shop: OpenShop) -> None:
    """Points that were away while the member was active come back with the expiry that the others have by now."""
    shop = open_shop(
        program(
            expiry=inactivity(days=10),
            time_zone="UTC",
            rewards=[discount(5), cashback(1)],
            hold_timeout=Duration(seconds=30 * 86_400),
        )
    )
    member = shop.member()
    shop.sale(member, 50_00, at="2024-01-10T12:00")
    hold = shop.reserve(member, "discount", at="2024-01-10T12:01").hold
    payment = PointsPayment(reward_id="cashback", points=8)
    spent = shop.sale(member, 50, at="2024-01-11T12:00", points_payment=payment)
    shop.sale(member, 20_00, at="2024-01-15T12:00")
    for receipt, points in (
        (shop.release(hold, at="2024-01-16T12:00").receipt, 62),
        (shop.give_back(spent.outcome.transaction, at="2024-01-16T12:01").receipt, 70),
    ):
        expiry = receipt.balance.next_expiry
        assert (expiry.points, expiry.expires_at) == (points, instant("2024-01-26T00:00"))
    shown = shop.balance(member, "2024-01-25T23:59:59").next_expiry
    assert (shown.points, shown.expires_at) == (70, instant("2024-01-26T00:00"))
    assert prove(shop, member).available_points == 0


@pytest.mark.parametrize(("spent", "left"), [(120, (0, 80)), (100, (0, 100)), (30, (70, 100))])
def test_x5_soonest_expiring_first(open_shop: OpenShop, spent: int, left: tuple[int, int]) -> None:
    """Points that expire sooner are spent first, though they were earned later."""
    shop = open_shop(program(expiry=fixed_date(6, 30)))
    member = shop.member()
    shop.sale(member, 100_00, at="2024-01-10T12:00+01:00")
    shop.publish(program(expiry=fixed_date(3, 31)))
    shop.sale(member, 100_00, at="2024-02-10T12:00+01:00")
    shop.adjust(member, -spent, at="2024-03-01T12:00+01:00")
    ends = ("2024-04-01T00:00+02:00", "2024-07-01T00:00+02:00")
    before = shop.balance(member, just_before(ends[0]))
    assert before.available_points == sum(left)
    assert before.next_expiry.points == (left[0] or left[1])
    assert before.next_expiry.expires_at == instant(ends[0] if left[0] else ends[1])
    assert shop.balance(member, ends[0]).available_points == left[1]
    assert shop.balance(member, ends[1]).available_points == 0
    assert prove(shop, member).available_points == 0


def test_x5_then_the_older_lot(open_shop: OpenShop) -> None:
    """Of lots that expire together the older one is spent first; the allocation is recorded."""
    shop = open_shop(program(expiry=end_of(YEAR)))
    member = shop.member()
    for day in ("2024-03-01", "2024-02-01", "2024-01-01"):
        shop.sale(member, 10_00, at=f"{day}T12:00")
    shop.adjust(member, -25, at="2024-04-01T12:00")
    (event,) = shop.events(member, "PointsAdjusted")
    taken = [(part.lot, part.points) for part in event.points_adjusted.allocations]
    assert taken == [(1, 10), (2, 10), (3, 5)]
    assert fold(shop, member).lots[0].points == 5


@pytest.mark.parametrize(("earned", "used"), [(100, 0), (100, 60), (100, 100), (7, 3)])
def test_x6_what_is_left_expires_once(open_shop: OpenShop, earned: int, used: int) -> None:
    """What is left of a lot expires, nothing of a spent one, and asking time and again changes nothing."""
    shop = open_shop(program(expiry=end_of(MONTH), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, earned * 100, at="2024-01-22T12:00")
    if used:
        shop.adjust(member, -used, at="2024-01-23T12:00")
    assert shop.balance(member, "2024-01-31T23:59:59.999999").available_points == earned - used
    assert shop.balance(member, "2024-02-01T00:00").available_points == 0
    for hour in ("00", "01", "02"):
        with refused("INSUFFICIENT_POINTS", available_points=0, needed_points=1):
            shop.adjust(member, -1, at=f"2024-02-01T{hour}:00")
    left = earned - used
    assert expiries(shop, member) == ([(left, "2024-02-01T00:00:00+00:00")] if left else [])
    assert prove(shop, member).available_points == 0


@pytest.mark.parametrize("policy", [NEVER, ExpiryPolicy()])
def test_x6_never(open_shop: OpenShop, policy: ExpiryPolicy) -> None:
    """Points without a date never expire."""
    shop = open_shop(program(expiry=policy))
    member = shop.member()
    receipt = shop.sale(member, 100_00, at="2001-01-01T00:00").receipt
    assert not receipt.balance.HasField("next_expiry")
    assert shop.balance(member, "9999-12-31T00:00").available_points == 100
    assert prove(shop, member).available_points == 100


@pytest.mark.parametrize(("first", "second", "spent"), [(300, 200, 200), (1, 1, 2), (50, 0, 20)])
def test_x7_nothing_left_to_spend(open_shop: OpenShop, first: int, second: int, spent: int) -> None:
    """Once all lots have expired, spending one point is refused, however much was spent before."""
    shop = open_shop(program(expiry=rolling(days=10), rewards=[cashback(), discount(1)]))
    member = shop.member()
    shop.sale(member, first * 100, at="2024-01-01T12:00")
    shop.sale(member, second * 100, at="2024-01-05T12:00")
    shop.adjust(member, -spent, at="2024-01-06T12:00")
    assert shop.balance(member, "2024-01-06T12:00").available_points == first + second - spent
    with refused("INSUFFICIENT_POINTS", available_points=0, needed_points=1):
        shop.reserve(member, "discount", at="2024-01-16T12:00")
    assert sum(points for points, _ in expiries(shop, member)) == first + second - spent
    assert prove(shop, member).available_points == 0


@pytest.mark.parametrize(
    ("zone", "earned", "deadline", "late"),
    [
        (BERLIN, "2024-01-22T10:00+01:00", "2024-01-31T23:00:00+00:00", "2024-02-01T05:00+00:00"),
        (KOLKATA, "2024-02-22T10:00+05:30", "2024-02-29T18:30:00+00:00", "2024-03-01T00:30+00:00"),
    ],
)
def test_x8_late_job(open_shop: OpenShop, zone: str, earned: str, deadline: str, late: str) -> None:
    """No job ran for hours: balance and redemption know the deadline anyway, and so does the event later."""
    shop = open_shop(program(expiry=end_of(MONTH), time_zone=zone, rewards=[discount(5)]))
    member = shop.member()
    shop.sale(member, 40_00, at=earned)
    for asked in (deadline, late):
        assert shop.balance(member, asked).available_points == 0
    assert shop.events(member, EXPIRED) == []
    with refused("INSUFFICIENT_POINTS", available_points=0, needed_points=5):
        shop.reserve(member, "discount", at=late)
    assert expiries(shop, member) == [(40, deadline)]
    kinds = [event.WhichOneof("event") for event in shop.events(member)]
    assert kinds == ["member_enrolled", "sale_recorded", "points_expired", "command_refused"]
    # What was true before the deadline stays true now that it is recorded.
    assert shop.balance(member, just_before(deadline)).available_points == 40
    assert shop.balance(member, deadline).available_points == 0
    assert prove(shop, member).available_points == 0


def test_x8_each_deadline_is_recorded_by_itself(open_shop: OpenShop) -> None:
    """Several deadlines that passed unnoticed become as many events, each with its own moment of effect."""
    shop = open_shop(program(expiry=end_of(MONTH), time_zone="UTC"))
    member = shop.member()
    for month in ("03", "01", "02"):
        shop.sale(member, int(month) * 1_00, at=f"2024-{month}-10T12:00")
    sale = shop.sale(member, 9_00, at="2024-05-10T12:00")
    assert sale.receipt.balance.available_points == 9
    assert expiries(shop, member) == [
        (1, "2024-02-01T00:00:00+00:00"),
        (2, "2024-03-01T00:00:00+00:00"),
        (3, "2024-04-01T00:00:00+00:00"),
    ]
    assert prove(shop, member).available_points == 0


def test_x8_a_deadline_belongs_to_no_transaction(open_shop: OpenShop) -> None:
    """An expiry is caused by time, not by the command that happened to record it."""
    shop = open_shop(program(expiry=end_of(MONTH)))
    member = shop.member()
    shop.sale(member, 5_00, at="2024-01-10T12:00")
    shop.sale(member, 5_00, at="2024-03-10T12:00")
    assert [event.transaction for event in shop.events(member, EXPIRED)] == [""]


def test_x8_a_sale_later_than_its_points(open_shop: OpenShop) -> None:
    """A sale that is uploaded after its points' deadline earns them, and they are gone; each expiry comes once."""
    shop = open_shop(program(expiry=end_of(MONTH), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 5_00, at="2024-01-10T12:00")
    shop.sale(member, 6_00, at="2024-02-10T12:00")
    late = shop.sale(member, 7_00, at="2024-01-12T12:00")
    assert late.receipt.earned_points == 7
    assert late.receipt.balance.available_points == 7 + 6
    assert shop.balance(member, "2024-01-31T12:00").available_points == 5 + 7 + 6
    assert shop.balance(member, "2024-02-10T12:00").available_points == 6
    shop.sale(member, 8_00, at="2024-03-10T12:00")
    assert expiries(shop, member) == [
        (5, "2024-02-01T00:00:00+00:00"),
        (7, "2024-02-01T00:00:00+00:00"),
        (6, "2024-03-01T00:00:00+00:00"),
    ]
    assert prove(shop, member).available_points == 0
