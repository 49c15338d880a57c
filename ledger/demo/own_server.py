"""A server of the demo's own, in a process of its own, on a database of its own."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple, Self

from psycopg.conninfo import make_conninfo

from ledger.demo.failure import DemoFailed

STOP_TIMEOUT_S: Final = 60.0

_LISTENING: Final = re.compile(r"listening on (\S+)")


class OwnServerFailed(DemoFailed):
    """The server did not start; it has said why on stderr."""


class Endpoint(NamedTuple):
    """Where a server is, and a credential for everything."""

    address: str
    token: str


class OwnServer:
    """`loyalty serve --local` on a free port.

    It ends with the block, and also when this process is killed.

    Args:
        data_dir: The folder of the local PostgreSQL, shared with `loyalty serve --local`.
        database: The name of the database in it.
    """

    def __init__(self, data_dir: Path, database: str) -> None:
        self._data_dir = data_dir
        self._database = database
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        others = {name: os.environ[name] for name in os.environ if not name.startswith("LOYALTY_")}
        environment = {
            **others,
            "LOYALTY_ADDRESS": "127.0.0.1:0",
            "LOYALTY_METRICS_ADDRESS": "off",
            "LOYALTY_DATA_DIR": str(self._data_dir),
            "LOYALTY_LOG_LEVEL": "warning",
        }
        tied = [sys.executable, "-m", "ledger.demo.tied", str(os.getpid())]
        serve = [sys.executable, "-m", "server", "serve", "--local", "--database", self._database]
        # In a session of its own, so that Ctrl-C stops the loader first and the server after it.
        self._process = subprocess.Popen(
            [*tied, *serve],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def folder(self) -> Path:
        """What the server keeps outside of the database: credentials, keys and checkpoints."""
        return self._data_dir / self._database

    @property
    def postgres_folder(self) -> Path:
        """The folder of its PostgreSQL."""
        return self._data_dir / "postgres"

    def database_url(self, postgres_url: str) -> str:
        """Where its database is in the PostgreSQL of that address."""
        return make_conninfo(postgres_url, dbname=self._database)

    def endpoint(self) -> Endpoint:
        """Waits until the server listens.

        Raises:
            OwnServerFailed: It ended instead.
        """
        if self._process is None or self._process.stdout is None:
            raise OwnServerFailed("the server was not started")
        for line in self._process.stdout:
            listening = _LISTENING.search(line)
            if listening:
                # What else it says must not fill the pipe.
                drain = threading.Thread(target=_drain, args=(self._process.stdout,), daemon=True)
                drain.start()
                return Endpoint(listening[1], self._token())
        raise OwnServerFailed("the demo's server did not start")

    def _token(self) -> str:
        file = self.folder / "credentials.json"
        tokens: dict[str, str] = json.loads(file.read_text("utf-8"))["tokens"]
        return tokens["admin"]


def _drain(stream: IO[str]) -> None:
    with stream:
        for _ in stream:
            pass
