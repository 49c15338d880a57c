"""Notices before expiry, extension, reinstatement and the schedule: X10 to X12 of the scenario book."""

from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.events_pb2 import Event

from ledger.domain.instant import DAY, from_timestamp
from ledger.store.datastore import POINT_LOOKUPS, LedgerDatastore
from projections.views import PostgresViews
from tests.conftest import OpenShop
from tests.programs import MONTH, cashback, end_of, inactivity, pending, program, rolling, spend
from tests.proof import prove
from tests.running import ServerProcess
from tests.shop import Shop, instant, line, refused


def notices(shop: Shop, member: str) -> list[tuple[str, str, int]]:
    """(due, expiry, points) of each notice."""
    found: list[Event] = shop.events(member, "ExpiryNotified")
    return [
        (
            one.expiry_notified.effective_at.ToJsonString(),
            one.expiry_notified.expires_at.ToJsonString(),
            one.expiry_notified.points,
        )
        for one in found
    ]


def test_x10_one_notice_for_each_date(open_shop: OpenShop) -> None:
    """10 days before, program time: sum and date, once, whoever comes first; what is earned later adds none."""
    shop = open_shop(program(expiry=end_of(MONTH), expiry_notice_days=10, time_zone="Asia/Kolkata"))
    member = shop.member()
    shop.sale(member, 30_00, at="2026-03-02T12:00+05:30")
    shop.sale(member, 20_00, at="2026-03-21T23:59:59+05:30")
    assert notices(shop, member) == []
    shop.sale(member, 5_00, at="2026-03-22T00:00+05:30")
    assert notices(shop, member) == [("2026-03-21T18:30:00Z", "2026-03-31T18:30:00Z", 50)]
    shop.sale(member, 5_00, at="2026-03-23T00:00+05:30")
    shop.sale(member, 7_00, at="2026-04-01T00:00+05:30")
    assert len(notices(shop, member)) == 1
    shop.sale(member, 1_00, at="2026-04-25T00:00+05:30")
    assert notices(shop, member)[1:] == [("2026-04-20T18:30:00Z", "2026-04-30T18:30:00Z", 7)]
    prove(shop, member)


def test_x10_the_clock_finds_who_is_due(open_shop: OpenShop, server: ServerProcess) -> None:
    """Those whose notice is due and not recorded, of lots with a date and of lots that follow activity."""
    datastore = LedgerDatastore(server.database_url, options=POINT_LOOKUPS)
    datastore.pool.open()
    views = PostgresViews(datastore)
    found: list[bool] = []
    for policy in (rolling(days=30), inactivity(days=30)):
        shop = open_shop(program(expiry=policy, expiry_notice_days=10, time_zone="UTC"))
        member = shop.member()
        position = shop.sale(member, 30_00, at="2026-01-02T12:00:00Z").outcome.position
        shop.balance(member, min_position=position)
        due = from_timestamp(instant("2026-01-23T00:00"))
        for at in (due - DAY // 24, due + DAY // 12):
            accounts = views.due_notices(at, from_timestamp(instant("2100-01-01T00:00")), 1_000)
            found.append(any(str(account) in member for account in accounts))
        position = shop.sale(member, 1_00, at="2026-01-24T00:00:00Z").outcome.position
        assert len(notices(shop, member)) == 1
        prove(shop, member)
    datastore.close()
    assert found == [False, True] * 2


def test_x11_the_schedule_sums_to_the_balance(open_shop: OpenShop) -> None:
    """When all points have dates, pending ones included."""
    shop = open_shop(program(expiry=rolling(days=30), pending=pending(5), time_zone="UTC"))
    member = shop.member()
    for day, euros in ((1, 30), (1, 12), (9, 5)):
        position = shop.sale(member, euros * 1_00, at=f"2026-01-0{day}T12:00:00Z").outcome.position
    answer = shop.get_balance(member, "2026-01-10T00:00", min_position=position)
    schedule = [(one.expires_at.ToJsonString(), one.points) for one in answer.expiry_schedule]
    assert schedule == [("2026-02-06T00:00:00Z", 42), ("2026-02-14T00:00:00Z", 5)]
    assert sum(points for _, points in schedule) == answer.balance.available_points + answer.balance.pending_points
    prove(shop, member)


def test_points_expire_later(open_shop: OpenShop) -> None:
    """One lot or all; never to an earlier date, never into the past."""
    shop = open_shop(program(expiry=rolling(days=30), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 10_00, at="2026-01-01T12:00:00Z")
    shop.sale(member, 5_00, at="2026-01-03T12:00:00Z")
    assert shop.extend_expiry(member, "2026-03-01T00:00", lot=1, at="2026-01-04T00:00:00Z").points == 10
    assert shop.extend_expiry(member, "2026-02-20T00:00", at="2026-01-04T00:00:00Z").points == 5
    for expires_at in ("2026-02-20T00:00", "2026-01-03T00:00"):
        with refused("NOTHING_TO_EXTEND"):
            shop.extend_expiry(member, expires_at, at="2026-01-04T00:00:00Z")
    left = [
        shop.balance(member, at).available_points
        for at in ("2026-02-19T23:59:59", "2026-02-20T00:00", "2026-02-28T23:59:59", "2026-03-01T00:00")
    ]
    assert left == [15, 10, 10, 0]
    prove(shop, member)


def test_expired_points_come_back(open_shop: OpenShop) -> None:
    """At most what expired, as a new lot, and each only once."""
    shop = open_shop(program(spend(), expiry=rolling(days=30), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 10_00, at="2026-01-01T12:00:00Z")
    with refused("NOT_EXPIRED", expired_points=0):
        shop.reinstate(member, 1, at="2026-01-31T23:00:00Z")
    assert shop.reinstate(member, 7, at="2026-02-02T00:00:00Z").receipt.balance.available_points == 7
    shop.reinstate(member, 3, at="2026-02-02T00:00:00Z", expires_at="2026-02-03T00:00")
    with refused("NOT_EXPIRED", expired_points=0):
        shop.reinstate(member, 1, at="2026-02-02T00:00:00Z")
    assert shop.balance(member, "2026-02-03T00:00").available_points == 7
    prove(shop, member)


def test_x12_lots_keep_their_pairing(open_shop: OpenShop) -> None:
    """The balance is never the unexpired credits less all debits: what was spent came from the lot that is gone."""
    shop = open_shop(program(expiry=rolling(days=30), rewards=[cashback()], time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 100_00, at="2026-01-01T12:00:00Z")
    shop.sale(member, 50_00, at="2026-01-11T12:00:00Z")
    payment = PointsPayment(reward_id="cashback", points=60)
    spent = shop.sale(member, [line(60_00, labels=["none"])], points_payment=payment, at="2026-01-12T12:00:00Z")
    assert spent.receipt.spent_points == 60
    left = [shop.balance(member, at).available_points for at in ("2026-01-31T23:59:59", "2026-02-01T00:00")]
    assert left == [150 - 60 + 60, 50 + 60]
    prove(shop, member)
