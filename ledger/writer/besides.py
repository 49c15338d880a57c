"""Besides events: what a batch writes to the profile store and other tables in the transaction of its events."""

from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.consent_pb2 import EraseMemberRequest
from loyalty.v1.events_pb2 import FeedbackRecorded, MemberErased, VoucherIssued
from psycopg import Cursor
from psycopg.rows import TupleRow

from ledger.domain.account import Account
from ledger.domain.new_event import main_event
from ledger.domain.voucher import NewCode
from ledger.store.personal import NewPerson, NewText, PersonalWrites, Update
from ledger.store.vouchers import erase_codes, write_codes
from ledger.writer.command import Command
from ledger.writer.decision import Decided


class Besides:
    """What is to be written besides the events of a batch."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._personal = PersonalWrites()
        self._codes: list[NewCode] = []
        self._code_owners: dict[str, UUID] = {}
        """Whose the code of each new voucher is, by its hash."""
        self._erased: set[UUID] = set()

    def __bool__(self) -> bool:
        return bool(self._personal or self._codes or self._code_owners)

    def note(self, command: Command, decision: Decided) -> None:
        """Notes what a decision writes besides its events."""
        self._codes += decision.codes
        account = decision.account
        if account is None:
            return
        if decision.codes or decision.pools:  # only there can be vouchers
            self._code_owners.update(
                (event.payload.voucher.code_hash, event.stream_id)
                for event in decision.events
                if isinstance(event.payload, VoucherIssued)
            )
        if command.person is not None:
            person = command.person
            self._personal.enrol(
                NewPerson(
                    command.request_id,
                    account.account_id,
                    account.program,
                    person.identifiers,
                    person.profile,
                    person.request,
                )
            )
        if command.text or isinstance(command.request, EraseMemberRequest):
            self._note_main(command, account, main_event(decision.events).payload)

    def update(self, update: Update) -> None:
        """Notes a change of what is known of a person."""
        self._personal.update(update)

    def _note_main(self, command: Command, account: Account, main: Message) -> None:
        member_id = account.account_id
        if isinstance(main, FeedbackRecorded):
            language = main.request.language_code
            self._personal.write_down(NewText(command.request_id, member_id, command.text, language, self._now))
        elif isinstance(main, MemberErased):
            self._personal.erase(member_id)
            self._erased.add(member_id)

    def write(self, cursor: Cursor[TupleRow]) -> None:
        """Writes it.

        Raises psycopg.errors.UniqueViolation when an identifier has been taken, or a profile changed, meanwhile.
        """
        if self._codes or self._code_owners:
            write_codes(cursor, self._codes, self._code_owners)
        if self._personal:
            self._personal.write(cursor, self._now)
        if self._erased:
            erase_codes(cursor, self._erased)
