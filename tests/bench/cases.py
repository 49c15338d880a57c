"""The cases: each measures some lines. What one of them cannot do keeps no other from its work."""

import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple

import psycopg
from rich.console import Console

from projections.catalogue import PROJECTIONS
from projections.check import check
from projections.rebuild import rebuild
from tests.bench.load import Clients, Job, Round
from tests.bench.pgbench import commit_p50_ms, create_table, transactions_per_s
from tests.bench.plan import Plan
from tests.bench.process import Served
from tests.bench.requests import RECORD_SALE, sale_requests
from tests.bench.site import SEEDS, Site
from tests.bench.wire import Answer, Connection
from tests.running import Databases, token

UNARY_IN_FLIGHT: Final = 64
BATCH_CALLERS: Final = 16
BATCH_SALES: Final = 100
PGBENCH_CLIENTS: Final = 32
OPEN_LOOP_PER_S: Final = 500.0
LAG_SALES_PER_S: Final = 1_000
LAG_BATCH: Final = 20
BUSY_SALES_PER_S: Final = 2_000
BUSY_BATCH: Final = 50
LAG_SAMPLE_S: Final = 0.02

CALL: Final = "loyalty_call_seconds{} method=loyalty.v1.PosService/RecordSale"
COMMIT: Final = "loyalty_commit_seconds{}"

_LAG: Final = """
SELECT coalesce(extract(epoch FROM clock_timestamp()) - min(e.recorded_at) / 1e6, 0)
FROM (SELECT min(position) AS position FROM projection.tracking WHERE live) t
JOIN events e ON e.notification_id = t.position + 1
"""
"""How old the oldest event is that some projection has not applied; 0 when there is none."""


class Figure(NamedTuple):
    """What a case found for a line."""

    value: float
    note: str = ""


Figures = dict[str, Figure]


class Bench(NamedTuple):
    """What the cases share."""

    plan: Plan
    databases: Databases
    clients: Clients
    site: Site
    console: Console


class StandIn(NamedTuple):
    """A server that does something else in RecordSale."""

    server: Served
    token: str

    def job(self, job: Job) -> Job:
        """The same round, sent to it."""
        return job._replace(address=self.server.address, token=self.token)


def unary(bench: Bench) -> Figures:
    """RecordSale at 64 in flight, in turn with an empty handler and with a stock `Application.save`."""
    ours: list[Round] = []
    echoes: list[Round] = []
    stocks: list[Round] = []
    our_us: list[float] = []
    echo_us: list[float] = []
    with echo_of(bench) as echo, _stand_in(bench, "stock") as stock:
        for _ in rounds_of(bench, "unary"):
            job = bench.site.job(bench.plan.round_s, UNARY_IN_FLIGHT)
            spent = echo.server.cpu_s()
            echoes.append(bench.clients.run(echo.job(job)))
            echo_us.append((echo.server.cpu_s() - spent) / echoes[-1].calls * 1e6)
            spent = bench.site.server.cpu_s()
            ours.append(bench.site.run(job))
            bench.site.catch_up()
            our_us.append((bench.site.server.cpu_s() - spent) / ours[-1].calls * 1e6)
            stocks.append(bench.clients.run(stock.job(job)))
    client_us = median(round_.client_cpu_s / round_.calls * 1e6 for round_ in ours)
    return {
        "unary_vs_echo": Figure(ratio(ours, echoes)),
        "unary_vs_stock": Figure(ratio(ours, stocks)),
        "unary_per_s": Figure(rate(ours), f"{UNARY_IN_FLIGHT} in flight"),
        "unary_cpu_us": Figure(median(our_us), "of the server a sale, with its projections"),
        "echo_cpu_us": Figure(median(echo_us), "of the server a call"),
        "unary_p50_ms": Figure(_percentile(ours, 50)),
        "unary_p99_ms": Figure(_percentile(ours, 99)),
        "echo_per_s": Figure(rate(echoes), f"the client takes {client_us:.0f} us of CPU a call"),
        "stock_per_s": Figure(rate(stocks)),
    }


def batch(bench: Bench) -> Figures:
    """SubmitBatch from 16 callers with 100 sales each, in turn with pgbench's single-row inserts by 32 clients."""
    ours: list[Round] = []
    theirs: list[float] = []
    url = _pgbench_database(bench)
    for _ in rounds_of(bench, "batch"):
        job = bench.site.job(bench.plan.round_s, BATCH_CALLERS, batch=BATCH_SALES)
        ours.append(bench.site.run(job))
        bench.site.catch_up()
        theirs.append(transactions_per_s(bench.databases.postgres.bin_dir, url, PGBENCH_CLIENTS, bench.plan.round_s))
    ratios = [one.sales_per_s / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "batch_vs_pgbench": Figure(median(ratios), "aim: twice"),
        "batch_per_s": Figure(rate(ours), f"{BATCH_CALLERS} callers of {BATCH_SALES} sales"),
        "batch_p99_ms": Figure(_percentile(ours, 99)),
        "pgbench_32_per_s": Figure(median(theirs), f"{PGBENCH_CLIENTS} clients"),
    }


def single(bench: Bench) -> Figures:
    """One caller: RecordSale against the echo and three commits of pgbench."""
    ours: list[Round] = []
    echoes: list[Round] = []
    commits: list[float] = []
    url = _pgbench_database(bench)
    with echo_of(bench) as echo:
        for _ in rounds_of(bench, "single"):
            job = bench.site.job(bench.plan.round_s, 1)
            echoes.append(bench.clients.run(echo.job(job)))
            ours.append(bench.site.run(job))
            bench.site.catch_up()
            commits.append(commit_p50_ms(bench.databases.postgres.bin_dir, url, bench.plan.round_s))
    ratios = [
        mine.percentile_ms(50) / (echo_.percentile_ms(50) + 3 * commit)
        for mine, echo_, commit in zip(ours, echoes, commits, strict=True)
    ]
    return {
        "single_p50_ratio": Figure(median(ratios), "over echo and three commits"),
        "single_p50_ms": Figure(_percentile(ours, 50)),
        "echo_p50_ms": Figure(_percentile(echoes, 50)),
        "pgbench_commit_p50_ms": Figure(median(commits)),
    }


def open_loop(bench: Bench) -> Figures:
    """500 sales a second, sent when they are due: how long they take, with the parts that wait and commit."""
    before = bench.site.server.metrics()
    job = bench.site.job(bench.plan.open_loop_s, UNARY_IN_FLIGHT, rate=OPEN_LOOP_PER_S)
    done = bench.site.run(job)
    after = bench.site.server.metrics()
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    call, commit = _mean_ms(grown, CALL), _mean_ms(grown, COMMIT)
    return {
        "open_loop_p50_ms": Figure(done.percentile_ms(50)),
        "open_loop_p99_ms": Figure(done.percentile_ms(99), f"at the client, {OPEN_LOOP_PER_S:g} sales/s"),
        "open_loop_call_p99_ms": Figure(_p99_ms(grown, CALL), "in the server, from its histogram"),
        "open_loop_call_mean_ms": Figure(call),
        "open_loop_commit_p99_ms": Figure(_p99_ms(grown, COMMIT), "of a batch"),
        "open_loop_commit_mean_ms": Figure(commit),
        "open_loop_queue_mean_ms": Figure(call - commit, "call less commit: waiting and deciding"),
    }


def lag(bench: Bench) -> Figures:
    """1,000 sales a second in small batches, and meanwhile the age of what the slowest projection has yet to apply."""
    lags = _lags(bench, LAG_SALES_PER_S, LAG_BATCH)
    return {
        "projection_lag_p99_s": Figure(lags[int(len(lags) * 0.99)], f"{LAG_SALES_PER_S} sales/s, {len(lags)} samples"),
        "projection_lag_max_s": Figure(lags[-1]),
    }


def busy_lag(bench: Bench) -> Figures:
    """The same at 2,000 sales a second."""
    lags = _lags(bench, BUSY_SALES_PER_S, BUSY_BATCH)
    return {
        "projections_lag_p99_ms": Figure(
            lags[int(len(lags) * 0.99)] * 1_000, f"{BUSY_SALES_PER_S} sales/s, {len(lags)} samples"
        ),
        "projections_lag_max_ms": Figure(lags[-1] * 1_000),
    }


def _lags(bench: Bench, sales_per_s: int, batch: int) -> list[float]:
    """The age of the oldest event that some projection has not applied, in seconds, under a steady load; ascending."""
    job = bench.site.job(bench.plan.lag_s, UNARY_IN_FLIGHT, batch=batch, rate=sales_per_s / batch)
    bench.site.catch_up()
    before = bench.site.head()
    running = bench.clients.start(job)
    lags: list[float] = []
    with psycopg.connect(bench.site.database_url, autocommit=True) as connection:
        while not running.done():
            row = connection.execute(_LAG.encode()).fetchone()
            if bench.site.head() > before:  # the requests are ready and the load has begun
                lags.append(max(float(row[0]), 0.0) if row is not None else 0.0)
            time.sleep(LAG_SAMPLE_S)
    bench.site.check_sales(before, running.result().sales)
    return sorted(lags)


def growth(bench: Bench) -> Figures:
    """The same load on a log of 10,000 events and on a grown one, in turn; memory and disk."""
    big, plan = bench.site, bench.plan
    big.catch_up()
    log_bytes, view_bytes = big.log_bytes(), big.view_bytes()
    sales = big.fill(plan.growth_events_max)
    big.catch_up()
    log_bytes, view_bytes = big.log_bytes() - log_bytes, big.view_bytes() - view_bytes
    on_small: list[Round] = []
    on_big: list[Round] = []
    database_url = bench.databases.url(bench.databases.create())
    with Site(database_url, bench.clients, plan.members) as small:
        small_events, big_events = small.head(), big.head()
        # What a server does for the first time, it does before the clock starts.
        for site in (small, big):
            site.run(site.job(plan.round_s / 2, UNARY_IN_FLIGHT))
        small_mb = small.server.rss_mb()
        for _ in rounds_of(bench, "growth"):
            on_small.append(small.run(small.job(plan.round_s, UNARY_IN_FLIGHT)))
            small.catch_up()
            on_big.append(big.run(big.job(plan.round_s, UNARY_IN_FLIGHT)))
            big.catch_up()
        big_mb = big.server.rss_mb()
    p99s = [grown.percentile_ms(99) / fresh.percentile_ms(99) for grown, fresh in zip(on_big, on_small, strict=True)]
    note = f"{big_events:,} over {small_events:,} events"
    return {
        "growth_throughput_ratio": Figure(
            ratio(on_big, on_small),
            f"{note}: {rate(on_big):,.0f} and {rate(on_small):,.0f} sales/s",
        ),
        "growth_p99_ratio": Figure(
            median(p99s),
            f"{note}: {_percentile(on_big, 99):.1f} and {_percentile(on_small, 99):.1f} ms",
        ),
        "server_rss_mb": Figure(big_mb, f"at {big_events:,} events; {small_mb:.0f} MiB at {small_events:,}"),
        "server_rss_ratio": Figure(big_mb / small_mb, note),
        "bytes_per_sale": Figure(log_bytes / sales, "log and its indexes"),
        "view_bytes_per_sale": Figure(view_bytes / sales, "projections and their indexes"),
    }


def read_side(bench: Bench) -> Figures:
    """The check, and each projection rebuilt from event 1 while nothing else runs."""
    bench.site.catch_up()
    url = bench.site.database_url
    result = check(url)
    if result.first:
        raise AssertionError(f"the check found differences: {result.first[0]}")
    figures = {
        "check_events_per_s": Figure(result.head / result.seconds, f"{result.head:,} events in {result.seconds:.1f} s")
    }
    rates: dict[str, float] = {}
    for name in PROJECTIONS:
        started = time.perf_counter()
        done = rebuild(url, name)
        rates[name] = done.position / (time.perf_counter() - started)
        figures[f"projection_{name}_events_per_s"] = Figure(rates[name], "rebuilt from event 1")
    slowest = min(rates, key=lambda name: rates[name])
    figures["projection_events_per_s"] = Figure(rates[slowest], f"the slowest: {slowest}")
    return figures


def echo_of(bench: Bench) -> AbstractContextManager[StandIn]:
    """A server with an empty handler, whose answer is one to a real sale."""
    site = bench.site
    connection = Connection(site.server.address, RECORD_SALE, site.token)
    try:
        connection.call(0, sale_requests(site.members, next(SEEDS), 1)[0])
        answers: list[Answer] = []
        while not answers:
            connection.flush()
            answers = connection.receive()
    finally:
        connection.close()
    return _stand_in(bench, "echo", answers[0].message.hex())


@contextmanager
def _stand_in(bench: Bench, kind: str, response: str = "") -> Iterator[StandIn]:
    database_url = bench.databases.url(bench.databases.create())
    with Served(database_url, ("-m", "tests.bench.stand_in", kind, response)) as server:
        yield StandIn(server, token(database_url, "pos"))


def _pgbench_database(bench: Bench) -> str:
    url = bench.databases.url(bench.databases.create())
    create_table(url)
    return url


def rounds_of(bench: Bench, name: str) -> Iterator[int]:
    """Counts the rounds of a case, and says so."""
    for number in range(bench.plan.rounds):
        bench.console.log(f"{name}: round {number + 1} of {bench.plan.rounds}")
        yield number


def rate(rounds: list[Round]) -> float:
    """Sales a second, as a median."""
    return median(one.sales_per_s for one in rounds)


def _percentile(rounds: list[Round], percent: float) -> float:
    return median(one.percentile_ms(percent) for one in rounds)


def ratio(ours: list[Round], theirs: list[Round]) -> float:
    """The median of the ratios of neighbouring rounds, so that a busy minute of the machine is in both."""
    return median(one.sales_per_s / other.sales_per_s for one, other in zip(ours, theirs, strict=True))


def median(values: Iterable[float]) -> float:
    """The middle of some values."""
    return statistics.median(values)


def _mean_ms(metrics: dict[str, float], histogram: str) -> float:
    count = metrics[histogram.format("_count")]
    return metrics[histogram.format("_sum")] / count * 1000 if count else 0.0


def _p99_ms(metrics: dict[str, float], histogram: str) -> float:
    """The 99th percentile as a histogram knows it: straight between the limits of its bucket."""
    name, _, label = histogram.format("_bucket").partition(" ")
    buckets = sorted(
        (float(key.partition("le=")[2].partition(" ")[0]), count)
        for key, count in metrics.items()
        if key.startswith(f"{name} ") and label in key
    )
    wanted = buckets[-1][1] * 0.99
    below_s = below = 0.0
    for limit_s, count in buckets:
        if count >= wanted:
            if limit_s == float("inf") or count == below:
                return below_s * 1000
            return (below_s + (limit_s - below_s) * (wanted - below) / (count - below)) * 1000
        below_s, below = limit_s, count
    return below_s * 1000
