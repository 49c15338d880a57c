"""Replays into a schema: every view as it was at an instant, beside the live ones (L1)."""

from typing import Any

import psycopg
import pytest

from projections import replay as module
from projections.catalogue import PROJECTIONS
from projections.hub import connect
from projections.replay import Replay, ReplayError, drop, replay, replays
from projections.tracking import try_lock
from tests.projections.history import START, History, append
from tests.projections.rewarded import lively
from tests.projections.tables import catch_up, execute, replayed, tables, value

SECOND = 1_000_000
BATCH = 50


@pytest.fixture(name="history")
def _history(database_url: str) -> History:
    """A history with rewards, and all views of it."""
    history = lively(4)
    append(database_url, history.events, BATCH)
    catch_up(database_url)
    return history


OF_THE_LOG = {"outbox"}
"""Views that show the log beside what is built of it: there is one log, and so one of them."""


def rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(query.encode()).fetchall()


def names_in(database_url: str, schema: str) -> list[tuple[Any, ...]]:
    """The views of a schema with their columns, and its functions."""
    return rows(
        database_url,
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        f" WHERE table_schema = '{schema}' UNION ALL SELECT proname, '', pg_get_function_arguments(oid) FROM pg_proc"
        f" WHERE pronamespace = '{schema}'::regnamespace ORDER BY 1, 2, 3",
    )


def indexes_of(database_url: str, schema: str) -> list[str]:
    """What the indexes of a schema are."""
    found = rows(database_url, f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{schema}'")
    return sorted(definition.replace(f"{schema}.", "") for (definition,) in found)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_head_is_what_is_live(
    database_url: str, history: History, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: replayed from event 1, byte by byte, under the same names; the live views stay as they are."""
    monkeypatch.setattr(module, "PAGE_EVENTS", 41)
    live = tables(database_url)
    done: list[tuple[int, int]] = []
    made = replay(database_url, "audit", processes=processes, progress=lambda *how_far: done.append(how_far))
    head = len(history.events)
    assert made == Replay("audit", head, START + (head - 1) // BATCH * BATCH * SECOND, finished=True)
    assert replayed(database_url, "audit") == live == tables(database_url)
    assert done[-1] == (head, head)
    of_projections = [name for name in names_in(database_url, "views") if name[0] not in OF_THE_LOG]
    assert names_in(database_url, "audit") == of_projections
    assert indexes_of(database_url, "audit_tables") == sorted(
        index for name in PROJECTIONS for index in indexes_of(database_url, f"{name}_1")
    )
    for query in (
        "SELECT * FROM {0}.balances b, {0}.balance_at(b.member_id, 5) ORDER BY 1",
        "SELECT * FROM {0}.balances b, {0}.expiries_at(b.member_id, 5) ORDER BY 1, 10",
        "SELECT * FROM {0}.stocks_at('programs/shop', 5) ORDER BY 1",
        "SELECT * FROM {0}.lots ORDER BY 1, 2, 3, 4, 5, 6, 7",
        "SELECT * FROM {0}.positions ORDER BY 1",
    ):
        assert rows(database_url, query.format("audit")) == rows(database_url, query.format("views"))


def test_as_of_then(database_url: str, another_url: str, history: History) -> None:
    """As of a position or the instant of its recording, the views are those of a log that ends there."""
    until = 2 * BATCH
    append(another_url, history.events[:until], BATCH)
    catch_up(another_url)
    expected = tables(another_url)
    replay(database_url, "by_position", position=until)
    assert replayed(database_url, "by_position") == expected
    at = START + BATCH * SECOND
    for instant, position in ((at, until), (at + BATCH * SECOND - 1, until), (at - 1, BATCH), (START - 1, 0)):
        assert replay(database_url, f"at_{instant}", recorded_until=instant).position == position
    assert replayed(database_url, f"at_{at}") == expected
    assert rows(database_url, f"SELECT count(*) FROM at_{START - 1}.balances") == [(0,)]
    assert [one.schema for one in replays(database_url)] == sorted(
        ["by_position", f"at_{START - 1}", f"at_{at - 1}", f"at_{at}", f"at_{at + BATCH * SECOND - 1}"]
    )
    drop(database_url, "by_position")
    assert "by_position" not in [one.schema for one in replays(database_url)]
    assert value(database_url, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'by\\_position%'") == 0


def test_names_that_are_taken_or_none(database_url: str) -> None:
    """Live schemas, those of generations to come, PostgreSQL's own, and what is no identifier."""
    before = rows(database_url, "SELECT nspname FROM pg_namespace ORDER BY 1")
    taken = ("views", "projection", "public", "balances_1", "tiers_7", "pg_audit")
    for name in (*taken, "Audit", "1st", "an audit", "", "a" * 57, 'a"; DROP SCHEMA views'):
        with pytest.raises(ReplayError, match=r"choose (another name|small letters)"):
            replay(database_url, name)
        with pytest.raises(ReplayError):
            drop(database_url, name)
    assert rows(database_url, "SELECT nspname FROM pg_namespace ORDER BY 1") == before


def test_one_that_is_there_is_refused(database_url: str, history: History) -> None:
    """Finished or at work; and a schema of somebody else is neither replaced nor dropped."""
    replay(database_url, "audit", position=1)
    with pytest.raises(ReplayError, match="audit is a replay already: drop it"):
        replay(database_url, "audit")
    execute(database_url, "CREATE SCHEMA other_tables; CREATE TABLE other_tables.kept ()")
    with pytest.raises(ReplayError, match="it is no replay: choose another name"):
        replay(database_url, "other")
    with pytest.raises(ReplayError, match="other is no replay"):
        drop(database_url, "other")
    with connect(database_url, "test") as connection:
        assert try_lock(connection.cursor(), "replay audit")
        with pytest.raises(ReplayError, match="wait until that is done"):
            drop(database_url, "audit")
    assert history.events


@pytest.mark.usefixtures("history")
def test_interrupted(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped or killed in the middle, nothing looks whole; the next of that name begins anew."""

    def stop(_done: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(database_url, "audit", processes=1, progress=stop)
    assert replays(database_url) == []
    with monkeypatch.context() as killed:
        killed.setattr(module, "_drop", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            replay(database_url, "audit", processes=2, progress=stop)
    assert [one.finished for one in replays(database_url)] == [False]
    assert value(database_url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'audit'") == 0
    replay(database_url, "audit")
    assert replayed(database_url, "audit") == tables(database_url)


BROKEN = "UPDATE events SET {} WHERE notification_id = 60"


def test_a_log_that_cannot_be_replayed(database_url: str, history: History) -> None:
    """The event is named, nothing is left; up to the event before it, it can."""
    stored = rows(
        database_url, "SELECT encode(state, 'hex'), originator_version FROM events WHERE notification_id = 60"
    )
    state, version = stored[0]
    says = "event 60 was recorded at 2020-01-01T00:00:01Z and the one before it at 2020-01-01T00:00:50Z: a clock went"
    for damage, repair, message in (
        (f"recorded_at = {START + SECOND}", f"recorded_at = {START + BATCH * SECOND}", says),
        ("state = '\\xff'", f"state = '\\x{state}'", "cannot be replayed: event 60: "),
        (
            "originator_version = 900",
            f"originator_version = {version}",
            "event 60: 0 rows where 1 were expected by 'touch'",
        ),
        ("notification_id = 9000", "", "event 60 is missing in the log"),
    ):
        execute(database_url, BROKEN.format(damage))
        for arguments in ({"position": 60}, {"recorded_until": START + 10**9 * SECOND}):
            with pytest.raises(ReplayError, match=message):
                replay(database_url, "audit", **arguments)  # type: ignore[arg-type]  # one of them
        assert replays(database_url) == []
        if repair:
            execute(database_url, BROKEN.format(repair))
    assert replay(database_url, "audit", position=59).position == 59
    assert len(history.events) > 60


def test_positions_that_do_not_exist(database_url: str, history: History) -> None:
    """Behind the end of the log, and before its beginning."""
    head = len(history.events)
    for position in (head + 1, -1):
        with pytest.raises(ReplayError, match=f"position {position} does not exist: the log ends at {head}"):
            replay(database_url, "audit", position=position)
