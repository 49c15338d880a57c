"""The seal: the tree in the database is that of the events in the log, page by page, and shows what is missing."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import tuple_row

from ledger.proof.leaf import StoredEvent, leaf_of
from ledger.proof.merkle import leaf_hash
from ledger.proof.tree import Tree
from ledger.store.arrays import register_arrays
from ledger.store.seal import EVENTS, SealBroken, load_tree, seal, sealed_size
from tests.running import Databases

APPEND = """
INSERT INTO events SELECT gen_random_uuid(), 1, 'refused/1', int8send(n), n, n, NULL, NULL, NULL
FROM generate_series(%s::bigint, %s::bigint) AS n
"""


@pytest.fixture
def cursor(databases: Databases) -> Iterator[psycopg.Cursor[Any]]:
    """On an empty log."""
    with psycopg.connect(databases.url(databases.create()), autocommit=True) as connection:
        register_arrays(connection)
        yield connection.cursor(binary=True, row_factory=tuple_row)


def tree_of_log(cursor: psycopg.Cursor[Any], size: int) -> Tree:
    """The tree made from the events themselves."""
    tree = Tree()
    rows = cursor.execute(EVENTS, (0, size, size + 1)).fetchall()
    tree.append(leaf_hash(leaf_of(StoredEvent(*row[1:]))) for row in rows)
    return tree


def test_pages_of_any_size_give_the_tree_of_the_log(cursor: psycopg.Cursor[Any]) -> None:
    """Page by page the sealed tree is that of the events; an older tree can be had back."""
    cursor.execute(APPEND, (1, 1_500))
    for limit in (1, 2, 250, 3, 256, 700):
        before = sealed_size(cursor)
        with cursor.connection.transaction():
            tree = seal(cursor, limit)
        assert tree.size == sealed_size(cursor) == before + limit
        assert tree.root() == tree_of_log(cursor, tree.size).root() == load_tree(cursor, tree.size).root()
    assert load_tree(cursor, 1_000).root() == tree_of_log(cursor, 1_000).root()


def test_nothing_new_seals_nothing(cursor: psycopg.Cursor[Any]) -> None:
    """An empty log has an empty tree."""
    with cursor.connection.transaction():
        assert seal(cursor, 10).size == 0
    assert sealed_size(cursor) == 0


def test_a_missing_event_is_not_passed_over(cursor: psycopg.Cursor[Any]) -> None:
    """A gap ends the sealing in front of it, by name."""
    cursor.execute(APPEND, (1, 3))
    cursor.execute(APPEND, (5, 6))
    with pytest.raises(SealBroken, match="event 4 is missing"), cursor.connection.transaction():
        seal(cursor, 10)
    assert sealed_size(cursor) == 0


def test_damaged_tiles_are_not_built_upon(cursor: psycopg.Cursor[Any]) -> None:
    """A tile that lost hashes stops the sealing; the database lets nobody change or remove one."""
    cursor.execute(APPEND, (1, 300))
    with cursor.connection.transaction():
        seal(cursor, 300)
    for statement in (
        "UPDATE log_tiles SET hashes = substr(hashes, 33) WHERE index = 1",
        "DELETE FROM log_tiles",
        "TRUNCATE log_tiles",
    ):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            cursor.execute(statement)
    cursor.execute("ALTER TABLE log_tiles DISABLE TRIGGER USER")
    cursor.execute("UPDATE log_tiles SET hashes = substr(hashes, 33) WHERE level = 0 AND index = 1")
    with pytest.raises(SealBroken, match="tile 1 of level 0"), cursor.connection.transaction():
        seal(cursor, 10)


def test_every_column_is_sealed(cursor: psycopg.Cursor[Any]) -> None:
    """Whatever is changed behind the database's back, the events are not those of the tree any more."""
    cursor.execute(APPEND, (1, 10))
    with cursor.connection.transaction():
        root = seal(cursor, 10).root()
    cursor.execute("ALTER TABLE events DISABLE TRIGGER USER")
    for change, value in (
        ("originator_id", uuid4()),
        ("originator_version", 7),
        ("recorded_at", 8),
        ("topic", "refused/2"),
        ("state", b"\x00"),
        ("request_id", uuid4()),
        ("transaction_id", uuid4()),
        ("sale_reference", "s"),
    ):
        with cursor.connection.transaction(force_rollback=True):
            cursor.execute(f"UPDATE events SET {change} = %s WHERE notification_id = 4", (value,))
            assert tree_of_log(cursor, 10).root() != root, change
    assert tree_of_log(cursor, 10).root() == root


def test_the_database_makes_the_same_leaves(cursor: psycopg.Cursor[Any]) -> None:
    """Whatever of an event is there or not, and in any script: its leaf is that of ledger.proof."""
    cursor.execute(
        "INSERT INTO events SELECT gen_random_uuid(), n, 't/' || repeat('x', n), substr(sha256('a'), 1, n), n, n * -1,"
        " CASE WHEN n & 1 > 0 THEN gen_random_uuid() END, CASE WHEN n & 2 > 0 THEN gen_random_uuid() END,"
        " CASE WHEN n & 4 > 0 THEN 'दुकान/' || n END FROM generate_series(1, 16) AS n"
    )
    rows = cursor.execute(EVENTS, (0, 16, 16)).fetchall()
    made = cursor.execute("SELECT leaf_hash(e) FROM events e ORDER BY notification_id").fetchall()
    assert [leaf for (leaf,) in made] == [leaf_hash(leaf_of(StoredEvent(*row[1:]))) for row in rows]
