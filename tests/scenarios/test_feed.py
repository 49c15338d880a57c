"""Scenario M7: a consumer of the feed that stops anywhere and resumes sees each change exactly once, in order."""

import json
import multiprocessing
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import grpc
import psycopg
import pytest
from google.protobuf.json_format import MessageToDict
from loyalty.v1.crm_service_pb2 import WatchChangesRequest
from loyalty.v1.feed_pb2 import CreateConsumerRequest, ListConsumersRequest

from ledger.store.consumers import CONSUMERS_MAX
from ledger.watch.copy import SqliteCopy
from ledger.watch.follow import Follower, Wanted
from tests.people import shown
from tests.programs import discount, program
from tests.proof import prove
from tests.running import Databases, free_address, running, token
from tests.scenarios.consumer import consume
from tests.shop import TIMEOUT_S, Shop, refused

KILLS: Final = 100
MEMBERS: Final = 150
CONSUMER: Final = "crm"
LIVES_MAX_S: Final = 0.06
NEWS_MAX: Final = 40
PATIENCE_S: Final = 60.0


@contextmanager
def selling(shop: Shop, members: list[str]) -> Iterator[None]:
    """Sales, rewards and returns for the time of a block."""
    over = threading.Event()

    def sell() -> None:
        for number in range(1_000_000):
            if over.is_set():
                return
            shop.batch(*(shop.sale_request(member, 10_00) for member in members[:10]))
            if number % 5 == 0:
                shop.commit(shop.reserve(members[0], "discount").hold)

    thread = threading.Thread(target=sell)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def read(file: Path, query: str) -> list[tuple[Any, ...]]:
    """What a copy has, also while it is written; nothing where there is none yet."""
    with closing(sqlite3.connect(file, timeout=PATIENCE_S)) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            assert "no such table" in str(error)  # noqa: PT017 - anything else is a failure
            return []


def entries(file: Path) -> int:
    """How many members and changes a copy has."""
    query = "SELECT (SELECT count(*) FROM members) + (SELECT count(*) FROM changes)"
    return sum(count for (count,) in read(file, query))


def killed(address: str, admin: str, file: Path, chance: random.Random) -> None:
    """A consumer that lives until a random moment, or until it has had a random number of entries."""
    starter = multiprocessing.get_context("forkserver")
    starter.set_forkserver_preload(["tests.scenarios.consumer"])
    process = starter.Process(target=consume, args=(address, admin, file, CONSUMER))
    before, news = entries(file), chance.randrange(1, NEWS_MAX)
    process.start()
    try:
        if chance.random() < 0.5:
            process.join(chance.uniform(0, LIVES_MAX_S))
        else:
            until = time.monotonic() + PATIENCE_S
            while entries(file) < before + news and time.monotonic() < until:
                process.join(0.002)
                assert process.is_alive(), "a consumer has no reason to end by itself"
    finally:
        process.kill()
        process.join()
        process.close()


def test_m7(databases: Databases, tmp_path: Path) -> None:
    """Killed a hundred times at random places, under load, from the first moment of its snapshot on."""
    url = databases.url(databases.create())
    metrics = free_address()
    file, chance = tmp_path / "copy.db", random.Random(7)  # noqa: S311 - no secret
    with running(url, LOYALTY_METRICS_ADDRESS=metrics) as server, server.channel() as channel:
        admin = token(url)
        shop = Shop(channel, admin, program(rewards=[discount(5)]))
        members = [shop.member() for _ in range(MEMBERS)]
        shown(shop, members[-1])
        with selling(shop, members):
            for _ in range(KILLS):
                killed(server.address, admin, file, chance)
        with SqliteCopy(file) as copy:
            Follower(channel, shop.metadata, Wanted(CONSUMER)).follow(copy, until_head=True)
            place = copy.place()

        begun = shop.events("")[len(members)].position  # the program, and each member's enrolment
        log = [event for event in shop.events("") if not event.HasField("audit_recorded")]
        rows = read(file, "SELECT position, change FROM changes ORDER BY number")
        first = rows[0][0]
        assert begun <= first
        expected = [event for event in log if event.position >= first]
        assert [position for position, _ in rows] == [event.position for event in expected]
        assert [json.loads(change) for _, change in rows[-100:]] == [
            MessageToDict(event, preserving_proto_field_name=True) for event in expected[-100:]
        ]
        assert {member for (member,) in read(file, "SELECT member FROM members")} == set(members)
        assert len(rows) > KILLS

        (consumer,) = shop.crm.ListConsumers(ListConsumersRequest(), metadata=shop.metadata).consumers
        assert (consumer.name, consumer.position) == (f"consumers/{CONSUMER}", place.position)
        assert consumer.lag_events == consumer.head_position - place.position
        wait_for_metric(metrics, f'loyalty_feed_lag_events{{consumer="{CONSUMER}"}}')
        refuse_one_consumer_more(url, shop)
        prove(shop, members[0])


def wait_for_metric(address: str, name: str) -> None:
    """Returns when Prometheus would see a metric."""
    until = time.monotonic() + PATIENCE_S
    while True:
        with urlopen(f"http://{address}/metrics", timeout=TIMEOUT_S) as response:
            if f"\n{name} " in response.read().decode():
                return
        assert time.monotonic() < until


def refuse_one_consumer_more(url: str, shop: Shop) -> None:
    """There is a limit, and it is told."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO feed_consumers (consumer_id, program, types, created_at, log_id)"
            " SELECT 'c-' || n, '', '{}', 0, log_id FROM log_identity, generate_series(2, %s) AS n",
            (CONSUMERS_MAX,),
        )
    with refused("TOO_MANY_CONSUMERS", limit=CONSUMERS_MAX):
        shop.crm.CreateConsumer(CreateConsumerRequest(consumer_id="more"), metadata=shop.metadata, timeout=TIMEOUT_S)
    again = CreateConsumerRequest(consumer_id=CONSUMER)
    assert shop.crm.CreateConsumer(again, metadata=shop.metadata, timeout=TIMEOUT_S).consumer.position > 0
    with pytest.raises(grpc.RpcError):
        next(shop.crm.WatchChanges(WatchChangesRequest(consumer="consumers/none"), metadata=shop.metadata))
