"""The trail: notes who read personal data and who was refused, and has the log take it in batches.

Noting costs a caller a few microseconds and waits for nothing. What was noted is in the log a second later; a process
that is killed loses that second. Identical reads of a second are one entry. The first of identical refusals is recorded
like a read, and those that follow within a minute are one more entry at its end, so that nobody can fill the log by
failing. Where more waits than there is room for, it is counted, and the count is recorded.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from google.protobuf.message import Message
from loyalty.v1.audit_trail_pb2 import AuditEntry, AuditKind, RecordAuditRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.origin_pb2 import Origin
from uuid_utils.compat import uuid7

from ledger.domain.instant import DAY, MINUTE, set_timestamp
from ledger.domain.names import trail_name
from ledger.metrics import AUDIT_OVERFLOW
from ledger.writer.command import Command, Failure
from ledger.writer.writer import Clock, Overloaded, Result, ShuttingDown, Writer

log = logging.getLogger(__name__)

RECORD_EVERY_S: Final = 1.0
"""How long what was noted waits for others to share an event with."""

NOTED_MAX: Final = 10_000
"""Different reads that may wait, and different refusals: neither takes the other's room. What is noted beyond is only
counted, and the count is recorded."""

REFUSED_RESOURCES_MAX: Final = 20
"""On how many different things like refusals of a minute are told apart."""

ENTRIES_MAX: Final = 1_000
"""Entries of one event."""

FOLD_REFUSALS: Final = MINUTE

_READ: Final = AuditKind.AUDIT_KIND_READ
_REFUSAL: Final = AuditKind.AUDIT_KIND_REFUSAL


class Noted(NamedTuple):
    """What somebody did, less when and how often: see AuditEntry."""

    kind: AuditKind.ValueType
    actor: str
    role: str
    method: str
    resource: str
    store: str
    terminal: str
    network: str
    reason: ErrorReason.ValueType


Note = Callable[[Noted], None]


class _Times:
    """When the same thing was noted, and how often."""

    __slots__ = ("count", "first_at", "last_at")

    def __init__(self, at: int) -> None:
        self.count = 1
        self.first_at = self.last_at = at


class Trail:
    """What this process notes. `note` may be called from any thread; one thread of its own hands it to the writer."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: dict[AuditKind.ValueType, dict[Noted, _Times]] = {_READ: {}, _REFUSAL: {}}
        self._beyond: dict[AuditKind.ValueType, _Times] = {}
        """What was noted while there was no room."""
        self._folded_until: dict[Noted, int] = {}
        """Until when refusals like the one that was recorded wait."""
        self._named: dict[Noted, set[str]] = {}
        """What refusals of this minute were about, which are alike but for that."""
        self._named_until = 0
        self._unsent: list[Command] = []
        """What is not known to be in the log. It is sent again as it is, so that it gets there once."""
        self._trail, self._number, self._day = "", 0, -1
        self._in_trouble = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trail", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Records all that was noted, and ends the thread. The writer must still be there."""
        self._stop.set()
        self._thread.join()

    def note(self, noted: Noted) -> None:
        """Notes something that happened now."""
        now = self._clock()
        with self._lock:
            noted = self._bounded(noted, now)
            waiting = self._noted[noted.kind]
            times = waiting.get(noted)
            if times is None and len(waiting) < NOTED_MAX:
                waiting[noted] = _Times(now)
                return
            if times is None:
                AUDIT_OVERFLOW.inc()
                times = self._beyond.get(noted.kind)
                if times is None:
                    self._beyond[noted.kind] = _Times(now)
                    return
            times.count += 1
            times.last_at = now

    def _bounded(self, noted: Noted, now: int) -> Noted:
        """Of a refusal that somebody provokes again and again, each time on something else, only how often."""
        if noted.kind != _REFUSAL or not noted.resource:
            return noted
        if now >= self._named_until:
            self._named.clear()
            self._named_until = now + FOLD_REFUSALS
        anything = noted._replace(resource="")
        named = self._named.setdefault(anything, set())
        if noted.resource not in named and len(named) >= REFUSED_RESOURCES_MAX:
            return anything
        named.add(noted.resource)
        return noted

    def record(self, *, all_of_it: bool = False) -> None:
        """Hands what is due to the writer and waits until it is in the log; what is not stays for the next time.

        `all_of_it` is for the end: refusals are waited for no longer.
        """
        if not self._unsent:
            self._unsent = self._commands(list(self._take(all_of_it=all_of_it)))
        if not self._unsent:
            return
        done = threading.Event()
        results: list[Result] = []

        def answer(settled: Sequence[Result]) -> None:
            results.extend(settled)
            done.set()

        try:
            self._writer.submit(self._unsent, answer)
        except (Overloaded, ShuttingDown) as error:
            self._complain(repr(error))
            return
        done.wait()
        failures = [result for result in results if isinstance(result, Failure)]
        self._unsent = [failure.command for failure in failures]
        self._complain(repr(failures[0].error) if failures else "")

    def _run(self) -> None:
        while not self._stop.wait(RECORD_EVERY_S):
            try:
                self.record()
            except Exception:
                log.exception("the audit trail")
        self.record()  # what an earlier attempt left
        self.record(all_of_it=True)
        if self._unsent:
            lost = sum(len(_entries(one)) for one in self._unsent) + sum(map(len, self._noted.values()))
            log.error("the audit trail loses %d entries: the log could not take them", lost)

    def _complain(self, trouble: str) -> None:
        if trouble and not self._in_trouble:
            log.warning("the audit trail waits, it will be recorded: %s", trouble)
        self._in_trouble = bool(trouble)

    def _take(self, *, all_of_it: bool) -> Iterator[AuditEntry]:
        """What is due."""
        now = self._clock()
        with self._lock:
            taken = [
                (one, waiting.pop(one))
                for waiting in self._noted.values()
                for one in list(waiting)
                if all_of_it or self._folded_until.get(one, 0) <= now
            ]
            beyond, self._beyond = self._beyond, {}
        self._folded_until = {one: until for one, until in self._folded_until.items() if until > now}
        for one, times in taken:
            if one.kind == _REFUSAL and len(self._folded_until) < NOTED_MAX:
                self._folded_until[one] = times.last_at + FOLD_REFUSALS
            yield _entry(times, **one._asdict())
        for kind, times in beyond.items():
            details = {"kind": AuditKind.Name(kind).removeprefix("AUDIT_KIND_")}
            yield _entry(times, kind=AuditKind.AUDIT_KIND_OVERFLOW, actor="server", details=details)

    def _commands(self, entries: Sequence[AuditEntry]) -> list[Command]:
        now = self._clock()
        if now // DAY != self._day:
            self._trail, self._number, self._day = trail_name(uuid7()), 0, now // DAY
        commands: list[Command] = []
        left = iter(entries)
        while some := list(islice(left, ENTRIES_MAX)):
            self._number += 1
            commands.append(_command(self._trail, self._number, some, now))
        return commands


def _command(trail: str, number: int, entries: Sequence[AuditEntry], now: int) -> Command:
    request_id = uuid7()
    request = RecordAuditRequest(request_id=str(request_id), trail=trail, number=number, entries=entries)
    origin = Origin()
    set_timestamp(origin.occurred_at, now)
    return Command(request, request_id, origin, now)


def _entries(command: Command) -> Sequence[AuditEntry]:
    request: Message = command.request
    return request.entries if isinstance(request, RecordAuditRequest) else ()


def _entry(times: _Times, **fields: object) -> AuditEntry:
    entry = AuditEntry(count=times.count, **fields)  # type: ignore[arg-type]  # the fields of Noted are those of AuditEntry
    set_timestamp(entry.first_at, times.first_at)
    set_timestamp(entry.last_at, times.last_at)
    return entry
