"""Real processes for tests: a PostgreSQL with fresh databases, and ledger servers on free ports."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from uuid import uuid4

import grpc
import psycopg
from psycopg.conninfo import make_conninfo

from ledger.local_postgres import LocalPostgres
from ledger.store.credentials import Credentials, Role
from ledger.store.datastore import LedgerDatastore
from ledger.store.migrate import migrate

ROOT = Path(__file__).parent.parent
TEMPLATE = "template_ledger"


MEMORY_BYTES: Final = 8 * 2**30
"""What has to be free for databases to be kept in memory."""


def in_memory() -> Path | None:
    """A folder in memory, where the machine has one with room: a database is there in a quarter of the time."""
    folder = Path("/dev/shm")  # noqa: S108 - it is on every Linux, and open to all as /tmp is
    return folder if folder.is_dir() and shutil.disk_usage(folder).free >= MEMORY_BYTES else None


class Databases:
    """A PostgreSQL of our own, and migrated databases in it.

    Unless it is durable it does not wait for the disk: processes are killed in tests, and no machine loses its power.
    """

    def __init__(self, data_dir: Path, *, durable: bool = False) -> None:
        self.postgres = LocalPostgres(data_dir, tcp=True)
        self.postgres.start()
        if not durable:
            self._execute("ALTER SYSTEM SET fsync = off")
            self._execute("SELECT pg_reload_conf()")
        self._execute(f"CREATE DATABASE {TEMPLATE}")
        migrate(self.url(TEMPLATE))

    def url(self, name: str) -> str:
        """The URL of a database."""
        return make_conninfo(self.postgres.url, dbname=name)

    def tcp_url(self, name: str) -> str:
        """The URL of a database over TCP, for a proxy in between."""
        return make_conninfo(self.postgres.tcp_url, dbname=name)

    def create(self, template: str = TEMPLATE) -> str:
        """The name of a new, empty database; a migrated one, unless it is made from another template."""
        name = f"t_{uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a new, migrated database that is there for the time of a block."""
        name = self.create()
        yield self.url(name)
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def stop(self) -> None:
        """Stops it, as a power cut would: nobody needs what is in it any more."""
        self.postgres.stop("immediate")


def token(database_url: str, role: Role = "admin", **bound: str) -> str:
    """A new credential's token."""
    datastore = LedgerDatastore(database_url)
    try:
        datastore.pool.open()
        return Credentials(datastore.pool).add(role, bound.get("store"), bound.get("terminal"), bound.get("program"))
    finally:
        datastore.close()


class ServerProcess:
    """`python server.py serve` on a free port."""

    def __init__(self, database_url: str, **environment: str) -> None:
        self.database_url = database_url
        self.environment = environment
        self.address = ""
        self.process: subprocess.Popen[str] | None = None
        self.log: IO[bytes] | None = None
        """Where its log goes; with that of the tests unless set before it starts."""

    def start(self) -> Self:
        """Starts it and waits until it listens."""
        environment = {
            **os.environ,
            "LOYALTY_DATABASE_URL": self.database_url,
            "LOYALTY_ADDRESS": "127.0.0.1:0",
            "LOYALTY_METRICS_ADDRESS": "off",
            "LOYALTY_LOG_LEVEL": "warning",
            "LOYALTY_RATE_LOOKUPS_PER_MINUTE": "100000",
            **self.environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "server.py", "serve"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        if self.process.stdout is None:
            raise AssertionError("stdout is a pipe")
        for text in self.process.stdout:
            found = re.search(r"listening on (\S+)", text)
            if found:
                self.address = found[1]
                return self
        raise AssertionError(f"the server ended with {self.process.wait()} before it listened")

    def channel(self) -> grpc.Channel:
        """A channel to it."""
        return grpc.insecure_channel(self.address)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ends it as an operator would; returns its status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def free_address() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def running(database_url: str, **environment: str) -> Iterator[ServerProcess]:
    """A server for the time of a block."""
    with ServerProcess(database_url, **environment) as server:
        yield server
