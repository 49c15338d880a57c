"""The check: everything replayed from event 1 and compared, byte for byte, with the live views.

It works beside a running ledger. The events up to where the views are get replayed first, each share of the streams in
a process of its own, into tables that only its connection sees. Then one snapshot of the database says where each view
is; the replay goes on to exactly there and compares.
"""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import psycopg
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.store.archive import Archive, sealed_leaves
from projections.catalogue import PROJECTIONS
from projections.finding import FIRST_FINDINGS_MAX, Finding, Findings
from projections.hub import HEAD, connect
from projections.page import large_pages
from projections.share import Share, ShareResult, Snapshot
from projections.sql import statements
from projections.tracking import Generation, live_generation, try_lock

PROCESSES_MAX: Final = 16

EVENTS_PER_PROCESS_MIN: Final = 50_000
"""With fewer events than this for each, starting processes takes longer than it saves."""

ARCHIVE_PAGE_EVENTS: Final = 10_000

_SQL: Final = statements("check.sql")

Progress = Callable[[int, int], None]
"""(events done, events in all), now and then."""


class CheckError(Exception):
    """The check could not be made. The message says what to do."""


class CheckResult(NamedTuple):
    """What a check came to."""

    head: int
    """The end of the log."""
    positions: dict[str, int]
    """Where each view was compared."""
    accounts: int
    seconds: float
    first: list[Finding]
    """The first findings of each place."""
    counts: dict[str, int]
    """How many there are by place."""

    @property
    def ok(self) -> bool:
        """True when nothing was found."""
        return not self.counts

    def lines(self) -> Iterator[str]:
        """A report for people."""
        rate = self.head / self.seconds if self.seconds else 0.0
        yield (
            f"{self.head} events of {self.accounts} accounts replayed in {self.seconds:.1f} s ({rate:,.0f} events/s)"
        )
        for name, position in self.positions.items():
            wrong = sum(n for place, n in self.counts.items() if place.split()[0].split(".")[0] == name)
            behind = f", {self.head - position} events behind" if position < self.head else ""
            yield f"{name}: {f'{wrong} differences' if wrong else 'same'} at position {position}{behind}"
        for finding in self.first:
            yield str(finding)
        for place, count in self.counts.items():
            if count > FIRST_FINDINGS_MAX:
                yield f"{place}: {count} in all"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "ok": self.ok,
            "head": self.head,
            "positions": self.positions,
            "accounts": self.accounts,
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "first": [finding._asdict() for finding in self.first],
        }


def check(
    database_url: str,
    processes: int | None = None,
    progress: Progress = lambda _done, _of: None,
    archive: Path | None = None,
) -> CheckResult:
    """Checks a database, in as many processes as there are CPUs unless told otherwise; a short log in this one.

    What of the log is archived is read from the folder `archive`. Raises CheckError.
    """
    started = time.monotonic()
    try:
        with connect(database_url, "check") as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            _check_archive(cursor, archive)
            for name in PROJECTIONS:
                if not try_lock(cursor, f"rebuild {name}"):
                    raise CheckError(f"{name} is being rebuilt or checked: wait until that is done")
            until = min(live_generation(cursor, name).position for name in PROJECTIONS)
            head = _head(cursor)
            shares = processes or min(os.cpu_count() or 1, 1 + head // EVENTS_PER_PROCESS_MIN, PROCESSES_MAX)
            with (
                large_pages(),
                _workers(database_url, shares, archive, lambda done: progress(done, head)) as workers,
            ):
                workers.replay(until)
                return _compare(cursor, workers, Archive(archive), started)
    except psycopg.OperationalError as error:
        raise CheckError(f"the database went away: {' '.join(str(error).split())}") from error


def _compare(cursor: Cursor[Any], workers: "_Workers", archive: Archive, started: float) -> CheckResult:
    findings = Findings()
    with cursor.connection.transaction():
        cursor.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        row = cursor.execute(b"SELECT pg_export_snapshot()").fetchone()
        generations = [live_generation(cursor, name) for name in PROJECTIONS]
        snapshot = Snapshot(row[0] if row is not None else "", _head(cursor), generations)
        workers.compare(snapshot)
        _check_log(cursor, snapshot.head, findings)
        _check_archived(cursor, archive, findings)
        _check_programs(cursor, generations, findings)
        _check_strangers(cursor, generations, findings)
        results = workers.results()
        for result in results:
            findings.merge(result.findings)
        for generation in generations:
            for table in PROJECTIONS[generation.name].shared_tables:
                _compare_shared(cursor, generation, table, results, findings)
    return CheckResult(
        snapshot.head,
        {generation.name: generation.position for generation in generations},
        sum(result.accounts for result in results),
        time.monotonic() - started,
        findings.first,
        dict(findings.count),
    )


def _check_archived(cursor: Cursor[Any], archive: Archive, findings: Findings) -> None:
    """The rows of archived events are those that were sealed: commands look up their keys."""
    for first, last in cursor.execute(_SQL["archived"]).fetchall():
        for after in range(first - 1, last, ARCHIVE_PAGE_EVENTS):
            rows = archive.leaves(cursor, after, min(after + ARCHIVE_PAGE_EVENTS, last))
            sealed = sealed_leaves(cursor, list(rows))
            for position in (position for position, leaf in rows.items() if leaf != sealed[position]):
                findings.add(Finding("log", f"event {position}", "the row that was sealed", "another one"))


def _check_archive(cursor: Cursor[Any], archive: Path | None) -> None:
    parts = cursor.execute(_SQL["archived"]).fetchall()
    if parts and archive is None:
        raise CheckError(f"events up to {parts[-1][1]} are in the archive: set LOYALTY_ARCHIVE or give --archive")


def _head(cursor: Cursor[Any]) -> int:
    row = cursor.execute(HEAD).fetchone()
    return int(row[0]) if row is not None else 0


def _check_log(cursor: Cursor[Any], head: int, findings: Findings) -> None:
    rows = cursor.execute(_SQL["log"], {"until": head, "limit": FIRST_FINDINGS_MAX}).fetchall()
    first: list[Finding] = []
    for position, expected, recorded_at, recorded_before, _ in rows:
        if position != expected:
            missing = Finding("positions", f"event {expected}", "an event", f"{position} as the next")
            first.append(missing)
        else:
            late = f"at least {recorded_before}, when the one before it was recorded"
            first.append(Finding("positions", f"event {position}", late, str(recorded_at)))
    findings.add_counted("positions", first, rows[0][4] if rows else 0)


def _check_programs(cursor: Cursor[Any], generations: Sequence[Generation], findings: Findings) -> None:
    """The trial balance of each program agrees with its members."""
    schema = next(g.schema for g in generations if g.name == "trial_balance")
    sql = _SQL["members_of_programs"].replace(b"{live}", schema.encode())
    for program, total, members in cursor.execute(sql).fetchall():
        findings.add(Finding("trial_balance.program_totals", program, f"member = {members}", str(total)))


def _check_strangers(cursor: Cursor[Any], generations: Sequence[Generation], findings: Findings) -> None:
    """An identifier leads to a member of its own program."""
    schema = next(g.schema for g in generations if g.name == "balances")
    sql = _SQL["strangers"].replace(b"{live}", schema.encode())
    for program, member_id, members in cursor.execute(sql, {"limit": FIRST_FINDINGS_MAX}).fetchall():
        findings.add(Finding("profile.identifiers", f"member {member_id}", members, program))


def _compare_shared(
    cursor: Cursor[Any],
    generation: Generation,
    table: str,
    results: Sequence[ShareResult],
    findings: Findings,
) -> None:
    """Compares a table that is not of members with what the shares come to together."""
    place = f"{generation.name}.{table}"
    keys = PROJECTIONS[generation.name].shared_tables[table]
    rows = cursor.execute(f"SELECT * FROM {generation.schema}.{table}".encode()).fetchall()
    names = [column.name for column in cursor.description or ()]
    live = _by_key([dict(zip(names, row, strict=True)) for row in rows], keys)
    replayed: dict[tuple[Any, ...], dict[str, Any]] = {}
    for result in results:
        for key, row in _by_key(result.shared_rows[place], keys).items():
            replayed[key] = _add(replayed[key], row) if key in replayed else row
    for key in sorted(live.keys() | replayed.keys()):
        if live.get(key) != replayed.get(key):
            findings.add(Finding(place, str(key), str(replayed.get(key)), str(live.get(key))))


def _by_key(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[key] for key in keys): row for row in rows}


def _add(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value + other[name] if isinstance(value, Decimal) else value for name, value in one.items()}


# -- processes


class _Workers(Protocol):
    """The shares. What they are told to do they do at the same time; `results` waits for all of them."""

    def replay(self, until: int) -> None:
        """Has all shares replay up to a position and waits for them."""

    def compare(self, snapshot: Snapshot) -> None:
        """Has all shares compare."""

    def results(self) -> list[ShareResult]:
        """What all shares came to."""


class _Here:
    """One share, in this process."""

    def __init__(self, share: Share, report: Callable[[int], None]) -> None:
        self._share = share
        self._report = report
        self._done = 0
        self._results: list[ShareResult] = []

    def replay(self, until: int) -> None:
        self._share.replay(until, self._progress)

    def compare(self, snapshot: Snapshot) -> None:
        self._results = [self._share.compare(snapshot, self._progress)]

    def results(self) -> list[ShareResult]:
        return self._results

    def _progress(self, events: int) -> None:
        self._done += events
        self._report(self._done)


class _Processes:
    """Each share in a process of its own, at the other end of a pipe."""

    def __init__(self, pipes: Sequence[Connection], report: Callable[[int], None]) -> None:
        self._pipes = pipes
        self._report = report
        self._done = Counter[int]()

    def replay(self, until: int) -> None:
        self._send(("replay", until))
        self.results()

    def compare(self, snapshot: Snapshot) -> None:
        self._send(("compare", snapshot))

    def results(self) -> list[Any]:
        return [self._result(number, pipe) for number, pipe in enumerate(self._pipes)]

    def _send(self, order: tuple[str, Any]) -> None:
        for pipe in self._pipes:
            pipe.send(order)

    def _result(self, number: int, pipe: Connection) -> Any:
        while True:
            try:
                kind, value = pipe.recv()
            except EOFError:
                raise CheckError("a process of the check was killed: is there enough memory?") from None
            if kind == "progress":
                self._done[number] = value
                self._report(self._done.total())
            elif kind == "error":
                raise CheckError(f"a process of the check failed: {value}")
            else:
                return value


@contextmanager
def _workers(database_url: str, shares: int, archive: Path | None, report: Callable[[int], None]) -> Iterator[_Workers]:
    if shares == 1:
        with closing(Share(database_url, 0, 1, Archive(archive))) as share:
            yield _Here(share, report)
        return
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    try:
        for number in range(shares):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(database_url, number, shares, archive, theirs), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        yield _Processes(pipes, report)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.terminate()
            process.join()
            process.close()


def _work(database_url: str, number: int, shares: int, archive: Path | None, pipe: Connection) -> None:
    """The process of a share: does what it is told until nobody tells it anything."""
    done = 0

    def progress(events: int) -> None:
        nonlocal done
        done += events
        pipe.send(("progress", done))

    try:
        with large_pages(), closing(Share(database_url, number, shares, Archive(archive))) as share:
            while True:
                order, argument = pipe.recv()
                if order == "replay":
                    share.replay(argument, progress)
                    pipe.send(("done", None))
                else:
                    pipe.send(("done", share.compare(argument, progress)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # noqa: BLE001 - told to the parent, which reports it
        pipe.send(("error", f"{type(error).__name__}: {error}"))
