"""The case of member profiles: whole profiles, with the person, beside the sales of a busy day."""

from tests.bench.cases import OPEN_LOOP_PER_S, UNARY_IN_FLIGHT, Bench, Figure, Figures
from tests.bench.load import Clients
from tests.running import token

SALES_OF_MEMBER = 10
"""That a member has at least, on average."""


def profile(bench: Bench) -> Figures:
    """500 GetMember a second beside 500 sales a second, each sent when it is due."""
    site = bench.site
    if (missing := SALES_OF_MEMBER * len(site.members) - site.head()) > 0:
        site.fill(site.head() + missing)
    site.catch_up()
    before = site.head()
    sales = site.job(bench.plan.open_loop_s, UNARY_IN_FLIGHT, rate=OPEN_LOOP_PER_S)
    readers = Clients()
    try:
        spent_s = site.server.cpu_s()
        reading = readers.start(sales._replace(token=token(site.database_url, "crm"), profiles=True))
        selling = bench.clients.start(sales)
        read, sold = reading.result(), selling.result()
        cpu_ms = (site.server.cpu_s() - spent_s) / max(read.calls, 1) * 1000
    finally:
        readers.close()
    site.check_sales(before, sold.sales)
    return {
        "get_member_p99_ms": Figure(read.percentile_ms(99), f"{OPEN_LOOP_PER_S:g}/s beside as many sales"),
        "get_member_p50_ms": Figure(read.percentile_ms(50)),
        "get_member_sale_p99_ms": Figure(sold.percentile_ms(99), "of the sales beside it"),
        "get_member_cpu_ms": Figure(cpu_ms, "of the server for a profile and a sale"),
    }
