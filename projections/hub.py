"""The hub: one LISTEN connection for everything in this process that follows the log.

The library's PostgresSubscription reads before its LISTEN is in place and has no second look, so an event in between
wakes nobody. Here LISTEN comes first, then the head is read, and it is read again on a timer as a safety net.
"""

import logging
import os
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from ledger.store.arrays import register_arrays
from ledger.store.datastore import CONNECT_TIMEOUT_S

REPULL_S: Final = 1.0
"""After so long without news the head is read anyway."""

BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0

HEAD: Final = b"SELECT coalesce(max(notification_id), 0) FROM events"

log = logging.getLogger(__name__)


def connect(database_url: str, name: str) -> psycopg.Connection[Any]:
    """A connection of its own in autocommit mode, for what holds one for long."""
    connection = psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=int(CONNECT_TIMEOUT_S),
        application_name=f"loyalty {name}",
    )
    register_arrays(connection)
    return connection


class Hub:
    """Knows the head of the log and wakes who waits for it to move."""

    def __init__(self, database_url: str, repull_s: float = REPULL_S) -> None:
        self._database_url = database_url
        self.repull_s = repull_s
        self._head = 0
        self._moved = threading.Condition()
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Starts listening."""
        self._thread.start()

    def stop(self) -> None:
        """Stops listening and wakes everybody who waits."""
        with self._moved:
            if self._stopping:
                return
            self._stopping = True
            self._moved.notify_all()
        os.write(self._wake_write, b"!")
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    @property
    def head(self) -> int:
        """The last position that is known here."""
        return self._head

    def wait_beyond(self, position: int, timeout_s: float, unless: Callable[[], bool] = lambda: False) -> bool:
        """Waits until the log goes beyond a position, `unless` is true, or the hub stops. True for the first."""
        with self._moved:
            self._moved.wait_for(lambda: self._head > position or self._stopping or unless(), timeout_s)
            return self._head > position

    def wake(self) -> None:
        """Has everybody who waits look again."""
        with self._moved:
            self._moved.notify_all()

    def _run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._stopping:
            try:
                with connect(self._database_url, "listen") as connection:
                    self._listen(connection)
                    backoff_s = BACKOFF_MIN_S
                    self._follow(connection)
            except psycopg.Error as error:
                log.warning("cannot listen for events, next try in %.1f s: %s", backoff_s, error)
                with self._moved:
                    self._moved.wait_for(lambda: self._stopping, backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("LISTEN events")
        self._look(connection)

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            looked = time.monotonic()
            while not self._stopping:
                # Also what came in while the head was read.
                for notification in connection.notifies(timeout=0):
                    self._advance(int(notification.payload))
                selector.select(max(looked + self.repull_s - time.monotonic(), 0))
                if time.monotonic() - looked >= self.repull_s:
                    self._look(connection)
                    looked = time.monotonic()

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        row = connection.execute(HEAD).fetchone()
        self._advance(row[0] if row is not None else 0)

    def _advance(self, head: int) -> None:
        with self._moved:
            if head > self._head:
                self._head = head
                self._moved.notify_all()
