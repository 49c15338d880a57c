"""What is large but allowed is written, answered and read; what could not be read is refused before it is written."""

import grpc
import pytest
from loyalty.v1.earning_pb2 import Basis
from loyalty.v1.program_pb2 import Program

from tests.conftest import OpenShop
from tests.programs import program, spend
from tests.shop import Details, line

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def many_rules(count: int) -> Program:
    """Rules that each name every line that they counted."""
    basis = Basis.BASIS_BEFORE_DISCOUNT
    return program(*(spend(rule_id=f"rule-{number}", basis=basis) for number in range(count)))


def test_a_sale_of_too_many_bytes_is_refused(open_shop: OpenShop) -> None:
    """500 lines with 50 labels each, in full length."""
    shop = open_shop(program())
    member = shop.member()
    labels = [f"{number:0100}" for number in range(50)]
    with pytest.raises(grpc.RpcError) as caught:
        shop.sale(member, [line(1_00, labels=labels) for _ in range(500)])
    details = Details(caught.value)
    assert (details.code, details.fields) == (INVALID, ["sale"])
    assert shop.sale(member, [line(1_00, labels=labels) for _ in range(50)]).receipt.earned_points == 50


def test_a_sale_that_too_many_rules_count_is_refused(open_shop: OpenShop) -> None:
    """More parts than an event can hold are named as what they are, and nothing is written."""
    shop = open_shop(many_rules(500))
    member = shop.member()
    with pytest.raises(grpc.RpcError) as caught:
        shop.sale(member, [line(1_00) for _ in range(500)])
    details = Details(caught.value)
    assert (details.code, details.fields) == (INVALID, ["sale.lines"])
    assert shop.sale(member, [line(1_00) for _ in range(300)]).receipt.earned_points == 500 * 300
    assert len(shop.events(member, "SaleRecorded")) == 1


def test_results_of_a_batch_fit_into_a_message(open_shop: OpenShop) -> None:
    """Awards that would make the answer too long are left out; each transaction still has its own."""
    shop = open_shop(many_rules(50))
    member = shop.member()
    sales = [shop.sale_request(member, [line(1_00) for _ in range(200)]) for _ in range(40)]
    results = shop.batch(*sales)
    assert [result.record_sale.receipt.earned_points for result in results] == [50 * 200] * 40
    assert not any(result.record_sale.awards for result in results)
    (event,) = shop.transaction(results[0].record_sale.outcome.transaction).events
    assert len(event.sale_recorded.awards) == 50
