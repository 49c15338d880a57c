"""The sealer: a thread that seals the log right behind its writers, and has the notary sign it."""

import logging
import threading
import time
from typing import Any, Final

import psycopg
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.proof.keys import KeysInvalid
from ledger.proof.tree import Tree
from ledger.store.seal import SealBroken, seal
from projections.hub import BACKOFF_MAX_S, BACKOFF_MIN_S, Hub, connect
from projections.notary import SIGN_EVERY_S, Notary
from projections.tracking import try_lock, tune

PAGE_EVENTS: Final = 10_000
"""Events that are sealed in one transaction."""

STAND_BY_S: Final = 1.0
"""How often a sealer that stands by looks whether it is needed."""

REST_S: Final = 0.3
"""How long it rests after a page while events come in: meanwhile they gather, and few large pages cost less."""

NAME: Final = "log seal"

log = logging.getLogger(__name__)


class Sealer:
    """One thread. Of several processes, the one that has the lock seals and the others stand by."""

    def __init__(self, database_url: str, hub: Hub, notary: Notary | None, page_events: int = PAGE_EVENTS) -> None:
        """Without a notary the log is sealed and not signed."""
        self._database_url = database_url
        self._hub = hub
        self._notary = notary
        self._page_events = page_events
        self._stop = threading.Event()
        self._stopped_at = 0
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Has the thread end after the page that it is at."""
        self._stop.set()
        self._hub.wake()

    def stop(self) -> None:
        """Ends the thread after the page that it is at."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def stopped_at(self) -> int:
        """The position at which the log contradicts its seal or its checkpoints; 0 while it is well."""
        return self._stopped_at

    def _run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                with connect(self._database_url, NAME) as connection:
                    self._work(connection.cursor(binary=True, row_factory=tuple_row))
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if time.monotonic() - started > BACKOFF_MAX_S:
                    backoff_s = BACKOFF_MIN_S
                log.warning("the sealer lost the database, next try in %.1f s: %s", backoff_s, error)
                self._stop.wait(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def _work(self, cursor: Cursor[Any]) -> None:
        """Stands by until no other process seals, then seals until it is stopped.

        One that has found the log broken keeps the lock, so that no other process, which may know an older
        checkpoint, signs what this one refuses.
        """
        while not try_lock(cursor, NAME):
            if self._stop.wait(STAND_BY_S):
                return
        tune(cursor)
        try:
            self._follow(cursor)
        except SealBroken as broken:
            self._refuse(broken.position, str(broken))
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception as error:  # a defect stops the sealing, and says so, like a broken log
            log.exception("the sealer")
            self._refuse(self._hub.head, repr(error))
        while self._stopped_at and not self._stop.wait(STAND_BY_S):
            cursor.execute("SELECT 1")  # raises where the connection, and with it the lock, is gone

    def _refuse(self, position: int, reason: str) -> None:
        log.error("the log is no longer sealed and signed, at position %d: %s", position, reason)
        self._stopped_at = max(position, 1)

    def _follow(self, cursor: Cursor[Any]) -> None:
        self._stopped_at = 0
        tree = self._seal(cursor)
        while not self._stop.is_set():
            size = tree.size
            if self._hub.head > size:
                tree = self._seal(cursor)
            self._sign(cursor, tree)
            if self._hub.head > tree.size:
                if tree.size < size + self._page_events:
                    self._stop.wait(REST_S)
            else:
                self._hub.wait_beyond(tree.size, self._wait_s(tree), self._stop.is_set)

    def _seal(self, cursor: Cursor[Any]) -> Tree:
        with cursor.connection.transaction():
            return seal(cursor, self._page_events)

    def _sign(self, cursor: Cursor[Any], tree: Tree) -> None:
        if self._notary is None:
            return
        trouble = ""
        try:
            self._notary.attend(cursor, tree)
        except (KeysInvalid, OSError) as error:
            trouble = str(error)
        if trouble not in ("", self._trouble):
            log.error("the log is sealed and not signed: %s", trouble)
        self._trouble = trouble

    def _wait_s(self, tree: Tree) -> float:
        wait_s = self._notary.wait_s(tree.size) if self._notary is not None else None
        return self._hub.repull_s if wait_s is None else min(wait_s, SIGN_EVERY_S)
