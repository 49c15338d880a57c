"""The case of segments: one over many members in full, and how soon membership follows a sale."""

import time
from typing import Final

import grpc
import psycopg
from loyalty.v1.segment_reads_pb2 import GetSegmentRequest, ListMemberSegmentsRequest

from ledger.sample_program import sample_program
from tests.bench.cases import Bench, Figure, Figures, median
from tests.bench.process import Served
from tests.running import token
from tests.segmenting import Measure, Segments, waited
from tests.shop import Shop

EXPRESSION: Final = "sales >= 2 && average_basket_minor > 2500 && here.share_percent > 10"

SALES: Final = 10

TIMEOUT_S: Final = 300.0

_MEMBERS: Final = """
INSERT INTO sales_1.sales_members (member_id, program, time_zone, enrolled_at, store, channel, sales, returns, units,
                                   net_minor, first_sold_at, last_sold_at)
SELECT gen_random_uuid(), %(program)s, 'UTC', 1577836800000000, 's-' || n %% 100, 1, n %% 13, 0, n %% 40,
       (n %% 13) * (1000 + n %% 4999), 1577836800000000, 1577836800000000 + (n %% 365) * 86400000000
FROM generate_series(1, %(members)s) AS n
"""

_SALES: Final = """
INSERT INTO sales_1.sales (member_id, position, of_position, transaction_id, program, kind, is_voided, occurred_at, day,
                           store, channel, tier, units, net_minor)
SELECT member_id, 1, 1, member_id, program, 'sale', false, last_sold_at, '2020-01-01', store, channel, '', 1, 1000
FROM sales_1.sales_members WHERE sales > 0
"""


def segments(bench: Bench) -> Figures:
    """Saves a segment over members that are in the views alone, and then sells to one who is in the log."""
    url = bench.databases.url(bench.databases.create())
    with Served(url) as server, grpc.insecure_channel(server.address) as channel:
        shop = Shop(channel, token(url), sample_program())
        segments = Segments(shop)
        members = bench.plan.segment_members
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_MEMBERS.encode(), {"program": shop.program, "members": members})
            connection.execute(_SALES.encode())
            connection.execute("VACUUM ANALYZE sales_1.sales_members, sales_1.sales")
        segments.save("warm-up", "false")  # the segmenter starts with the first segment
        segments.get("warm-up")
        bench.console.log(f"segments: {members:,} members are there")
        started = time.perf_counter()
        saved = segments.save("regulars", EXPRESSION, Measure(measure_id="here", stores=[f"s-{n}" for n in range(90)]))
        asked = GetSegmentRequest(name=saved.segment.name, min_position=saved.outcome.position)
        state = waited(shop.crm.GetSegment, asked, metadata=shop.metadata, timeout=TIMEOUT_S).segment
        full_s = time.perf_counter() - started
        followed = [_follow(shop) for _ in range(SALES)]
    return {
        "segment_full_s": Figure(full_s, f"{members:,} members, {state.member_count:,} of them in"),
        "segment_follow_s": Figure(max(followed), f"the longest of {SALES}, {median(followed):.2f} in the middle"),
    }


def _follow(shop: Shop) -> float:
    """How long after a sale's answer membership reflects it."""
    member = shop.member()
    sold = shop.sale(member, 100_00)
    started = time.perf_counter()
    request = ListMemberSegmentsRequest(member=member, min_position=sold.outcome.position)
    waited(shop.crm.ListMemberSegments, request, metadata=shop.metadata, timeout=TIMEOUT_S)
    return time.perf_counter() - started
