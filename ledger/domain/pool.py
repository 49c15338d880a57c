"""A pool: what all members together draw from, such as a reward's stock or a limit over the whole program.

Each pool has a stream of events of its own, so that the unique key of its next version decides between servers that
draw at the same moment. How much there is to draw is the program's business and not the pool's: a version that is
published later may allow more or less.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.events_pb2 import Counter, PoolDrawn, PoolKept, PoolReturned, VoucherCodesUploaded
from loyalty.v1.snapshot_pb2 import PoolSnapshot

from ledger.domain.instant import from_timestamp, set_timestamp
from ledger.domain.names import pool_stream
from ledger.domain.refusal import InvariantBroken
from ledger.domain.rules.tally import Counters, value_of, with_counters

PoolEvent = PoolDrawn | PoolReturned | PoolKept | VoucherCodesUploaded

_KEY: Final = ""
"""A pool has but one counter."""


class Draw(NamedTuple):
    """What an open hold drew."""

    hold: str
    period: int
    amount: int
    expires_at: int


class Pool:
    """The state of a pool after some of its events. Between commands it is a value, as accounts are."""

    __slots__ = ("_drawn", "codes", "open", "stream_id", "uploaded", "version")

    def __init__(self, stream_id: UUID) -> None:
        self.stream_id = stream_id
        self.version = 0
        self._drawn: Counters = {}
        self.open: dict[str, Draw] = {}
        """By hold."""
        self.uploaded = 0
        """How many codes it has had."""
        self.codes: tuple[str, ...] = ()
        """The hashes of the codes that were not given out yet, in order."""

    def copy(self) -> "Pool":
        """A pool that can be changed without changing this one."""
        other = Pool(self.stream_id)
        other.version = self.version
        other._drawn = self._drawn
        other.open = self.open.copy()
        other.uploaded = self.uploaded
        other.codes = self.codes
        return other

    def recorded(self, period: int) -> int | None:
        """What is drawn in a period by what is recorded; None where that was forgotten."""
        return value_of(self._drawn, _KEY, period)

    def drawn(self, period: int, at: int) -> int | None:
        """What is drawn in a period; None where that was forgotten.

        What holds drew whose time ran out by then counts as given back, whether or not that was recorded.
        """
        drawn = self.recorded(period)
        if drawn is None or not self.open:
            return drawn
        return drawn - sum(
            draw.amount for draw in self.open.values() if draw.period == period and draw.expires_at <= at
        )

    def due(self, at: int) -> list[Draw]:
        """What holds drew whose time ran out by then, in that order."""
        due = [draw for draw in self.open.values() if draw.expires_at <= at]
        return sorted(due, key=lambda draw: (draw.expires_at, draw.hold))

    # -- how events change it

    def apply(self, event: PoolEvent) -> None:
        """Changes the state by one event. Raises InvariantBroken when the event contradicts the state."""
        _APPLY[type(event)](self, event)
        self.version += 1

    def check_next(self, version: int) -> None:
        """Raises InvariantBroken unless an event of that version is the next one."""
        if version != self.version + 1:
            raise InvariantBroken(f"pool {self.stream_id}: event {version} where {self.version + 1} is next")

    def _pool_drawn(self, event: PoolDrawn) -> None:
        self._move(event.period, event.amount, event.drawn)
        if event.hold:
            self.open[event.hold] = Draw(event.hold, event.period, event.amount, from_timestamp(event.expires_at))
        self._give_out(event.code_hashes)

    def _pool_returned(self, event: PoolReturned) -> None:
        self._move(event.period, -event.amount, event.drawn)
        if event.hold:
            self._close(event.hold)

    def _pool_kept(self, event: PoolKept) -> None:
        self._close(event.hold)
        self._give_out(event.code_hashes)

    def _codes_uploaded(self, event: VoucherCodesUploaded) -> None:
        self.codes += tuple(event.request.codes)
        self.uploaded += len(event.request.codes)
        if event.uploaded != self.uploaded:
            raise InvariantBroken(f"pool {self.stream_id}: {event.uploaded} codes where there are {self.uploaded}")

    def _give_out(self, code_hashes: Sequence[str]) -> None:
        given = len(code_hashes)
        if given:
            if self.codes[:given] != tuple(code_hashes):
                raise InvariantBroken(f"pool {self.stream_id}: codes were given out of turn")
            self.codes = self.codes[given:]

    def _close(self, hold: str) -> None:
        if self.open.pop(hold, None) is None:
            raise InvariantBroken(f"pool {self.stream_id}: {hold} has drawn nothing")

    def _move(self, period: int, more: int, drawn: int) -> None:
        before = value_of(self._drawn, _KEY, period) or 0
        if before + more != drawn or drawn < 0:
            raise InvariantBroken(f"pool {self.stream_id}: {before} and {more} more do not make {drawn}")
        self._drawn = with_counters(self._drawn, [Counter(key=_KEY, period=period, value=drawn)])

    # -- snapshots

    def to_snapshot(self) -> PoolSnapshot:
        """The state as a message."""
        snapshot = PoolSnapshot(version=self.version, uploaded=self.uploaded, code_hashes=self.codes)
        for period, value in self._drawn.get(_KEY, ()):
            snapshot.drawn.add(period=period, value=value)
        for draw in self.open.values():
            message = snapshot.open.add(hold=draw.hold, period=draw.period, amount=draw.amount)
            set_timestamp(message.expires_at, draw.expires_at)
        return snapshot

    @classmethod
    def from_snapshot(cls, stream_id: UUID, snapshot: PoolSnapshot) -> "Pool":
        """The state that a message holds."""
        pool = cls(stream_id)
        pool.version = snapshot.version
        pool._drawn = with_counters({}, snapshot.drawn)
        pool.uploaded = snapshot.uploaded
        pool.codes = tuple(snapshot.code_hashes)
        for draw in snapshot.open:
            pool.open[draw.hold] = Draw(draw.hold, draw.period, draw.amount, from_timestamp(draw.expires_at))
        return pool


_APPLY: Final[Mapping[type[Message], Callable[[Pool, Any], None]]] = {
    PoolDrawn: Pool._pool_drawn,
    PoolReturned: Pool._pool_returned,
    PoolKept: Pool._pool_kept,
    VoucherCodesUploaded: Pool._codes_uploaded,
}


class PoolUnknown(Exception):
    """A decision needs a pool that nobody has looked up yet. It is to be looked up, and the command decided anew."""

    def __init__(self, stream_id: UUID) -> None:
        super().__init__(f"pool {stream_id}")
        self.stream_id = stream_id


class Pools:
    """The pools of a program that one command looks at, each as the command has left it so far."""

    __slots__ = ("_known", "_program", "changed")

    def __init__(self, program: str, known: Mapping[UUID, Pool]) -> None:
        self._program = program
        self._known = known
        self.changed: dict[UUID, Pool] = {}

    def pool(self, key: str) -> Pool:
        """The pool of a limit or stock. Raises PoolUnknown."""
        stream_id = pool_stream(self._program, key)
        pool = self.changed.get(stream_id) or self._known.get(stream_id)
        if pool is None:
            raise PoolUnknown(stream_id)
        return pool

    def uploaded(self, key: str) -> int:
        """How many codes a pool of codes has had."""
        return self.pool(key).uploaded

    def drawn(self, key: str, period: int, at: int) -> int | None:
        """What is drawn of a limit or stock in a period; None where that was forgotten."""
        return self.pool(key).drawn(period, at)

    def fresh(self) -> "Pools":
        """The same pools as the command found them."""
        return Pools(self._program, self._known) if self.changed else self

    def apply(self, key: str, event: PoolEvent) -> Pool:
        """Changes a pool by an event."""
        pool = self.pool(key)
        if pool.stream_id not in self.changed:
            pool = self.changed[pool.stream_id] = pool.copy()
        pool.apply(event)
        return pool
