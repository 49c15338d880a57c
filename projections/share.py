"""A share of a check: some of the streams, replayed into tables of its own and compared with the live ones."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.persistence import MapperDeserialisationError
from google.protobuf.message import DecodeError
from loyalty.v1.events_pb2 import (
    AuditRecorded,
    CommandBlocked,
    ProgramPublished,
    ReversalAwaited,
    SegmentDeleted,
    SegmentListed,
    SegmentMembersChanged,
    SegmentSaved,
)
from loyalty.v1.snapshot_pb2 import AccountSnapshot, PoolSnapshot
from psycopg.rows import tuple_row

from ledger.domain.account import Account
from ledger.domain.entitlement import ISSUED as ENTITLEMENT_ISSUED
from ledger.domain.pool import Pool, PoolEvent
from ledger.domain.refusal import InvariantBroken
from ledger.domain.voucher import ISSUED as VOUCHER_ISSUED
from ledger.store.archive import Archive
from projections.catalogue import PROJECTIONS
from projections.finding import FIRST_FINDINGS_MAX, Finding, Findings
from projections.hub import connect
from projections.keys import wrong_key
from projections.movements import OWED
from projections.page import COLUMNS, POSITION_AT, STATE_AT, Event, event_of
from projections.projection import Contradiction, Projection
from projections.shared_rows import Rows, rows_of
from projections.sql import statements
from projections.tracking import Generation, enter_schema, search_path, tune

PAGE_EVENTS: Final = 10_000
"""Events a page: the larger, the fewer times a member's row is written."""

MEMORY_MB: Final = 256
"""Of the database server, for the tables of a share before they go to disk."""

_SQL: Final = statements("check.sql")
_EVENT_COLUMNS: Final = 7
_NOT_OF_ACCOUNTS: Final = frozenset(
    {
        ReversalAwaited,
        CommandBlocked,
        ProgramPublished,
        AuditRecorded,
        SegmentSaved,
        SegmentDeleted,
        SegmentListed,
        SegmentMembersChanged,
    }
)

Progress = Callable[[int], None]
"""Events more."""


class Snapshot(NamedTuple):
    """A moment of the live tables that several connections look at."""

    snapshot_id: str
    head: int
    generations: Sequence[Generation]


class Since(NamedTuple):
    """How far everything was when a share was checked before."""

    head: int
    positions: dict[str, int]
    """Of the views, by name."""


class ShareTask(NamedTuple):
    """A share to check."""

    database_url: str
    archive: Path | None
    share: int
    shares: int
    snapshot: Snapshot
    since: Since | None = None
    """Where the share was checked before: only the streams that have moved on since are looked at."""


class ShareResult(NamedTuple):
    """What a share came to."""

    events: int
    accounts: int
    findings: Findings
    shared_rows: dict[str, Rows]
    """The rows of the tables that are not of members, by `projection.table`."""
    before: dict[str, Rows]
    """The same when it was checked before; empty where it was not."""


def check_share(task: ShareTask, report: Progress) -> ShareResult:
    """Checks a share."""
    with closing(Share(task)) as share:
        return share.check(report)


class Share:
    """One connection and one fold. Streams are shared out by their ids, so shares have nothing to tell each other."""

    def __init__(self, task: ShareTask) -> None:
        self._task = task
        self._archive = Archive(task.archive)
        self._share = {"share": task.share, "shares": task.shares}
        self._findings = Findings()
        self._accounts: dict[UUID, Account] = {}
        self._pools: dict[UUID, Pool] = {}
        self._versions: dict[UUID, int] = {}
        self._damaged: set[UUID] = set()
        self._position = 0
        self._events = 0
        self._connection = connect(task.database_url, f"check {task.share}")
        self._cursor = self._connection.cursor(binary=True, row_factory=tuple_row)
        self._create_tables()
        self._snapshots: dict[UUID, tuple[int, bytes]] = {}

    def close(self) -> None:
        """Drops the tables."""
        self._connection.close()

    def _create_tables(self) -> None:
        tune(self._cursor)
        for setting in ("temp_buffers", "work_mem"):
            self._cursor.execute(b"SELECT set_config(%s, %s, false)", (setting, f"{MEMORY_MB}MB"))
        enter_schema(self._cursor, "pg_temp", search_path(self._cursor))
        for name in PROJECTIONS:
            self._cursor.execute(f"CALL projection.create_{name}()".encode())
        if self._task.since is not None:
            self._cursor.execute(b"CREATE TEMP TABLE moved (stream_id uuid PRIMARY KEY)")

    def _sql(self, name: str, **names: str) -> bytes:
        """A statement about the share's own streams."""
        text = _SQL[name].decode()
        for placeholder, value in names.items():
            text = text.replace(f"{{{placeholder}}}", value)
        own = r"(uuid_hash(\1) & 2147483647) %% %(shares)b = %(share)b"
        if self._task.since is not None:
            own += r" AND \1 IN (SELECT stream_id FROM pg_temp.moved)"
        return re.sub(r"\{mine:([\w.]+)\}", own, text).encode()

    def check(self, report: Progress) -> ShareResult:
        """Replays to where each live view is in the snapshot, and compares it there; then to the end of the log."""
        snapshot, since = self._task.snapshot, self._task.since
        waiting = {generation.name: generation for generation in snapshot.generations}
        stops = [(generation.position, True, name) for name, generation in waiting.items()]
        if since is not None:
            stops += [(position, False, name) for name, position in since.positions.items()]
        stops.sort()
        before: dict[str, Rows] = {}
        after: dict[str, Rows] = {}
        accounts = 0
        with self._connection.transaction():
            self._enter(snapshot)
            for position, is_end, name in stops:
                self._replay(position, [PROJECTIONS[one] for one in waiting], report)
                if is_end:
                    self._compare(waiting.pop(name))
                    after |= self._shared_rows(name)
                else:
                    before |= self._shared_rows(name)
                    accounts = len(self._accounts)
            self._replay(snapshot.head, [], report)
        self._finish()
        return ShareResult(self._events, len(self._accounts) - accounts, self._findings, after, before)

    def _enter(self, snapshot: Snapshot) -> None:
        """From here on only what is of the snapshot is seen, and what is done in the transaction itself."""
        self._cursor.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot.snapshot_id}'".encode())
        if self._task.since is not None:
            self._cursor.execute(_SQL["moved"], {"since": self._task.since.head})
        rows = self._cursor.execute(self._sql("snapshots"), self._share).fetchall()
        self._snapshots = {stream_id: (version, state) for stream_id, version, state in rows}

    def _finish(self) -> None:
        for account in self._accounts.values():
            self._check(account)
        for stream_id, (version, _) in self._snapshots.items():
            if stream_id not in self._damaged:
                self._findings.add(Finding("snapshots", str(stream_id), "a version in the log", str(version)))

    def _shared_rows(self, name: str) -> dict[str, Rows]:
        tables = PROJECTIONS[name].shared_tables
        return {f"{name}.{table}": rows_of(self._cursor, f"pg_temp.{table}", keys) for table, keys in tables.items()}

    # -- replaying

    def _replay(self, until: int, projections: Sequence[Projection], progress: Progress) -> None:
        read = self._sql("read", columns=COLUMNS.strip())
        while self._position < until:
            parameters = {
                "after": self._position,
                "until": until,
                "limit": PAGE_EVENTS,
                **self._share,
            }
            rows = self._cursor.execute(read, parameters, prepare=True).fetchall()
            rows = self._archive.fill(self._cursor, rows, POSITION_AT, STATE_AT)
            events = [event for row in rows if (event := self._admit(row)) is not None]
            self._apply_all(projections, events)
            self._position = until if len(rows) < PAGE_EVENTS else rows[-1][0]
            self._events += len(rows)
            progress(len(rows))

    def _admit(self, row: Sequence[Any]) -> Event | None:
        """The event of a row, when it can be read and goes on where its stream and its account are."""
        position, stream_id = row[:2]
        if stream_id in self._damaged:
            return None
        try:
            event = event_of(row[:_EVENT_COLUMNS])
            self._fold(event)
            self._check_keys(event, row[_EVENT_COLUMNS:])
        except (MapperDeserialisationError, InvariantBroken, ValueError, LookupError) as error:
            self._damage(position, stream_id, str(error))
            return None
        return event

    def _fold(self, event: Event) -> None:
        """Applies an event to its account. Raises InvariantBroken."""
        stream_id, version, payload = event.stream_id, event.version, event.payload
        if type(payload) in _NOT_OF_ACCOUNTS:
            _check_version(self._versions.get(stream_id, 0), version)
            self._versions[stream_id] = version
            return
        state: Account | Pool
        if isinstance(payload, PoolEvent):
            state = self._pools.get(stream_id) or self._pools.setdefault(stream_id, Pool(stream_id))
        else:
            state = self._accounts.get(stream_id) or self._accounts.setdefault(stream_id, Account(stream_id))
        _check_version(state.version, version)
        state.apply(payload)
        kept = self._snapshots.get(stream_id)
        if kept is not None and kept[0] == version:
            del self._snapshots[stream_id]
            self._check_snapshot(stream_id, state.to_snapshot(), kept[1])

    def _check_keys(self, event: Event, keys: Sequence[Any]) -> None:
        """Compares the columns that commands look up with the event: a wrong one lets a receipt in twice."""
        account = self._accounts.get(event.stream_id)
        wrong = wrong_key(event.payload, account.program if account is not None else "", *keys)
        if wrong is not None:
            place = f"event {event.position}"
            self._findings.add(Finding("log", place, f"the {wrong} of the event itself", "another one"))

    def _check_snapshot(self, stream_id: UUID, expected: AccountSnapshot | PoolSnapshot, state: bytes) -> None:
        """Compares a snapshot with what it is of at its version: commands start from it."""
        try:
            found = type(expected).FromString(state)
        except DecodeError:
            found = type(expected)()
        if found != expected:
            self._findings.add(Finding("snapshots", str(stream_id), str(expected), str(found)))

    def _damage(self, position: int, stream_id: UUID, reason: str) -> None:
        """Notes an event that cannot be applied. What follows in its stream is left out."""
        self._damaged.add(stream_id)
        self._accounts.pop(stream_id, None)
        self._pools.pop(stream_id, None)
        self._findings.add(Finding("log", f"event {position}", f"the next event of stream {stream_id}", reason))

    def _apply_all(self, projections: Sequence[Projection], events: Sequence[Event]) -> None:
        """At once, since PostgreSQL keeps few savepoints of a transaction at hand; one by one where that fails."""
        try:
            with self._connection.transaction():
                for projection in projections if events else ():
                    projection.apply(self._cursor, events)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except (Contradiction, psycopg.Error, ValueError, LookupError, ArithmeticError):
            for projection in projections:
                self._apply(projection, events)

    def _apply(self, projection: Projection, events: Sequence[Event]) -> None:
        if not events:
            return
        try:
            with self._connection.transaction():
                projection.apply(self._cursor, events)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except (Contradiction, psycopg.Error, ValueError, LookupError, ArithmeticError) as error:
            if len(events) == 1:
                reason = " ".join(str(error).split())
                self._damage(events[0].position, events[0].stream_id, reason)
                return
        else:
            return
        half = len(events) // 2
        self._apply(projection, events[:half])
        rest = [event for event in events[half:] if event.stream_id not in self._damaged]
        self._apply(projection, rest)

    # -- comparing

    def _compare(self, generation: Generation) -> None:
        projection = PROJECTIONS[generation.name]
        self._plan("on")
        for table, key in projection.tables.items():
            self._cursor.execute(f"ANALYZE pg_temp.{table}".encode())
            rows = self._cursor.execute(
                self._sql("compare", live=generation.schema, table=table, key=", ".join(key), owner=projection.owner),
                {**self._share, "limit": FIRST_FINDINGS_MAX},
            ).fetchall()
            place = f"{generation.name}.{table}"
            first = [Finding(place, f"row {number}", row[1], row[0]) for number, row in enumerate(rows, 1)]
            self._findings.add_counted(place, first, rows[0][2] if rows else 0)
        self._compare_with_fold(generation)
        self._plan("off")

    def _plan(self, whole_tables: str) -> None:
        """Whether statements may go through whole tables: a comparison does, a page does not."""
        for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
            self._cursor.execute(b"SELECT set_config(%s, %s, true)", (setting, whole_tables))

    def _compare_with_fold(self, generation: Generation) -> None:
        """Compares a view with the accounts as commands see them."""
        expect = _OF_ACCOUNT.get(generation.name)
        if expect is None:
            return
        seen: set[UUID] = set()
        place = f"{generation.name} of account"
        sql = self._sql(generation.name, live=generation.schema)
        for member_id, *found in self._cursor.execute(sql, self._share).fetchall():
            seen.add(member_id)
            account = self._accounts.get(member_id)
            expected = expect(account) if account is not None else None
            if expected != tuple(found) and member_id not in self._damaged:
                self._findings.add(Finding(place, str(member_id), str(expected), str(tuple(found))))
        for member_id in self._accounts.keys() - seen:
            expected = expect(self._accounts[member_id])
            if expected is not None:
                self._findings.add(Finding(place, str(member_id), str(expected), "nothing"))

    def _check(self, account: Account) -> None:
        try:
            account.check()
        except InvariantBroken as error:
            self._findings.add(Finding("accounts", str(account.account_id), "points that add up", str(error)))


def _check_version(before: int, version: int) -> None:
    if version != before + 1:
        raise InvariantBroken(f"event {version} of its stream where {before + 1} was due")


def _held(account: Account) -> int:
    return account.held


def _rights(account: Account) -> tuple[list[str]] | None:
    """The vouchers and entitlements that can still be used."""
    rights = [
        f"{one.name[-36:]} {one.left_minor} {one.starts_at} {one.expires_at}"
        for one in account.vouchers.values()
        if one.state == VOUCHER_ISSUED
    ]
    rights += [
        f"{one.name[-36:]} {one.used_times} {one.starts_at} {one.expires_at}"
        for one in account.entitlements.values()
        if one.state == ENTITLEMENT_ISSUED
    ]
    return (sorted(rights),) if rights else None


def _points_by_lot(account: Account) -> tuple[list[str]] | None:
    """What each lot has, held points included; what is owed as lot 0."""
    points = {OWED: -account.owed}
    for lot in account.lots:
        points[lot.number] = points.get(lot.number, 0) + lot.points
    for hold in account.holds.values():
        for allocation in hold.allocations:
            points[allocation.lot] = points.get(allocation.lot, 0) + allocation.points
    held = sorted(f"{lot} {number}" for lot, number in points.items() if number)
    return (held,) if held else None


_OF_ACCOUNT: Final[Mapping[str, Callable[[Account], tuple[Any, ...] | None]]] = {
    "balances": lambda a: (a.program, a.version, a.owed, a.lot_points, _held(a)),
    "liability": _points_by_lot,
    "rewards": _rights,
    "statements": lambda a: (a.lot_points + _held(a) - a.owed,),
    "tiers": lambda a: (a.tier, a.standing.to_bytes()),
    "trial_balance": lambda a: (a.lot_points + _held(a) - a.owed,),
}
"""What each view says of an account that the account knows itself; None where the view has nothing to say. The audit
trail has nothing that an account knows."""
