"""AuditService: the log as an auditor reads it."""

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.audit_service_pb2 import ReadEventsRequest, ReadEventsResponse
from loyalty.v1.events_pb2 import Event

from tests.conftest import OpenShop
from tests.programs import discount, program, tiers
from tests.shop import TIMEOUT_S, Shop, new_id, refused


def read(shop: Shop, **fields: Any) -> list[ReadEventsResponse]:
    """The messages of a read."""
    request = ReadEventsRequest(**fields)
    return list(shop.audit.ReadEvents(request, metadata=shop.metadata, timeout=TIMEOUT_S))


def events(shop: Shop, **fields: Any) -> list[Event]:
    """The events of a read."""
    return [event for message in read(shop, **fields) for event in message.events]


def positions(found: list[Event]) -> list[int]:
    """Their positions."""
    return [event.position for event in found]


def busy_shop(open_shop: OpenShop) -> tuple[Shop, list[str], int]:
    """A shop with two members and 20 events, and the position before them."""
    shop = open_shop(program(tiers=tiers(base=0, top=30), rewards=[discount(5)]))
    before = shop.head()
    members = [shop.member() for _ in range(2)]
    for number in range(8):
        shop.sale(members[number % 2], 10_00)
    for member in members:
        hold = shop.reserve(member, "discount").hold
        shop.commit(hold)
        with refused("INSUFFICIENT_POINTS"):
            shop.reserve(member, "discount", 99)
    shop.reverse(original_request_id=new_id())
    return shop, members, before


@pytest.mark.parametrize("batch_size", [0, 1, 3, 2_000])
def test_all_in_order(open_shop: OpenShop, batch_size: int) -> None:
    """Every event comes exactly once, in order and without gaps, in batches of the asked size."""
    shop, members, before = busy_shop(open_shop)
    messages = read(shop, after_position=before, batch_size=batch_size)
    found = [event for message in messages for event in message.events]
    head = messages[-1].head_position
    assert positions(found) == list(range(before + 1, head + 1))
    assert messages[-1].position == head <= shop.head()
    assert max(len(message.events) for message in messages) <= (batch_size or 500)
    for message in messages:
        assert message.position >= message.events[-1].position
    recorded = [event.recorded_at.ToNanoseconds() for event in found]
    assert recorded == sorted(recorded)
    assert {event.subject for event in found} >= {*members, ""}


def test_going_on_after_a_broken_call(open_shop: OpenShop) -> None:
    """Whoever goes on behind the position of any message misses nothing and gets nothing twice."""
    shop, _, before = busy_shop(open_shop)
    head = shop.head()
    whole = positions(events(shop, after_position=before, until_position=head))
    seen: list[int] = []
    for message in read(shop, after_position=before, until_position=head, batch_size=4):
        seen += positions(list(message.events))
        rest = events(shop, after_position=message.position, until_position=head)
        assert seen + positions(rest) == whole


def test_by_subject(open_shop: OpenShop) -> None:
    """The events of one member, with their versions from 1 on; those of a program; none of somebody unknown."""
    shop, members, _ = busy_shop(open_shop)
    for member in members:
        found = events(shop, subject=member, batch_size=2)
        assert {event.subject for event in found} == {member}
        assert [event.subject_version for event in found] == list(range(1, len(found) + 1))
    shop.publish(program())
    published = events(shop, subject=shop.program)
    assert [event.program_published.request.program.version for event in published] == [1, 2]
    assert events(shop, subject=f"members/{new_id()}") == []


def test_by_type(open_shop: OpenShop) -> None:
    """Only events of the named types, of all members or of one."""
    shop, members, before = busy_shop(open_shop)
    found = events(shop, after_position=before, types=["SaleRecorded", "TierChanged"], batch_size=3)
    kinds = [event.WhichOneof("event") for event in found]
    assert (kinds.count("sale_recorded"), kinds.count("tier_changed")) == (8, 2)
    assert len(found) == 10
    of_one = events(shop, subject=members[0], types=["CommandRefused"])
    assert [event.WhichOneof("event") for event in of_one] == ["command_refused"]
    assert events(shop, after_position=before, types=["PointsAdjusted"]) == []


def test_by_range(open_shop: OpenShop) -> None:
    """Positions from one to another; the last message reports the end of the range, also when nothing matched."""
    shop, members, before = busy_shop(open_shop)
    found = events(shop, after_position=before + 3, until_position=before + 9, batch_size=4)
    assert positions(found) == list(range(before + 4, before + 10))
    (empty,) = read(shop, after_position=before, until_position=before + 2, types=["PointsAdjusted"])
    assert (list(empty.events), empty.position) == ([], before + 2)
    both = events(shop, subject=members[0], after_position=before + 3, until_position=before + 9)
    assert positions(both) == [event.position for event in found if event.subject == members[0]]
    assert positions(events(shop, after_position=before, until_position=before + 1)) == [before + 1]


def test_by_time(open_shop: OpenShop) -> None:
    """Recorded from one instant, inclusive, up to another, exclusive."""
    shop, _, before = busy_shop(open_shop)
    whole = events(shop, after_position=before)
    first, last = whole[5].recorded_at, whole[14].recorded_at
    wanted = [
        event.position
        for event in whole
        if first.ToNanoseconds() <= event.recorded_at.ToNanoseconds() < last.ToNanoseconds()
    ]
    assert whole[5].position in wanted
    assert whole[14].position not in wanted
    for size in (0, 2):
        found = events(shop, recorded_from=first, recorded_until=last, batch_size=size)
        assert positions(found) == wanted
    open_end = events(shop, recorded_from=first, until_position=whole[-1].position)
    assert positions(open_end) == positions(whole)[positions(whole).index(wanted[0]) :]
    assert events(shop, recorded_until=Timestamp(seconds=946_684_801)) == []


@pytest.mark.parametrize("batch_size", [2_001, 2**31 - 1])
def test_batches_are_bounded(open_shop: OpenShop, batch_size: int) -> None:
    """A batch never has more than 2,000 events, however many are asked for."""
    shop = open_shop(program())
    before = shop.head()
    member = shop.member()
    for _ in range(3):
        shop.batch(*(shop.sale_request(member, 1_00) for _ in range(700)))
    messages = read(shop, after_position=before, batch_size=batch_size)
    sizes = [len(message.events) for message in messages]
    assert sizes[0] == max(sizes) == 2_000
    assert sum(sizes) >= 2_101


def test_at_the_end(open_shop: OpenShop) -> None:
    """From the end of the log there is nothing to read; behind it is an error."""
    shop = open_shop(program())
    head = shop.head()
    assert events(shop, after_position=head) == []
    with refused("POSITION_IN_FUTURE", grpc.StatusCode.OUT_OF_RANGE):
        read(shop, after_position=head + 1)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"after_position": -1}, "after_position"),
        ({"subject": "members/x"}, "subject"),
        ({"subject": "stores/s-1"}, "subject"),
        ({"types": ["SaleRecorded", "Nothing"]}, "types[1]"),
        ({"batch_size": -1}, "batch_size"),
        ({"after_position": 3, "until_position": 2}, "until_position"),
        (
            {
                "recorded_from": Timestamp(seconds=1_700_000_000),
                "recorded_until": Timestamp(seconds=1_700_000_000),
            },
            "recorded_until",
        ),
    ],
)
def test_what_cannot_be_asked(open_shop: OpenShop, fields: dict[str, Any], field: str) -> None:
    """A condition that makes no sense is refused by its name."""
    shop = open_shop(program())
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field=field):
        read(shop, **fields)


def test_where_it_came_from(open_shop: OpenShop) -> None:
    """Each event of a command names its store, terminal, operator, channel and clock, as they were sent."""
    shop = open_shop(program(rewards=[discount(1)]))
    member = shop.member()
    shop.sale(member, 5_00, at="2024-05-01T10:00:00.123456")
    shop.reserve(member, "discount", at="2024-05-01T10:00:01")
    for event in events(shop, subject=member)[1:]:
        origin = getattr(event, event.WhichOneof("event") or "").origin
        assert (origin.store, origin.terminal, origin.operator) == ("s-1", shop.terminal, "op-7")
        assert origin.channel == 1
    sale = events(shop, subject=member, types=["SaleRecorded"])[0].sale_recorded
    assert sale.origin.occurred_at.ToJsonString() == "2024-05-01T10:00:00.123456Z"
    assert sale.program_version == 1
