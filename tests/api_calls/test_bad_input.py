"""What tills get wrong about clocks and texts, at the API. Every single field is in tests/api/test_check.py."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from loyalty.v1.pos_service_pb2 import GetBalanceRequest

from tests.conftest import OpenShop
from tests.programs import program, rolling
from tests.shop import TIMEOUT_S, Shop, instant, line, new_id, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
BEFORE_ALL_TIME = "1969-12-31T23:59:59"

WRONG: dict[str, Callable[[Shop, str], Any]] = {
    "origin.occurred_at": lambda shop, member: shop.sale_request(member, 1_00, at=BEFORE_ALL_TIME),
    "sale.lines[0].sku": lambda shop, member: shop.sale_request(member, [line(1_00, "a\0b")]),
    "member": lambda shop, member: shop.sale_request(f"{member}\0", 1_00),
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_field_is_named_and_nothing_written(open_shop: OpenShop, field: str) -> None:
    """A clock of 1969 and a NUL are refused by their field, in a call and in a batch, where the others go on."""
    shop = open_shop(program())
    member = shop.member()
    request = WRONG[field](shop, member)
    with refused("INVALID_FIELD", INVALID, field=field):
        shop.record(request)
    wrong, right = shop.batch(request, shop.sale_request(member, 5_00))
    assert [violation.field for violation in wrong.error.field_violations] == [field]
    assert right.record_sale.receipt.balance.available_points == 5
    assert len(shop.events(member, "SaleRecorded")) == 1
    with refused("TRANSACTION_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        shop.transaction(f"transactions/{request.request_id}")


def test_reads_of_a_time_before_all_time(open_shop: OpenShop) -> None:
    """Nor can anything be asked about 1969."""
    shop = open_shop(program())
    request = GetBalanceRequest(member=f"members/{new_id()}", as_of=instant(BEFORE_ALL_TIME))
    with refused("INVALID_FIELD", INVALID, field="as_of"):
        shop.pos.GetBalance(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def test_an_hour_that_comes_twice_is_two_hours(open_shop: OpenShop) -> None:
    """The API takes instants, never local times, so the hour before the clock goes back is not the one after."""
    shop = open_shop(program(expiry=rolling(days=1), time_zone="Europe/Berlin"))
    member = shop.member()
    twice = ("2024-10-27T02:30+02:00", "2024-10-27T02:30+01:00")
    sales = [shop.sale(member, 10_00, at=at, till=number) for number, at in enumerate(twice, 1)]
    events = shop.events(member, "SaleRecorded")
    assert [event.sale_recorded.origin.occurred_at for event in events] == [instant(at) for at in twice]
    assert instant(twice[1]).seconds - instant(twice[0]).seconds == 3_600
    for sale in sales:  # both are of the 27th, and so are gone with the 28th
        assert sale.receipt.balance.next_expiry.expires_at == instant("2024-10-29T00:00+01:00")
