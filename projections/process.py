"""The read side in a process of its own, so that building views never takes the interpreter away from the tills."""

import json
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import psycopg
from psycopg.rows import tuple_row

from ledger.metrics import (
    FEED_LAG_EVENTS,
    FEED_LAG_SECONDS,
    LOG_SEAL_LAG_EVENTS,
    LOG_SEAL_POSITION,
    LOG_SEAL_SIGNED_POSITION,
    LOG_SEAL_STOPPED_AT,
    PROJECTION_LAG_EVENTS,
    PROJECTION_POSITION,
    PROJECTION_STOPPED_AT,
    SEGMENTER_LAG_EVENTS,
)
from ledger.store.checkpoints import newest_checkpoint
from ledger.store.consumers import KnownConsumer, known_consumers
from ledger.store.datastore import LedgerDatastore
from ledger.store.seal import sealed_size
from projections.child import ChildProcess
from projections.hub import Hub
from projections.runner import ReadSide
from projections.sealer import NAME as SEALER

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
"""How often the metrics of the views are brought up to date."""


class ReadSideProcess:
    """Runs a command that builds the views for as long as this process lives, and starts it again when it dies.

    What the command says on its standard output is where projections have stopped: this process exports its metrics,
    the command has none.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], datastore: LedgerDatastore, hub: Hub
    ) -> None:
        """The command gets its settings in its environment."""
        self._child = ChildProcess("the read side", command, environment, self._listen)
        self._datastore = datastore
        self._hub = hub
        self._stop = threading.Event()
        self._stopped_at: dict[str, int] = {}
        """Where the command's projections have stopped, and its sealer, by name."""
        self._consumers: set[str] = set()
        """Of the feed: those that the metrics tell of."""
        self._threads = [
            threading.Thread(target=self._child.supervise, name="read side", daemon=True),
            threading.Thread(target=self._look, name="read side metrics", daemon=True),
        ]

    def start(self) -> None:
        """Starts it."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets it finish the pages that it is at, and ends it."""
        self._stop.set()
        self._child.stop()
        for thread in self._threads:
            thread.join()

    def _listen(self, said: Iterable[bytes]) -> None:
        """Keeps in mind what the command says, until it ends; the next one starts afresh."""
        for line in said:
            try:
                self._stopped_at = json.loads(line)
            except ValueError:
                log.warning("the read side says %r, which nobody understands", line)
        self._stopped_at = {}

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                with self._datastore.pool.connection() as connection:
                    cursor = connection.cursor(row_factory=tuple_row)
                    positions = cursor.execute("SELECT name, position FROM views.positions").fetchall()
                    segmenter = cursor.execute("SELECT position FROM segmenter").fetchone()
                    sealed = sealed_size(cursor)
                    signed = newest_checkpoint(cursor)
                    consumers = known_consumers(cursor, time.time_ns() // 1_000)
            except psycopg.Error:
                continue  # health says so already
            LOG_SEAL_POSITION.set(sealed)
            LOG_SEAL_LAG_EVENTS.set(max(self._hub.head - sealed, 0))
            LOG_SEAL_SIGNED_POSITION.set(signed.size if signed is not None else 0)
            LOG_SEAL_STOPPED_AT.set(self._stopped_at.get(SEALER, 0))
            SEGMENTER_LAG_EVENTS.set(max(self._hub.head - segmenter[0], 0) if segmenter is not None else 0)
            self._tell(consumers)
            for name, position in positions:
                PROJECTION_POSITION.labels(name).set(position)
                PROJECTION_LAG_EVENTS.labels(name).set(max(self._hub.head - position, 0))
                # Another server's process may know better and have gone on.
                stopped_at = self._stopped_at.get(name, 0)
                PROJECTION_STOPPED_AT.labels(name).set(stopped_at if stopped_at > position else 0)

    def _tell(self, consumers: Sequence[KnownConsumer]) -> None:
        """How far the feed's consumers are."""
        for gone in self._consumers - {one.consumer_id for one in consumers}:
            FEED_LAG_EVENTS.remove(gone)
            FEED_LAG_SECONDS.remove(gone)
        self._consumers = {one.consumer_id for one in consumers}
        for one in consumers:
            FEED_LAG_EVENTS.labels(one.consumer_id).set(max(one.lag_events, 0))
            FEED_LAG_SECONDS.labels(one.consumer_id).set(one.lag_us / 1_000_000)


def report_until_end_of_input(read_side: ReadSide) -> None:
    """Tells the parent where projections have stopped, or the sealer, whenever that changes, as a line of JSON by name.

    Returns when the parent has closed the command's standard input, or is gone.
    """
    told: dict[str, int] = {}
    while not _has_ended(sys.stdin.fileno(), LOOK_EVERY_S):
        stopped = read_side.stopped()
        if stopped != told:
            with suppress(BrokenPipeError):
                os.write(sys.stdout.fileno(), json.dumps(stopped).encode() + b"\n")
            told = stopped


def _has_ended(file: int, timeout_s: float) -> bool:
    """Whether an input comes to its end within a time. What is on it is of no interest."""
    readable, _, _ = select.select([file], [], [], timeout_s)
    return bool(readable) and not os.read(file, 1)
