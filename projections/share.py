"""A share of a check: some of the streams, replayed into tables of its own and compared with the live ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.persistence import MapperDeserialisationError
from google.protobuf.message import DecodeError
from loyalty.v1.events_pb2 import AuditRecorded, CommandBlocked, ProgramPublished, ReversalAwaited
from loyalty.v1.snapshot_pb2 import AccountSnapshot, PoolSnapshot
from psycopg.rows import tuple_row

from ledger.domain.account import Account
from ledger.domain.entitlement import ISSUED as ENTITLEMENT_ISSUED
from ledger.domain.pool import Pool, PoolEvent
from ledger.domain.refusal import InvariantBroken
from ledger.domain.voucher import ISSUED as VOUCHER_ISSUED
from ledger.store.archive import NO_ARCHIVE, Archive
from projections.catalogue import PROJECTIONS
from projections.finding import FIRST_FINDINGS_MAX, Finding, Findings
from projections.hub import connect
from projections.keys import wrong_key
from projections.movements import OWED
from projections.page import COLUMNS, POSITION_AT, STATE_AT, Event, event_of
from projections.projection import Contradiction, Projection
from projections.sql import statements
from projections.tracking import Generation, enter_schema, search_path, tune

PAGE_EVENTS: Final = 10_000
"""Events a page: the larger, the fewer times a member's row is written."""

MEMORY_MB: Final = 256
"""Of the database server, for the tables of a share before they go to disk."""

_SQL: Final = statements("check.sql")
_READ: Final = _SQL["read"].replace(b"{columns}", COLUMNS.strip().encode())
_EVENT_COLUMNS: Final = 7
_NOT_OF_ACCOUNTS: Final = frozenset({ReversalAwaited, CommandBlocked, ProgramPublished, AuditRecorded})

Progress = Callable[[int], None]
"""Events more."""


class Snapshot(NamedTuple):
    """A moment of the live tables that several connections look at."""

    snapshot_id: str
    head: int
    generations: Sequence[Generation]


class ShareResult(NamedTuple):
    """What a share came to."""

    events: int
    accounts: int
    findings: Findings
    shared_rows: dict[str, list[dict[str, Any]]]
    """The rows of the tables that are not of members, by `projection.table`."""


class Share:
    """One connection and one fold. Streams are shared out by their ids, so shares have nothing to tell each other."""

    def __init__(self, database_url: str, number: int, of: int, archive: Archive = NO_ARCHIVE) -> None:
        self._archive = archive
        self._share = {"share": number, "shares": of}
        self._findings = Findings()
        self._accounts: dict[UUID, Account] = {}
        self._pools: dict[UUID, Pool] = {}
        self._versions: dict[UUID, int] = {}
        self._damaged: set[UUID] = set()
        self._position = 0
        self._events = 0
        self._connection = connect(database_url, f"check {number}")
        self._cursor = self._connection.cursor(binary=True, row_factory=tuple_row)
        self._create_tables()
        self._snapshots: dict[UUID, tuple[int, bytes]] = {
            stream_id: (version, state)
            for stream_id, version, state in self._cursor.execute(_SQL["snapshots"], self._share).fetchall()
        }

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

    def replay(self, until: int, progress: Progress) -> None:
        """Applies the share's events up to a position to everything."""
        self._replay(until, list(PROJECTIONS.values()), progress)

    def compare(self, snapshot: Snapshot, progress: Progress) -> ShareResult:
        """Goes on to where each live view is in a snapshot, and compares it there; then to the end of the log."""
        with self._connection.transaction():
            self._cursor.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot.snapshot_id}'".encode())
            for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
                self._cursor.execute(b"SELECT set_config(%s, 'on', true)", (setting,))
            waiting = sorted(snapshot.generations, key=lambda generation: generation.position)
            for number, generation in enumerate(waiting):
                behind = [PROJECTIONS[later.name] for later in waiting[number:]]
                self._replay(generation.position, behind, progress)
                self._compare(generation)
            self._replay(snapshot.head, [], progress)
        for account in self._accounts.values():
            self._check(account)
        for stream_id, (version, _) in self._snapshots.items():
            if stream_id not in self._damaged:
                self._findings.add(Finding("snapshots", str(stream_id), "a version in the log", str(version)))
        return ShareResult(
            self._events,
            len(self._accounts),
            self._findings,
            {
                f"{projection.name}.{table}": self._rows(f"pg_temp.{table}")
                for projection in PROJECTIONS.values()
                for table in projection.shared_tables
            },
        )

    def _rows(self, table: str) -> list[dict[str, Any]]:
        rows = self._cursor.execute(f"SELECT * FROM {table}".encode()).fetchall()
        names = [column.name for column in self._cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]

    # -- replaying

    def _replay(self, until: int, projections: Sequence[Projection], progress: Progress) -> None:
        while self._position < until:
            parameters = {
                "after": self._position,
                "until": until,
                "limit": PAGE_EVENTS,
                **self._share,
            }
            rows = self._cursor.execute(_READ, parameters, prepare=True).fetchall()
            rows = self._archive.fill(self._cursor, rows, POSITION_AT, STATE_AT)
            events = [event for row in rows if (event := self._admit(row)) is not None]
            for projection in projections:
                self._apply(projection, events)
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
        for table, key in projection.tables.items():
            self._cursor.execute(f"ANALYZE pg_temp.{table}".encode())
            rows = self._cursor.execute(
                _fill_in("compare", live=generation.schema, table=table, key=", ".join(key), owner=projection.owner),
                {**self._share, "limit": FIRST_FINDINGS_MAX},
            ).fetchall()
            place = f"{generation.name}.{table}"
            first = [Finding(place, f"row {number}", row[1], row[0]) for number, row in enumerate(rows, 1)]
            self._findings.add_counted(place, first, rows[0][2] if rows else 0)
        self._compare_with_fold(generation)

    def _compare_with_fold(self, generation: Generation) -> None:
        """Compares a view with the accounts as commands see them."""
        expect = _OF_ACCOUNT.get(generation.name)
        if expect is None:
            return
        seen: set[UUID] = set()
        place = f"{generation.name} of account"
        sql = _fill_in(generation.name, live=generation.schema)
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


def _fill_in(name: str, **names: str) -> bytes:
    sql = _SQL[name].decode()
    for placeholder, value in names.items():
        sql = sql.replace(f"{{{placeholder}}}", value)
    return sql.encode()


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
