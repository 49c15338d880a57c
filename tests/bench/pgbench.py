"""What PostgreSQL itself does: transactions that insert one row, by the `pgbench` of the same wheel, as it comes."""

import re
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import psycopg

ROW_BYTES: Final = 100
THREADS: Final = 2
"""pgbench's own threads; more clients than that share them."""

_SCRIPT: Final = "INSERT INTO bench_rows (payload) VALUES (repeat('x', {size}));\n"


def create_table(database_url: str) -> None:
    """Makes the table that rows are inserted into."""
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_rows (id bigserial PRIMARY KEY, payload text NOT NULL)")


def transactions_per_s(bin_dir: Path, database_url: str, clients: int, seconds: float) -> float:
    """How many transactions a second some clients come to, each waiting for its last one."""
    return _run(bin_dir, database_url, clients, seconds, [])


def commit_p50_ms(bin_dir: Path, database_url: str, seconds: float) -> float:
    """How long one transaction of a single client takes, as a median."""
    with tempfile.TemporaryDirectory(prefix="loyalty-pgbench-") as folder:
        _run(bin_dir, database_url, 1, seconds, ["--log", f"--log-prefix={folder}/log"])
        # Of each transaction: client, number, latency in microseconds, ...
        latencies = [
            int(line.split()[2]) for log in Path(folder).glob("log.*") for line in log.read_text("ascii").splitlines()
        ]
    return statistics.median(latencies) / 1000


def _run(bin_dir: Path, database_url: str, clients: int, seconds: float, options: list[str]) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="ascii") as script:
        script.write(_SCRIPT.format(size=ROW_BYTES))
        script.flush()
        done = subprocess.run(
            [
                str(bin_dir / "pgbench"),
                "--no-vacuum",
                f"--file={script.name}",
                f"--client={clients}",
                f"--jobs={min(clients, THREADS)}",
                f"--time={max(round(seconds), 1)}",
                *options,
                database_url,
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds + 60,
        )
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"pgbench failed: {done.stderr.strip()[-500:]}")
    return float(found[1])
