"""The feed's consumers: positions that the server keeps, one stream at a time, and positions of no use."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from loyalty.v1.crm_service_pb2 import WatchChangesRequest, WatchChangesResponse
from loyalty.v1.events_pb2 import Event
from loyalty.v1.feed_pb2 import (
    AcknowledgeChangesRequest,
    Consumer,
    CreateConsumerRequest,
    DeleteConsumerRequest,
    ListConsumersRequest,
)

from ledger.api.feed_service import SCHEMA_VERSION
from ledger.watch.copy import OtherFilter, SqliteCopy
from ledger.watch.follow import Follower, Wanted
from tests.api_calls.test_binding import bound_till
from tests.conftest import OpenShop
from tests.people import erase, shown
from tests.programs import program
from tests.running import ServerProcess
from tests.segmenting import Segments
from tests.shop import TIMEOUT_S, Details, Shop, refused

NOT_FOUND = grpc.StatusCode.NOT_FOUND
ABORTED = grpc.StatusCode.ABORTED


def create(shop: Shop, **fields: Any) -> Consumer:
    """A consumer under a name that nobody has used."""
    request = CreateConsumerRequest(consumer_id=fields.pop("consumer_id", f"c-{uuid4()}"), **fields)
    return shop.crm.CreateConsumer(request, metadata=shop.metadata, timeout=TIMEOUT_S).consumer


def log_id(shop: Shop) -> str:
    """The log's id."""
    return shop.crm.ListConsumers(ListConsumersRequest(), metadata=shop.metadata, timeout=TIMEOUT_S).log_id


def acknowledge(shop: Shop, consumer: Consumer, position: int, **fields: Any) -> Consumer:
    """Says how far a consumer is."""
    fields = {"log_id": log_id(shop), **fields}
    request = AcknowledgeChangesRequest(consumer=consumer.name, position=position, **fields)
    return shop.crm.AcknowledgeChanges(request, metadata=shop.metadata, timeout=TIMEOUT_S).consumer


def watch(shop: Shop, **fields: Any) -> Any:
    """A stream."""
    return shop.crm.WatchChanges(WatchChangesRequest(**fields), metadata=shop.metadata, timeout=TIMEOUT_S)


def up_to(stream: Iterator[WatchChangesResponse], position: int) -> list[Event]:
    """The changes up to a position that is sure to come."""
    changes: list[Event] = []
    for message in stream:
        changes += message.changes
        if message.position >= position:
            stream.cancel()  # type: ignore[attr-defined]  # it is a call
            return changes
    raise AssertionError("the feed ended")


def listed(shop: Shop) -> dict[str, Consumer]:
    """The consumers that a caller sees, by name."""
    response = shop.crm.ListConsumers(ListConsumersRequest(), metadata=shop.metadata, timeout=TIMEOUT_S)
    return {one.name: one for one in response.consumers}


def rows(file: Path) -> tuple[list[str], list[str]]:
    """The members and the types of changes that a copy has."""
    with closing(sqlite3.connect(file)) as connection:
        members = [member for (member,) in connection.execute("SELECT member FROM members")]
        return members, [kind for (kind,) in connection.execute("SELECT type FROM changes ORDER BY number")]


def test_a_consumer_goes_on_behind_what_it_acknowledged(open_shop: OpenShop) -> None:
    """First comes a snapshot; then what is behind the acknowledged position, which only a reset takes back."""
    shop = open_shop(program())
    member = shop.member()
    consumer = create(shop, program=shop.program)
    assert (consumer.position, consumer.HasField("seen_at")) == (0, False)
    shown(shop, member)
    messages = watch(shop, consumer=consumer.name)
    snapshot, end = next(messages), next(messages)
    messages.cancel()
    assert [one.member for one in snapshot.members] == [member]
    assert {snapshot.log_id, end.log_id} == {log_id(shop)}
    assert {snapshot.schema_version, end.schema_version} == {SCHEMA_VERSION}
    first, second = (shop.sale(member, 1_00).outcome for _ in range(2))
    assert acknowledge(shop, consumer, first.position).position == first.position
    assert acknowledge(shop, consumer, end.position).position == first.position, "older: changes nothing"
    changes = up_to(watch(shop, consumer=consumer.name), second.position)
    assert [change.position for change in changes] == [second.position]
    assert acknowledge(shop, consumer, end.position, reset=True).position == end.position
    again = up_to(watch(shop, consumer=consumer.name), second.position)
    assert [change.position for change in again] == [first.position, second.position]
    acknowledge(shop, consumer, 0, reset=True)
    anew = watch(shop, consumer=consumer.name)
    assert next(anew).members
    anew.cancel()
    own = up_to(watch(shop, consumer=consumer.name, after_position=first.position), second.position)
    assert [change.position for change in own] == [second.position], "its own position counts, not the server's"


def test_how_far_consumers_are(open_shop: OpenShop) -> None:
    """Each is listed with its lag in events and time, and when it was last there; a deleted one is not."""
    shop = open_shop(program())
    member = shop.member()
    consumer = create(shop, types=["SaleRecorded", "PointsExpired", "SaleRecorded"])
    assert create(shop, consumer_id=consumer.name.removeprefix("consumers/"), types=consumer.types).created_at == (
        consumer.created_at
    )
    with refused("CONSUMER_EXISTS", grpc.StatusCode.ALREADY_EXISTS, consumer=consumer.name):
        create(shop, consumer_id=consumer.name.removeprefix("consumers/"))
    position = shop.sale(member, 1_00).outcome.position
    acknowledge(shop, consumer, position - 1)
    found = listed(shop)[consumer.name]
    assert list(found.types) == ["PointsExpired", "SaleRecorded"]
    assert found.lag_events == found.head_position - position + 1
    assert found.lag_ms >= 0
    assert found.seen_at.ToMicroseconds() >= found.created_at.ToMicroseconds()
    shop.crm.DeleteConsumer(DeleteConsumerRequest(name=consumer.name), metadata=shop.metadata, timeout=TIMEOUT_S)
    assert consumer.name not in listed(shop)
    with refused("CONSUMER_NOT_FOUND", NOT_FOUND, consumer=consumer.name):
        next(watch(shop, consumer=consumer.name))
    with refused("CONSUMER_NOT_FOUND", NOT_FOUND):
        acknowledge(shop, consumer, position)


def test_consumers_in_pages(channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop) -> None:
    """Each once and by name, of those that a caller sees; what is no token is told."""
    shop = open_shop(program())
    crm = bound_till(channel, server, shop, "crm")
    names = sorted(create(owner).name for owner in (crm, crm, shop, crm))
    found: list[Consumer] = []
    pages, token = 0, ""
    while token or not pages:
        request = ListConsumersRequest(page_size=2, page_token=token)
        page = crm.crm.ListConsumers(request, metadata=crm.metadata, timeout=TIMEOUT_S)
        found += page.consumers
        pages, token = pages + 1, page.next_page_token
    assert (pages, [one.name for one in found]) == (2, [name for name in names if name in listed(crm)])
    assert len(found) == 3
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="page_token"):
        crm.crm.ListConsumers(ListConsumersRequest(page_token="x"), metadata=crm.metadata, timeout=TIMEOUT_S)


def test_whoever_is_up_to_date_is_told_so(open_shop: OpenShop, tmp_path: Path) -> None:
    """At once, and not when something happens; so a copy that is brought up to date twice is done twice."""
    shop = open_shop(program())
    shown(shop, shop.member())
    head = shop.head()
    feed = watch(shop, after_position=head)
    message = next(feed)
    feed.cancel()
    assert message.position == message.head_position >= head
    follower = Follower(shop.channel, shop.metadata, Wanted(f"c-{uuid4()}", program=shop.program))
    with SqliteCopy(tmp_path / "copy.db") as copy:
        for _ in range(2):
            follower.follow(copy, until_head=True)
            assert copy.place().position >= head


def test_one_stream_at_a_time(open_shop: OpenShop) -> None:
    """A newer stream takes over; the older ends and says so, and so does one whose consumer is deleted."""
    shop = open_shop(program())
    consumer = create(shop)
    acknowledge(shop, consumer, shop.head())
    older = watch(shop, consumer=consumer.name)
    assert next(older).position
    newer = watch(shop, consumer=consumer.name)
    assert next(newer).position
    with refused("CONSUMER_TAKEN_OVER", ABORTED, consumer=consumer.name):
        for _ in older:
            pass
    position = shop.sale(shop.member(), 1_00).outcome.position
    while next(newer).position < position:
        pass
    shop.crm.DeleteConsumer(DeleteConsumerRequest(name=consumer.name), metadata=shop.metadata, timeout=TIMEOUT_S)
    with refused("CONSUMER_TAKEN_OVER", ABORTED):
        for _ in newer:
            pass


def test_a_snapshot_that_broke_goes_on(open_shop: OpenShop) -> None:
    """From the token of any of its messages, with each member once and the tail that it would have had."""
    shop = open_shop(program())
    members = {shop.member() for _ in range(5)}
    shown(shop, next(iter(members)))
    found: list[str] = []
    token, log, starts = "", "", set()
    while True:
        call = watch(shop, program=shop.program, batch_size=2, snapshot_page_token=token, log_id=log)
        message = next(call)
        call.cancel()
        found += [one.member for one in message.members]
        token, log = message.snapshot_page_token, message.log_id
        shop.sale(found[0], 1_00)
        starts.add(token[:10])  # the bytes of the position
        if message.position:
            break
    assert sorted(found) == sorted(members)
    assert starts == {next(iter(starts - {""})), ""}
    for wrong in ("x", token[:-1], "AAAA"):
        with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="snapshot_page_token"):
            next(watch(shop, snapshot_page_token=wrong or "x", log_id=log))


def test_a_snapshot_has_nobody_who_is_erased(open_shop: OpenShop) -> None:
    """What follows it begins behind their MemberErased, so nothing would ever tell a new copy to forget them."""
    shop = open_shop(program())
    member, gone = shop.member(), shop.member()
    erase(shop, gone)
    shown(shop, member)
    feed = watch(shop, program=shop.program)
    assert [one.member for one in next(feed).members] == [member]
    feed.cancel()


def test_a_copy_of_some_types_forgets_whoever_is_erased(open_shop: OpenShop, tmp_path: Path) -> None:
    """MemberErased comes whatever types are asked for."""
    shop = open_shop(program())
    member, gone = shop.member(), shop.member()
    shown(shop, member)
    follower = Follower(shop.channel, shop.metadata, Wanted(f"c-{uuid4()}", shop.program, ["SaleRecorded"]))
    with SqliteCopy(tmp_path / "copy.db") as copy:
        follower.follow(copy, until_head=True)
        erase(shop, gone)
        shop.sale(member, 1_00)
        follower.follow(copy, until_head=True)
    assert rows(tmp_path / "copy.db") == ([member], ["member_erased", "sale_recorded"])


def test_what_was_not_asked_for_is_passed_over(open_shop: OpenShop) -> None:
    """Types and program filter the changes; the position goes on over the others."""
    mine, other = open_shop(program()), open_shop(program())
    start = mine.head()
    member, stranger = mine.member(), other.member()
    sale = mine.sale(member, 1_00).outcome.position
    for shop in (mine, other):
        Segments(shop).save("buyers", "sales >= 1")
    last = other.sale(stranger, 1_00).outcome.position
    fields = {"after_position": start, "log_id": log_id(mine)}
    only = up_to(watch(mine, program=mine.program, **fields), last)
    assert {change.subject for change in only} == {member, Segments(mine).name("buyers")}
    sales = up_to(watch(mine, types=["SaleRecorded"], **fields), last)
    assert [change.position for change in sales] == [sale, last]
    both = up_to(watch(mine, types=["SaleRecorded"], program=mine.program, **fields), last)
    assert [change.position for change in both] == [sale]


def test_a_program_that_is_not_there_has_no_feed(open_shop: OpenShop) -> None:
    """Its name is wrong, and whoever follows it would wait for ever."""
    shop = open_shop(program())
    with refused("PROGRAM_NOT_FOUND", NOT_FOUND, program="programs/nope"):
        next(watch(shop, program="programs/nope"))
    with refused("PROGRAM_NOT_FOUND", NOT_FOUND):
        create(shop, program="programs/nope")


def test_a_bound_credential_follows_its_program(
    channel: grpc.Channel, server: ServerProcess, open_shop: OpenShop
) -> None:
    """Its own program is all that it gets, without naming it; another's feed and consumers are not for it."""
    mine, other = open_shop(program()), open_shop(program())
    start = mine.head()
    crm = bound_till(channel, server, mine, "crm")
    member, _ = mine.member(), other.member()
    last = other.sale(other.member(), 1_00).outcome.position
    own = up_to(watch(crm, after_position=start), last)
    assert {change.subject for change in own} == {member}
    with refused("NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
        next(watch(crm, program=other.program))
    ours, theirs, everybodys = create(crm), create(other, program=other.program), create(other)
    assert ours.program == mine.program
    assert listed(crm).keys() == {ours.name}
    assert listed(mine).keys() >= {ours.name, theirs.name, everybodys.name}
    for consumer in (theirs, everybodys):
        with refused("CONSUMER_NOT_FOUND", NOT_FOUND):
            next(watch(crm, consumer=consumer.name))
        with refused("CONSUMER_NOT_FOUND", NOT_FOUND):
            acknowledge(crm, consumer, 1)


def test_a_copy_of_another_log(open_shop: OpenShop, tmp_path: Path) -> None:
    """What a consumer has of another log stays as it is; a new copy begins anew under the same name."""
    shop = open_shop(program())
    member = shop.member()
    shown(shop, member)
    wanted = Wanted(f"c-{uuid4()}", program=shop.program)
    follower = Follower(shop.channel, shop.metadata, wanted)
    with SqliteCopy(tmp_path / "copy.db") as copy:
        follower.follow(copy, until_head=True)
        place = copy.place()
        other = WatchChangesResponse(log_id=str(uuid4()), position=place.position)
        copy.apply(other)
        with refused("OTHER_LOG", log_id=place.log_id):
            follower.follow(copy, until_head=True)
        assert copy.place() == (other.log_id, other.position, "")
    with SqliteCopy(tmp_path / "anew.db") as copy:
        follower.follow(copy, until_head=True)
        assert copy.place().position >= place.position
    assert rows(tmp_path / "anew.db")[0] == [member]


def test_a_copy_begins_anew_after_a_reset(open_shop: OpenShop, tmp_path: Path) -> None:
    """It has the snapshot again, and what it had is gone; under a name that is new it goes on from where it is."""
    shop = open_shop(program())
    member, file = shop.member(), tmp_path / "copy.db"
    shown(shop, member)
    names = [f"c-{uuid4()}" for _ in range(2)]
    first, second = (Follower(shop.channel, shop.metadata, Wanted(name, program=shop.program)) for name in names)
    with SqliteCopy(file) as copy:
        first.follow(copy, until_head=True)
        shop.sale(member, 1_00)
        shown(shop, member)
        second.follow(copy, until_head=True)
        assert rows(file) == ([member], ["sale_recorded"])
        place = copy.place()
        assert listed(shop)[f"consumers/{names[1]}"].position == place.position
        acknowledge(shop, listed(shop)[f"consumers/{names[1]}"], 0, reset=True)
        second.follow(copy, until_head=True)
        assert rows(file) == ([member], []), "the snapshot has the sale"
        assert copy.place().position >= place.position


def test_a_file_is_a_copy_of_one_filter(open_shop: OpenShop, tmp_path: Path) -> None:
    """What would mix two is refused, and what is there stays."""
    shop = open_shop(program())
    shown(shop, shop.member())
    with SqliteCopy(tmp_path / "copy.db") as copy:
        Follower(shop.channel, shop.metadata, Wanted(f"c-{uuid4()}", shop.program)).follow(copy, until_head=True)
        place = copy.place()
        other = Wanted(f"c-{uuid4()}", shop.program, ["SaleRecorded"])
        with pytest.raises(OtherFilter, match=f"{shop.program}, all types, and not of {shop.program}, SaleRecorded"):
            Follower(shop.channel, shop.metadata, other).follow(copy, until_head=True)
        assert copy.place() == place


def test_a_consumer_by_name_hears_of_another_log(open_shop: OpenShop, server: ServerProcess) -> None:
    """The position that the server keeps is of no use in a log that goes on as a new one, all of which is behind it."""
    shop = open_shop(program())
    shown(shop, shop.member())
    consumer = create(shop, program=shop.program)
    assert acknowledge(shop, consumer, 2).log_id == log_id(shop)
    with psycopg.connect(server.database_url) as connection:
        connection.execute(
            "UPDATE feed_consumers SET log_id = gen_random_uuid() WHERE consumer_id = %s",
            (consumer.name.removeprefix("consumers/"),),
        )
    with refused("OTHER_LOG", log_id=log_id(shop)):
        next(watch(shop, consumer=consumer.name))
    lost = listed(shop)[consumer.name]
    assert (lost.position, lost.lag_events) == (2, lost.head_position)
    assert lost.log_id != log_id(shop)
    assert acknowledge(shop, consumer, 1).position == 1, "of this log, and so it counts though it is smaller"
    feed = watch(shop, consumer=consumer.name)
    assert next(feed).position
    feed.cancel()


def test_positions_of_no_use(open_shop: OpenShop, server: ServerProcess) -> None:
    """One of another log, and one that was never handed out, are told apart, and nothing is moved."""
    shop = open_shop(program())
    consumer = create(shop)
    log, future, stranger = log_id(shop), shop.head() + 1_000_000, str(uuid4())
    with refused("OTHER_LOG", log_id=log):
        next(watch(shop, after_position=1, log_id=stranger))
    with refused("OTHER_LOG", log_id=log):
        acknowledge(shop, consumer, 1, log_id=stranger)
    for call in (
        lambda: next(watch(shop, after_position=future, log_id=log)),
        lambda: next(watch(shop, consumer=consumer.name, after_position=future, log_id=log)),
        lambda: acknowledge(shop, consumer, future),
        lambda: acknowledge(shop, consumer, future, reset=True),
    ):
        with refused("POSITION_IN_FUTURE", grpc.StatusCode.OUT_OF_RANGE, position=future):
            call()
    assert listed(shop)[consumer.name].position == 0
    with psycopg.connect(server.database_url) as connection:
        connection.execute(
            "UPDATE feed_consumers SET position = %s WHERE consumer_id = %s",
            (future, consumer.name.removeprefix("consumers/")),
        )
    with refused("POSITION_IN_FUTURE", grpc.StatusCode.OUT_OF_RANGE):  # the log was put back to a backup
        next(watch(shop, consumer=consumer.name))
    assert listed(shop)[consumer.name].lag_events == 0
    with pytest.raises(grpc.RpcError) as caught:
        next(watch(shop, consumer=consumer.name, program=shop.program, types=["SaleRecorded"]))
    assert Details(caught.value).fields == ["types", "program"]
