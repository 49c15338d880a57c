"""Where the server's CPU time goes, for whoever wants to make it faster: `python -m tests.bench --profile KIND`.

Two runs of the same load. The first is undisturbed and tells the CPU time of each thread and process, from the kernel.
The second is under cProfile, which makes Python functions look dearer than they are and sees nothing inside gRPC's own
code: it tells which functions, not how many microseconds.
"""

import pstats
import re
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final, Literal

import psycopg
from rich.console import Console
from rich.table import Table

from tests.bench.load import Clients, Job
from tests.bench.process import cpu_s, family
from tests.bench.profiled_server import FOLDER
from tests.bench.site import Site
from tests.running import Databases

SECONDS: Final = 5.0
WARM_UP_S: Final = 1.0
MEMBERS: Final = 10_000
PROFILED_MEMBERS: Final = 500
"""Few, because their enrolment is in the profile too; loading them anew would be worse."""

FUNCTIONS: Final = 25
SERVER: Final = ("-m", "tests.bench.profiled_server", "serve")

Kind = Literal["unary", "batch", "single"]


def profile(kind: Kind, databases: Databases, clients: Clients, console: Console) -> None:
    """Prints both views of a load."""
    with Site(databases.url(databases.create()), clients, MEMBERS, SERVER) as site:
        site.run(_job(kind, site, WARM_UP_S))
        _cpu_by_thread(kind, site, console)
    with tempfile.TemporaryDirectory(prefix="loyalty-profile-") as folder:
        url = databases.url(databases.create())
        with Site(url, clients, PROFILED_MEMBERS, SERVER, {FOLDER: folder}) as profiled:
            done = profiled.run(_job(kind, profiled, SECONDS))
        for thread in ("loop", "writer"):
            stats = pstats.Stats(str(Path(folder) / f"{thread}.prof"))
            console.print(_table(thread, stats, done.sales))


def _job(kind: Kind, site: Site, seconds: float) -> Job:
    match kind:
        case "unary":
            return site.job(seconds, 64)
        case "batch":
            return site.job(seconds, 16, batch=100)
        case "single":
            return site.job(seconds, 1)


def _cpu_by_thread(kind: Kind, site: Site, console: Console) -> None:
    site.catch_up()
    names = site.server.thread_names()
    threads = site.server.threads_cpu_s()
    backends = _backends_cpu_s(site.database_url)
    children = _children_cpu_s(site)
    done = site.run(_job(kind, site, SECONDS))
    site.catch_up()
    spent: defaultdict[str, float] = defaultdict(float)
    for thread, seconds in site.server.threads_cpu_s().items():
        spent[names.get(thread, "gRPC's own threads")] += seconds - threads.get(thread, 0.0)
    for backend, seconds in _backends_cpu_s(site.database_url).items():
        spent[f"postgres: {backend}"] += seconds - backends.get(backend, 0.0)
    spent["processes that the server has started"] = _children_cpu_s(site) - children
    spent["client"] = done.client_cpu_s
    title = f"{kind}: {done.sales_per_s:,.0f} sales/s"
    table = Table("CPU time of", "us a sale", "s in all", title=title)
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        if seconds >= 0.01:
            table.add_row(name, f"{seconds / done.sales * 1e6:.1f}", f"{seconds:.2f}")
    console.print(table)


def _children_cpu_s(site: Site) -> float:
    _, *children = family(site.server.pid)
    return sum(cpu_s(Path(f"/proc/{pid}/stat")) for pid in children)


def _table(thread: str, stats: pstats.Stats, sales: int) -> Table:
    title = f"{thread} (cProfile)"
    table = Table("function", "calls a sale", "own us a sale", "with callees", title=title)
    profile = stats.get_stats_profile().func_profiles
    rows = sorted(profile.items(), key=lambda item: -item[1].tottime)[:FUNCTIONS]
    for name, function in rows:
        calls = int(str(function.ncalls).partition("/")[0])
        where = f"{_short(function.file_name)}:{function.line_number}" if function.line_number else ""
        table.add_row(
            f"{where} {name}",
            f"{calls / sales:.2f}",
            f"{function.tottime / sales * 1e6:.1f}",
            f"{function.cumtime / sales * 1e6:.1f}",
        )
    return table


def _short(file: str) -> str:
    return re.sub(r".*/(site-packages|main|python3\.\d+)/", "", file)


def _backends_cpu_s(database_url: str) -> dict[str, float]:
    """CPU time so far of PostgreSQL's processes: one for each connection, and those that serve all."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT pid, coalesce(nullif(application_name, ''), backend_type) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid()"
        ).fetchall()
    found: dict[str, float] = {}
    for pid, name in rows:
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            found[name] = found.get(name, 0.0) + cpu_s(stat)
    return found
