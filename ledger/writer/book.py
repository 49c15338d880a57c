"""The book: all that the commands of one batch need to know, and what they have decided so far."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from eventsourcing.persistence import MapperDeserialisationError
from google.protobuf.message import Message
from loyalty.v1.audit_trail_pb2 import RecordAuditRequest
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    EnrollMemberRequest,
    PublishProgramRequest,
    RecordActivityRequest,
    RecordSaleRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
)
from loyalty.v1.events_pb2 import ProgramPublished

from ledger.domain.account import Account, AccountEvent
from ledger.domain.names import program_stream
from ledger.domain.new_event import NewEvent, event_of
from ledger.domain.pool import Pool, PoolEvent
from ledger.domain.program import Program
from ledger.domain.refusal import InvariantBroken
from ledger.domain.rules.asks import ATTRIBUTES, SEGMENTS
from ledger.domain.sale_reference import sale_reference
from ledger.domain.segments.decide import Segment, SegmentUnknown
from ledger.domain.transaction import Transaction
from ledger.domain.versions import Versions
from ledger.store.recorder import RecordedEvent, Session
from ledger.store.topics import TOPICS_OF_ACCOUNTS, Archived
from ledger.writer.cache import Cache
from ledger.writer.command import Command
from ledger.writer.missing import Missing
from ledger.writer.persons import Persons
from ledger.writer.segment import segment_of
from ledger.writer.start import start_account, start_pool

TRUSTED: Final = (RecordSaleRequest, RecordActivityRequest, ReserveRewardRequest, AdjustPointsRequest)
"""Commands that need nothing but their account and its program, unless they name a hold or an identifier."""

ROUNDS_MAX: Final = 8
"""Rounds of looking up. A command's keys lead to others at most five deep; more is a defect."""


class Book:
    """What a batch knows. A key that was looked up in vain is there with None."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.accounts: dict[UUID, Account | None] = {}
        self.damaged: dict[UUID, Exception] = {}
        """Accounts whose events cannot be read. Their commands fail; all others go on."""
        self.unreadable: dict[UUID, Exception] = {}
        """Transactions with an event that cannot be read."""
        self.pools: dict[UUID, Pool] = {}
        self.segments: dict[UUID, Segment] = {}
        self.programs: dict[str, Versions | None] = {}
        self.recorded: dict[UUID, RecordedEvent | None] = {}
        """Main events on disk, by request id."""
        self.decided: dict[UUID, list[NewEvent]] = {}
        """What this batch decided, by request id."""
        self.files: dict[UUID, Transaction | None] = {}
        self.references: dict[str, UUID | None] = {}
        self.persons = Persons()
        self._looked_up_at: float | None = None

    # -- looking up

    def trust(self, commands: Sequence[Command], now: float) -> bool:
        """Takes the cache for the truth, where it has all that the commands need; False where it does not.

        It saves a query, and the unique keys of the log see to it that nothing wrong is written: an account that
        has moved on, a request id or a receipt that was used before make appending fail, and then all is looked up.
        """
        accounts: dict[UUID, Account] = {}
        programs: dict[str, Versions] = {}
        for command in commands:
            member = command.member
            if member is None or command.transactions or command.dry_run or not isinstance(command.request, TRUSTED):
                if isinstance(command.request, RecordAuditRequest):
                    continue
                return False
            if member in accounts:
                continue
            account = self._cache.account(member)
            versions = self._cache.fresh_program(account.program, now) if account is not None else None
            if account is None or versions is None:
                return False
            accounts[member] = account
            programs[account.program] = versions
        self.accounts.update(accounts)
        self.programs.update(programs)
        return True

    def load(self, session: Session, commands: Iterable[Command], now: float) -> None:
        """Looks up everything that the commands need: what they name, then what that leads to."""
        self._looked_up_at = now
        open_commands = list(commands)
        missing = Missing()
        for _ in range(ROUNDS_MAX):
            open_commands = [command for command in open_commands if not self._is_known(command, missing)]
            if not open_commands:
                if missing:
                    self._look_up(session, missing)
                return
            self._look_up(session, missing)
            missing = Missing()
        raise InvariantBroken("looking up the keys of a batch does not come to an end")

    def _is_known(self, command: Command, missing: Missing) -> bool:
        """Whether the book knows all that a command needs; if not, adds to `missing` what to look up next."""
        known = self._knows_named(command, missing)
        account_id = self.account_id(command)
        program = command.program
        if account_id is not None and account_id in self.accounts:
            account = self.accounts[account_id]
            if account is not None:
                program = account.program
                known = self.persons.knows_profile(command, account_id, missing) and known
        elif account_id is not None:
            missing.streams.add(account_id)
            self._look_up_again(command, missing)
            cached = self._cache.account(account_id)
            if cached is None:
                return False
            # A member never changes the program, so what depends on it can be looked up at once.
            program = cached.program
            known = False
        if isinstance(command.request, PublishProgramRequest):
            program = command.request.program.name
        if program:
            if program not in self.programs and program not in missing.programs:
                missing.programs.add(program)
                known = False
            known = self._knows_receipt(command, program, missing) and known
        return known

    def _look_up_again(self, command: Command, missing: Missing) -> None:
        """Has the transactions that led to an account read in the same statement as the account.

        Otherwise another server's return could lie between the two: the account would have it and the sale's file
        not, and the same goods would be taken back twice. One that is read later than its account does no harm:
        whatever it has that the account lacks also makes the new events' versions clash.
        """
        missing.transactions.update(command.transactions)
        if command.reference is not None and command.reference in self.references:
            missing.references.add(command.reference)
            sale = self.references[command.reference]
            if sale is not None:
                missing.transactions.add(sale)

    def _knows_named(self, command: Command, missing: Missing) -> bool:
        """The same for what the command itself names."""
        known = True
        if not command.dry_run and command.request_id not in self.recorded:
            missing.requests.add(command.request_id)
            known = False
        for transaction in command.transactions:
            if transaction not in self.files:
                missing.transactions.add(transaction)
                known = False
        is_repeated = bool(self.recorded.get(command.request_id))
        known = self.persons.knows(command, self.accounts, missing, is_repeated=is_repeated) and known
        if command.target is not None and isinstance(command.request, ReturnSaleRequest):
            known = self._knows_sold(command.target, missing) and known
        if command.bound_program or command.identifier is not None:
            known = self._knows_earlier(command, missing) and known
        return known

    def _knows_sold(self, sale: UUID, missing: Missing) -> bool:
        """The account of a sale that comes back, which says whether it is of the same program."""
        file = self.file(sale)
        if file is None or not isinstance(file.main, AccountEvent) or file.account_id in self.accounts:
            return True
        missing.streams.add(file.account_id)
        return False

    def _knows_earlier(self, command: Command, missing: Missing) -> bool:
        """The account of the command's earlier outcome: whether the credential may see it, and the member is erased."""
        earlier = self.recorded.get(command.request_id)
        if earlier is None or earlier.topic not in TOPICS_OF_ACCOUNTS or earlier.stream_id in self.accounts:
            return True
        missing.streams.add(earlier.stream_id)
        return False

    def _knows_receipt(self, command: Command, program: str, missing: Missing) -> bool:
        reference = self.reference(command, program)
        if reference is None:
            return True
        if reference not in self.references:
            missing.references.add(reference)
            return False
        sale = self.references[reference]
        if sale is not None and sale not in self.files and sale not in self.decided:
            missing.transactions.add(sale)
            return False
        return True

    def _look_up(self, session: Session, missing: Missing) -> None:
        self.persons.look_up(session, missing)
        versions, accounts = self._start_accounts(session, missing.streams)
        for name in missing.programs:
            cached = self._cache.programs.get(name)
            self.programs[name] = cached
            versions[program_stream(name)] = cached.newest.version if cached else 0
        requests = missing.requests | missing.transactions
        rows = session.fetch(versions, list(requests), list(missing.transactions), list(missing.references))
        rows = self._beyond_archive(session, rows, accounts)
        self.recorded.update(dict.fromkeys(missing.requests))
        self.files.update(dict.fromkeys(missing.transactions))
        self.references.update(dict.fromkeys(missing.references))
        for row in rows:
            if row.found_by_stream:
                self._replay(row, accounts)
            if row.request_id in requests:
                self.recorded[row.request_id] = row
            if row.sale_reference in missing.references:
                self.references[row.sale_reference] = row.request_id
        if missing.transactions:
            self._open_files(rows, missing.transactions)
        for account_id, account in accounts.items():
            self.accounts[account_id] = account if account.version else None

    def look_up_asked(self, session: Session) -> None:
        """Looks up what expressions ask for that is not in accounts. Programs that do not ask cost nothing."""
        asks = {
            name: versions.asks for name, versions in self.programs.items() if versions is not None and versions.asks
        }
        if not asks:
            return
        members = [(member, asks[one.program]) for member, one in self.accounts.items() if one and one.program in asks]
        of_attributes = [
            member for member, what in members if ATTRIBUTES in what and member not in self.persons.profiles
        ]
        of_segments = [member for member, what in members if SEGMENTS in what]
        if of_attributes:
            self.persons.look_up_profiles(session, of_attributes)
        if of_segments:
            self.persons.memberships.update(session.segments(of_segments))

    def look_up_pool(self, session: Session, stream_id: UUID) -> None:
        """Looks up a pool that a decision asked for.

        A cached pool is never taken for the truth: what is only looked at, and not drawn from, no key of the log
        checks. Raises InvariantBroken when its events cannot be read.
        """
        pool = self._cache.pool(stream_id)
        pool = pool.copy() if pool is not None else start_pool(session, stream_id)
        try:
            for row in session.fetch({stream_id: pool.version}):
                pool.check_next(row.version)
                payload = row.payload
                if not isinstance(payload, PoolEvent):
                    raise InvariantBroken(f"pool {stream_id}: {row.topic} is no event of a pool")
                pool.apply(payload)
        except MapperDeserialisationError as error:
            raise InvariantBroken(f"pool {stream_id}: {error}") from error
        self.pools[stream_id] = pool

    def look_up_segment(self, session: Session, unknown: SegmentUnknown) -> None:
        """Looks up a segment that a decision asked for. Raises InvariantBroken when its events cannot be read."""
        self.segments[unknown.stream_id] = segment_of(session, unknown.stream_id, unknown.program)

    def _start_accounts(self, session: Session, streams: set[UUID]) -> tuple[dict[UUID, int], dict[UUID, Account]]:
        """Accounts from the cache or a snapshot, or empty ones, and the versions behind which to read on."""
        accounts: dict[UUID, Account] = {}
        cold: set[UUID] = set()
        for stream in streams:
            cached = self._cache.account(stream)
            if cached is None:
                cold.add(stream)
            else:
                accounts[stream] = cached
        if cold:
            accounts |= self._start_cold(session, cold)
        return {stream: account.version for stream, account in accounts.items()}, accounts

    def _beyond_archive(
        self, session: Session, rows: list[RecordedEvent], accounts: dict[UUID, Account]
    ) -> list[RecordedEvent]:
        """Starts accounts from their snapshots where what follows the cached ones is in the archive and cannot be read.

        Returns the events without those that the snapshots have.
        """
        behind = {row.stream_id for row in rows if isinstance(row.state, Archived) and row.found_by_stream}
        behind &= accounts.keys()
        if not behind:
            return rows
        accounts.update(self._start_cold(session, behind))
        return [
            row
            for row in rows
            if not (row.found_by_stream and row.stream_id in behind and row.version <= accounts[row.stream_id].version)
        ]

    def _start_cold(self, session: Session, streams: set[UUID]) -> dict[UUID, Account]:
        """Accounts from their snapshots, which are newer than what is cached where events are in the archive."""
        snapshots = session.snapshots(list(streams))
        return {stream: start_account(stream, snapshots.get(stream)) for stream in streams}

    def _replay(self, row: RecordedEvent, accounts: dict[UUID, Account]) -> None:
        account = accounts.get(row.stream_id)
        try:
            payload = row.payload
            if account is None:
                if isinstance(payload, ProgramPublished):
                    self.publish(payload)
                return
            if row.stream_id in self.damaged:
                return
            if account is self._cache.account(row.stream_id):
                account = accounts[row.stream_id] = account.copy()
            account.check_next(row.version)
            account.apply(payload)  # type: ignore[arg-type]  # an account's stream holds nothing else; apply checks it
        except (MapperDeserialisationError, InvariantBroken, KeyError) as error:
            self.damaged[row.stream_id] = error

    def _open_files(self, rows: list[RecordedEvent], transactions: set[UUID]) -> None:
        for row in rows:
            if row.request_id in transactions and self.files[row.request_id] is None:
                payload = self._readable(row, row.request_id)
                if payload is not None:
                    self.files[row.request_id] = Transaction(row.request_id, row.stream_id, payload)
        seen: set[int] = set()
        for row in rows:
            file = self.files.get(row.transaction_id) if row.transaction_id else None
            if file is not None and row.transaction_id in transactions and row.position not in seen:
                seen.add(row.position)
                payload = self._readable(row, row.transaction_id)
                if payload is not None:
                    file.follow_ups.append((row.request_id, payload))

    def _readable(self, row: RecordedEvent, transaction: UUID) -> Message | None:
        """The event of a transaction's file; None, remembering why, when it cannot be read."""
        try:
            return row.payload
        except MapperDeserialisationError as error:
            self.unreadable[transaction] = error
            return None

    # -- what is known

    def account_id(self, command: Command) -> UUID | None:
        """The account that a command is about; None while or where that is not known."""
        if command.member is not None:
            return command.member
        if command.identifier is not None:
            return self.persons.identifiers.get(command.identifier)
        if command.target is not None:
            file = self.file(command.target)
            # Programs and reversals that wait have transactions too, but no account.
            return file.account_id if file is not None and isinstance(file.main, AccountEvent) else None
        if isinstance(command.request, ReturnSaleRequest) and command.program:
            reference = self.reference(command, command.program)
            sale = self.references.get(reference) if reference else None
            file = self.file(sale) if sale is not None else None
            return file.account_id if file is not None else None
        return None

    def program_name(self, command: Command) -> str:
        """The program that decides a command; empty while or where that is not known."""
        if isinstance(command.request, EnrollMemberRequest):
            return command.program
        if isinstance(command.request, PublishProgramRequest):
            return command.request.program.name
        account_id = self.account_id(command)
        account = self.accounts.get(account_id) if account_id is not None else None
        return account.program if account is not None else command.program

    def stream_of(self, request_id: UUID) -> UUID:
        """The stream in which a command was decided that is on disk or in this batch."""
        recorded = self.recorded.get(request_id)
        return recorded.stream_id if recorded is not None else event_of(self.decided[request_id], request_id).stream_id

    def reference(self, command: Command, program: str) -> str | None:
        """The till reference that a sale has or a return names."""
        if command.receipt is None:
            return None
        if command.reference is None:
            command.reference = sale_reference(program, command.receipt)
        return command.reference

    def segment(self, stream_id: UUID, program: str) -> Segment:
        """A segment of a program, as this batch left it. Raises SegmentUnknown."""
        try:
            return self.segments[stream_id]
        except KeyError:
            raise SegmentUnknown(stream_id, program) from None

    def file(self, transaction: UUID) -> Transaction | None:
        """The file of a transaction, on disk or decided in this batch."""
        file = self.files.get(transaction)
        if file is None and transaction in self.decided:
            events = self.decided[transaction]
            main = event_of(events, transaction)
            file = Transaction(transaction, main.stream_id, main.payload)
            file.follow_ups = [
                (event.request_id, event.payload) for event in events if event.transaction_id == transaction
            ]
            self.files[transaction] = file
        return file

    # -- what is decided

    def publish(self, published: ProgramPublished) -> None:
        """Adds the next version of a program."""
        program = Program(published.request.program)
        self.programs[program.name] = Versions(program, self.programs.get(program.name))

    def enter(
        self, command: Command, events: list[NewEvent], account: Account | None, pools: Mapping[UUID, Pool]
    ) -> None:
        """Makes what a command decided visible to the commands behind it."""
        for event in events:
            file = self.file(event.transaction_id) if event.transaction_id is not None else None
            if file is not None:
                file.follow_ups.append((event.request_id, event.payload))
        for event in events:
            if event.request_id is not None:
                self.decided[event.request_id] = events
            if event.sale_reference is not None:
                self.references[event.sale_reference] = command.request_id
        if account is not None:
            self.accounts[account.account_id] = account
            self.persons.enter(command, account)
        if pools:
            self.pools.update(pools)

    def close(self) -> None:
        """Hands the new states to the cache, now that they are on disk."""
        self._cache.keep(
            account
            for account_id, account in self.accounts.items()
            if account is not None and account_id not in self.damaged
        )
        if self.pools:
            self._cache.keep_pools(self.pools)
        if self._looked_up_at is not None:
            programs = (program for program in self.programs.values() if program is not None)
            self._cache.keep_programs(programs, self._looked_up_at)
