"""The writer: one thread that turns waiting commands into one commit after the other.

While a commit is in flight, commands wait; when it is done, all that wait become the next batch. So an idle server
answers after one commit, and a busy one shares each commit among many commands, without any timer. Commands of one
batch are decided in order, each on the state that the ones before it left. What one of them comes to never harms its
neighbours.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from secrets import token_bytes
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
import psycopg_pool
from google.protobuf.empty_pb2 import Empty
from loyalty.v1.account_pb2 import Receipt
from loyalty.v1.commands_pb2 import (
    PublishProgramRequest,
    UploadVoucherCodesRequest,
)
from loyalty.v1.segment_pb2 import DeleteSegmentRequest, SaveSegmentRequest, SetSegmentMembersRequest
from uuid_utils.compat import uuid7

from ledger.domain.account import Account
from ledger.domain.member_profile import MemberProfile
from ledger.domain.new_event import NewEvent, main_event
from ledger.domain.pool import Pool, PoolUnknown
from ledger.domain.program import Program
from ledger.domain.refusal import InvariantBroken, Rejected
from ledger.domain.segments.decide import SegmentUnknown
from ledger.metrics import BATCH_COMMANDS, COMMIT_SECONDS, CONDITION_FAILURES, CONFLICTS, QUEUE_COMMANDS
from ledger.store.personal import Update
from ledger.store.recorder import Appended, LedgerRecorder, Session
from ledger.store.topics import Archived
from ledger.writer.besides import Besides
from ledger.writer.book import Book
from ledger.writer.cache import Cache
from ledger.writer.command import (
    BATCH_COMMANDS_MAX,
    QUEUE_COMMANDS_MAX,
    Command,
    Existing,
    Failure,
    Outcome,
    Settled,
    Unchanged,
)
from ledger.writer.decision import DamagedAccount, Decided, Decision, Exists, Same, decide_command

log = logging.getLogger(__name__)

SNAPSHOT_EVERY: Final = 200
"""Events of an account or pool between two snapshots: what a cold load has to replay at most."""

SECRET_BYTES: Final = 32
"""Random bytes that the codes of one batch's vouchers are made from."""

OF_PROGRAMS: Final = (
    PublishProgramRequest,
    UploadVoucherCodesRequest,
    SaveSegmentRequest,
    DeleteSegmentRequest,
    SetSegmentMembersRequest,
)
"""Commands that are about a program and no account."""

OPTIMISTIC_ATTEMPTS_MAX: Final = 2
"""Lost races after which a batch locks the log before it reads, so that it cannot lose again."""

DISTRUST_S: Final = 5.0
"""How long every batch looks up first after one that did not was wrong: servers share accounts, or tills send again."""

DATABASE_PATIENCE_S: Final = 8.0
"""How long a batch is tried again while the database does not answer. Then its callers get UNAVAILABLE."""

_AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg_pool.PoolTimeout,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby that is not the primary yet, or no longer
)
"""What the database says when it cannot be reached, or cannot write at the moment."""

Result = Outcome | Existing | Unchanged | Settled | Failure
Answer = Callable[[Sequence[Result]], None]
Clock = Callable[[], int]


class Overloaded(Exception):
    """The queue is full."""


class ShuttingDown(Exception):
    """The writer takes no more commands."""


class DeadlinePassed(Exception):
    """The command's deadline passed before it was written."""


class OutcomeUnknown(Exception):
    """The database went away; whether the command was written is not known."""


class _LookUp(Exception):
    """A batch that was decided on the cache alone has to be decided on what the log says."""


class _Group(NamedTuple):
    commands: Sequence[Command]
    answer: Answer


class Writer:
    """Takes groups of commands from any thread and answers each with the results of its commands, in order."""

    def __init__(self, recorder: LedgerRecorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._cache = Cache()
        self._queue: deque[_Group] = deque()
        self._waiting = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._trust_from = 0.0
        QUEUE_COMMANDS.set_function(lambda: self._waiting)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no more commands, finishes those that wait, and ends the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def submit(self, commands: Sequence[Command], answer: Answer) -> None:
        """Queues some commands; `answer` is called from the writer's thread when all of them are settled.

        Raises Overloaded when the queue is full, and ShuttingDown.
        """
        with self._wake:
            if self._stopping:
                raise ShuttingDown
            if self._waiting + len(commands) > QUEUE_COMMANDS_MAX:
                raise Overloaded
            self._queue.append(_Group(commands, answer))
            self._waiting += len(commands)
            self._wake.notify()

    def _run(self) -> None:
        while (groups := self._next_groups()) is not None:
            commands = [command for group in groups for command in group.commands]
            BATCH_COMMANDS.observe(len(commands))
            results = self._settle(commands)
            at = 0
            for group in groups:
                try:
                    group.answer(results[at : at + len(group.commands)])
                except Exception:
                    # Whoever waited is gone. What it sent is on disk, and the others wait for theirs.
                    log.exception("an answer could not be delivered")
                at += len(group.commands)

    def _next_groups(self) -> list[_Group] | None:
        with self._wake:
            while not self._queue:
                if self._stopping:
                    return None
                self._wake.wait()
            groups = [self._queue.popleft()]
            size = len(groups[0].commands)
            while self._queue and size + len(self._queue[0].commands) <= BATCH_COMMANDS_MAX:
                groups.append(self._queue.popleft())
                size += len(groups[-1].commands)
            self._waiting -= size
            return groups

    def _settle(self, commands: list[Command]) -> list[Result]:
        """Results for all commands, whatever happens."""
        started = time.monotonic()
        conflicts = failures = 0
        trusting = started >= self._trust_from
        while True:
            try:
                with self._recorder.session(locked=conflicts >= OPTIMISTIC_ATTEMPTS_MAX) as session:
                    batch = _Batch(self._cache, session, self._clock(), is_retry=failures > 0)
                    results = batch.settle(commands, trusting=trusting)
            except _LookUp:
                trusting = False
            except psycopg.errors.UniqueViolation:
                if trusting:
                    # A command that was sent again, or an account that another server moves: look up for a while.
                    trusting = False
                    self._trust_from = time.monotonic() + DISTRUST_S
                    continue
                if conflicts >= OPTIMISTIC_ATTEMPTS_MAX:
                    # Nobody can have been faster: the log was locked.
                    return self._settle_apart(commands)
                # Somebody else was faster. Nothing of the batch was written; all of it is decided anew.
                conflicts += 1
                CONFLICTS.inc()
            except _AWAY as error:
                # The batch may or may not be on disk. Decided anew, each command finds its own outcome by its request
                # id if it is.
                # Whether the database that comes back has all that this one acknowledged is not known either.
                failures += 1
                trusting = False
                self._cache.clear()
                log.warning("the database does not answer: %s", " ".join(str(error).split()))
                if time.monotonic() > started + DATABASE_PATIENCE_S:
                    return [Failure(command, OutcomeUnknown()) for command in commands]
                self._recorder.datastore.pool.check()
                threading.Event().wait(min(0.05 * 2**failures, 1.0))
            except Exception as error:
                log.exception("a batch failed")
                return [Failure(command, error) for command in commands]
            else:
                # Only now: a locked session commits when it ends, and until then its states may still come to nothing.
                batch.close()
                self._write_snapshots(batch)
                return results

    def _settle_apart(self, commands: list[Command]) -> list[Result]:
        """Results of commands of which one or more contradict the keys of the log: those fail, the others pass."""
        if len(commands) > 1:
            return [result for command in commands for result in self._settle([command])]
        log.error("what command %s decides contradicts the keys of the log", commands[0].request_id)
        broken = InvariantBroken(f"command {commands[0].request_id} contradicts the keys of the log")
        return [Failure(commands[0], broken)]

    def _write_snapshots(self, batch: "_Batch") -> None:
        """Writes what is due. The batch is on disk, so nothing that goes wrong here may reach its callers."""
        try:
            snapshots = batch.snapshots()
            if snapshots:
                with self._recorder.session() as session:
                    session.write_snapshots(snapshots)
        except Exception:
            log.exception("snapshots could not be written")


class _Batch:
    """One attempt at a batch."""

    def __init__(self, cache: Cache, session: Session, now: int, *, is_retry: bool) -> None:
        self._cache = cache
        self._book = Book(cache)
        self._is_retry = is_retry
        """Whether an earlier attempt ended without anybody knowing how."""
        self._session = session
        self._now = now
        self._secret = token_bytes(SECRET_BYTES)
        self._events: list[NewEvent] = []
        self._besides = Besides(now)
        self._accounts: dict[UUID, Account] = {}
        self._pools: dict[UUID, Pool] = {}
        self._before: dict[UUID, int] = {}

    def settle(self, commands: list[Command], *, trusting: bool = False) -> list[Result]:
        """Decides and appends. With `trusting`, on what the cache holds; raises _LookUp where that does not do."""
        now = time.monotonic()
        trusting = trusting and self._book.trust(commands, now)
        if not trusting:
            self._book.load(self._session, commands, now)
        self._book.look_up_asked(self._session)
        decisions = [self._decide(command) for command in commands]
        if trusting and not all(isinstance(decision, Decided) for decision in decisions):
            # What is not written is not checked by the keys of the log.
            raise _LookUp
        appended = Appended(0, self._now)
        if self._events:
            started = time.monotonic()
            besides = self._besides.write if self._besides else None
            appended = self._session.append(self._events, self._now, self._cache.position, besides)
            self._cache.position = appended.first_position + len(self._events) - 1
            COMMIT_SECONDS.observe(time.monotonic() - started)
        elif self._besides:
            self._session.write(self._besides.write)
        positions = {
            event.request_id: appended.first_position + index
            for index, event in enumerate(self._events)
            if event.request_id is not None
        }
        return [
            self._result_or_failure(command, decision, positions, appended.recorded_at)
            for command, decision in zip(commands, decisions, strict=True)
        ]

    def _result_or_failure(
        self,
        command: Command,
        decision: Decision | Exception,
        positions: dict[UUID, int],
        recorded_at: int,
    ) -> Result:
        """What a command comes to. The batch is on disk: a defect here leaves one caller to ask again, and no other."""
        try:
            return self._result(command, decision, positions, recorded_at)
        except Exception:
            log.exception("an outcome could not be told")
            return Failure(command, OutcomeUnknown())

    def close(self) -> None:
        """Lets later batches start from the states that this one left."""
        self._book.close()

    def _decide(self, command: Command) -> Decision | Exception:
        if self._is_too_late(command):
            return OutcomeUnknown() if self._is_retry else DeadlinePassed()
        try:
            decision = self._decide_looking_up(command)
        except (Rejected, DamagedAccount, Archived) as error:
            return error
        except InvariantBroken as error:
            log.exception("an event contradicts its account")
            return DamagedAccount(str(error))
        except Exception as error:
            log.exception("a command failed")
            return error
        if command.dry_run:
            return decision
        if isinstance(decision, Same):
            self._update(command, decision.member, decision.profile, is_recorded=False)
        elif isinstance(decision, Decided):
            self._note(decision)
            self._besides.note(command, decision)
            if command.change is not None and decision.account is not None and decision.profile is not None:
                self._update(command, decision.account.account_id, decision.profile, is_recorded=True)
            self._book.enter(command, decision.events, decision.account, decision.pools)
        return decision

    def _update(self, command: Command, member: UUID, after: MemberProfile, *, is_recorded: bool) -> None:
        """Notes a change of what is known of a person; nothing where the command was refused."""
        before = self._book.persons.profiles.get(member)
        if before is None or command.change is None or after is before:
            return
        change = before.heeding(command.change)
        added = [key for key in change.add if self._book.persons.identifiers.get(key) is None]
        sent = command.sent if is_recorded else None
        self._besides.update(Update(command.request_id, member, before, after, added, change.remove, sent))
        self._book.persons.enter_update(command, member, after, change)

    def _decide_looking_up(self, command: Command) -> Decision:
        """Decides a command, looking up the pools and the segment that it turns out to need."""
        while True:
            try:
                return decide_command(self._book, command, uuid7(), self._secret)
            except PoolUnknown as unknown:
                self._book.look_up_pool(self._session, unknown.stream_id)
            except SegmentUnknown as unknown:
                self._book.look_up_segment(self._session, unknown)

    def _note(self, decision: Decided) -> None:
        """Notes what is to be written."""
        events = decision.events
        self._events += events
        pools, account = decision.pools, decision.account
        if account is not None:
            account_id = account.account_id
            # Only where there are pools can there be events of others.
            own = sum(event.stream_id == account_id for event in events) if pools else len(events)
            self._before.setdefault(account_id, account.version - own)
            self._accounts[account_id] = account
        for stream_id, pool in pools.items():
            moved = sum(event.stream_id == stream_id for event in events)
            self._before.setdefault(stream_id, pool.version - moved)
            self._pools[stream_id] = pool

    def _is_too_late(self, command: Command) -> bool:
        """Whether a command that is not written yet must not be written any more."""
        if command.deadline is None or time.monotonic() <= command.deadline:
            return False
        return self._book.recorded.get(command.request_id) is None and command.request_id not in self._book.decided

    def _existing(self, command: Command, account: Account) -> Existing:
        receipt = Receipt()
        program = self._program(account.program, command)
        if program is None:
            raise InvariantBroken(f"account {account.account_id} has no program")
        program.write_receipt(receipt, account, command.at)
        return Existing(command, account.account_id, receipt, program)

    def _program(self, name: str, command: Command) -> Program | None:
        """The version that decides what happened when a command did."""
        versions = self._book.programs.get(name)
        return versions.at(command.at) if versions is not None else None

    def snapshots(self) -> list[tuple[UUID, int, bytes]]:
        """The snapshots that are due: of what this batch took across a multiple of SNAPSHOT_EVERY."""
        states: Iterable[tuple[UUID, Account | Pool]] = chain(self._accounts.items(), self._pools.items())
        return [
            (stream_id, state.version, state.to_snapshot().SerializeToString())
            for stream_id, state in states
            if state.version // SNAPSHOT_EVERY > self._before[stream_id] // SNAPSHOT_EVERY
        ]

    def _result(
        self,
        command: Command,
        decision: Decision | Exception,
        positions: dict[UUID, int],
        recorded_at: int,
    ) -> Result:
        if isinstance(decision, Exception):
            return Failure(command, decision)
        if isinstance(decision, Exists):
            return self._existing(command, decision.account)
        if isinstance(decision, Same):
            return Unchanged(command, decision.member, decision.kept)
        if isinstance(command.request, Empty):
            return Settled(command)
        is_of_program = isinstance(command.request, OF_PROGRAMS)
        program = None if is_of_program else self._program(self._book.program_name(command), command)
        if isinstance(decision, Decided):
            account = decision.account
            if account is not None:
                program = self._program(account.program, command)
            main = main_event(decision.events)
            position = 0 if command.dry_run else positions[command.request_id]
            failures = getattr(main.payload, "failures", None)
            if failures and account is not None and not command.dry_run:
                CONDITION_FAILURES.labels(account.program).inc(len(failures))
            return Outcome(
                command,
                command.request_id,
                main.payload,
                main.stream_id,
                position,
                recorded_at,
                False,
                program,
            )
        earlier = self._book.recorded.get(decision.request_id)
        if earlier is not None:
            return Outcome(
                command,
                decision.request_id,
                earlier.payload,
                earlier.stream_id,
                earlier.position,
                earlier.recorded_at,
                True,
                program,
            )
        main = main_event(self._book.decided[decision.request_id])
        position = positions[decision.request_id]
        return Outcome(
            command,
            decision.request_id,
            main.payload,
            main.stream_id,
            position,
            recorded_at,
            True,
            program,
        )
