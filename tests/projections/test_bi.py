"""What others read with tools of their own: the outbox by position, the role that only reads, and names that stay."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import tuple_row

from ledger.store.topics import TOPICS, TOPICS_OF_ACCOUNTS
from projections.hub import connect
from tests.projections.history import History, append
from tests.projections.rewarded import lively
from tests.projections.tables import catch_up

VIEWS: Final = Path(__file__).parents[2] / "projections" / "VIEWS.md"
BATCH: Final = 7

CHANGES_NOTHING: Final = {"CommandRefused", "ReturnAwaited"}
"""Events of members that are in no outbox."""

_POLL: Final = "SELECT * FROM views.outbox WHERE position > %s ORDER BY position LIMIT %s"
_COLUMNS: Final = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'views'::regnamespace AND c.relkind = 'v' AND a.attnum > 0
"""

_TOLD_BY_WHOM: Final = """
SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'views'::regnamespace AND c.relkind = 'v'
  AND a.attname ~ 'operator|credential|actor|network|terminal' AND has_column_privilege(c.oid, a.attnum, 'SELECT')
"""


def documented() -> list[tuple[str, str, str]]:
    """Each column of the list: view, name, type."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", VIEWS.read_text(encoding="utf-8"), re.MULTILINE)
    return [(view, *column) for view, columns in rows for column in re.findall(r"`(\w+)` ([a-z ]+)", columns)]


def rows_of(database_url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(query.encode()).fetchall()


def polled(database_url: str, after: int) -> list[tuple[Any, ...]]:
    """What a poller gets that goes on behind the last position it saw, until there is nothing more."""
    found: list[tuple[Any, ...]] = []
    with psycopg.connect(database_url) as connection:
        while rows := connection.execute(_POLL, (after, BATCH)).fetchall():
            found += rows
            after = rows[-1][5]
    return found


@pytest.mark.parametrize("lived", [lambda: History().live(120), lambda: lively(1, 120)], ids=["points", "rewards"])
def test_a_poller_gets_each_change_once_in_order(database_url: str, lived: Callable[[], History]) -> None:
    """Also one that polls while the views are behind: what is not in them yet comes later, in its turn."""
    events = lived().events
    append(database_url, events[:100])
    assert polled(database_url, 0) == []
    catch_up(database_url)
    first = polled(database_url, 0)
    append(database_url, events[100:])
    after = first[-1][5]
    assert polled(database_url, after) == []
    catch_up(database_url)
    rows = first + polled(database_url, after)
    log = rows_of(database_url, "SELECT notification_id, topic, originator_id FROM events ORDER BY notification_id")
    names = {topic: kind.__name__ for kind, topic in TOPICS.items()}
    expected = [
        (position, names[topic], f"members/{stream}")
        for position, topic, stream in log
        if topic in TOPICS_OF_ACCOUNTS and names[topic] not in CHANGES_NOTHING
    ]
    assert [(row[5], row[3], row[2]) for row in rows] == expected
    assert len({row[0] for row in rows}) == len(rows)
    assert {row[1] for row in rows} == {"member"}
    lines = {
        position: (f"members/{member}", points, total)
        for position, member, points, total in rows_of(
            database_url, "SELECT position, member_id, points, total_points FROM views.statements"
        )
    }
    told = {row[5]: row[4] for row in rows if "points" in row[4]}
    assert {position: (one["member"], one["points"], one["total_points"]) for position, one in told.items()} == lines
    issued = rows_of(database_url, "SELECT position, member_id, voucher_id FROM views.vouchers")
    assert bool(issued) == ("VoucherIssued" in {row[3] for row in rows})
    assert {row[5]: row[4]["voucher"] for row in rows if "voucher" in row[4]} == {
        position: f"members/{member}/vouchers/{voucher}" for position, member, voucher in issued
    }
    assert polled(database_url, 0) == rows, "a row stays as it is"


def test_every_type_of_a_member_has_its_name(database_url: str) -> None:
    """A new event is either in the outbox, under its name, or is said above to change nothing: see 0118_bi.sql."""
    with psycopg.connect(database_url) as connection:
        for kind, topic in TOPICS.items():
            (name,) = connection.execute("SELECT projection.event_type(%s)", (topic,)).fetchone() or (None,)
            is_in = topic in TOPICS_OF_ACCOUNTS and kind.__name__ not in CHANGES_NOTHING
            assert name == (kind.__name__ if is_in else None)


def test_a_poll_looks_up_no_more_than_it_returns(database_url: str) -> None:
    """The log by position, and of each event what is there of it, by its key."""
    with connect(database_url, "test") as connection:
        connection.execute("SET enable_seqscan = off")
        cursor = connection.cursor(row_factory=tuple_row)
        plan = "\n".join(row[0] for row in cursor.execute(f"EXPLAIN {_POLL}".encode(), (5, 10)))
    assert "events_position_key" in plan
    assert "entries_pkey" in plan
    assert "Sort" not in plan
    assert "Hash" not in plan


def test_the_role_of_bi_tools(database_url: str) -> None:
    """It reads every stable view, and neither events, people, secrets nor who did what; and it changes nothing."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET ROLE loyalty_bi")
        for view in sorted({view for view, _, _ in documented()}):
            connection.execute(f"SELECT * FROM views.{view} LIMIT 1".encode())
        connection.execute("SELECT * FROM views.balance_at(%s, 1)", (UUID(int=1),))
        for table in (
            "events",
            "snapshots",
            "credentials",
            "voucher_codes",
            "feed_consumers",
            "profile.members",
            "profile.identifiers",
            "views.audit_trail",
            "views.consent_operators",
            "balances_1.accounts",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {table} LIMIT 1".encode())
        told = connection.execute(_TOLD_BY_WHOM).fetchall()
        assert told == [], "a view that says who did something is not for BI tools: see 0118_bi.sql"
        for statement in ("DELETE FROM views.balances", "CREATE TABLE mine ()", "CREATE VIEW views.mine AS SELECT 1"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_what_is_promised_to_stay_is_there(database_url: str) -> None:
    """A column of the list that is renamed or removed, or has another type, breaks somebody's report."""
    there = {(view, name): kind for view, name, kind in rows_of(database_url, _COLUMNS)}
    promised = documented()
    assert len(promised) > 80, "the list was read"
    assert [column for column in promised if there.get(column[:2]) != column[2]] == []
