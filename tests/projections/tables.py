"""What projections have made of a log: their tables, as bytes."""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from projections.catalogue import PROJECTIONS
from projections.hub import connect
from projections.page import PAGE_EVENTS, read_page
from projections.projection import Projection
from projections.runner import END, apply_page
from projections.tracking import enter_schema, live_generation, search_path, tune


def catch_up(
    database_url: str,
    page_events: int = PAGE_EVENTS,
    projections: Iterable[Projection] = tuple(PROJECTIONS.values()),
) -> None:
    """Applies all events, in this thread."""
    with connect(database_url, "test") as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        tune(cursor)
        base_path = search_path(cursor)
        for projection in projections:
            generation = live_generation(cursor, projection.name)
            enter_schema(cursor, generation.schema, base_path)
            while events := read_page(cursor, generation.position, END, page_events):
                generation = apply_page(cursor, projection, generation, events)


def tables(database_url: str, *names: str) -> dict[str, bytes]:
    """The live tables of some projections, or all, in the database's own binary format, in key order."""
    found: dict[str, bytes] = {}
    with psycopg.connect(database_url) as connection:
        for projection in PROJECTIONS.values():
            if names and projection.name not in names:
                continue
            generation = live_generation(connection.cursor(), projection.name)
            found[projection.name] = str(generation.position).encode()
            found |= _copied(connection, projection, generation.schema)
    return found


def replayed(database_url: str, schema: str) -> dict[str, bytes]:
    """The same of a replay."""
    found: dict[str, bytes] = {}
    with psycopg.connect(database_url) as connection:
        positions = connection.execute(f"SELECT name, position FROM {schema}.positions".encode()).fetchall()
        for name, position in positions:
            found[name] = str(position).encode()
            found |= _copied(connection, PROJECTIONS[name], f"{schema}_tables")
    return found


def _copied(connection: psycopg.Connection[Any], projection: Projection, schema: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for table, key in {**projection.tables, **projection.shared_tables}.items():
        copy = sql.SQL("COPY (SELECT * FROM {} ORDER BY {}) TO STDOUT (FORMAT binary)").format(
            sql.Identifier(schema, table),
            sql.SQL(", ").join(map(sql.Identifier, key)),
        )
        with connection.cursor().copy(copy) as data:
            found[f"{projection.name}.{table}"] = b"".join(bytes(block) for block in data)
    return found


def execute(database_url: str, statement: str) -> None:
    """Runs any SQL as the owner of everything, past the guard that keeps events as they are."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())


def value(database_url: str, query: str) -> object:
    """The single value that a query gives."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def copy_log(source: str, target: str) -> None:
    """Copies the log to another database."""
    with (
        psycopg.connect(source) as reading,
        psycopg.connect(target) as writing,
        reading.cursor().copy("COPY events TO STDOUT") as rows,
        writing.cursor().copy("COPY events FROM STDIN") as into,
    ):
        for block in rows:
            into.write(block)
