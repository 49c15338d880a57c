"""A child: a command that runs for as long as this process lives, and is started again when it dies."""

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

log = logging.getLogger(__name__)

BACKOFF_MIN_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0

STOP_TIMEOUT_S: Final = 10.0
"""How long the command may take to finish what it is at before it is ended."""


def _hear_nothing(said: Iterable[bytes]) -> None:
    for _ in said:
        pass


class ChildProcess:
    """The command ends when its standard input does, so it outlives no parent, however that ended."""

    def __init__(
        self,
        what: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        listen: Callable[[Iterable[bytes]], None] = _hear_nothing,
    ) -> None:
        """The command gets its settings in its environment, since a URL may hold a password.

        `listen` hears what it says on its standard output, line by line, until it ends.
        """
        self._what = what
        self._command = list(command)
        self._environment = {**os.environ, **environment}
        self._listen = listen
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def supervise(self) -> None:
        """Runs it, again and again, until `stop` is called."""
        backoff_s = BACKOFF_MIN_S
        while not self._stop.is_set():
            started = time.monotonic()
            with subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment
            ) as process:
                self._process = process
                if self._stop.is_set():  # stop() may have looked before there was anything to end
                    _end(process)
                self._listen(process.stdout or ())
            status = process.returncode
            if self._stop.is_set():
                return
            if time.monotonic() - started > BACKOFF_MAX_S:
                backoff_s = BACKOFF_MIN_S
            log.error("%s ended with status %d; it is started again in %.1f s", self._what, status, backoff_s)
            self._stop.wait(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def stop(self) -> None:
        """Lets the command finish what it is at, and ends it."""
        self._stop.set()
        process = self._process
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
