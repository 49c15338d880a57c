"""What every member holds, from an export alone: no server, no database, and no view that somebody else built."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import MapperDeserialisationError
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Balance
from loyalty.v1.events_pb2 import ProgramPublished
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.account import Account, AccountEvent
from ledger.domain.case import Case
from ledger.domain.decide import settle_account
from ledger.domain.names import member_name
from ledger.domain.program import Program
from ledger.domain.refusal import InvariantBroken
from ledger.domain.versions import Versions
from ledger.proof.event_rows import FormatUnreadable, Row, read_rows
from ledger.proof.manifest import EVENTS, MANIFEST, Manifest, ManifestInvalid
from ledger.store.topics import decode


class NotFolded(Exception):
    """The export cannot be folded. The message names the position or the file, and says what to do."""


class MemberBalance(NamedTuple):
    """What a member holds at an instant. Available points are negative where points are owed."""

    program: str
    member: str
    available_points: int
    pending_points: int
    held_points: int
    tier: str


class Fold:
    """Every account and program of an export of all events, as they are after its last one.

    Takes memory for each member, not for each event.
    """

    def __init__(self) -> None:
        self.position = 0
        self.recorded_at = 0
        """Of the last event, in microseconds since 1970-01-01 UTC."""
        self._accounts: dict[UUID, Account] = {}
        self._programs: dict[str, Versions] = {}

    @classmethod
    def of(cls, folder: Path) -> "Fold":
        """Folds an export. Raises NotFolded, ExtraMissing and OSError."""
        try:
            manifest = Manifest.parse((folder / MANIFEST).read_bytes())
        except ManifestInvalid as error:
            raise NotFolded(str(error)) from None
        if manifest.exported != EVENTS or manifest.first_position != 1:
            raise NotFolded("balances come from all events: export `events` from position 1 on")
        fold = cls()
        for file in manifest.files:
            if file.first_position:
                fold._add_file(folder / file.name, manifest)
        if fold.position != manifest.last_position:
            raise NotFolded(f"the export ends at position {fold.position}, not at {manifest.last_position}")
        return fold

    def _add_file(self, path: Path, manifest: Manifest) -> None:
        try:
            for rows in read_rows(path, manifest.format):
                for row in rows:
                    if row is None or row[0] != self.position + 1:
                        raise NotFolded(f"position {self.position + 1} is not there: run `loyalty verify`")
                    self._add(row)
        except FormatUnreadable as error:
            raise NotFolded(f"{path.name}: {error}") from None

    def _add(self, row: Row) -> None:
        self.position, stream_id, version, self.recorded_at, topic, *_, state = row
        try:
            self._apply(UUID(bytes=stream_id), version, decode(topic.decode(), state))
        except (MapperDeserialisationError, InvariantBroken, LookupError, ValueError) as error:
            raise NotFolded(f"the event at position {self.position} cannot be applied: {error}") from None

    def _apply(self, stream_id: UUID, version: int, event: Message) -> None:
        if isinstance(event, ProgramPublished):
            program = Program(event.request.program)
            self._programs[program.name] = Versions(program, self._programs.get(program.name))
        elif isinstance(event, AccountEvent):
            account = self._accounts.get(stream_id) or self._accounts.setdefault(stream_id, Account(stream_id))
            account.check_next(version)
            account.apply(event)

    def balances(self, at: int) -> Iterator[MemberBalance]:
        """What each member holds at an instant, given these events, by program and member. Raises NotFolded."""
        for account in sorted(self._accounts.values(), key=lambda one: (one.program, one.account_id)):
            if account.program not in self._programs:
                raise NotFolded(f"the program of {member_name(account.account_id)} is not there: run `loyalty verify`")
            program = self._programs[account.program].at(at)
            case = Case(Empty(), Origin(), UUID(int=0), at, program, account, {})
            settle_account(case)
            balance = Balance()
            case.account.write_balance(balance, at)
            yield MemberBalance(
                account.program,
                member_name(account.account_id),
                balance.available_points,
                balance.pending_points,
                balance.held_points,
                case.account.tier,
            )
