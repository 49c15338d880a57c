"""The runners: nothing is missed, nothing applied twice, and one bad event stops one projection."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from loyalty.v1.events_pb2 import TierChanged
from psycopg.rows import tuple_row

from ledger.store.datastore import LedgerDatastore
from projections.catalogue import PROJECTIONS
from projections.check import check
from projections.hub import Hub, connect
from projections.page import Poisoned, read_page
from projections.runner import END, ReadSide, Runner, Status, Turns, apply_page
from projections.tracking import Fenced, enter_schema, live_generation, search_path
from projections.views import PostgresViews
from tests.projections.history import History, append
from tests.projections.tables import catch_up, copy_log, execute, tables, value
from tests.projections.waiting import PATIENCE_S, applied, eventually, reached, status

NEVER_S = 3_600.0


def test_follows_and_stops(database_url: str, another_url: str, read_side: ReadSide) -> None:
    """Runners apply what is there and what comes, and leave no thread behind."""
    events = History().live(120).events
    append(database_url, events[:100])
    read_side.start()
    append(database_url, events[100:])
    assert reached(read_side, len(events))
    one = status(read_side)["balances"]
    assert one == Status("balances", len(events), len(events), True, None)
    read_side.stop()
    assert not [t.name for t in threading.enumerate() if t.name.startswith(("projection", "events"))]
    copy_log(database_url, another_url)
    catch_up(another_url)
    assert tables(database_url) == tables(another_url)


class LateHub(Hub):
    """A hub whose LISTEN takes until it is told."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, repull_s=NEVER_S)
        self.may_listen = threading.Event()

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        self.may_listen.wait(PATIENCE_S)
        super()._listen(connection)


def test_event_between_first_pull_and_listen_is_seen(database_url: str) -> None:
    """An event that is committed after the first pull and before LISTEN is not lost, with no timer to help."""
    history = History()
    history.enrol()
    append(database_url, history.events[:1])
    hub = LateHub(database_url)
    runner = Runner(PROJECTIONS["balances"], database_url, hub, Turns())
    hub.start()
    runner.start()
    try:
        assert applied(runner, 1)
        append(database_url, history.events[1:])
        hub.may_listen.set()
        assert applied(runner, 2)
    finally:
        runner.stop()
        hub.stop()


class LookingHub(Hub):
    """A hub where something happens between LISTEN and the first look at the head."""

    def __init__(self, database_url: str, happens: Callable[[], None]) -> None:
        super().__init__(database_url, repull_s=NEVER_S)
        self._happens: list[Callable[[], None]] = [happens]

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        super()._look(connection)
        while self._happens:
            self._happens.pop()()


def test_event_right_after_the_first_look_is_seen(database_url: str) -> None:
    """An event that is committed between the first look at the head and the first wait wakes the hub."""
    hub = LookingHub(database_url, lambda: append(database_url, History().events))
    hub.start()
    try:
        assert hub.wait_beyond(0, PATIENCE_S)
    finally:
        hub.stop()


def test_follower_misses_nothing_of_concurrent_writers(
    database_url: str, another_url: str, read_side: ReadSide
) -> None:
    """Promise 7: many writers commit at once, and every event is applied exactly once."""
    histories = [History(seed=seed) for seed in range(4)]
    for history in histories:
        del history.events[0]  # the program, which the first one publishes
        history.live(60)
    append(database_url, History().events)
    read_side.start()
    with ThreadPoolExecutor(len(histories)) as pool:
        list(pool.map(lambda history: append(database_url, history.events, batch=1), histories))
    written = sum(len(history.events) for history in histories) + 1
    assert reached(read_side, written)
    read_side.stop()
    copy_log(database_url, another_url)
    catch_up(another_url)
    assert tables(database_url) == tables(another_url)


def test_database_goes_away_again_and_again(database_url: str, another_url: str, read_side: ReadSide) -> None:
    """Sessions of runners and of the listener are ended while they work; all come back and go on."""
    events = History().live(200).events
    read_side.start()
    for first in range(0, len(events), 40):
        append(database_url, events[first : first + 40])
        execute(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'loyalty %'",
        )
    assert reached(read_side, len(events))
    copy_log(database_url, another_url)
    catch_up(another_url)
    assert tables(database_url) == tables(another_url)


def test_second_runner_is_fenced(database_url: str) -> None:
    """Who has read a page that another has applied meanwhile changes nothing, also where the pages overlap."""
    history = History().live(20)
    append(database_url, history.events)
    with connect(database_url, "test") as one, connect(database_url, "test") as other:
        cursors = [c.cursor(binary=True, row_factory=tuple_row) for c in (one, other)]
        generations = [live_generation(cursor, "balances") for cursor in cursors]
        pages = [read_page(cursors[0], 0, END, 5), read_page(cursors[1], 0, END, 9)]
        for cursor, generation in zip(cursors, generations, strict=True):
            enter_schema(cursor, generation.schema, search_path(cursor))
        apply_page(cursors[0], PROJECTIONS["balances"], generations[0], pages[0])
        before = tables(database_url)
        with pytest.raises(Fenced):
            apply_page(cursors[1], PROJECTIONS["balances"], generations[1], pages[1])
        assert tables(database_url) == before


def test_second_process_stands_by_and_takes_over(database_url: str) -> None:
    """Of two read sides one works; when it ends, the other goes on."""
    history = History().live(40)
    half = len(history.events) // 2
    append(database_url, history.events[:half])
    first, second = ReadSide(database_url), ReadSide(database_url)
    first.start()
    try:
        assert reached(first, half)
        second.start()
        assert reached(second, half), "who stands by knows the position"
        assert all(one.is_running for one in first.status())
        assert not any(one.is_running for one in second.status())
        first.stop()
        append(database_url, history.events[half:])
        assert reached(second, len(history.events))
        assert all(one.is_running for one in second.status())
    finally:
        first.stop()
        second.stop()


def test_reader_waits_for_its_own_write(database_url: str, datastore: LedgerDatastore, read_side: ReadSide) -> None:
    """min_position: the answer holds the write, or comes when it does."""
    history = History()
    member = history.enrol()
    read_side.start()
    append(database_url, history.events)
    views = PostgresViews(datastore)
    assert views.member(member, history.at, min_position=2, timeout_s=PATIENCE_S) is not None
    assert views.statement(member, END, 5, min_position=2, timeout_s=PATIENCE_S) is not None


def test_contradiction_stops_one_projection(database_url: str, read_side: ReadSide) -> None:
    """A change from a tier that the member is not in stops tiers before it, as the check tells; the others go on."""
    history = History()
    member = history.enrol()
    history.record(member, TierChanged(from_tier="platinum", to_tier="blue"))
    history.sell(member, 10_000)
    append(database_url, history.events)
    read_side.start()
    assert reached(read_side, 4, ["balances", "statements", "trial_balance"])
    eventually(lambda: status(read_side)["tiers"].error is not None)
    tiers = status(read_side)["tiers"]
    assert tiers.position == 2
    assert not tiers.is_running
    assert tiers.error is not None
    assert tiers.error.startswith("event 3: ")
    assert value(database_url, "SELECT position FROM views.positions WHERE name = 'tiers'") == 2
    assert not reached(read_side, 3, ["tiers"])
    (found,) = [one for one in check(database_url, 1).first if one.place == "tiers"]
    assert (found.key, found.expected) == ("event 3", "a view that takes it")
    assert "has stopped" in found.found


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("UPDATE events SET topic = 'sale/9' WHERE notification_id = 4", "unknown topic 'sale/9'"),
        ("UPDATE events SET state = '\\xff' WHERE notification_id = 4", "are damaged"),
        ("DELETE FROM events WHERE notification_id = 4", "missing in the log"),
        ("UPDATE events SET originator_version = 9 WHERE notification_id = 4", "'touch' of balances"),
    ],
)
def test_poisoned_event_is_named_and_kept_out(
    database_url: str, read_side: ReadSide, damage: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown, damaged, missing and out of order: the position stays in front of the event, log and status name it."""
    history = History()
    member = history.enrol()
    for _ in range(4):
        history.sell(member, 10_000)
    append(database_url, history.events)
    execute(database_url, damage)
    read_side.start()
    eventually(lambda: status(read_side)["balances"].error is not None)
    one = status(read_side)["balances"]
    assert one.position == 3
    assert one.error is not None
    assert one.error.startswith("event 4: ")
    assert reason in one.error
    assert any("balances" in line and "event 4: " in line for line in caplog.messages)


def test_page_stops_where_its_first_bad_event_is(database_url: str) -> None:
    """What is before a bad event in its page is applied."""
    history = History()
    history.enrol()
    history.enrol()
    append(database_url, history.events)
    execute(database_url, "UPDATE events SET state = '\\xff' WHERE notification_id = 3")
    with pytest.raises(Poisoned) as poisoned:
        catch_up(database_url, 500)
    assert poisoned.value.position == 3
    assert value(database_url, "SELECT count(*) FROM views.balances") == 1
