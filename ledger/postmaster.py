"""A running PostgreSQL server, by what it says of itself in its folder."""

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import psycopg

SUPERUSER: Final = "postgres"

START_TIMEOUT_S: Final = 120
"""Recovery after a crash replays up to `max_wal_size` of log, so a start may take a while."""


class Postmaster(NamedTuple):
    """What a running server says of itself in its postmaster.pid."""

    pid: int
    port: int
    socket_dir: Path
    tcp: bool
    ready: bool

    @property
    def url(self) -> str:
        """Where it listens, for its superuser."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{SUPERUSER}@/postgres?host={host}&port={self.port}"

    @classmethod
    def find(cls, pgdata: Path) -> "Postmaster | None":
        """The server that runs on a folder, if there is one."""
        try:
            lines = (pgdata / "postmaster.pid").read_text("utf-8").splitlines()
            pid = int(lines[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
            return None
        # A dead server's number may be another program's by now; a server of ours names its folder.
        if os.fsencode(f"--data_directory={pgdata}") not in command:
            return None
        lines += [""] * (8 - len(lines))  # they are written one after the other
        return cls(
            pid=pid,
            port=int(lines[3] or 0),
            socket_dir=Path(lines[4]),
            tcp=lines[5].strip() != "",
            ready=lines[7].strip() == "ready",
        )


def answers(server: Postmaster) -> bool:
    """Whether a server takes connections; one that was just killed still looks alive."""
    try:
        psycopg.connect(server.url, connect_timeout=START_TIMEOUT_S).close()
    except psycopg.OperationalError:
        return False
    return True


def remove_if_misleading(lock: Path) -> None:
    """Remove a dead server's lock file if PostgreSQL would believe it.

    It believes that any process with the number in the file is a server, and gives up. With a
    number that nobody has it copes by itself, and then looks for orphans of the dead server.
    """
    with contextlib.suppress(FileNotFoundError):
        first = lock.read_text("utf-8").partition("\n")[0].strip()
        if not first.isdigit() or Path(f"/proc/{first}").exists():
            lock.unlink()
