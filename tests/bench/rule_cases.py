"""Cases of programs with many rules: what a rule costs where it applies, and where it does not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from loyalty.v1.program_pb2 import Program

from tests.bench.cases import (
    BATCH_CALLERS,
    BATCH_SALES,
    UNARY_IN_FLIGHT,
    Bench,
    Figure,
    Figures,
    echo_of,
    median,
    rate,
    ratio,
    rounds_of,
)
from tests.bench.load import Round
from tests.bench.programs import fifty_rules, with_rules
from tests.bench.site import Site

FEW: Final = 5
MANY: Final = 1_000


def fifty(bench: Bench) -> Figures:
    """50 rules, 20 promotions, 5 tiers: single sales against the echo, batches against the simple program, quotes."""
    echoes: list[Round] = []
    singles: list[Round] = []
    quotes: list[Round] = []
    batches: list[Round] = []
    simple: list[Round] = []
    with _site(bench, fifty_rules()) as site, echo_of(bench) as echo:
        for _ in rounds_of(bench, "fifty"):
            job = site.job(bench.plan.round_s, UNARY_IN_FLIGHT)
            echoes.append(bench.clients.run(echo.job(job)))
            singles.append(site.run(job))
            site.catch_up()
            quotes.append(bench.clients.run(job._replace(quotes=True)))
            for one, into in ((site, batches), (bench.site, simple)):
                into.append(one.run(one.job(bench.plan.round_s, BATCH_CALLERS, batch=BATCH_SALES)))
                one.catch_up()
    p99s = [quote.percentile_ms(99) / sale.percentile_ms(99) for quote, sale in zip(quotes, singles, strict=True)]
    return {
        "rules50_quote_p99_ratio": Figure(median(p99s), "p99 of QuoteSale over that of RecordSale"),
        "rules50_unary_vs_echo": Figure(ratio(singles, echoes), f"{rate(singles):,.0f} sales/s"),
        "rules50_batch_vs_simple": Figure(ratio(batches, simple), f"{rate(batches):,.0f} over {rate(simple):,.0f}"),
    }


def thousand(bench: Bench) -> Figures:
    """What a sale costs the server with 1,000 rules of which 5 match, over what it costs with 5 rules."""
    with _site(bench, with_rules(FEW)) as few, _site(bench, with_rules(MANY)) as many:
        ratios = [_cpu_us(bench, many) / _cpu_us(bench, few) for _ in rounds_of(bench, "thousand")]
    return {"rules1000_cost_ratio": Figure(median(ratios), "CPU of the server a sale, in batches")}


def _cpu_us(bench: Bench, site: Site) -> float:
    site.catch_up()
    spent = site.server.cpu_s()
    done = site.run(site.job(bench.plan.round_s, BATCH_CALLERS, batch=BATCH_SALES))
    site.catch_up()
    return (site.server.cpu_s() - spent) / done.sales * 1e6


@contextmanager
def _site(bench: Bench, program: Program) -> Iterator[Site]:
    url = bench.databases.url(bench.databases.create())
    with Site(url, bench.clients, bench.plan.members, program=program) as site:
        yield site
