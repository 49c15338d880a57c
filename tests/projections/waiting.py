"""Waiting for what threads of the read side bring about and nobody announces."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from projections.catalogue import PROJECTIONS
from projections.runner import ReadSide, Runner, Status

PATIENCE_S: Final = 60.0


def eventually(condition: Callable[[], bool]) -> None:
    """Asks until a condition is true."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        pause.wait(0.02)


def status(side: ReadSide) -> dict[str, Status]:
    """How each projection is."""
    return {one.name: one for one in side.status()}


def applied(runner: Runner, position: int) -> bool:
    """Whether a runner gets to a position before it stops."""
    eventually(lambda: runner.status().position >= position or runner.status().error is not None)
    return runner.status().position >= position


def reached(side: ReadSide, position: int, names: Iterable[str] = PROJECTIONS) -> bool:
    """Whether some projections, or all, get to a position before they stop."""
    return all(applied(side.runners[name], position) for name in names)
