"""From a command and the book to events: duplicates, then the domain."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from loyalty.v1.audit_trail_pb2 import RecordAuditRequest
from loyalty.v1.commands_pb2 import (
    EnrollMemberRequest,
    PublishProgramRequest,
    RecordSaleRequest,
    ReturnSaleRequest,
    ReverseTransactionRequest,
    UploadVoucherCodesRequest,
)
from loyalty.v1.consent_pb2 import EraseMemberRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    CommandBlocked,
    CommandRefused,
    FeedbackRecorded,
    ProgramPublished,
    ReversalAwaited,
    SaleRecorded,
    SegmentDeleted,
    SegmentListed,
    SegmentSaved,
    VoucherCodesUploaded,
)
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.program_pb2 import DuplicateEnrolment
from loyalty.v1.program_pb2 import Program as Definition
from loyalty.v1.segment_pb2 import DeleteSegmentRequest, SaveSegmentRequest, SetSegmentMembersRequest

from ledger.domain.account import Account, AccountEvent
from ledger.domain.case import Case
from ledger.domain.decide import block, decide, enroll_member, publish_program, refuse, settle_account
from ledger.domain.erase_member import check_not_erased, check_unchanged
from ledger.domain.member_profile import MemberProfile
from ledger.domain.names import member_name, program_of_segment, segment_stream, transaction_name
from ledger.domain.new_event import NewEvent, event_of
from ledger.domain.pool import Pool, Pools
from ledger.domain.program import Program
from ledger.domain.record_audit import record_audit
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.segments.decide import SegmentCommand, decide_segment, name_of
from ledger.domain.transaction import Transaction
from ledger.domain.update_member import NothingChanged
from ledger.domain.upload_codes import upload_codes
from ledger.domain.versions import SCHEDULED_MAX, Versions
from ledger.domain.voucher import NewCode
from ledger.store.topics import Archived
from ledger.writer.book import Book
from ledger.writer.command import Command
from ledger.writer.difference import first_difference

KEPT: Final = ("currency", "time_zone")
"""Fields of a program that are the same in all its versions."""


class Decided(NamedTuple):
    """New events of a command, and the account afterwards."""

    events: list[NewEvent]
    account: Account | None
    pools: Mapping[UUID, Pool] = {}
    """The pools that it drew from, or gave back to, afterwards."""
    codes: Sequence[NewCode] = ()
    """The codes of vouchers that it issued."""
    profile: MemberProfile | None = None
    """The member's profile after an update of it."""


class Repeated(NamedTuple):
    """A command that was decided before, by its request id."""

    request_id: UUID


class Same(NamedTuple):
    """An update that changes nothing but when its source had what is there."""

    member: UUID
    profile: MemberProfile
    kept: Sequence[str]


class Exists(NamedTuple):
    """An enrolment of a member who is there already."""

    account: Account


Decision = Decided | Repeated | Exists | Same


class DamagedAccount(Exception):
    """An account whose stored events cannot be read."""


def _damaged(where: str, error: Exception | None) -> Exception:
    """Nothing is lost that is only in the archive."""
    return error if isinstance(error, Archived) else DamagedAccount(f"{where}: {error}")


def decide_command(book: Book, command: Command, new_id: UUID, secret: bytes) -> Decision:
    """Decides one command. New vouchers get codes made from its request id and `secret`, which nobody must know.

    Raises Rejected when there is nothing to record, and DamagedAccount when the account's events cannot be read, or
    Archived. Raises PoolUnknown or SegmentUnknown when it needs one that the book does not know yet.
    """
    if not command.dry_run:
        earlier = _earlier(book, command.request_id)
        if earlier is not None:
            _check_bound(book, command, earlier)
            _check_same(book, command, earlier)
            return Repeated(command.request_id)
    if book.unreadable:
        _check_readable(book, command)
    request = command.request
    match request:
        case PublishProgramRequest():
            return _publish(book, command, request)
        case UploadVoucherCodesRequest():
            return _upload(book, command, request)
        case EnrollMemberRequest():
            return _enroll(book, command, request, new_id)
        case ReverseTransactionRequest() if command.target is not None:
            return _reverse(book, command, request, command.target)
        case SaveSegmentRequest() | DeleteSegmentRequest() | SetSegmentMembersRequest():
            return _on_segment(book, command, request)
        case RecordAuditRequest():
            return Decided([record_audit(request, command.request_id, command.origin)], None)
        case _:
            return _on_account(book, command, secret)


def _check_readable(book: Book, command: Command) -> None:
    """Raises DamagedAccount or Archived when what a command names, by its id or its receipt, cannot be read."""
    sale = book.references.get(command.reference) if command.reference is not None else None
    for transaction in (*command.transactions, *([sale] if sale is not None else [])):
        if transaction in book.unreadable:
            raise _damaged(f"transaction {transaction}", book.unreadable[transaction])


def _reverse(book: Book, command: Command, request: ReverseTransactionRequest, reversed_id: UUID) -> Decision:
    target = book.file(reversed_id)
    if target is None:
        return Decided(block(request, command.request_id, command.origin, reversed_id), None)
    if isinstance(target.main, CommandBlocked):
        raise Rejected(ErrorReason.ERROR_REASON_ALREADY_REVERSED, reversal=target.main.reversal)
    _check_target(book, command, target)
    if not isinstance(target.main, AccountEvent):
        raise Rejected(ErrorReason.ERROR_REASON_NOT_REVERSIBLE, type=target.main.DESCRIPTOR.name)
    return _on_account(book, command, b"")


def _check_target(book: Book, command: Command, target: Transaction) -> None:
    """Raises Rejected when what a command would reverse is not of the program that its credential is bound to."""
    if not command.bound_program:
        return
    account = book.accounts.get(target.account_id)
    program = account.program if account is not None else ""
    if isinstance(target.main, ProgramPublished):
        program = target.main.request.program.name
    elif isinstance(target.main, VoucherCodesUploaded):
        program = target.main.request.program
    if program and program != command.bound_program:
        raise Rejected(ErrorReason.ERROR_REASON_TRANSACTION_NOT_FOUND, transaction=target.name)


def _on_account(book: Book, command: Command, secret: bytes) -> Decided | Repeated | Same:
    account_id = book.account_id(command)
    account = book.accounts.get(account_id) if account_id is not None else None
    if account_id in book.damaged:
        raise _damaged(f"account {account_id}", book.damaged[account_id])
    is_foreign = account is not None and command.bound_program and account.program != command.bound_program
    if account_id is None or account is None or not account.program or is_foreign:
        raise Rejected(
            ErrorReason.ERROR_REASON_TRANSACTION_NOT_FOUND
            if command.member is None and command.identifier is None
            else ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND
        )
    request = command.request
    _check_person(account, request)
    program = _program(book, account.program, command.at)
    _check_store(program, command.origin)
    _check_currency(program, request)
    if command.identifier is not None:
        request.member = member_name(account_id)  # type: ignore[attr-defined]  # each command with an identifier has it
    reference = book.reference(command, program.name)
    target = command.target
    used = None
    if isinstance(request, RecordSaleRequest) and reference is not None and not command.dry_run:
        used = book.references.get(reference)
        if used is not None and _is_same_receipt(book, request, used):
            return Repeated(used)
    if isinstance(request, ReturnSaleRequest) and reference is not None:
        target = book.references.get(reference)
    case = Case(
        request,
        command.origin,
        command.request_id,
        command.at,
        program,
        account,
        {transaction: file for transaction in command.transactions if (file := book.file(transaction)) is not None}
        if command.transactions
        else {},
        _target(book, target, program.name) if target is not None else None,
        reference,
        Pools(program.name, book.pools),
        secret,
        bool(command.text),
        book.persons.profiles.get(account_id),
        book.persons.memberships.get(account_id),
        command.change,
        book.persons.identifiers.get,
        command.received_at,
    )
    if isinstance(request, Empty):
        settle_account(case)
    elif used is not None:
        refuse(case, Refused(ErrorReason.ERROR_REASON_TILL_REFERENCE_REUSED, transaction=transaction_name(used)))
    else:
        try:
            decide(case)
        except NothingChanged as same:
            return Same(account_id, same.profile, same.kept)
    return Decided(case.events, case.account, case.pools.changed, case.codes, case.profile)


def _check_person(account: Account, request: Message) -> None:
    """Raises Rejected where the member is erased, or has changed since somebody wanted to erase them."""
    if not isinstance(request, Empty):
        check_not_erased(account)
    if isinstance(request, EraseMemberRequest):
        check_unchanged(account, request)


def _is_same_receipt(book: Book, request: RecordSaleRequest, used: UUID) -> bool:
    """Whether a receipt that was recorded under another request id is this sale: then its answer is the first one."""
    file = book.file(used)
    if file is None or not isinstance(file.main, SaleRecorded):
        return False
    stored = RecordSaleRequest()
    stored.CopyFrom(file.main.request)
    stored.DiscardUnknownFields()
    stored.request_id = request.request_id
    return stored == request


def _program(book: Book, name: str, at: int) -> Program:
    """The version of a program that decides what happens at an instant."""
    versions = book.programs.get(name)
    if versions is None:
        raise Rejected(ErrorReason.ERROR_REASON_PROGRAM_NOT_FOUND, program=name)
    return versions.at(at)


def _check_currency(program: Program, request: Message) -> None:
    if isinstance(request, RecordSaleRequest) and request.sale.currency not in ("", program.currency):
        raise Rejected(
            ErrorReason.ERROR_REASON_INVALID_FIELD,
            field="sale.currency",
            description=f"must be {program.currency}, the program's currency, or empty",
        )


def _check_store(program: Program, origin: Origin) -> None:
    if program.stores and origin.store not in program.stores:
        raise Rejected(ErrorReason.ERROR_REASON_STORE_NOT_FOUND, store=origin.store)


def _target(book: Book, target: UUID, program: str) -> Transaction | None:
    """What a return or reversal is about. A sale in another program is as unknown here as one that nobody made."""
    file = book.file(target)
    if file is None or not isinstance(file.main, AccountEvent):
        return file
    account = book.accounts.get(file.account_id)
    return file if account is not None and account.program == program else None


def _publish(book: Book, command: Command, request: PublishProgramRequest) -> Decided:
    current = book.programs.get(request.program.name)
    version = current.newest.version if current is not None else 0
    etag = f'"v{version}"' if version else ""
    if request.program.etag and request.program.etag != etag:
        raise Rejected(ErrorReason.ERROR_REASON_ETAG_MISMATCH, etag=etag)
    if request.program.HasField("starts_at"):
        _check_start(current)
    if current is not None:
        _check_kept(current.newest.definition, request.program)
    event = publish_program(request, command.request_id, command.origin, version + 1)
    book.publish(event.payload)  # type: ignore[arg-type]  # publish_program makes a ProgramPublished
    return Decided([event], None)


def _upload(book: Book, command: Command, request: UploadVoucherCodesRequest) -> Decided:
    program = _program(book, command.program, command.at)
    pools = Pools(program.name, book.pools)
    event = upload_codes(request, command.request_id, command.origin, pools)
    return Decided([event], None, pools.changed, command.codes)


def _on_segment(book: Book, command: Command, request: SegmentCommand) -> Decided:
    program = _program(book, command.program, command.at)
    segment = book.segment(segment_stream(name_of(request)), program.name)
    event, after = decide_segment(request, command.request_id, command.origin, segment, program.definition)
    book.segments[after.stream_id] = after
    return Decided([event], None)


def _check_start(current: Versions | None) -> None:
    """Raises Rejected where the next version must begin at once."""
    why = ""
    if current is None:
        why = "must be left out of the first version: none is there to decide until then"
    elif current.is_full:
        why = f"must be left out now and then: {SCHEDULED_MAX} versions in a row have one"
    if why:
        raise Rejected(ErrorReason.ERROR_REASON_INVALID_FIELD, field="program.starts_at", description=why)


def _check_kept(before: Definition, program: Definition) -> None:
    """Raises Rejected where a version changes what the books of all versions are kept in."""
    for field in KEPT:
        kept = getattr(before, field)
        if getattr(program, field) != kept:
            why = f"must stay {kept}: the books of all versions are kept in it. A new program may have another"
            raise Rejected(ErrorReason.ERROR_REASON_INVALID_FIELD, field=f"program.{field}", description=why)


def _enroll(book: Book, command: Command, request: EnrollMemberRequest, new_id: UUID) -> Decided | Exists:
    program = _program(book, command.program, command.at)
    _check_store(program, command.origin)
    person = command.person
    owners = {
        owner
        for key in (person.identifiers if person is not None else ())
        if (owner := book.persons.identifiers.get(key)) is not None
    }
    if owners:
        refuse = DuplicateEnrolment.DUPLICATE_ENROLMENT_REFUSE
        if len(owners) > 1 or program.definition.duplicate_enrolment == refuse:
            raise Rejected(ErrorReason.ERROR_REASON_IDENTIFIER_TAKEN)
        existing = book.accounts.get(owners.pop())
        if existing is not None:
            return Exists(existing)
        raise Rejected(ErrorReason.ERROR_REASON_IDENTIFIER_TAKEN)
    case = enroll_member(request, command.request_id, command.origin, command.at, program, new_id, command.received_at)
    return Decided(case.events, case.account)


def _earlier(book: Book, request_id: UUID) -> Message | None:
    recorded = book.recorded.get(request_id)
    if recorded is not None:
        return recorded.payload
    events = book.decided.get(request_id)
    if events is not None:
        return event_of(events, request_id).payload
    return None


def _check_bound(book: Book, command: Command, earlier: Message) -> None:
    """Raises Rejected when a request id was used in another program than the only one that the credential may see.

    It is told no more than that the request id is taken. A reversal that waits belongs to no program.
    """
    if not command.bound_program or isinstance(earlier, ReversalAwaited | CommandBlocked):
        return
    if isinstance(earlier, ProgramPublished):
        program = earlier.request.program.name
    elif isinstance(earlier, VoucherCodesUploaded):
        program = earlier.request.program
    elif isinstance(earlier, SegmentSaved | SegmentDeleted | SegmentListed):
        program = program_of_segment(name_of(earlier.request))
    else:
        account_id = book.stream_of(command.request_id)
        account = book.accounts[account_id]
        if account is None:
            raise _damaged(f"account {account_id}", book.damaged.get(account_id))
        program = account.program
    if program != command.bound_program:
        raise _reused(command, "request_id")


def _reused(command: Command, field: str) -> Rejected:
    return Rejected(
        ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
        field=field,
        transaction=transaction_name(command.request_id),
    )


def _check_same(book: Book, command: Command, earlier: Message) -> None:
    """Raises Rejected when a request id is used again for something else, or for what was reversed before it came."""
    earlier.DiscardUnknownFields()  # a newer release may have recorded more of the request than this one knows
    if isinstance(earlier, CommandBlocked):
        raise Rejected(ErrorReason.ERROR_REASON_REVERSED_BEFORE_ARRIVAL, reversal=earlier.reversal)
    if isinstance(earlier, CommandRefused):
        stored = getattr(earlier, earlier.WhichOneof("request") or "record_sale")
    else:
        stored = earlier.request  # type: ignore[attr-defined]  # every main event keeps its command
    field = _difference(book, command, stored, earlier.origin)  # type: ignore[attr-defined]  # every main event has its origin
    if field is None and isinstance(earlier, FeedbackRecorded) and _is_other_text(book, command, earlier):
        field = "text"
    if field is not None:
        raise _reused(command, field)


def _difference(book: Book, command: Command, stored: Message, stored_origin: Origin) -> str | None:
    request = command.request
    if type(stored) is not type(request):
        return "request_id"
    if command.identifier is not None:
        member = book.persons.identifiers.get(command.identifier)
        is_other = member is None or member_name(member) != stored.member  # type: ignore[attr-defined]  # each command with an identifier has it
        if is_other and not _is_of_erased(book, command):
            # The same answer whether it is nobody's or another member's: nobody may find out so.
            return "identifier"
        request.member = stored.member  # type: ignore[attr-defined]  # as above
    if isinstance(request, PublishProgramRequest) and isinstance(stored, PublishProgramRequest):
        compared = PublishProgramRequest()
        compared.CopyFrom(stored)
        compared.program.version = request.program.version
        compared.program.etag = request.program.etag
        stored = compared
    sent = command.person.request if command.person is not None else command.sent
    if sent is not None:
        before = book.persons.sent.get(command.request_id)
        if before is not None:
            before.DiscardUnknownFields()
            difference = first_difference(before, sent)
            if difference is not None:
                return difference
    command.origin.credential = stored_origin.credential  # who may give the command may ask for its outcome
    if not command.clock_given:
        command.origin.occurred_at.CopyFrom(stored_origin.occurred_at)
    return first_difference(stored, request) or first_difference(stored_origin, command.origin, "origin")


def _is_of_erased(book: Book, command: Command) -> bool:
    """Whether a command was carried out for a member who is erased: nobody knows what identifiers they had."""
    account = book.accounts.get(book.stream_of(command.request_id))
    return account is not None and bool(account.person.erased_at)


def _is_other_text(book: Book, command: Command, earlier: FeedbackRecorded) -> bool:
    """Whether feedback that is sent again says something else, as far as anybody still knows what it said."""
    known = book.persons.texts.get(command.request_id)
    return earlier.has_text != bool(command.text) or (known is not None and known != command.text)
