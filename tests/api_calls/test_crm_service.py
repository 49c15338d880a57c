"""CrmService: statements, and the feed of changes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.crm_service_pb2 import (
    ListStatementEntriesRequest,
    ListStatementEntriesResponse,
    StatementEntry,
    WatchChangesRequest,
    WatchChangesResponse,
)
from loyalty.v1.events_pb2 import Event

from ledger.api.feed_service import WATCHERS_MAX
from tests.conftest import OpenShop
from tests.programs import MONTH, cashback, discount, end_of, program
from tests.proof import prove
from tests.running import ServerProcess
from tests.shop import TIMEOUT_S, Details, Shop, new_id, refused

PROTOS = Path(__file__).parents[2] / "protos" / "loyalty" / "v1"

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def page(shop: Shop, member: str, **fields: Any) -> ListStatementEntriesResponse:
    """A page of a statement."""
    fields = {"min_position": shop.head(), **fields}
    request = ListStatementEntriesRequest(member=member, **fields)
    return shop.crm.ListStatementEntries(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def told_story(shop: Shop) -> str:
    """A member with one movement of each kind."""
    member = shop.member()
    sale = shop.sale(member, 40_00, at="2024-01-10T12:00")
    payment = PointsPayment(reward_id="cashback", points=5)
    shop.sale(member, 10_00, at="2024-01-11T12:00", points_payment=payment)
    hold = shop.reserve(member, "discount", at="2024-01-12T12:00").hold
    shop.release(hold, at="2024-01-12T12:01")
    shop.give_back(sale.outcome.transaction, at="2024-01-13T12:00")
    shop.adjust(member, 30, at="2024-02-02T12:00")
    return member


STORY = [
    ("SaleRecorded", 40, 40, "2024-01-10T12:00:00Z"),
    ("PointsRedeemed", -5, 35, "2024-01-11T12:00:00Z"),
    ("SaleRecorded", 10, 45, "2024-01-11T12:00:00Z"),
    ("RewardReserved", 0, 45, "2024-01-12T12:00:00Z"),
    ("RewardReleased", 0, 45, "2024-01-12T12:01:00Z"),
    ("SaleReturned", -40, 5, "2024-01-13T12:00:00Z"),
    ("PointsExpired", -5, 0, "2024-02-01T00:00:00Z"),
    ("PointsAdjusted", 30, 30, "2024-02-02T12:00:00Z"),
]


def story_shop(open_shop: OpenShop) -> Shop:
    """A shop in which points expire with the month."""
    return open_shop(program(expiry=end_of(MONTH), time_zone="UTC", rewards=[cashback(1), discount(5)]))


@pytest.mark.parametrize("page_size", [0, 1, 3, 8, 1_000])
def test_statement_in_pages(open_shop: OpenShop, page_size: int) -> None:
    """A statement has a line for each movement, newest first, whatever the size of the pages."""
    shop = story_shop(open_shop)
    member = told_story(shop)
    entries: list[StatementEntry] = []
    token, pages = "", 0
    while pages == 0 or token:
        response = page(shop, member, page_size=page_size, page_token=token)
        entries += response.entries
        token = response.next_page_token
        pages += 1
        assert len(response.entries) <= (page_size or 100)
    assert pages == max(1, -(-len(STORY) // (page_size or 100)))
    lines = [
        (entry.type, entry.points, entry.total_points, entry.effective_at.ToJsonString()) for entry in reversed(entries)
    ]
    assert lines == STORY
    log = {event.position: event for event in shop.events(member)}
    for entry in entries:
        assert entry.transaction == log[entry.position].transaction
        assert entry.recorded_at == log[entry.position].recorded_at
        assert entry.store == ("" if entry.type == "PointsExpired" else "s-1")
    prove(shop, member)


def test_statement_while_sales_go_on(open_shop: OpenShop) -> None:
    """What comes in between two pages neither moves nor repeats a line."""
    shop = open_shop(program())
    member = shop.member()
    for number in range(1, 7):
        shop.sale(member, number * 1_00)
    first = page(shop, member, page_size=3)
    shop.sale(member, 9_00)
    second = page(shop, member, page_size=3, page_token=first.next_page_token)
    assert [entry.points for entry in (*first.entries, *second.entries)] == [6, 5, 4, 3, 2, 1]
    assert second.next_page_token == ""


def test_statement_of_nothing(open_shop: OpenShop) -> None:
    """A new member's statement is empty; somebody unknown has none."""
    shop = open_shop(program())
    assert list(page(shop, shop.member()).entries) == []
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        page(shop, f"members/{new_id()}")


def test_statement_token_of_another(open_shop: OpenShop) -> None:
    """A page token is of one statement, and of ours."""
    shop = open_shop(program())
    member, other = shop.member(), shop.member()
    for _ in range(2):
        shop.sale(member, 5_00)
    token = page(shop, member, page_size=1).next_page_token
    for who, wrong in ((other, token), (member, token[:-4]), (member, "nonsense"), (member, "é")):
        with refused("INVALID_FIELD", INVALID, field="page_token"):
            page(shop, who, page_token=wrong)
    with refused("INVALID_FIELD", INVALID, field="page_size"):
        page(shop, member, page_size=-1)


@pytest.mark.parametrize("page_size", [1_001, 2**31 - 1])
def test_statement_pages_are_bounded(open_shop: OpenShop, page_size: int) -> None:
    """A page never has more than 1,000 entries, however many are asked for."""
    shop = open_shop(program())
    member = shop.member()
    for _ in range(2):
        shop.batch(*(shop.sale_request(member, 1_00) for _ in range(501)))
    first = page(shop, member, page_size=page_size)
    assert len(first.entries) == 1_000
    second = page(shop, member, page_size=page_size, page_token=first.next_page_token)
    assert [entry.total_points for entry in second.entries] == [2, 1]


# -- WatchChanges


@contextmanager
def watching(shop: Shop, **fields: Any) -> Iterator[Iterator[WatchChangesResponse]]:
    """A feed for the time of a block."""
    call = shop.crm.WatchChanges(WatchChangesRequest(**fields), metadata=shop.metadata, timeout=TIMEOUT_S)
    try:
        yield call
    finally:
        call.cancel()


def until(feed: Iterator[WatchChangesResponse], position: int) -> list[Event]:
    """The changes up to a position that is sure to come."""
    changes: list[Event] = []
    for message in feed:
        changes += message.changes
        if message.position >= position:
            return [event for event in changes if event.position <= position]
    raise AssertionError("the feed ended")


@pytest.mark.parametrize("batch_size", [0, 1, 7])
def test_snapshot_then_tail(open_shop: OpenShop, batch_size: int) -> None:
    """A new consumer gets every member as they are, and then each change."""
    shop = open_shop(program())
    members = {shop.member(): points for points in (5, 70, 0)}
    for member, points in members.items():
        shop.sale(member, points * 1_00)
    shop.balance(next(iter(members)))  # the views have all of it now
    with watching(shop, batch_size=batch_size) as feed:
        seen: dict[str, tuple[int, str]] = {}
        start = 0
        while not start:
            message = next(feed)
            start = message.position
            assert len(message.members) <= (batch_size or 500)
            assert not message.changes
            assert not (message.members and message.position)
            for snapshot in message.members:
                assert snapshot.member not in seen
                seen[snapshot.member] = (snapshot.balance.available_points, snapshot.program)
        for member, points in members.items():
            assert seen[member] == (points, shop.program)
        sale = shop.sale(next(iter(members)), 3_00)
        changes = until(feed, sale.outcome.position)
        assert changes[-1].transaction == sale.outcome.transaction
        assert changes[0].position == start + 1


def test_resuming_anywhere(open_shop: OpenShop) -> None:
    """A consumer that stops after any message and resumes from there sees each change once, in order."""
    shop = open_shop(program(rewards=[discount(5)]))
    start = shop.head()
    member = shop.member()
    for _ in range(6):
        shop.sale(member, 10_00)
    shop.commit(shop.reserve(member, "discount").hold)
    head = shop.head()
    seen: list[int] = []
    position = start
    while position < head:
        with watching(shop, after_position=position, batch_size=2) as feed:
            message = next(feed)
        seen += [event.position for event in message.changes]
        position = message.position
    assert seen == list(range(start + 1, position + 1))


def test_tail_as_it_happens(open_shop: OpenShop) -> None:
    """A consumer that waits gets changes while they happen, in order, also those of others."""
    shop = open_shop(program())
    start = shop.head()
    with watching(shop, after_position=start) as feed:
        member = shop.member()
        sales = [shop.sale(member, 1_00).outcome for _ in range(5)]
        changes = until(feed, sales[-1].position)
    assert [event.position for event in changes] == list(range(start + 1, sales[-1].position + 1))
    mine = [event.transaction for event in changes if event.HasField("sale_recorded")]
    assert mine == [sale.transaction for sale in sales]


def test_two_consumers(open_shop: OpenShop) -> None:
    """Each consumer has its own place in the feed."""
    shop = open_shop(program())
    start = shop.head()
    member = shop.member()
    position = shop.sale(member, 1_00).outcome.position
    with watching(shop, after_position=start) as one, watching(shop, after_position=start) as other:
        assert until(one, position) == until(other, position)


def test_no_more_watchers_than_there_is_room_for(open_shop: OpenShop) -> None:
    """All places taken, the next is told when to retry, reads go on, and a place that gets free is given away."""
    shop = open_shop(program())
    member = shop.member()
    start = shop.head()
    with ExitStack() as feeds:
        (first, *others) = [feeds.enter_context(admitted(shop)) for _ in range(WATCHERS_MAX)]
        with pytest.raises(grpc.RpcError) as caught, watching(shop) as feed:
            next(feed)
        details = Details(caught.value)
        assert (details.code, details.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert details.retry.retry_delay.ToMilliseconds() > 0
        position = shop.sale(member, 7_00).outcome.position
        assert shop.balance(member).available_points == 7
        for feed in others:
            assert until(feed, position)[-1].position == position
        first.cancel()
        feeds.enter_context(admitted(shop, after_position=start))
    assert f"at most {WATCHERS_MAX} of these calls" in (PROTOS / "crm_service.proto").read_text(encoding="utf-8")


@contextmanager
def admitted(shop: Shop, **fields: Any) -> Iterator[Any]:
    """A feed that has begun, as soon as there is room for it."""
    while True:
        with watching(shop, **fields) as feed:
            try:
                next(feed)
            except grpc.RpcError as error:
                if Details(error).reason != "OVERLOADED":
                    raise
                continue
            yield feed
            return


def test_the_snapshot_knows_the_end_of_the_log(open_shop: OpenShop, server: ServerProcess) -> None:
    """Each message of the snapshot says where the log ends when it is made, not where it ended at the start."""
    shop = open_shop(program())
    member = shop.member()
    shop.balance(member)
    with psycopg.connect(server.database_url) as connection:
        connection.execute("LOCK TABLE views.tiers IN ACCESS EXCLUSIVE MODE")
        with watching(shop) as feed:
            wait_for_snapshot(server.database_url)
            position = shop.sale(member, 1_00).outcome.position
            connection.rollback()
            for message in feed:
                assert message.head_position >= position
                if message.position:
                    break


def wait_for_snapshot(database_url: str) -> None:
    """Returns when a page of a snapshot waits for a lock."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(2_000):
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND query LIKE '%b.member_id > %'"
            ).fetchone()
            if row is not None and row[0]:
                return
            connection.execute("SELECT pg_sleep(0.005)")
    raise AssertionError("no snapshot waits")


def test_watching_from_the_future(open_shop: OpenShop) -> None:
    """A position that was never handed out is refused, not waited for."""
    shop = open_shop(program())
    with (
        refused("POSITION_IN_FUTURE", grpc.StatusCode.OUT_OF_RANGE),
        watching(shop, after_position=shop.head() + 1) as feed,
    ):
        next(feed)
