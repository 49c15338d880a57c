"""Rebuild: beside the live view, switched at once, and nothing is lost while others write and read."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ledger.store.datastore import LedgerDatastore
from projections import rebuild as module
from projections.catalogue import PROJECTIONS
from projections.hub import connect
from projections.rebuild import RebuildError, rebuild
from projections.runner import ReadSide
from projections.tracking import try_lock
from projections.views import PostgresViews
from tests.projections.history import History, append
from tests.projections.tables import catch_up, copy_log, execute, tables, value
from tests.projections.waiting import reached


@pytest.mark.parametrize("name", PROJECTIONS)
def test_rebuild_while_writing_and_following(
    database_url: str,
    another_url: str,
    name: str,
    read_side: ReadSide,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events go on being written and applied; the live runner goes on in the new tables without a gap."""
    monkeypatch.setattr(module, "PAGE_EVENTS", 5)
    monkeypatch.setattr(module, "SWITCH_EVENTS_MAX", 10)
    history = History().live(200)
    append(database_url, history.events[:60])
    read_side.start()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(append, database_url, history.events[60:], 3)
        first, second = rebuild(database_url, name), rebuild(database_url, name)
        writing.result()
    assert (first.generation, second.generation) == (2, 3)
    assert reached(read_side, len(history.events))
    copy_log(database_url, another_url)
    catch_up(another_url)
    assert tables(database_url) == tables(another_url)
    schemas = f"SELECT array_agg(nspname::text) FROM pg_namespace WHERE nspname ~ '^{name}_'"
    assert value(database_url, schemas) == [f"{name}_3"]


def test_readers_never_see_an_earlier_position(database_url: str, datastore: LedgerDatastore) -> None:
    """The switch is at least where readers were, also where the live view has everything."""
    history = History().live(60)
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    member = next(iter(history.accounts))
    before = views.member(member, history.at)
    rebuild(database_url, "balances")
    after = views.member(member, history.at)
    assert before == after
    assert after is not None
    assert after.position == len(history.events)


def test_poisoned_event_leaves_the_live_view(database_url: str) -> None:
    """What cannot be replayed is said, and readers keep what they had; the next try starts anew."""
    append(database_url, History().live(60).events)
    catch_up(database_url)
    before = tables(database_url)
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT state FROM events WHERE notification_id = 9").fetchone()
    assert row is not None
    execute(database_url, "UPDATE events SET state = '\\xff' WHERE notification_id = 9")
    with pytest.raises(RebuildError, match=r"event 9: .* readers keep what they had"):
        rebuild(database_url, "balances")
    assert tables(database_url) == before
    execute(database_url, f"UPDATE events SET state = '\\x{row[0].hex()}' WHERE notification_id = 9")
    rebuild(database_url, "balances")
    assert tables(database_url) == before


def test_one_rebuild_at_a_time(database_url: str) -> None:
    """A second rebuild is refused while the first is at work."""
    with connect(database_url, "test") as connection:
        assert try_lock(connection.cursor(), "rebuild balances")
        with pytest.raises(RebuildError, match="wait until that is done"):
            rebuild(database_url, "balances")


def test_long_reader_does_not_break_the_switch(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody's query holds the views, the switch gives up in time and can be tried again."""
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(module, "SWITCH_ATTEMPTS_MAX", 2)
    append(database_url, History().live(20).events)
    catch_up(database_url)
    before = tables(database_url)
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM views.balances")
        with pytest.raises(RebuildError, match="End long queries"):
            rebuild(database_url, "balances")
    assert tables(database_url) == before
    rebuild(database_url, "balances")
    assert tables(database_url) == before


def test_unknown_name(database_url: str) -> None:
    """A name that is none is answered with those that are."""
    with pytest.raises(
        RebuildError, match="choose from balances, liability, rewards, sales, statements, tiers, trial_balance"
    ):
        rebuild(database_url, "balance")
