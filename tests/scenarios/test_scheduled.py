"""A program version with a start: it decides what happens from then on, whenever that arrives."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.program_pb2 import Program

from tests.conftest import OpenShop
from tests.programs import program, spend, tiers
from tests.proof import prove
from tests.shop import Shop, instant, new_id, refused

START = "2026-01-01T00:00+01:00"
BEFORE = "2025-12-31T23:59:59+01:00"


def starting(at: str, points: int) -> Program:
    """So many points per euro from an instant on."""
    return program(spend(points, 1_00), starts_at=instant(at))


def decided(shop: Shop, member: str, *moments: str) -> list[tuple[int, int]]:
    """Version and points of a sale of 1.00 at each moment, in this order of arrival."""
    sales = [shop.sale(member, 1_00, at=moment) for moment in moments]
    return [(sale.outcome.program_version, sale.receipt.earned_points) for sale in sales]


def test_it_decides_from_its_start_on(open_shop: OpenShop) -> None:
    """To the instant, by when a sale happened and not by when it arrived."""
    shop = open_shop(program(spend(1, 1_00)))
    shop.publish(starting(START, 2))
    member = shop.member()
    assert decided(shop, member, BEFORE, START, "2026-02-01T12:00", BEFORE) == [(1, 1), (2, 2), (2, 2), (1, 1)]
    assert shop.quote(member, 1_00, at=BEFORE).receipt.earned_points == 1
    assert shop.quote(member, 1_00, at=START).receipt.earned_points == 2
    prove(shop, member)


def test_several_starts(open_shop: OpenShop) -> None:
    """The newest version that has begun decides; one without a start replaces all of them."""
    shop = open_shop(program(spend(1, 1_00)))
    shop.publish(starting("2026-01-01T00:00", 2))
    shop.publish(starting("2026-03-01T00:00", 3))
    shop.publish(starting("2026-02-01T00:00", 4))
    member = shop.member()
    moments = [f"2026-0{month}-15T00:00" for month in (1, 2, 3)]
    assert decided(shop, member, "2025-12-15T00:00", *moments) == [(1, 1), (2, 2), (4, 4), (4, 4)]
    shop.publish(program(spend(5, 1_00)))
    assert decided(shop, member, "2025-12-15T00:00", *moments) == [(5, 5)] * 4
    prove(shop, member)


def test_other_servers_and_restarts_know_it(open_shop: OpenShop) -> None:
    """What is read from the log decides as what was published here: a new member's program is looked up by name."""
    shop = open_shop(program(spend(1, 1_00)))
    first = shop.member()
    shop.publish(starting(START, 2))
    assert decided(shop, first, BEFORE, START) == [(1, 1), (2, 2)]
    requests = [shop.sale_request(first, 1_00, at=moment) for moment in (BEFORE, START)]
    assert [shop.record(request).outcome.program_version for request in requests] == [1, 2]
    assert [shop.record(request).outcome.program_version for request in requests] == [1, 2]
    assert shop.enroll(at=BEFORE).outcome.program_version == 1


def test_the_views_follow_the_version_in_force(open_shop: OpenShop) -> None:
    """What is still to earn is by the tiers of the instant asked for."""
    shop = open_shop(program(spend(1, 1_00), tiers=tiers(base=0, top=100)))
    member = shop.member()
    shop.sale(member, 50_00)
    later = Timestamp()
    later.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    shop.publish(program(spend(1, 1_00), tiers=tiers(base=0, top=80), starts_at=later))
    prove(shop, member)
    sale = shop.sale(member, 10_00)
    assert sale.receipt.tier.amount_to_next == 40
    assert sale.outcome.program_version == 1


def test_the_first_version_begins_at_once(open_shop: OpenShop) -> None:
    """Nobody could say what happens until then."""
    shop = open_shop(program())
    new = starting(START, 2)
    new.name = f"programs/p-{new_id()}"
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="program.starts_at"):
        shop.publish(new)


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800])
def test_a_start_is_a_time(open_shop: OpenShop, seconds: int) -> None:
    """From the year 2000 to the year 9999."""
    shop = open_shop(program())
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="program.starts_at"):
        shop.publish(program(starts_at=Timestamp(seconds=seconds)))
