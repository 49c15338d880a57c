"""ProgramService: publishing rules, and adjusting points by hand."""

from typing import Any

import grpc
import pytest
from loyalty.v1.commands_pb2 import PublishProgramRequest
from loyalty.v1.expiry_pb2 import PendingPolicy
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GetProgramRequest, PublishProgramResponse

from tests.conftest import OpenShop
from tests.programs import discount, program, spend, tiers
from tests.proof import fold, prove
from tests.shop import TIMEOUT_S, Details, Shop, new_id, refused

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def get(shop: Shop, version: int = 0, name: str = "") -> Program:
    """A version of a program."""
    request = GetProgramRequest(name=name or shop.program, version=version)
    return shop.programs.GetProgram(request, metadata=shop.metadata, timeout=TIMEOUT_S).program


def send(shop: Shop, definition: Program, **fields: Any) -> PublishProgramResponse:
    """Publishes a program as it is."""
    request = PublishProgramRequest(request_id=fields.pop("request_id", new_id()), program=definition, **fields)
    return shop.programs.PublishProgram(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def changed(shop: Shop, **fields: Any) -> Program:
    """The newest version with other fields."""
    definition = get(shop)
    definition.ClearField("etag")
    definition.MergeFrom(Program(**fields))
    return definition


def test_versions(open_shop: OpenShop) -> None:
    """Each publication is the next version; every version can be had for ever, the newest by default."""
    shop = open_shop(program(spend(1, 1_00)))
    for version, points in ((2, 5), (3, 7)):
        response = shop.publish(program(spend(points, 1_00)))
        assert response.program.version == response.outcome.program_version == version
        assert response.program.etag == f'"v{version}"'
        assert get(shop) == response.program
    rates = [get(shop, version).earning_rules[0].spend.points for version in (1, 2, 3)]
    assert rates == [1, 5, 7]
    for version in (4, 99):
        with refused("PROGRAM_NOT_FOUND", NOT_FOUND):
            get(shop, version)
    with refused("PROGRAM_NOT_FOUND", NOT_FOUND):
        get(shop, name="programs/nobody-made-this-one")


def test_a_version_decides_from_then_on(open_shop: OpenShop) -> None:
    """A new version decides what comes after it; what was decided before stays, and every outcome names its version."""
    shop = open_shop(program(spend(1, 1_00)))
    member = shop.member()
    request = shop.sale_request(member, 10_00)
    first = shop.record(request)
    shop.publish(program(spend(3, 1_00)))
    second = shop.sale(member, 10_00)
    assert [sale.receipt.earned_points for sale in (first, second)] == [10, 30]
    assert [sale.outcome.program_version for sale in (first, second)] == [1, 2]
    again = shop.record(request)
    assert (again.receipt, again.outcome.program_version) == (first.receipt, 1)
    assert shop.give_back(first.outcome.transaction).receipt.clawed_back_points == 10
    assert prove(shop, member).available_points == 30


def test_publishing_again(open_shop: OpenShop) -> None:
    """The same publication sent again is the same version; the request id cannot be used for other rules."""
    shop = open_shop(program())
    definition, request_id = changed(shop, pending=PendingPolicy(days=3)), new_id()
    answers = [send(shop, definition, request_id=request_id) for _ in range(2)]
    assert [answer.outcome.replayed for answer in answers] == [False, True]
    assert [answer.program.version for answer in answers] == [2, 2]
    definition.pending.days = 4
    with refused("REQUEST_ID_REUSED", INVALID, field="program.pending.days"):
        send(shop, definition, request_id=request_id)
    assert get(shop).version == 2


def test_validate_only(open_shop: OpenShop) -> None:
    """A check writes nothing and gives no version."""
    shop = open_shop(program())
    head = shop.head()
    response = send(shop, changed(shop, pending=PendingPolicy(days=3)), validate_only=True)
    assert not response.HasField("outcome")
    assert response.program.pending.days == 3
    assert shop.written(head) == []
    assert get(shop).version == 1


@pytest.mark.parametrize("validate_only", [True, False])
def test_all_problems_at_once(open_shop: OpenShop, *, validate_only: bool) -> None:
    """Everything that is wrong with a program is named in one answer, and nothing is published."""
    shop = open_shop(program())
    wrong = changed(
        shop,
        currency="XXX",
        time_zone="Mars/Olympus",
        pending=PendingPolicy(days=-1),
        tiers=tiers(base=5, top=5),
        rewards=[discount(0)],
    )
    wrong.earning_rules[0].spend.per_minor = 0
    head = shop.head()
    with pytest.raises(grpc.RpcError) as caught:
        send(shop, wrong, validate_only=validate_only)
    details = Details(caught.value)
    assert (details.reason, details.code) == ("INVALID_FIELD", INVALID)
    assert set(details.fields) == {
        "program.currency",
        "program.time_zone",
        "program.earning_rules[0].spend.per_minor",
        "program.pending.days",
        "program.tiers[0].threshold",
        "program.tiers[1].threshold",
        "program.rewards[0].cost_points",
    }
    assert shop.written(head) == []


@pytest.mark.parametrize(("field", "value"), [("currency", "INR"), ("time_zone", "UTC")])
def test_the_books_stay_in_their_currency_and_time_zone(open_shop: OpenShop, field: str, value: str) -> None:
    """Another one would move days that are over, so no version may have it; a new program may."""
    shop = open_shop(program())
    other = changed(shop, **{field: value})
    with refused("INVALID_FIELD", INVALID, field=f"program.{field}"):
        send(shop, other)
    other.name = f"programs/new-{new_id()}"
    assert send(shop, other).program.version == 1
    assert get(shop).version == 1


def test_etag(open_shop: OpenShop) -> None:
    """Of two managers who change the same version, the slower one is told, with the etag to start from."""
    shop = open_shop(program())
    mine = get(shop)
    mine.pending.days = 3
    assert send(shop, mine).program.version == 2
    mine.pending.days = 4
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED, etag='"v2"'):
        send(shop, mine)
    assert get(shop).pending.days == 3
    mine.etag = get(shop).etag
    assert send(shop, mine).program.version == 3


def test_etag_of_a_program_that_is_new(open_shop: OpenShop) -> None:
    """An etag for a program that does not exist cannot be its."""
    shop = open_shop(program())
    new = changed(shop, name=f"programs/new-{new_id()}", etag='"v1"')
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED, etag=""):
        send(shop, new)
    new.ClearField("etag")
    assert send(shop, new).program.version == 1


# -- AdjustPoints


@pytest.mark.parametrize(("first", "second", "left"), [(100, -100, 0), (7, -3, 4), (5, 6, 11)])
def test_adjust(open_shop: OpenShop, first: int, second: int, left: int) -> None:
    """Points are added and taken off by hand; the event keeps who did it and why."""
    shop = open_shop(program())
    member = shop.member()
    shop.adjust(member, first, reason="goodwill")
    receipt = shop.adjust(member, second, reason="नाम की ग़लती").receipt
    assert receipt.balance.available_points == left
    events = [event.points_adjusted for event in shop.events(member, "PointsAdjusted")]
    assert [event.request.reason for event in events] == ["goodwill", "नाम की ग़लती"]
    assert {event.origin.operator for event in events} == {"op-7"}
    assert fold(shop, member).adjusted == left
    assert prove(shop, member).available_points == left


def test_adjust_sent_again(open_shop: OpenShop) -> None:
    """An adjustment that is sent again is made once."""
    shop = open_shop(program())
    member, request_id = shop.member(), new_id()
    answers = [shop.adjust(member, 50, request_id=request_id) for _ in range(3)]
    assert [answer.outcome.replayed for answer in answers] == [False, True, True]
    with refused("REQUEST_ID_REUSED", INVALID, field="points"):
        shop.adjust(member, 51, request_id=request_id)
    assert prove(shop, member).available_points == 50


@pytest.mark.parametrize(("has", "takes"), [(0, 1), (50, 51)])
def test_adjust_takes_only_what_is_there(open_shop: OpenShop, has: int, takes: int) -> None:
    """More than is available cannot be taken off; points of a hold are not available."""
    shop = open_shop(program(rewards=[discount(10)]))
    member = shop.member()
    shop.adjust(member, has + 10)
    shop.reserve(member, "discount")
    with refused("INSUFFICIENT_POINTS", available_points=has, needed_points=takes):
        shop.adjust(member, -takes)
    balance = prove(shop, member)
    assert (balance.available_points, balance.held_points) == (has, 10)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"points": 0}, "points"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "a\0b"}, "reason"),
        ({"request_id": ""}, "request_id"),
    ],
)
def test_adjust_checks_its_fields(open_shop: OpenShop, fields: dict[str, Any], field: str) -> None:
    """An adjustment without points, reason or request id is refused by the field."""
    shop = open_shop(program())
    member = shop.member()
    with refused("INVALID_FIELD", INVALID, field=field):
        shop.adjust(member, **{"points": 5, **fields})
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        shop.adjust(f"members/{new_id()}", 5)


@pytest.mark.parametrize("points", [2**63 - 1, 2**62])
def test_adjust_beyond_int64(open_shop: OpenShop, points: int) -> None:
    """An account never holds more than 64 bits can count: the sum is refused, for ever, and nothing is lost."""
    shop = open_shop(program())
    member, request_id = shop.member(), new_id()
    shop.adjust(member, points)
    for _ in range(2):
        with refused("OVERFLOW"):
            shop.adjust(member, 2**63 - 1, request_id=request_id)
    assert prove(shop, member).available_points == points
