"""The cases of auditors: the whole log as an export, in each format, its verification, and its replay."""

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final, get_args

import psycopg
from psycopg.rows import tuple_row

from ledger.demo.own_server import Endpoint
from ledger.demo.run import run
from ledger.proof.manifest import Format
from ledger.proof.note import Checkpoint, Signer, sign
from ledger.proof.verify import verify_export
from ledger.store.arrays import register_arrays
from ledger.store.seal import seal
from projections.catalogue import PROJECTIONS
from projections.rebuild import rebuild
from projections.replay import replay
from tests.bench.cases import Bench, Figure, Figures
from tests.bench.process import Served
from tests.demo.silent import Silent
from tests.running import ROOT, token

PAGE_EVENTS: Final = 50_000

YEAR_BASKETS: Final = 155_848
"""In all of the real year: what a part of it takes is told for the whole."""

# Runs the command, then says what it took of memory: its own peak. That of getrusage begins with its parent's.
_MEASURED: Final = """
import re, server
try:
    server.main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def audit(bench: Bench) -> Figures:
    """Exports the log as jsonl, CSV and Parquet, and verifies it by a signed checkpoint, on one core and on two."""
    bench.site.catch_up()
    url = bench.site.database_url
    signer = Signer.generate("bench")
    rates: dict[Format, float] = {}
    rss_mb: dict[Format, float] = {}
    size = _seal(url, signer)
    verified: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in get_args(Format):
            bench.console.log(f"audit: export of {size:,} events as {kind}")
            rates[kind], rss_mb[kind] = _export(url, Path(folder) / kind, kind)
        for processes in (1, 2):
            bench.console.log(f"audit: verification, processes: {processes}")
            started = time.perf_counter()
            report = verify_export(Path(folder) / "jsonl", [], [], processes)
            verified[processes] = report.rows / (time.perf_counter() - started)
            if not report.ok:
                raise AssertionError(f"the export is not verified: {report.findings[0]}")
    return {
        "export_events_per_s": Figure(rates["jsonl"], f"{size:,} events as JSON Lines"),
        "export_csv_events_per_s": Figure(rates["csv"]),
        "export_parquet_events_per_s": Figure(rates["parquet"]),
        "export_rss_mb": Figure(max(rss_mb.values()), ", ".join(f"{kind} {mb:.0f}" for kind, mb in rss_mb.items())),
        "verify_events_per_s": Figure(verified[1], "one process"),
        "verify_two_cores_events_per_s": Figure(verified[2], "two processes, their start included"),
    }


def replay_year(bench: Bench) -> Figures:
    """Loads the real year, and replays every view of it into a schema of its own, in two processes."""
    url = bench.databases.url(bench.databases.create())
    with Served(url, environment={"LOYALTY_LOG_SEAL": "no"}) as server:
        done = run(Endpoint(server.address, token(url)), bench.plan.year_baskets, Silent())
    bench.console.log(f"replay: {done.sales_loaded:,} sales are loaded")
    started = time.perf_counter()
    made = replay(url, "replayed", processes=2)
    seconds = time.perf_counter() - started
    year_s = seconds * YEAR_BASKETS / done.sales_loaded
    rebuilt_s = _rebuild_all(url)
    return {
        "replay_year_s": Figure(year_s, f"all views of {made.position:,} events in {seconds:.1f} s, two processes"),
        "replay_events_per_s": Figure(made.position / seconds),
        "rebuild_year_s": Figure(
            rebuilt_s * YEAR_BASKETS / done.sales_loaded,
            f"all {len(PROJECTIONS)} projections beside the live ones in {rebuilt_s:.1f} s, two at once",
        ),
    }


def _rebuild_all(url: str) -> float:
    """How long it takes to rebuild every projection, each in a process, two at once."""
    started = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        for done in [processes.submit(rebuild, url, name) for name in PROJECTIONS]:
            done.result()
    return time.perf_counter() - started


def _seal(url: str, signer: Signer) -> int:
    """Seals and signs the whole log; returns its size."""
    with psycopg.connect(url, autocommit=True) as connection:
        register_arrays(connection)
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        size = -1
        while True:
            with connection.transaction():
                tree = seal(cursor, PAGE_EVENTS)
            if tree.size == size:
                break
            size = tree.size
        note = sign(Checkpoint("bench", tree.size, tree.root()).text, [signer])
        cursor.execute("INSERT INTO log_checkpoints VALUES (%s, 0, %s) ON CONFLICT DO NOTHING", (size, note))
    return size


def _export(url: str, folder: Path, kind: Format) -> tuple[float, float]:
    """Events a second, and MiB at most, of the command in a process of its own."""
    command = ["export", "events", str(folder), "--format", kind, "--database-url", url, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    said, kib = done.stdout.splitlines()[-2:]
    result = json.loads(said)
    return result["rows"] / result["seconds"], int(kib) / 1024
