"""Hot queries look keys up in an index, whatever the planner thinks of tables that are still small."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from psycopg.rows import tuple_row

from ledger.member_views import MembersQuestion
from ledger.store.datastore import LedgerDatastore
from projections import books, changes, facts, histories, measures, member_views, reader, segments_reader, views
from projections.catalogue import PROJECTIONS
from projections.hub import connect
from projections.page import _READ, Event, read_page
from projections.runner import END
from projections.tracking import enter_schema, live_generation, search_path, tune
from tests.projections.history import History, append, inactivity_program
from tests.projections.tables import catch_up

MEMBER = UUID(int=7)

DAYS = {"first_day": date(2020, 1, 1), "last_day": date(2020, 2, 1), "today": date(2020, 2, 1)}

QUESTIONS: dict[str, tuple[bytes, Any]] = {
    "member": (views._SQL["member"], {"member_id": MEMBER, "at": 1}),
    "members": (views._SQL["members"], {"after": MEMBER, "at": 1, "limit": 10, "program": ""}),
    "statement": (views._SQL["statement"], {"member_id": MEMBER, "before": 10**15, "limit": 10}),
    "vouchers": (
        views._SQL["vouchers"],
        {"member_id": MEMBER, "before": 10**15, "limit": 10, "state": 1, "at": 1},
    ),
    "entitlements": (
        views._SQL["entitlements"],
        {"member_id": MEMBER, "before": 10**15, "limit": 10, "state": 0, "at": 1},
    ),
    "catalogue": (views._SQL["catalogue"], {"program": "programs/shop", "at": 1}),
    "due": (views._SQL["due"], {"before": 1, "untouched_since": 1, "limit": 10}),
    "books": (
        books._SQL["lines"],
        {
            "program": "programs/shop",
            "position": 20,
            "day": date(2020, 1, 1),
            "effective": True,
            "grain": "day",
        },
    ),
    "due_by_vintage": (books._SQL["due"], {"at": 1, "program": "programs/shop"}),
    "facts": (
        facts._question(frozenset(facts.FACTS), facts._OF),
        {"program": "programs/shop", "at": 1, "members": [MEMBER]},
    ),
    "facts_of_a_page": (
        facts._question(frozenset(facts.FACTS), facts._BETWEEN),
        {"program": "programs/shop", "at": 1, "after": UUID(int=6), "last": MEMBER},
    ),
    "listed_members": (
        member_views._PAGE[False],
        {
            **MembersQuestion("programs/shop", "gold", 1, None, None, 10, "")._asdict(),
            "after": MEMBER,
            "limit": 10,
            "at": 1,
        },
    ),
    "page_of_members": (facts._SQL["page"], {"program": "programs/shop", "after": MEMBER, "limit": 10}),
    "publications": (books._SQL["publications"], {"stream": MEMBER, "position": 10}),
    "receipts": (books._SQL["receipts"], {"from": "a", "until": "b", "position": 10, "reversed": "r/1"}),
    "range": (reader._SQL["range"], {"after": 1, "until": 10, "limit": 5}),
    "stream": (
        reader._SQL["stream"],
        {"after": 1, "until": 10, "limit": 5, "stream": MEMBER, "topics": ["sale/1"]},
    ),
    "member_history": (histories._SQL["member"], {"member_id": MEMBER, "after": 1, "until": 10, "limit": 5}),
    "member_histories": (histories._SQL["members"], {"member_ids": [MEMBER], "until": 10}),
    "transaction": (reader._SQL["transaction"], {"transaction": MEMBER}),
    "changes": (changes._SQL["range"], {"after": 1, "until": 10, "limit": 5}),
    "first_events": (changes._SQL["first_events"], ([str(MEMBER)],)),
    "page": (_READ.encode(), (1, 10, 5)),
    "segment": (segments_reader._SQL["segment"], {"stream": MEMBER}),
    "segments": (segments_reader._SQL["segments"], {"program": "programs/shop", "after": "", "limit": 10}),
    "segment_members": (segments_reader._SQL["members_now"], {"stream": MEMBER, "after": MEMBER, "limit": 10}),
    "segment_members_as_of": (
        segments_reader._SQL["members_as_of"],
        {"stream": MEMBER, "after": MEMBER, "limit": 10, "as_of": 1},
    ),
    "member_segments": (
        segments_reader._SQL["of_member"],
        {"member": MEMBER, "before": 10, "limit": 10, "current_only": True},
    ),
    "member_in_segment": (segments_reader._SQL["standing"], {"stream": MEMBER, "member": MEMBER}),
    "measure_of_receipts": (
        measures._question(("stores",), is_range=False),
        {"program": "programs/shop", "members": [MEMBER], "stores": ["s"]} | DAYS,
    ),
    "measure_of_lines": (
        measures._question(("channels", "labels"), is_range=True),
        {"program": "programs/shop", "after": UUID(int=6), "last": MEMBER, "channels": [1], "labels": ["l"]} | DAYS,
    ),
}


def plan(cursor: Any, statement: bytes, parameters: Any) -> str:
    """The plan, as text."""
    return "\n".join(row[0] for row in cursor.execute(b"EXPLAIN " + statement, parameters))


@pytest.mark.parametrize("question", QUESTIONS)
def test_reads_use_indexes(database_url: str, datastore: LedgerDatastore, question: str) -> None:
    """No read goes through a whole table; `tracking` has a handful of rows."""
    append(database_url, History().live(40).events)
    catch_up(database_url)
    with datastore.get_connection() as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        text = plan(cursor, *QUESTIONS[question])
    scanned = [line for line in text.splitlines() if "Seq Scan" in line and "tracking" not in line]
    assert not scanned, text
    assert "Index" in text


@pytest.mark.parametrize("name", PROJECTIONS)
def test_pages_use_indexes(database_url: str, name: str) -> None:
    """Applying a page touches the rows of its members and no others."""
    projection = PROJECTIONS[name]
    for definition in (None, inactivity_program()):
        history = History(definition).live(150)
        events = [
            Event(position, e.stream_id, e.version, 0, None, e.payload)
            for position, e in enumerate(history.events, start=1)
        ]
        with connect(database_url, "test") as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            tune(cursor)
            generation = live_generation(cursor, name)
            enter_schema(cursor, generation.schema, search_path(cursor))
            for step in projection.collect(events):
                text = plan(cursor, projection.sql[step.name], step.parameters)
                tables = [*projection.tables, *projection.shared_tables]
                scans = [f"Seq Scan on {table}" for table in tables]
                assert not any(scan in text for scan in scans), text


def test_page_is_read_by_position(database_url: str) -> None:
    """Pages come in order, without gaps and without an end to stumble over."""
    append(database_url, History().live(30).events)
    with connect(database_url, "test") as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        positions = [event.position for event in read_page(cursor, 4, END, 6)]
        assert positions == [5, 6, 7, 8, 9, 10]
        assert read_page(cursor, 10**6, END, 6) == []
