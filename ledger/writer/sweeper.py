"""The sweeper: records deadlines that passed on accounts which nobody touches.

It is never needed for a right answer: every decision and every view looks at the clock itself. It only makes the events
appear for those who wait for them. It may run in any number of copies, late, twice or not at all.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from loyalty.v1.origin_pb2 import Origin
from uuid_utils.compat import uuid7

from ledger.domain.instant import MINUTE
from ledger.writer.command import Command
from ledger.writer.writer import Clock, Overloaded, ShuttingDown, Writer

log = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 30.0
SWEEP_ACCOUNTS_MAX: Final = 500
SWEEP_AGAIN_S: Final = 1.0
"""Between two rounds when there is more: the views have to catch up, or the same accounts would come again."""

NOTICES_EVERY_S: Final = 3_600.0
"""How often notices of expiry are looked for: they are due by the day, and looking takes a while."""

SETTLE_AFTER: Final = 10 * MINUTE
"""How long a deadline must lie back, and an account be untouched, before the sweeper records it: sales that a till
still has to upload should find the account as it was."""

Due = Callable[[int, int, int], Sequence[UUID]]
"""(deadlines before, untouched since, how many) -> accounts."""


class Sweeper:
    """One thread."""

    def __init__(self, writer: Writer, due: Due, due_notices: Due, clock: Clock) -> None:
        self._writer = writer
        self._due = due
        self._due_notices = due_notices
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join()

    def sweep(self, due: Due) -> int:
        """Has what is due in some accounts recorded; returns of how many."""
        before = self._clock() - SETTLE_AFTER
        accounts = due(before, before, SWEEP_ACCOUNTS_MAX)
        if not accounts:
            return 0
        done = threading.Event()
        self._writer.submit(
            [Command(Empty(), uuid7(), Origin(), before, member=account, dry_run=False) for account in accounts],
            lambda _results: done.set(),
        )
        done.wait()
        return len(accounts)

    def _run(self) -> None:
        notices_at = time.monotonic()
        while not self._stop.wait(SWEEP_EVERY_S):
            try:
                self._sweep_all(self._due)
                if time.monotonic() >= notices_at:
                    self._sweep_all(self._due_notices)
                    notices_at = time.monotonic() + NOTICES_EVERY_S
            except (Overloaded, ShuttingDown):
                continue
            except Exception:
                # Nothing depends on the sweeper; the next round tries again.
                log.exception("sweeping failed")

    def _sweep_all(self, due: Due) -> None:
        while self.sweep(due) == SWEEP_ACCOUNTS_MAX and not self._stop.wait(SWEEP_AGAIN_S):
            pass
