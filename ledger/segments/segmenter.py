"""The segmenter: decides who is in which segment, as the log goes on and as days begin, and records it.

It follows the views that facts are read from, looks at the members to whom something happened, and at all members for a
segment that was saved or that a new day, or a fit of the value models, may change. What it decides it decides on what
the views show; what it has recorded itself it waits for before it looks at the same members again, and where somebody
else has touched a segment meanwhile the version of its stream has moved on: then nothing is written, and it is decided
anew. So everybody enters and leaves in turn, whatever happens when.

Of all servers on a database one runs it; the others stand by.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import psycopg
from loyalty.v1.events_pb2 import SegmentListed
from loyalty.v1.segment_pb2 import SegmentCause
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.names import last_id, program_of_segment
from ledger.domain.new_event import NewEvent
from ledger.segments.evaluations import FIRST, Evaluations
from ledger.segments.holding import page_behind, page_of
from ledger.segments.live import Live, Registry
from ledger.segments.membership import Decision, decide, events_of
from ledger.segments.statements import SQL
from ledger.store.recorder import Session
from ledger.store.topics import TOPICS, decode
from projections.hub import BACKOFF_MAX_S, BACKOFF_MIN_S, Hub, connect
from projections.tracking import try_lock

log = logging.getLogger(__name__)

NAME: Final = "segmenter"

VIEWS: Final = ("balances", "consents", "feedback", "rewards", "sales", "segments", "tiers")
"""The views that facts and memberships are read from."""

FOLLOW_EVENTS_MAX: Final = 20_000
"""Events whose members are looked at in one go."""

BEHIND_EVENTS_MAX: Final = 200_000
"""Events after which it costs less to look at everybody again."""

PAGE_MEMBERS: Final = 20_000
"""Members who are looked at in one go when all are."""

LOOK_AT_MEMBERS: Final = 5_000
"""The same of members to whom something happened."""

STAND_BY_S: Final = 1.0
VIEWS_POLL_S: Final = 0.03

SOON_LOOKS: Final = 100
"""Looks after which a view that does not go on is taken for one that has stopped."""

_LISTED: Final = TOPICS[SegmentListed]


class Segmenter:
    """One thread."""

    def __init__(self, database_url: str, kinds: Mapping[str, str], clock: Callable[[], int]) -> None:
        """`kinds` are those of the facts that expressions may name."""
        self._database_url = database_url
        self._clock = clock
        self._hub = Hub(database_url)
        self._registry = Registry(kinds)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._hub.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends it after the page that it is at."""
        self._stop.set()
        self._hub.wake()
        self._thread.join()
        self._hub.stop()

    def _run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._stop.is_set():
            try:
                with connect(self._database_url, NAME) as connection:
                    self._work(connection)
                backoff_s = BACKOFF_MIN_S
            except Exception as error:
                # Nothing is lost: it goes on behind what it has kept.
                away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
                log.warning("the segmenter starts again in %.1f s: %r", backoff_s, error, exc_info=not away)
                self._stop.wait(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def _work(self, connection: psycopg.Connection[Any]) -> None:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        cursor.execute(b"SET jit = off")
        cursor.execute(b"SET max_parallel_workers_per_gather = 0")  # tills go first
        while not try_lock(cursor, NAME):
            if self._stop.wait(STAND_BY_S):
                return
        work = Work(cursor, self._registry, self._clock)
        looks = 0
        while not self._stop.is_set():
            if work.step():
                looks = 0
            elif work.is_waiting:
                looks += 1
                self._stop.wait(VIEWS_POLL_S if looks < SOON_LOOKS else STAND_BY_S)
            else:
                self._hub.wait_beyond(max(work.position, work.appended), STAND_BY_S, self._stop.is_set)


class Work:
    """What it does, with the lock."""

    def __init__(self, cursor: Cursor[Any], registry: Registry, clock: Callable[[], int]) -> None:
        self._cursor = cursor
        self._session = Session(cursor.connection)
        self._registry = registry
        self._clock = clock
        self._evaluations = Evaluations()
        self._evaluations.load(cursor)
        state = cursor.execute(SQL["state"]).fetchone()
        self._is_new = state is None
        self.position: int = state[0] if state is not None else 0
        """Who is in segments reflects the log up to here."""
        self.appended = self._head()
        """The last event that has to be in the views before the same members may be looked at again."""
        self._floor = self.appended
        """The same for members who have not been looked at in the evaluation that goes on."""
        self._own = 0
        """Events of its own behind `position`."""
        self._is_loaded = False
        self._paged_last = False
        self.is_waiting = True
        """Whether there is something to do as soon as the views have it."""

    def step(self) -> bool:
        """Does some of what can be done now; False where there is nothing."""
        row = self._cursor.execute(SQL["positions"], {"names": list(VIEWS)}, prepare=True).fetchone()
        read, segments = row if row is not None else (0, 0)
        head = self._head()
        self.is_waiting = head > read or self._floor > read
        try:
            if read >= self.appended and (read > self.position or not self._is_loaded):
                self._follow(min(read, self.position + FOLLOW_EVENTS_MAX), read)
                self._paged_last = False
                return True
            is_news = head > self.position + self._own
            if self._is_loaded and segments >= self._floor and not (self._paged_last and is_news):
                self._paged_last = self._evaluate()
                return self._paged_last
        except psycopg.errors.UniqueViolation:
            # Somebody has saved a segment, or changed its list: what was decided is stale.
            log.debug("a segment has moved on: it is decided anew")
            self.appended = self._floor = self._head()
            self._is_loaded = False
            self.is_waiting = True
        return False

    def _head(self) -> int:
        row = self._cursor.execute(SQL["head"], prepare=True).fetchone()
        return int(row[0]) if row is not None else 0

    # -- what happens

    def _follow(self, until: int, read: int) -> None:
        """Looks at the members to whom something happened behind `position`, up to another."""
        self._registry.load(self._cursor)
        self._is_loaded = True
        if self._is_new or read - self.position > BEHIND_EVENTS_MAX:
            self._evaluations.begin_anew(self._cursor)
            self._is_new = False
            until = read
        elif self._registry.segments:
            for program, members in self._touched(until).items():
                for first in range(0, len(members), LOOK_AT_MEMBERS):
                    self._look_at(program, members[first : first + LOOK_AT_MEMBERS])
        self.position = until
        self._own = self._own if self.appended > until else 0
        self._keep()

    def _touched(self, until: int) -> dict[str, list[UUID]]:
        span = {"after": self.position, "until": until}
        programs = list({live.program for live in self._registry.segments})
        rows = self._cursor.execute(SQL["touched"], {**span, "programs": programs}, prepare=True).fetchall()
        touched: dict[str, set[UUID]] = defaultdict(set)
        for program, member in rows:
            touched[program].add(member)
        listings = self._cursor.execute(SQL["listings"], {**span, "topic": _LISTED}, prepare=True).fetchall()
        for topic, state in listings:
            listed = decode(topic, state)
            if isinstance(listed, SegmentListed):
                request = listed.request
                members = (last_id(member) for names in (request.add, request.remove) for member in names)
                touched[program_of_segment(request.name)].update(members)
        return {program: sorted(members) for program, members in touched.items()}

    def _look_at(self, program: str, members: Sequence[UUID]) -> None:
        segments = self._registry.of(program)
        at = self._clock()
        criteria = [live.criteria for live in segments if live.criteria is not None and not live.is_deleted]
        page = page_of(self._cursor, program, at, self._registry.today(program, at), criteria, members)
        if self._append(decide(self._cursor, page, segments), at, SegmentCause.SEGMENT_CAUSE_CHANGED):
            self._floor = self.appended

    # -- all members

    def _evaluate(self) -> bool:
        """Looks at the next members of some segments that are due; False where none is."""
        at = self._clock()
        segments = self._registry.segments
        due = self._evaluations.due(segments, lambda program: self._registry.today(program, at), self._models())
        if not due:
            return False
        live, evaluation = due[0]
        after = evaluation.after or FIRST
        if after == FIRST and self._floor < self.appended:
            # It may be about members whose last changes the views do not have yet.
            self._floor = self.appended
            self.is_waiting = True
            return False
        today = self._registry.today(live.program, at)
        if live.criteria is None or live.is_deleted:
            due = due[:1]
            members = self._concerned(live, after)
            page = page_of(self._cursor, live.program, at, today, [], members)
            last = members[-1] if members else None
        else:
            due = [one for one in due if one[0].criteria is not None and not one[0].is_deleted]
            criteria = [one.criteria for one, _ in due if one.criteria is not None]
            page = page_behind(self._cursor, live.program, at, today, criteria, after, PAGE_MEMBERS)
            last = page.facts[-1][0] if page.facts else None
        self._append(decide(self._cursor, page, [one for one, _ in due]), at, evaluation.cause)
        self._keep()  # first: who is told that it is complete waits for what was appended
        self._evaluations.done(self._cursor, due, last)
        return True

    def _models(self) -> dict[str, int]:
        """The versions of the newest value models, of programs whose segments ask for what they expect."""
        programs = {live.program for live in self._registry.segments if live.is_fitted}
        if not programs:
            return {}
        return dict(self._cursor.execute(SQL["models"], {"programs": list(programs)}, prepare=True).fetchall())

    def _concerned(self, live: Live, after: UUID) -> list[UUID]:
        """The next members of a segment in which only those can be who are in already or on its list."""
        asked = {"stream": live.stream_id, "after": after, "limit": PAGE_MEMBERS}
        return [member for (member,) in self._cursor.execute(SQL["concerned"], asked, prepare=True).fetchall()]

    # -- recording

    def _append(self, decisions: Sequence[Decision], at: int, cause: SegmentCause.ValueType) -> bool:
        """Records decisions, all or none; False where there are none. Raises psycopg.errors.UniqueViolation."""
        events: list[NewEvent] = events_of(decisions, at, cause)
        if not events:
            return False
        appended = self._session.append(events, self._clock(), self.position)
        self.appended = appended.first_position + len(events) - 1
        self._own += len(events)
        versions = {event.stream_id: event.version for event in events}
        for live in self._registry.segments:
            live.version = versions.get(live.stream_id, live.version)
        return True

    def _keep(self) -> None:
        self._cursor.execute(SQL["keep_state"], {"position": self.position, "appended": self.appended}, prepare=True)
