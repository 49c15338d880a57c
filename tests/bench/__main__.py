"""`python -m tests.bench`: measures, prints a table and writes var/bench.json."""

import argparse
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, get_args

import psycopg
from rich.console import Console

from tests.bench import (
    as_of_cases,
    audit_cases,
    cases,
    feed_cases,
    measures,
    profile_cases,
    rule_cases,
    seal_cases,
    segment_cases,
)
from tests.bench.cases import Bench, Figures
from tests.bench.line import Line, Measure, print_table, write_json
from tests.bench.load import Clients
from tests.bench.plan import FULL, QUICK, SMOKE, Plan
from tests.bench.profiling import Kind, profile
from tests.bench.site import Site
from tests.running import ROOT, Databases

Case = Callable[[Bench], Figures]

OUTPUT_COLUMNS: Final = 150

CASES: Final[Mapping[str, tuple[Case, Mapping[str, Measure]]]] = {
    "unary": (cases.unary, measures.UNARY),
    "batch": (cases.batch, measures.BATCH),
    "single": (cases.single, measures.SINGLE),
    "open_loop": (cases.open_loop, measures.OPEN_LOOP),
    "lag": (cases.lag, measures.LAG),
    "busy_lag": (cases.busy_lag, measures.BUSY_LAG),
    "growth": (cases.growth, measures.GROWTH),
    "read_side": (cases.read_side, measures.READ_SIDE),
    "audit": (audit_cases.audit, measures.AUDIT),
    "as_of": (as_of_cases.as_of, measures.AS_OF),
    "profile": (profile_cases.profile, measures.PROFILE),
    "replay": (audit_cases.replay_year, measures.REPLAY),
    "feed": (feed_cases.feed, measures.FEED),
    "fifty_rules": (rule_cases.fifty, measures.FIFTY_RULES),
    "thousand_rules": (rule_cases.thousand, measures.THOUSAND_RULES),
    "seal": (seal_cases.seal, measures.SEAL),
    "proofs": (seal_cases.proofs, measures.PROOFS),
    "segments": (segment_cases.segments, measures.SEGMENTS),
}
"""The cases with their lines, in the order in which they run: the log grows from one to the next."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for. 1 when a line could not be measured; a goal that does not hold is news."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    console = Console(stderr=True)
    plan: Plan = options.plan
    with _databases() as databases:
        clients = Clients()
        try:
            if options.profile:
                profile(options.profile, databases, clients, _output())
                return 0
            lines = measure(plan, options.case or list(CASES), databases, clients, console)
        finally:
            clients.close()
    print_table(lines, _output())
    write_json(lines, options.output)
    console.log(f"written to {options.output}")
    return int(any(line.value is None for line in lines))


def measure(
    plan: Plan,
    names: Sequence[str],
    databases: Databases,
    clients: Clients,
    console: Console,
) -> list[Line]:
    """The lines of some cases."""
    load = os.getloadavg()[0]
    console.log(f"{plan.name}, {os.cpu_count()} cores, load of the last minute {load:.1f}")
    lines: list[Line] = []
    with Site(databases.url(databases.create()), clients, plan.members) as site:
        bench = Bench(plan, databases, clients, site, console)
        for name in names:
            case, lines_of = CASES[name]
            lines += _lines(bench, name, case, lines_of)
    return lines


def _lines(bench: Bench, name: str, case: Case, lines_of: Mapping[str, Measure]) -> Iterator[Line]:
    """A case's lines, without values when it fails."""
    bench.console.log(name)
    figures: Figures = {}
    note = ""
    try:
        figures = case(bench)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other cases go on
        traceback.print_exc(file=sys.stderr)
        note = f"{type(error).__name__}: {error}"[:200]
    for line_name, of in lines_of.items():
        figure = figures.get(line_name)
        if figure is None:
            yield of.line(line_name, None, note)
        else:
            yield of.line(line_name, figure.value, figure.note)


@contextmanager
def _databases() -> Iterator[Databases]:
    """A PostgreSQL in a temporary folder, as durable as in production."""
    with tempfile.TemporaryDirectory(prefix="loyalty-bench-") as folder:
        Path(folder).chmod(0o755)
        databases = Databases(Path(folder) / "postgres", durable=True)
        try:
            with psycopg.connect(databases.postgres.url) as connection:
                for name in ("fsync", "synchronous_commit", "full_page_writes"):
                    row = connection.execute(f"SHOW {name}".encode()).fetchone()
                    if row != ("on",):
                        raise RuntimeError(f"{name} is {row}: nothing measured so would count")
            yield databases
        finally:
            databases.stop()


def _output() -> Console:
    """Standard output, wide enough for the tables also where it is a file."""
    return Console() if sys.stdout.isatty() else Console(width=OUTPUT_COLUMNS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.set_defaults(plan=FULL)
    size = parser.add_mutually_exclusive_group()
    for plan, text in (
        (QUICK, "the same lines in under two minutes"),
        (SMOKE, "the same lines from tiny rounds: whether the bench works, not how fast anything is"),
    ):
        size.add_argument(f"--{plan.name}", dest="plan", action="store_const", const=plan, help=text)
    parser.add_argument("--case", action="append", choices=CASES, help="only this case; repeatable")
    parser.add_argument("--profile", choices=get_args(Kind), help="where the server's CPU time goes")
    parser.add_argument("--output", type=Path, default=ROOT / "var" / "bench.json", help="where the lines go")
    return parser


def _terminated(number: int, frame: FrameType | None) -> None:
    """Ends with an exception, so that every process and folder is taken down again."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
