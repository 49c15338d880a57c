"""The runner: keeps one projection up to date, and the read side: all runners of a process.

A page is read, then applied in one transaction with the projection's position: exactly once, whatever crashes when. Of
several processes, the one that has the projection's lock works and the others stand by; the tracking row fences one
that only believes it has it. The library's ProjectionRunner would apply one event for each transaction, which is
thirty times slower.

A poisoned event stops its projection and nothing else: the position stays in front of it, the log and the status name
it, and the lock is free for a process of a release that may know better.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import psycopg
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.metrics import PROJECTION_LAG_EVENTS, PROJECTION_POSITION
from ledger.store.archive import NO_ARCHIVE, Archive
from projections.catalogue import PROJECTIONS
from projections.hub import BACKOFF_MAX_S, BACKOFF_MIN_S, REPULL_S, Hub, connect
from projections.notary import Notary
from projections.page import PAGE_EVENTS, Event, Poisoned, read_page
from projections.projection import Contradiction, Projection
from projections.sealer import NAME as SEALER
from projections.sealer import Sealer
from projections.tracking import (
    Fenced,
    Generation,
    advance,
    enter_schema,
    live_generation,
    search_path,
    try_lock,
    tune,
)

STAND_BY_S: Final = 1.0
"""How often a runner that stands by looks whether it is needed."""

END: Final = 2**63 - 1

log = logging.getLogger(__name__)

StateT = TypeVar("StateT")


REST: Final = 10.0
"""How long a runner rests after a page while events come in, as a multiple of the time that the page took: meanwhile
they gather, and one page of many costs far less than many of few. Views may lag for a moment; tills may not wait."""

REST_MIN_S: Final = 0.03
REST_MAX_S: Final = 0.4

TURN_WAIT_S: Final = 1.0
"""How long a runner waits for the others of its process before it goes on all the same."""


class Status(NamedTuple):
    """How a projection is, as far as this process knows."""

    name: str
    position: int
    head: int
    is_running: bool
    """True where this process applies the events; False where it stands by or has stopped."""
    error: str | None
    """Why it has stopped; None while it is well."""


def apply_page(
    cursor: Cursor[Any], projection: Projection, generation: Generation, events: Sequence[Event]
) -> Generation:
    """Applies a page and moves the position, all or nothing.

    Where the page as a whole cannot be applied, its parts are, up to the event that cannot. Raises Poisoned with that
    event, Fenced, and psycopg.OperationalError.
    """
    return apply_events(cursor, projection, generation, events, advance)


def apply_events(
    cursor: Cursor[Any],
    projection: Projection,
    state: StateT,
    events: Sequence[Event],
    move: Callable[[Cursor[Any], StateT, int], StateT],
) -> StateT:
    """The same for tables whose position is kept otherwise: `move` moves it, within the transaction."""
    try:
        with cursor.connection.transaction():
            moved = move(cursor, state, events[-1].position)
            projection.apply(cursor, events)
            return moved
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except (Contradiction, psycopg.Error, ValueError, LookupError, ArithmeticError) as error:
        if len(events) == 1:
            raise Poisoned(events[0].position, " ".join(str(error).split())) from error
    half = len(events) // 2
    state = apply_events(cursor, projection, state, events[:half], move)
    return apply_events(cursor, projection, state, events[half:], move)


class Turns:
    """Has the runners of a process apply their pages one after the other, so that they never take all cores.

    One that takes long, because a table is locked for instance, is not waited for. They are about equally far, so a
    page that one has read serves the others too.
    """

    def __init__(self, page_events: int = PAGE_EVENTS, archive: Archive = NO_ARCHIVE) -> None:
        self._page_events = page_events
        self._archive = archive
        self._page: Sequence[Event] = ()
        self._lock = threading.Lock()

    def read(self, cursor: Cursor[Any], after: int) -> Sequence[Event]:
        """The events behind a position, as far as the last page goes, or else a page more. Raises Poisoned."""
        page = self._page
        start = after + 1 - page[0].position if page else 0
        if not 0 <= start < len(page):
            page = self._page = read_page(cursor, after, END, self._page_events, self._archive)
            start = 0
        return page[start:]

    @contextmanager
    def one(self) -> Iterator[None]:
        """A turn."""
        is_mine = self._lock.acquire(timeout=TURN_WAIT_S)
        try:
            yield
        finally:
            if is_mine:
                self._lock.release()


class Runner:
    """One thread for one projection."""

    def __init__(
        self,
        projection: Projection,
        database_url: str,
        hub: Hub,
        turns: Turns,
    ) -> None:
        """The turns are shared by the runners of a process."""
        self._turns = turns
        self._projection = projection
        self._database_url = database_url
        self._hub = hub
        self._stop = threading.Event()
        self._position = 0
        self._is_running = False
        self._error: str | None = None
        name = projection.name
        self._lag_metric = PROJECTION_LAG_EVENTS.labels(name)
        self._position_metric = PROJECTION_POSITION.labels(name)
        self._thread = threading.Thread(target=self._run, name=f"projection {name}", daemon=True)

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

    def status(self) -> Status:
        """How it is."""
        return Status(
            self._projection.name,
            self._position,
            max(self._hub.head, self._position),
            self._is_running,
            self._error,
        )

    def _run(self) -> None:
        name = self._projection.name
        backoff_s = BACKOFF_MIN_S
        while not self._stop.is_set():
            try:
                with connect(self._database_url, name) as connection:
                    cursor = connection.cursor(binary=True, row_factory=tuple_row)
                    self._follow(cursor)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if self._is_running:
                    backoff_s = BACKOFF_MIN_S
                log.warning("projection %s lost the database, next try in %.1f s: %s", name, backoff_s, error)
                self._stop.wait(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
            except Poisoned as poisoned:
                self._reached(poisoned.position - 1)
                self._stopped(str(poisoned))
                return
            except Exception as error:  # a defect stops this projection, and says so, like a bad event
                log.exception("projection %s", name)
                self._stopped(f"behind event {self._position}: {error!r}")
                return
            finally:
                self._is_running = False

    def _stopped(self, reason: str) -> None:
        log.error(
            "projection %s has stopped and keeps position %d: %s."
            " Run `loyalty check`; once the cause is gone, start again",
            self._projection.name,
            self._position,
            reason,
        )
        self._error = reason

    def _follow(self, cursor: Cursor[Any]) -> None:
        """Stands by until the projection has no other runner, then applies events until it is stopped."""
        base_path = search_path(cursor)
        while not try_lock(cursor, self._projection.name):
            self._reached(live_generation(cursor, self._projection.name).position)
            if self._stop.wait(STAND_BY_S):
                return
        tune(cursor)
        self._is_running = True
        while not self._stop.is_set():
            generation = live_generation(cursor, self._projection.name)
            enter_schema(cursor, generation.schema, base_path)
            try:
                self._follow_generation(cursor, generation)
            except Fenced:
                log.info("projection %s goes on in another generation", self._projection.name)

    def _follow_generation(self, cursor: Cursor[Any], generation: Generation) -> None:
        self._reached(generation.position)
        while not self._stop.is_set():
            head, started = self._hub.head, time.monotonic()
            with self._turns.one():
                events = self._turns.read(cursor, generation.position)
                if events:
                    generation = apply_page(cursor, self._projection, generation, events)
            if events:
                self._reached(generation.position)
                if self._hub.head > head or generation.position >= head:
                    took_s = time.monotonic() - started
                    self._stop.wait(min(max(took_s * REST, REST_MIN_S), REST_MAX_S))
            else:
                self._hub.wait_beyond(generation.position, self._hub.repull_s, self._stop.is_set)
                self._lag_metric.set(max(self._hub.head - generation.position, 0))

    def _reached(self, position: int) -> None:
        self._position_metric.set(position)
        self._lag_metric.set(max(self._hub.head - position, 0))
        self._position = position


class ReadSide:
    """The runners of a process with their hub, and what else follows the log: the sealer."""

    def __init__(
        self,
        database_url: str,
        projections: Iterable[Projection] = tuple(PROJECTIONS.values()),
        page_events: int = PAGE_EVENTS,
        repull_s: float = REPULL_S,
        notary: Notary | None = None,
        *,
        seals: bool = True,
        archive: Archive = NO_ARCHIVE,
    ) -> None:
        """Without a notary the log is sealed and not signed; `seals` says whether it is sealed at all."""
        self.hub = Hub(database_url, repull_s)
        turns = Turns(page_events, archive)
        self.runners = {
            projection.name: Runner(projection, database_url, self.hub, turns) for projection in projections
        }
        self.sealer = Sealer(database_url, self.hub, notary) if seals else None

    def start(self) -> None:
        """Starts to follow the log."""
        self.hub.start()
        for runner in self.runners.values():
            runner.start()
        if self.sealer is not None:
            self.sealer.start()

    def stop(self) -> None:
        """Ends every thread after the page that it is at."""
        threads: list[Runner | Sealer] = [*self.runners.values(), *([self.sealer] if self.sealer is not None else [])]
        for thread in threads:
            thread.ask_to_stop()
        for thread in threads:
            thread.stop()
        self.hub.stop()

    def status(self) -> list[Status]:
        """How each projection is."""
        return [runner.status() for runner in self.runners.values()]

    def stopped(self) -> dict[str, int]:
        """Where projections have stopped, and the sealer, by name."""
        stopped = {one.name: one.position + 1 for one in self.status() if one.error is not None}
        if self.sealer is not None and self.sealer.stopped_at:
            stopped[SEALER] = self.sealer.stopped_at
        return stopped
