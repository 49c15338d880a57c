"""The check: everything replayed from event 1 and compared, byte for byte, with the live views; the log with its seal.

It works beside a running ledger. One snapshot of the database says where each view is. Each share of the streams is
replayed, in whatever process is free, into tables that only its connection sees, and compared there. What is done can
be kept in a file: a check that was interrupted goes on behind it.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.store.archive import Archive
from ledger.store.seal import SealBroken
from projections.catalogue import PROJECTIONS
from projections.check_next import stopped
from projections.check_seal import PLACE as SEAL
from projections.check_seal import Range, RangeDone, SealCheck, Trust, hash_range, read_file
from projections.check_state import CheckState, ShareDone, StateUnfit
from projections.finding import FIRST_FINDINGS_MAX, Finding, Findings
from projections.hub import HEAD, connect
from projections.share import ShareResult, ShareTask, Since, Snapshot, check_share
from projections.shared_rows import Rows, moved_on, rows_of, together
from projections.sql import statements
from projections.tracking import Generation, live_generation, try_lock, unlocking
from projections.workers import PROCESSES_MAX, Report, WorkerFailed, run

EVENTS_PER_PROCESS_MIN: Final = 50_000
"""With fewer events than this for each, starting processes takes longer than it saves."""

SHARE_EVENTS_MAX: Final = 250_000
"""Events of a share, about: what a check that is interrupted does again at most, in each process."""

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
    sealed: int
    """How much of the log is sealed."""
    signed: int
    """How much of it the newest checkpoints are of, those that can be read."""

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
        broken = self.counts.get(SEAL, 0)
        yield f"{SEAL}: {f'{broken} differences' if broken else 'same'} up to {self.sealed}, signed up to {self.signed}"
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
            "sealed": self.sealed,
            "signed": self.signed,
            "accounts": self.accounts,
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "first": [finding._asdict() for finding in self.first],
        }


def check(
    database_url: str,
    processes: int | None = None,
    progress: Progress = lambda _done, _of: None,
    state_file: Path | None = None,
    trust: Trust = Trust(),  # noqa: B008 - it cannot be changed
    archive: Path | None = None,
) -> CheckResult:
    """Checks a database, in as many processes as there are CPUs unless told otherwise; a short log in this one.

    Where there is a file, what is done is kept in it, and what is in it is not done again, except for streams that have
    moved on since. It is removed at the end. What of the log is archived is read from the folder `archive`. Raises
    CheckError.
    """
    started = time.monotonic()
    try:
        with connect(database_url, "check") as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            _check_archive(cursor, archive)
            with unlocking(cursor):
                for name in PROJECTIONS:
                    if not try_lock(cursor, f"rebuild {name}"):
                        raise CheckError(f"{name} is being rebuilt or checked: wait until that is done")
                in_file = read_file(trust)
                with connection.transaction():
                    cursor.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    cursor.execute(b"SET LOCAL idle_in_transaction_session_timeout = 0")
                    seal = partial(SealCheck, trust=trust, in_file=in_file, archive=archive)
                    one = _Check(cursor, database_url, processes, progress, state_file, seal, archive)
                    result = one.result(started)
    except psycopg.OperationalError as error:
        raise CheckError(f"the database went away: {' '.join(str(error).split())}") from error
    except (StateUnfit, WorkerFailed, SealBroken) as error:
        raise CheckError(str(error)) from error
    if state_file is not None:
        state_file.unlink(missing_ok=True)
    return result


class _Check:
    """A check of one snapshot of the database."""

    def __init__(
        self,
        cursor: Cursor[Any],
        database_url: str,
        processes: int | None,
        progress: Progress,
        state_file: Path | None,
        seal: Callable[[Cursor[Any], int], SealCheck],
        archive: Path | None,
    ) -> None:
        self._cursor = cursor
        self._database_url = database_url
        row = cursor.execute(b"SELECT pg_export_snapshot()").fetchone()
        generations = [live_generation(cursor, name) for name in PROJECTIONS]
        self._snapshot = Snapshot(row[0] if row is not None else "", _head(cursor), generations)
        head = self._snapshot.head
        self._processes = processes or min(os.cpu_count() or 1, 1 + head // EVENTS_PER_PROCESS_MIN, PROCESSES_MAX)
        self._state = CheckState(state_file, cursor, generations, max(self._processes, 1 + head // SHARE_EVENTS_MAX))
        self._seal = seal(cursor, head)
        self._archive = archive
        self._progress = progress
        self._done = 0

    def result(self, started: float) -> CheckResult:
        """What it comes to."""
        ranges = self._check_shares()
        self._seal.judge(ranges)
        findings = Findings()
        _check_log(self._cursor, self._snapshot.head, findings)
        _check_states(self._cursor, findings)
        for finding in self._seal.findings:
            findings.add(finding)
        _check_programs(self._cursor, self._snapshot.generations, findings)
        _check_strangers(self._cursor, self._snapshot.generations, findings)
        shares = list(self._state.done.values())
        for share in shares:
            findings.merge(share.findings)
        for generation in self._snapshot.generations:
            if generation.position > self._snapshot.head:
                ahead = f"position {generation.position}: the next events would be left out"
                findings.add(Finding(generation.name, "its position", f"{self._snapshot.head} at most", ahead))
            if generation.position < self._snapshot.head:
                held_up = stopped(self._database_url, generation, Archive(self._archive))
                if held_up is not None:
                    findings.add(held_up)
            for table in PROJECTIONS[generation.name].shared_tables:
                place = f"{generation.name}.{table}"
                replayed = together(share.shared_rows[place] for share in shares)
                _compare_shared(self._cursor, generation, table, replayed, findings)
        return CheckResult(
            self._snapshot.head,
            {generation.name: generation.position for generation in self._snapshot.generations},
            sum(share.accounts for share in shares),
            time.monotonic() - started,
            findings.first,
            dict(findings.count),
            self._seal.sealed,
            self._seal.signed,
        )

    def _check_shares(self) -> list[RangeDone]:
        """Checks the shares that are not done, or have moved on, and hashes the events for the seal."""
        snapshot = self._snapshot
        tasks: list[ShareTask | Range] = []
        for share in range(self._state.shares):
            done = self._state.done.get(share)
            since = done.since if done is not None else None
            if since is None or since.head < snapshot.head or since.positions != self._positions():
                tasks.append(ShareTask(self._database_url, self._archive, share, self._state.shares, snapshot, since))
        tasks += self._seal.ranges(self._database_url, snapshot.snapshot_id)
        of = snapshot.head * len([one for one in tasks if isinstance(one, ShareTask)]) // self._state.shares
        of += self._seal.size

        def report(events: int) -> None:
            self._done += events
            self._progress(min(self._done, of), of)

        ranges: list[RangeDone] = []
        for one in run(_do, tasks, self._processes, report):
            if isinstance(one.result, RangeDone):
                ranges.append(one.result)
            elif isinstance(one.task, ShareTask):
                self._add(one.task.share, one.result)
        return ranges

    def _positions(self) -> dict[str, int]:
        return {generation.name: generation.position for generation in self._snapshot.generations}

    def _add(self, share: int, result: ShareResult) -> None:
        since = Since(self._snapshot.head, self._positions())
        findings, accounts, rows = result.findings, result.accounts, result.shared_rows
        before = self._state.done.get(share)
        if before is not None:
            findings = before.findings.and_new(findings)
            accounts += before.accounts
            rows = {place: moved_on(before.shared_rows[place], result.before[place], rows[place]) for place in rows}
        self._state.add(share, ShareDone(since, accounts, findings, rows))


def _do(task: ShareTask | Range, report: Report) -> ShareResult | RangeDone:
    return hash_range(task, report) if isinstance(task, Range) else check_share(task, report)


def _check_states(cursor: Cursor[Any], findings: Findings) -> None:
    for first, count in cursor.execute(_SQL["stateless"]).fetchall():
        found = f"nothing, as with {count} in all: log_archives was changed"
        findings.add(Finding("log", f"event {first}", "a state, or an archive that has it", found))


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
    cursor: Cursor[Any], generation: Generation, table: str, replayed: Rows, findings: Findings
) -> None:
    """Compares a table that is not of members with what the shares come to together."""
    live = rows_of(cursor, f"{generation.schema}.{table}", PROJECTIONS[generation.name].shared_tables[table])
    for key in sorted(live.keys() | replayed.keys()):
        if live.get(key) != replayed.get(key):
            place = f"{generation.name}.{table}"
            findings.add(Finding(place, str(key), str(replayed.get(key)), str(live.get(key))))
