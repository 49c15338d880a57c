"""A projection that stops: the server says so in its metrics, and says when it is well again."""

import re
import threading
import time
import urllib.request

import psycopg

from projections.catalogue import PROJECTIONS
from tests.programs import program
from tests.projections.history import History, append
from tests.running import free_address, running, token
from tests.shop import Shop

PATIENCE_S = 60.0


def metric(metrics_address: str, name: str) -> int:
    """A gauge of a server, which has no labels; -1 where it is not there."""
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=PATIENCE_S) as reply:
        found = re.search(rf"^{name} (\S+)$", reply.read().decode(), re.MULTILINE)
    return int(float(found[1])) if found else -1


def stopped_at(metrics_address: str) -> dict[str, int]:
    """Where a server says that projections have stopped, by name."""
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=PATIENCE_S) as reply:
        text = reply.read().decode()
    found = re.findall(r'^loyalty_projection_stopped_at\{projection="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {name: int(float(position)) for name, position in found}


def wait_for(metrics_address: str, expected: dict[str, int]) -> None:
    """Asks until the metrics are as they should be."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE_S
    while stopped_at(metrics_address) != expected:
        assert time.monotonic() < deadline, stopped_at(metrics_address)
        pause.wait(0.1)


def change(database_url: str, statement: str) -> None:
    """Changes the log, past the guard that keeps events as they are."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())


def test_the_metrics_say_where_a_projection_has_stopped(database_url: str) -> None:
    """It stops in front of an event that it cannot apply, tills go on, and the metrics follow when it is well again."""
    history = History()
    member = history.enrol()
    for _ in range(4):
        history.sell(member, 10_00)
    append(database_url, history.events)
    change(database_url, "UPDATE events SET topic = 'sale/9' WHERE notification_id = 4")
    metrics = free_address()
    with running(database_url, LOYALTY_METRICS_ADDRESS=metrics) as server, server.channel() as channel:
        wait_for(metrics, dict.fromkeys(PROJECTIONS, 4))
        shop = Shop(channel, token(database_url), program())
        assert shop.sale(shop.member(), 10_00).outcome.position > 4
        change(database_url, "UPDATE events SET topic = 'sale/1' WHERE notification_id = 4")
        with running(database_url):  # the read side of another server goes on
            wait_for(metrics, dict.fromkeys(PROJECTIONS, 0))
