"""`loyalty migrate`, `serve` and the first steps of the README, as somebody types them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from ledger.store.migrate import migrations
from tests.running import ROOT, Databases

TIMEOUT_S = 60.0
LOYALTY = (sys.executable, "server.py")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder. Not below pytest's own, which PostgreSQL's user cannot enter."""
    with tempfile.TemporaryDirectory(prefix="loyalty-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def environment(**ours: str) -> dict[str, str]:
    """What a command sees."""
    return {name: os.environ[name] for name in os.environ if not name.startswith("LOYALTY_")} | ours


def run(*command: str, **ours: str) -> str:
    """What a command prints that ends well."""
    return subprocess.run(
        command, cwd=ROOT, env=environment(**ours), check=True, capture_output=True, text=True, timeout=TIMEOUT_S
    ).stdout


@contextmanager
def serving(*command: str, **ours: str) -> Iterator["subprocess.Popen[str]"]:
    """A server that Ctrl-C stops, and that ends well."""
    with subprocess.Popen(command, cwd=ROOT, env=environment(**ours), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    """The next line that a server prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_migrate_says_what_it_applied(databases: Databases) -> None:
    """By name at first, and that there is nothing left the next time; for scripts as JSON."""
    names = [migration.name for migration in migrations()]
    one, other = ({"LOYALTY_DATABASE_URL": databases.url(databases.create("template0"))} for _ in range(2))
    assert run(*LOYALTY, "migrate", **one).splitlines() == [f"applied {name}" for name in names]
    assert run(*LOYALTY, "migrate", **one) == "nothing to apply\n"
    assert json.loads(run(*LOYALTY, "migrate", "--json", **other)) == {"applied": names}
    assert json.loads(run(*LOYALTY, "migrate", "--json", **other)) == {"applied": []}


def test_serve_announces_itself_as_json(database_url: str) -> None:
    """One line, with the addresses that it has really got."""
    ours = {
        "LOYALTY_DATABASE_URL": database_url,
        "LOYALTY_ADDRESS": "127.0.0.1:0",
        "LOYALTY_METRICS_ADDRESS": "127.0.0.1:0",
    }
    with serving(*LOYALTY, "serve", "--json", **ours) as server:
        announced = json.loads(said(server))
        assert run(*LOYALTY, "health", LOYALTY_ADDRESS=announced["address"]) == "SERVING\n"
        with urlopen(f"http://{announced['metrics_address']}/metrics", timeout=TIMEOUT_S) as metrics:
            assert b"loyalty_queue_commands 0.0" in metrics.read()
    with serving(*LOYALTY, "serve", "--json", **ours | {"LOYALTY_METRICS_ADDRESS": "off"}) as server:
        assert json.loads(said(server))["metrics_address"] is None


def test_the_first_steps_of_a_newcomer(folder: Path) -> None:
    """`make run` says what to try; that enrols and sells; after Ctrl-C and another start the points are still there."""
    recipe = shlex.split(run("make", "--dry-run", "--no-print-directory", "run").splitlines()[-1])
    ours = {"LOYALTY_DATA_DIR": str(folder / "var")}
    free = {"LOYALTY_ADDRESS": "127.0.0.1:0", "LOYALTY_METRICS_ADDRESS": "off"}
    for known, points in (("enrolled", 125), ("known", 250)):
        with serving(*recipe, **ours, **free) as server:
            assert said(server).startswith("listening on 127.0.0.1:")
            assert said(server) == "stop with Ctrl-C"
            command = said(server).removeprefix("try: ")
            assert command in README, "and the README says the same"
            key = run(*LOYALTY, "log", "key", **ours)
            assert said(server) == f"the log's public key: {key.strip()}"
            lines = run(*shlex.split(command), **ours).splitlines()
        assert lines[0].startswith(f"{known}: members/")
        assert lines[1:3] == ["You earned 125 points.", f"You have {points} points to spend."]
