"""The plan of the statement that every batch runs: it must not grow with the log."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from ledger.store.datastore import POINT_LOOKUPS
from ledger.store.recorder import FETCH
from tests.running import Databases

ROWS = 200_000


@pytest.fixture(scope="module")
def large_log(databases: Databases) -> Iterator[psycopg.Connection[Any]]:
    """A log with many events, with a session as the writer's."""
    url = databases.url(databases.create())
    with psycopg.connect(url, autocommit=True, options=POINT_LOOKUPS) as connection:
        connection.execute(
            "INSERT INTO events SELECT gen_random_uuid(), 1, 'sale/1', '\\x00', n, n, gen_random_uuid(),"
            " CASE WHEN n %% 10 = 0 THEN gen_random_uuid() END, CASE WHEN n %% 2 = 0 THEN 'p|s|t|d|' || n END"
            " FROM generate_series(1, %s) AS n",
            (ROWS,),
        )
        yield connection


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, index or table) of each scan in a plan."""
    if "Scan" in plan["Node Type"]:
        yield plan["Node Type"], plan.get("Index Name", plan.get("Relation Name", plan.get("Alias", "")))
    for child in plan.get("Plans", []):
        yield from scans(child)


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("keys", [1, 2_000])
def test_fetch_uses_indexes_only(large_log: psycopg.Connection[Any], keys: int, generic: bool, analyzed: bool) -> None:
    """Whether or not the table was ever analysed, for one command and for a full batch, planned now or long ago."""
    if analyzed:
        large_log.execute("ANALYZE events")
    large_log.execute(f"SET plan_cache_mode = {'force_generic_plan' if generic else 'force_custom_plan'}".encode())
    cursor = psycopg.ClientCursor(large_log)
    ids = [uuid4() for _ in range(keys)]
    names = [f"p|s|t|d|{number}" for number in range(keys)]
    statement = cursor.mogrify(FETCH.replace("%b", "%s"), (ids, [0] * keys, ids, ids, names))
    if generic:
        parameters = ["uuid[]", "bigint[]", "uuid[]", "uuid[]", "text[]"]
        query = FETCH
        for number in range(1, 6):
            query = query.replace("%b", f"${number}", 1)
        large_log.execute(f"PREPARE looked_up ({', '.join(parameters)}) AS {query}".encode())
        statement = cursor.mogrify("EXECUTE looked_up (%s, %s, %s, %s, %s)", (ids, [0] * keys, ids, ids, names))
    try:
        rows = large_log.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode()).fetchall()
    finally:
        if generic:
            large_log.execute("DEALLOCATE looked_up")
    found = set(scans(rows[0][0][0]["Plan"]))
    assert {kind for kind, name in found if name != "k"} <= {"Index Scan", "Index Only Scan"}, found
    assert {name for _, name in found} >= {
        "events_stream_key",
        "events_request_key",
        "events_transaction_idx",
        "events_sale_key",
    }
