"""The ledger's server under observation: `python -m tests.bench.profiled_server serve`.

With LOYALTY_BENCH_PROFILE naming a folder, each thread runs under cProfile, and the end of the server leaves a file of
figures for each. Time is the thread's CPU time, so that neither waiting for the GIL nor for the database counts.
SIGUSR1 prints which thread is which.
"""

import cProfile
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import server

FOLDER: Final = "LOYALTY_BENCH_PROFILE"

_profiles: dict[str, cProfile.Profile] = {}


def main() -> None:
    """Serves until SIGTERM."""
    folder = os.environ.get(FOLDER)
    if folder:
        _profile_threads()
    signal.signal(signal.SIGUSR1, _name_threads)
    if not folder:
        server.main()
        return
    profile = _profiles["loop"] = cProfile.Profile(time.thread_time)
    try:
        profile.runcall(_serve)
    finally:
        for name, one in _profiles.items():
            one.dump_stats(Path(folder) / f"{name.replace('/', '-')}.prof")


def _serve() -> None:
    try:
        server.main()
    except SystemExit:  # the command line ends with it; the figures are yet to be written
        return


def _profile_threads() -> None:
    """Has every thread that starts from now on run under a profile of its own."""
    run: Callable[[threading.Thread], Any] = threading.Thread.run

    def profiled(self: threading.Thread) -> None:
        profile = _profiles[self.name] = cProfile.Profile(time.thread_time)
        profile.runcall(run, self)

    threading.Thread.run = profiled  # type: ignore[method-assign]  # there is no other way in


def _name_threads(number: int, frame: FrameType | None) -> None:
    for thread in threading.enumerate():
        sys.stdout.write(f"thread {thread.native_id} {thread.name}\n")
    sys.stdout.write("threads end\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
