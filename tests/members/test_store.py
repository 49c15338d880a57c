"""The profile store: how it is searched among a million, what is erased with a person, and what rules ask of it."""

from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import tuple_row

from ledger.store.datastore import POINT_LOOKUPS, LedgerDatastore
from ledger.store.name_key import name_keys
from ledger.store.profiles import _SEARCHES
from ledger.store.recorder import LedgerRecorder
from projections.facts import read_facts
from tests.members.known import attribute, get, update
from tests.programs import program, spend
from tests.running import running, token
from tests.shop import Shop

MEMBERS = 5_000
PROGRAM = "programs/p"
START = 1_800_000_000_000_000
KINDS = {"vegan": "flag", "children": "integer", "score": "decimal", "born": "date", "circle": "text"}


@pytest.fixture
def crowd(database_url: str) -> str:
    """A database with many persons."""
    people = [(uuid4(), f"Given{number}", f"Family{number}") for number in range(MEMBERS)]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY profile.members (member_id, program, given_name, family_name, language_code, given_key, family_key)"
            " FROM STDIN"
        ) as copy:
            for member, given, family in people:
                copy.write_row((member, PROGRAM, given, family, "en", *name_keys(given, family)))
        with cursor.copy("COPY profile.identifiers FROM STDIN") as copy:
            for number, (member, _, _) in enumerate(people):
                copy.write_row((PROGRAM, 1, f"40006381333{number:05}", member))
        connection.commit()
        connection.autocommit = True
        cursor.execute("ANALYZE profile.members, profile.identifiers")
    return database_url


QUESTIONS = [
    ("by_name", {"from": "given42", "until": "given42\U0010ffff"}, "members_given_idx"),
    ("by_ending", {"from": "2431", "until": "2431\U0010ffff"}, "identifiers_ending_idx"),
    ("by_key", {"type": 1, "value": "4000638133300042"}, "identifiers_key"),
]


@pytest.mark.parametrize(("question", "parameters", "index"), QUESTIONS)
def test_searches_use_their_index(crowd: str, question: str, parameters: dict[str, object], index: str) -> None:
    """However many members there are."""
    given = {"program": PROGRAM, "limit": 21, **parameters}
    with psycopg.connect(crowd, options=POINT_LOOKUPS) as connection:
        rows = connection.execute(b"EXPLAIN " + _SEARCHES[question], given).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert f"using {index}" in plan
    assert "Seq Scan" not in plan
    assert (question == "by_name") == ("members_family_idx" in plan)


def test_everything_goes_with_the_person(database_url: str) -> None:
    """Each table of the profile store, whatever it holds: erasing the row of the member erases it all."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT c.relname, f.confdeltype FROM pg_class c"
            " LEFT JOIN pg_constraint f ON f.conrelid = c.oid AND f.confrelid = 'profile.members'::regclass"
            " WHERE c.relnamespace = 'profile'::regnamespace AND c.relkind = 'r' AND c.relname <> 'members'"
        ).fetchall()
    assert len(rows) >= 4
    assert {kind for _, kind in rows} == {"c"}


def test_what_nobody_asks_for_is_not_looked_up(database_url: str) -> None:
    """Segments of members who are in none, or where there are no segments, are none."""
    with LedgerDatastore(database_url) as datastore, LedgerRecorder(datastore).session() as session:
        assert session.segments([UUID(int=1)]) == {UUID(int=1): []}
        assert session.profiles([UUID(int=1)]) == {}


def test_segments_see_attributes_as_rules_do(database_url: str) -> None:
    """Whole numbers, decimals and flags as such; what was removed is not there."""
    attributes = [attribute(name, kind) for name, kind in KINDS.items()]
    with running(database_url) as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), program(spend(), attributes=attributes))
        member = shop.member()
        update(shop, member, attributes={"vegan": "true", "children": "2", "score": "12", "born": "2000-01-31"})
        update(shop, member, attributes={"circle": "gold"})
        update(shop, member, attributes={"circle": None})
        get(shop, member)
    with psycopg.connect(database_url) as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        member_id = UUID(member.removeprefix("members/"))
        facts = read_facts(cursor, shop.program, START, ["attributes"], [member_id])
    assert facts == {member_id: {"attributes": {"vegan": True, "children": 2, "score": 12.0, "born": "2000-01-31"}}}
    assert isinstance(facts[member_id]["attributes"]["score"], float)
