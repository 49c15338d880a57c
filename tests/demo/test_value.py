"""M3 of the scenario book on real baskets: RFM scores and high-value members, as DuckDB has them from the files."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid5
from zoneinfo import ZoneInfo

import duckdb
import psycopg
import pytest
from loyalty.v1 import value_pb2 as v
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub

from ledger.demo.grocery_year import GroceryYear
from ledger.demo.own_server import Endpoint
from ledger.demo.requests import NAMESPACE
from ledger.demo.run import run
from ledger.domain.names import last_id
from ledger.sample_program import demo_program
from tests.demo.silent import Silent
from tests.running import ServerProcess
from tests.shop import TIMEOUT_S

pytestmark = pytest.mark.xdist_group("demo")

SOME = 1_200

RFM = """
WITH bought AS (
    SELECT member, max(day) AS last_day, count(*) AS sales, sum(net_minor)::BIGINT AS net_minor
    FROM sold WHERE day <= $as_of GROUP BY member
)
SELECT member, ntile(5) OVER (ORDER BY last_day, member), ntile(5) OVER (ORDER BY sales, member),
       ntile(5) OVER (ORDER BY net_minor, member), date_diff('day', last_day, $as_of::DATE), sales, net_minor
FROM bought ORDER BY member
"""
TOP_DECILE = """
WITH bought AS (SELECT member, sum(net_minor) AS net_minor FROM sold WHERE day <= $as_of GROUP BY member)
SELECT member, net_minor::BIGINT FROM bought
ORDER BY net_minor DESC, member LIMIT (SELECT ceil(count(*) / 10)::BIGINT FROM bought)
"""


def sold(server: ServerProcess) -> duckdb.DuckDBPyConnection:
    """The baskets that were loaded, from the files: a row for each, with the member who bought it."""
    with psycopg.connect(server.database_url) as connection:
        rows = connection.execute("SELECT request_id, originator_id FROM events WHERE request_id IS NOT NULL")
        stream_of: dict[Any, Any] = dict(rows.fetchall())
    zone = ZoneInfo(demo_program().time_zone)
    columns: dict[str, list[Any]] = {"member": [], "day": [], "net_minor": []}
    with GroceryYear(SOME, lanes=1) as year:
        for basket in year.baskets([0]):
            columns["member"].append(str(stream_of[uuid5(NAMESPACE, f"household/{basket.household_id}")]))
            columns["day"].append(datetime.fromtimestamp(basket.sold_at_us / 1e6, UTC).astimezone(zone).date())
            columns["net_minor"].append(sum(line.net_minor for line in basket.lines))
    engine = duckdb.connect()
    engine.execute(
        "CREATE TABLE sold AS SELECT unnest($member::VARCHAR[]) AS member, unnest($day::DATE[]) AS day,"
        " unnest($net_minor::BIGINT[]) AS net_minor",
        columns,
    )
    return engine


def pages(call: Callable[..., Any], request: Any, endpoint: Endpoint) -> list[Any]:
    """Members of all pages."""
    found: list[Any] = []
    while True:
        page = call(request, metadata=(("authorization", f"Bearer {endpoint.token}"),), timeout=TIMEOUT_S)
        found += page.members
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


def test_m3_scores_and_high_value_are_those_of_the_files(server: ServerProcess, endpoint: Endpoint) -> None:
    """Every member's scores and figures, and who is in the top decile: no difference."""
    report = run(endpoint, SOME, Silent())
    engine = sold(server)
    with server.channel() as channel:
        crm = CrmServiceStub(channel)
        for as_of in (date(2017, 1, 2), date(2017, 12, 31)):
            span = v.SalesSpan(program=demo_program().name, as_of=as_of.isoformat())
            request = v.ListRfmMembersRequest(span=span, page_size=300, min_position=report.position)
            found = [
                (
                    str(last_id(one.member)),
                    one.recency,
                    one.frequency,
                    one.monetary,
                    one.recency_days,
                    one.sales,
                    one.net_minor,
                )
                for one in pages(crm.ListRfmMembers, request, endpoint)
            ]
            assert len(found) > 100
            assert found == engine.execute(RFM, {"as_of": as_of}).fetchall()
            high = v.ListHighValueMembersRequest(span=span, share_millionths=100_000, page_size=50)
            top = [(str(last_id(one.member)), one.net_minor) for one in pages(crm.ListHighValueMembers, high, endpoint)]
            assert top == engine.execute(TOP_DECILE, {"as_of": as_of}).fetchall()
