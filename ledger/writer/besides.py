"""Besides events: what a batch writes to the profile store and other tables in the transaction of its events."""

from google.protobuf.message import Message
from loyalty.v1.consent_pb2 import EraseMemberRequest
from loyalty.v1.events_pb2 import FeedbackRecorded, MemberErased
from psycopg import Cursor
from psycopg.rows import TupleRow

from ledger.domain.account import Account
from ledger.domain.new_event import main_event
from ledger.domain.voucher import NewCode
from ledger.store.profiles import NewPerson, NewText, erase_people, write_people, write_texts
from ledger.store.vouchers import erase_codes, write_codes
from ledger.writer.command import Command
from ledger.writer.decision import Decided


class Besides:
    """What is to be written besides the events of a batch."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._people: list[NewPerson] = []
        self._texts: list[NewText] = []
        self._codes: list[NewCode] = []
        self._erased: list[Account] = []

    def __bool__(self) -> bool:
        return bool(self._people or self._texts or self._codes or self._erased)

    def note(self, command: Command, decision: Decided) -> None:
        """Notes what a decision writes besides its events."""
        self._codes += decision.codes
        account = decision.account
        if account is None:
            return
        if command.person is not None:
            self._people.append(
                NewPerson(
                    command.request_id,
                    account.account_id,
                    account.program,
                    command.person.identifiers,
                    command.person.profile,
                    command.person.request,
                )
            )
        if command.text or isinstance(command.request, EraseMemberRequest):
            self._note_main(command, account, main_event(decision.events).payload)

    def _note_main(self, command: Command, account: Account, main: Message) -> None:
        member_id = account.account_id
        if isinstance(main, FeedbackRecorded):
            language = main.request.language_code
            self._texts.append(NewText(command.request_id, member_id, command.text, language, self._now))
        elif isinstance(main, MemberErased):
            # Who came in this batch is not written at all.
            self._people = [one for one in self._people if one.member_id != member_id]
            self._texts = [one for one in self._texts if one.member_id != member_id]
            self._erased.append(account)

    def write(self, cursor: Cursor[TupleRow]) -> None:
        """Writes it. Raises psycopg.errors.UniqueViolation when an identifier has been taken meanwhile."""
        if self._codes:
            write_codes(cursor, self._codes)
        if self._erased:
            # First: an identifier that an erased member had may be a new member's by now.
            erase_people(cursor, [account.account_id for account in self._erased])
            erase_codes(
                cursor, [voucher.code_hash for account in self._erased for voucher in account.vouchers.values()]
            )
        if self._people:
            write_people(cursor, self._people)
        if self._texts:
            write_texts(cursor, self._texts)
