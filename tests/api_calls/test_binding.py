"""What a credential is bound to, what currency a program has, and who adjusts."""

import grpc
import pytest
from loyalty.v1.commands_pb2 import AdjustPointsRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.pos_service_pb2 import GetBalanceRequest

from tests.conftest import OpenShop
from tests.programs import program
from tests.running import ServerProcess, token
from tests.shop import TIMEOUT_S, Details, Shop, line, new_id, refused


def bound_till(channel: grpc.Channel, server: ServerProcess, shop: Shop) -> Shop:
    """A till whose credential is bound to a shop's program."""
    till = Shop(channel, token(server.database_url, "pos", program=shop.program))
    till.program = shop.program
    return till


@pytest.mark.parametrize("currency", ["USD", "JPY"])
def test_another_currency_is_refused(open_shop: OpenShop, currency: str) -> None:
    """A sale in another currency than the program's is a bad field, for sale and quote, and nothing is written."""
    shop = open_shop(program())
    member = shop.member()
    for call, path in ((shop.sale, "sale.currency"), (shop.quote, "sale.sale.currency")):
        with pytest.raises(grpc.RpcError) as caught:
            call(member, 100_00, currency=currency)
        details = Details(caught.value)
        assert (details.code, details.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [path])
    assert shop.sale(member, 100_00, currency="EUR").receipt.payable_minor == 100_00
    assert len(shop.events(member, "SaleRecorded")) == 1


def test_a_bound_till_stays_in_its_program(channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop) -> None:
    """A till of one program cannot sell to, look at or enrol into another, and is not told who is a member there."""
    mine, other = open_shop(program()), open_shop(program())
    till = bound_till(channel, server, mine)
    stranger = other.member()
    assert till.sale(till.member(), [line(10_00)]).outcome.position > 0
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        till.sale(stranger, 10_00)
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        balance(till, stranger)
    with refused("NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
        enroll_into(till, other.program)


def balance(till: Shop, member: str) -> object:
    """Asks for a balance."""
    request = GetBalanceRequest(member=member)
    return till.pos.GetBalance(request, metadata=till.metadata, timeout=TIMEOUT_S)


def enroll_into(till: Shop, name: str) -> object:
    """Enrols into a program by name."""
    own, till.program = till.program, name
    try:
        return till.enroll([Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value="12345678")])
    finally:
        till.program = own


def test_an_adjustment_names_its_actor(open_shop: OpenShop, admin_token: str) -> None:
    """Without an operator, the credential is the actor; with one, the operator is."""
    shop = open_shop(program())
    member = shop.member()
    shop.adjust(member, 5)
    (event,) = shop.events(member, "PointsAdjusted")
    assert event.points_adjusted.origin.operator == "op-7"
    bare = AdjustPointsRequest(request_id=new_id(), member=member, points=5, reason="test")
    shop.programs.AdjustPoints(bare, metadata=shop.metadata, timeout=TIMEOUT_S)
    adjusted = shop.events(member, "PointsAdjusted")[-1].points_adjusted
    assert admin_token.startswith(f"{adjusted.origin.operator}.")
