"""Conditions that cannot be evaluated: the rule is left out, the sale goes through; it is recorded and counted."""

import re
import urllib.request

import pytest
from loyalty.v1.earning_pb2 import Conditions, LineFilter
from loyalty.v1.pos_service_pb2 import QuoteSaleRequest

from tests.conftest import OpenShop
from tests.members.known import attribute, update
from tests.programs import plus, program, spend, visit
from tests.proof import prove
from tests.running import free_address, running, token
from tests.shop import TIMEOUT_S, Shop, line


def test_a_condition_that_fails_refuses_its_rule_only(open_shop: OpenShop) -> None:
    """It is recorded with the sale."""
    condition = Conditions(expression="'floor' in attributes && int(attributes['floor']) > 1")
    shop = open_shop(program(visit(1, conditions=condition), visit(2, "other")))
    member = shop.member()
    request = shop.sale_request(member, 1_00)
    request.sale.attributes["floor"] = "x"
    assert [award.rule for award in shop.record(request).awards] == ["other"]
    (recorded,) = shop.events(member, "SaleRecorded")
    (failure,) = recorded.sale_recorded.failures
    assert failure.rule == "visit"
    assert "int" in failure.error or "parse" in failure.error.lower()
    request = shop.sale_request(member, 1_00)
    request.sale.attributes["floor"] = "2"
    assert [award.rule for award in shop.record(request).awards] == ["other", "visit"]
    assert shop.sale(member, 1_00).receipt.earned_points == 2
    prove(shop, member)


def test_a_filter_that_fails_is_recorded_once_for_each_rule(open_shop: OpenShop) -> None:
    """Not for each of many lines, or the event would be too long to read."""
    only = LineFilter(expression="int(attributes.floor) > 1")
    shop = open_shop(program(spend(1, 1_00, "upstairs", only=only), spend(), promotions=[plus(1, only=only)]))
    member = shop.member()
    request = shop.sale_request(member, [line(1_00) for _ in range(100)])
    request.sale.attributes["floor"] = "x"
    assert shop.record(request).receipt.earned_points == 100
    (recorded,) = shop.events(member, "SaleRecorded")
    assert [failure.rule for failure in recorded.sale_recorded.failures] == ["upstairs", "plus"]
    prove(shop, member)


@pytest.mark.parametrize("asked", ["duration((member).attributes.note)", "attributes[[member][0].attributes.note]"])
def test_what_failed_never_tells_of_the_person(open_shop: OpenShop, asked: str) -> None:
    """However an expression gets at what is known of a member: events are for ever."""
    reads = plus(1, "reads", conditions=Conditions(expression="member.attributes.note != 'x'"))
    hides = plus(1, "hides", conditions=Conditions(expression=f"sale.total_minor > 500 && {asked} != null"))
    shop = open_shop(program(spend(), promotions=[reads, hides], attributes=[attribute("note")]))
    member = shop.member()
    update(shop, member, attributes={"note": "Geheimnis"})
    shop.sale(member, 10_00)
    (recorded,) = shop.events(member, "SaleRecorded")
    assert [failure.rule for failure in recorded.sale_recorded.failures] == ["hides"]
    assert b"Geheimnis" not in recorded.SerializeToString()


def test_failures_are_counted(database_url: str) -> None:
    """By program, once for each rule of what was recorded: neither quotes nor repetitions count."""
    metrics = free_address()
    with running(database_url, LOYALTY_METRICS_ADDRESS=metrics) as server, server.channel() as channel:
        condition = Conditions(expression="int(attributes.floor) > 1")
        rules = program(spend(), visit(1, conditions=condition), visit(1, "again", conditions=condition))
        shop, other = (Shop(channel, token(database_url), each) for each in (rules, program()))
        member = shop.member()
        assert counted(metrics) == {}
        request = shop.sale_request(member, 1_00)
        request.sale.attributes["floor"] = "x"
        shop.pos.QuoteSale(QuoteSaleRequest(sale=request), metadata=shop.metadata, timeout=TIMEOUT_S)
        assert counted(metrics) == {}
        for _ in range(2):
            shop.record(request)
        assert counted(metrics) == {shop.program: 2}
        request = shop.sale_request(member, 1_00)
        request.sale.attributes["floor"] = "2"
        shop.record(request)
        other.sale(other.member(), 1_00)
        assert counted(metrics) == {shop.program: 2}
        prove(shop, member)


def counted(metrics_address: str) -> dict[str, int]:
    """Conditions that failed, by program."""
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=TIMEOUT_S) as reply:
        text = reply.read().decode()
    found = re.findall(r'^loyalty_condition_failures_total\{program="(\S+)"\} (\S+)$', text, re.MULTILINE)
    return {name: int(float(number)) for name, number in found}
