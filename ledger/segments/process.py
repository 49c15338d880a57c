"""The segmenter in a process of its own, beside a server: nobody at a till waits for a million members."""

import threading
from collections.abc import Mapping, Sequence
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from ledger.store.datastore import LedgerDatastore
from projections.child import ChildProcess

LOOK_EVERY_S: Final = 1.0
"""How often a server without segments looks whether there is one."""


class SegmenterProcess:
    """Runs the segmenter for as long as this process lives, from the first segment on, and again when it dies."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], datastore: LedgerDatastore) -> None:
        """The command gets its settings in its environment."""
        self._child = ChildProcess("the segmenter", command, environment)
        self._datastore = datastore
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segmenter", daemon=True)

    def start(self) -> None:
        """Starts it, once there is a segment."""
        self._thread.start()

    def stop(self) -> None:
        """Lets it finish the page that it is at, and ends it."""
        self._stop.set()
        self._child.stop()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_needed():
            if self._stop.wait(LOOK_EVERY_S):
                return
        self._child.supervise()

    def _is_needed(self) -> bool:
        try:
            with self._datastore.pool.connection() as connection:
                return connection.execute("SELECT 1 FROM views.segments LIMIT 1").fetchone() is not None
        except (psycopg.Error, PoolTimeout):
            return False  # health says so already
