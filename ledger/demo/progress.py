"""Progress of the demo, on a terminal or line by line."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich import progress as bars
from rich.console import Console

SECONDS_BETWEEN_LINES: Final = 2.0
"""How often progress is told where there is no terminal to draw a bar on."""


class Lines:
    """Progress where there is no terminal: a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = 0
        self._done = 0
        self._told_at = 0.0

    def stage(self, name: str, total: int = 0) -> None:
        """Says what begins."""
        self._total, self._done, self._told_at = total, 0, time.monotonic()
        self._console.print(f"{name} ...", highlight=False)

    def advance(self, steps: int) -> None:
        """Says how far it is, unless that was said just before."""
        self._done += steps
        if time.monotonic() - self._told_at >= SECONDS_BETWEEN_LINES:
            self._told_at = time.monotonic()
            self._console.print(f"  {self._done:,} of {self._total:,}", highlight=False)


class Bar:
    """Progress on a terminal: a line and a bar for each stage."""

    def __init__(self, drawn: bars.Progress) -> None:
        self._drawn = drawn
        self._stage: bars.TaskID | None = None

    def stage(self, name: str, total: int = 0) -> None:
        """Begins a bar; one that only moves when nobody knows how long it takes."""
        self.end()
        self._stage = self._drawn.add_task(name, total=total or None)

    def advance(self, steps: int) -> None:
        """Draws the bar longer."""
        if self._stage is not None:
            self._drawn.advance(self._stage, steps)

    def end(self) -> None:
        """Completes the bar."""
        if self._stage is not None:
            done = self._drawn.tasks[self._stage].completed
            self._drawn.update(self._stage, total=done or 1, completed=done or 1)


@contextmanager
def shown_progress() -> Iterator[Lines | Bar]:
    """Shows progress on stderr for the time of a block."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console) as drawn:
        bar = Bar(drawn)
        yield bar
        bar.end()
