"""Server processes of the bench: the ledger, and what it is compared with."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.running import ROOT

LEDGER: Final = ("server.py", "serve")
STOP_TIMEOUT_S: Final = 60

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Served:
    """A server process that prints `listening on <address>`, on a free port of 127.0.0.1."""

    def __init__(
        self,
        database_url: str,
        command: Sequence[str] = LEDGER,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.database_url = database_url
        self.address = ""
        self._command = command
        self._environment = environment or {}
        self._metrics = f"127.0.0.1:{_free_port()}"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, *self._command],
            cwd=ROOT,
            env={
                **os.environ,
                "LOYALTY_DATABASE_URL": self.database_url,
                "LOYALTY_ADDRESS": "127.0.0.1:0",
                "LOYALTY_METRICS_ADDRESS": self._metrics,
                "LOYALTY_LOG_LEVEL": "warning",
                **self._environment,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.address = self._listening(self._process)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def rss_mb(self) -> float:
        """Resident memory of it and the processes that it has started, in MiB; what they share counts for each."""
        return sum(_rss_mb(pid) for pid in family(self.pid))

    def cpu_s(self) -> float:
        """CPU time so far of it and the processes that it has started."""
        return sum(cpu_s(Path(f"/proc/{pid}/stat")) for pid in family(self.pid))

    def threads_cpu_s(self) -> dict[int, float]:
        """CPU time so far by thread id."""
        tasks = Path(f"/proc/{self.pid}/task")
        return {int(task.name): cpu_s(task / "stat") for task in tasks.iterdir()}

    def thread_names(self) -> dict[int, str]:
        """Names by thread id, of a server that tells them on SIGUSR1: tests.bench.profiled_server."""
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("the server is not running")
        self._process.send_signal(signal.SIGUSR1)
        names: dict[int, str] = {}
        for text in self._process.stdout:
            if text == "threads end\n":
                break
            _, thread, name = text.split(maxsplit=2)
            names[int(thread)] = name.strip()
        return names

    def metrics(self) -> dict[str, float]:
        """Its Prometheus metrics, by name with the labels in it, such as loyalty_commit_seconds_count."""
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=10) as response:
            text = response.read().decode()
        return {
            sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): (sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def _listening(self, process: subprocess.Popen[str]) -> str:
        for text in process.stdout or ():
            found = re.search(r"listening on (\S+)", text)
            if found:
                return found[1]
        raise RuntimeError(f"the server ended with {process.wait()} before it listened")


def family(pid: int) -> list[int]:
    """A process, its children, and theirs."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:  # grows while it is gone through
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_s(stat: Path) -> float:
    """CPU time from a stat file of /proc."""
    fields = stat.read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError("the server has no memory: it has ended")
    return int(found[1]) / 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
