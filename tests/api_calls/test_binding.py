"""What a credential is bound to, what currency a program has, and who adjusts."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from loyalty.v1.commands_pb2 import AdjustPointsRequest
from loyalty.v1.crm_service_pb2 import ListStatementEntriesRequest, StatementEntry
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.pos_service_pb2 import GetBalanceRequest
from loyalty.v1.program_pb2 import ReturnPolicy, UnknownSale
from loyalty.v1.program_service_pb2 import GetProgramRequest

from ledger.store.credentials import Role
from tests.conftest import OpenShop
from tests.programs import discount, program
from tests.proof import prove
from tests.running import ServerProcess, token
from tests.shop import TIMEOUT_S, Details, Shop, line, new_id, refused

DENIED = grpc.StatusCode.PERMISSION_DENIED
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def bound_till(channel: grpc.Channel, server: ServerProcess, shop: Shop, role: Role = "pos") -> Shop:
    """A till, or somebody else, whose credential is bound to a shop's program."""
    till = Shop(channel, token(server.database_url, role, program=shop.program))
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


def test_a_bound_credential_sees_transactions_of_its_program_only(
    channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop
) -> None:
    """Another program's sale, enrolment or version is not found; its own are, and so is its reversal that waits."""
    mine, other = open_shop(program()), open_shop(program())
    till = bound_till(channel, server, mine)
    member = till.member()
    own = [till.enroll().outcome.transaction, till.sale(member, 10_00).outcome.transaction]
    own.append(mine.publish(program()).outcome.transaction)
    own.append(till.reverse(original_request_id=new_id()).outcome.transaction)
    for name in own:
        assert till.transaction(name).events
    stranger = other.enroll()
    foreign = [stranger.outcome.transaction, other.sale(stranger.member, 10_00).outcome.transaction]
    foreign.append(other.publish(program()).outcome.transaction)
    for name in foreign:
        assert mine.transaction(name).events, "an unbound credential sees it"
        with refused("TRANSACTION_NOT_FOUND", NOT_FOUND, transaction=name):
            till.transaction(name)


def test_a_request_id_of_another_program_tells_nothing(
    channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop
) -> None:
    """A bound till that repeats another program's command, word for word, learns only that the id is taken."""
    mine, other = open_shop(program()), open_shop(program(rewards=[discount(5)]))
    till, theirs = bound_till(channel, server, mine), bound_till(channel, server, other)
    theirs.terminal = till.terminal
    stranger = theirs.member()
    commands: list[Callable[[Shop], object]] = []

    def add(command: Callable[[Shop], object]) -> Any:
        commands.append(command)
        return command(theirs)

    at = "2024-01-10T12:00"
    ids = [new_id() for _ in range(5)]
    with refused("INSUFFICIENT_POINTS"):
        add(lambda shop: shop.reserve(stranger, "discount", request_id=ids[0], at=at))
    sale = add(lambda shop: shop.sale(stranger, 10_00, request_id=ids[1], at=at)).outcome.transaction
    hold = add(lambda shop: shop.reserve(stranger, "discount", request_id=ids[2])).hold
    add(lambda shop: shop.commit(hold, request_id=ids[3]))
    add(lambda shop: shop.give_back(sale, request_id=ids[4]))
    assert commands[1](theirs).outcome.replayed, "to its own program it is a retry"  # type: ignore[attr-defined]  # a reply
    for request_id, command in zip(ids, commands, strict=True):
        told = {"field": "request_id", "transaction": f"transactions/{request_id}"}
        with pytest.raises(grpc.RpcError) as caught:
            command(till)
        details = Details(caught.value)
        assert (details.reason, details.code) == ("REQUEST_ID_REUSED", INVALID)
        assert dict(details.info.metadata) == told
        (item,) = till.batch(till.sale_request(till.member(), 10_00, request_id=request_id))
        assert dict(item.error.metadata) == told
    twice = till.sale_request(till.member(), 10_00)
    assert [item.record_sale.outcome.replayed for item in till.batch(twice, twice)] == [False, True]


def test_a_bound_credential_reads_its_program_only(
    channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop
) -> None:
    """Statements and versions of another program are not found; what shows the whole log is not for it."""
    mine, other = open_shop(program()), open_shop(program())
    crm = bound_till(channel, server, mine, "crm")
    auditor = bound_till(channel, server, mine, "auditor")
    member, stranger = mine.member(), other.member()
    head = mine.head()
    assert statement(mine, stranger, head) == statement(crm, member, head), "both have one, of nothing so far"
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        statement(crm, stranger, head)
    for name in (mine.program, other.program):
        assert mine.programs.GetProgram(GetProgramRequest(name=name), metadata=mine.metadata).program.name == name
    with refused("PROGRAM_NOT_FOUND", NOT_FOUND, program=other.program):
        crm.programs.GetProgram(GetProgramRequest(name=other.program), metadata=crm.metadata, timeout=TIMEOUT_S)
    with refused("NOT_ALLOWED", DENIED):
        auditor.events(mine.member())


def statement(crm: Shop, member: str, min_position: int) -> list[StatementEntry]:
    """The entries of a statement."""
    request = ListStatementEntriesRequest(member=member, min_position=min_position)
    return list(crm.crm.ListStatementEntries(request, metadata=crm.metadata, timeout=TIMEOUT_S).entries)


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


def test_a_bound_till_enrols_with_identifiers_of_its_program(
    channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop
) -> None:
    """An identifier of another program is a bad field: it would lead that program's tills into this one."""
    mine, other = open_shop(program()), open_shop(program())
    till = bound_till(channel, server, mine)
    card = Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value="4006381333931", program=other.program)
    other.enroll([card])
    for name in ("", mine.program):
        till.program = name
        with pytest.raises(grpc.RpcError) as caught:
            till.enroll([Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value="1234"), card])
        details = Details(caught.value)
        assert (details.code, details.fields) == (INVALID, ["identifiers[1].program"])


@pytest.mark.parametrize("policy", [UnknownSale.UNKNOWN_SALE_WAIT, UnknownSale.UNKNOWN_SALE_REFUSE])
def test_a_sale_of_another_program_is_unknown(
    channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop, policy: UnknownSale.ValueType
) -> None:
    """A till that returns it gets what it gets for a sale that nobody made; in its own program it is told more."""
    mine, other = open_shop(program(returns=ReturnPolicy(unknown_sale=policy))), open_shop(program())
    till = bound_till(channel, server, mine)
    member = till.member()
    foreign = other.sale(other.member(), 10_00).outcome.transaction
    answers = []
    for transaction in (foreign, f"transactions/{new_id()}"):
        try:
            back = till.give_back(transaction, ["1"], member=member, at="2026-03-02T12:00")
            back.ClearField("outcome")
            answers.append(str(back))
        except grpc.RpcError as error:
            answers.append(f"{Details(error).code} {Details(error).reason}")
    assert answers[0] == answers[1]
    with refused("SALE_OF_OTHER_MEMBER"):
        till.give_back(till.sale(till.member(), 10_00).outcome.transaction, ["1"], member=member)
    assert other.give_back(foreign, ["1"]).receipt.clawed_back_points == 10
    prove(mine, member)


def test_a_hold_of_another_program_is_unknown(
    channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop
) -> None:
    """To commit or release it says the same as to do so with one that nobody has."""
    mine, other = open_shop(program()), open_shop(program(rewards=[discount(5)]))
    till = bound_till(channel, server, mine)
    stranger = other.member()
    other.adjust(stranger, 10)
    hold = other.reserve(stranger, "discount").hold
    for call in (till.commit, till.release):
        said = []
        for name in (hold, hold.rpartition("/")[0] + f"/{new_id()}"):
            with pytest.raises(grpc.RpcError) as caught:
                call(name)
            said.append((Details(caught.value).code, Details(caught.value).reason))
        assert said[0] == said[1]
    other.commit(hold)


def test_a_bound_till_reverses_nothing_of_another_program(
    channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop
) -> None:
    """What it would reverse there does not exist for it."""
    mine, other = open_shop(program()), open_shop(program())
    till = bound_till(channel, server, mine)
    sale = other.sale(other.member(), 100_00).outcome.transaction
    published = other.publish(program(name=other.program)).outcome.transaction
    for transaction in (sale, published):
        with refused("TRANSACTION_NOT_FOUND", NOT_FOUND):
            till.reverse(transaction)
    other.reverse(sale)
