"""Upserts: each item becomes an update, and before it the enrolment of whoever is new.

The request ids of both follow from that of the call, so that each item is recorded once however often it is sent.
"""

from collections.abc import Sequence, Set
from uuid import UUID, uuid5

from loyalty.v1.commands_pb2 import EnrollMemberRequest, UpdateMemberRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import MemberEnrolled
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.profile_pb2 import MemberUpsert, UpdateMemberResponse, UpsertMembersRequest, UpsertResult, UpsertState

from ledger.api.check_members import check_upsert, value_problems
from ledger.api.convert import convert
from ledger.api.errors import ApiError
from ledger.api.fields import Problems
from ledger.api.reply import reply
from ledger.domain.program import Program
from ledger.store.credentials import Principal
from ledger.views import EventReader
from ledger.writer.command import Command, Existing, Failure, Outcome
from ledger.writer.writer import Result

Upsert = Sequence[Command] | ApiError
"""The commands of an item in order, or why it has none."""

_NO_MEMBER = ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND
_ENROL, _UPDATE = "enrol", "update"
_TAKEN = ErrorReason.ERROR_REASON_IDENTIFIER_TAKEN


def upsert_commands(
    request: UpsertMembersRequest, principal: Principal, now: int, program: Program, reader: EventReader
) -> list[Upsert]:
    """The commands of each item. Blocks on the database."""
    whole = _Whole(request, principal, now, program)
    if request.create_missing:
        ids = range(len(request.items))
        whole.recorded = reader.recorded([whole.command_id(kind, index) for kind in (_ENROL, _UPDATE) for index in ids])
    return [whole.commands(index, item) for index, item in enumerate(request.items)]


class _Whole:
    """What the commands of all items have in common."""

    def __init__(self, request: UpsertMembersRequest, principal: Principal, now: int, program: Program) -> None:
        self._request = request
        self._principal = principal
        self._now = now
        self._program = program
        self._regions = {program.name: program.definition.default_region}
        self._id = UUID(request.request_id)
        self.recorded: Set[UUID] = frozenset()
        """Commands of an earlier call that is sent again."""
        request.origin.channel = request.origin.channel or Channel.CHANNEL_BACK_OFFICE

    def command_id(self, kind: str, index: int) -> UUID:
        """The request id of one of an item's commands."""
        return uuid5(self._id, f"{kind}:{index}")

    def commands(self, index: int, item: MemberUpsert) -> Upsert:
        """The commands of one item."""
        try:
            problems: Problems = []
            check_upsert(item, problems)
            if problems := problems or value_problems(item, self._program.attributes):
                raise ApiError.invalid(problems)
            requests: list[EnrollMemberRequest | UpdateMemberRequest] = [self._update(index, item)]
            if self._enrols(index, item):
                requests.insert(0, self._enrolment(index, item))
            return [self._command(one) for one in requests]
        except ApiError as error:
            return error

    def _enrols(self, index: int, item: MemberUpsert) -> bool:
        """Whether somebody new is made of an item where nobody is found; never of one that found somebody before."""
        if not self._request.create_missing or item.WhichOneof("who") != "external_id":
            return False
        found = self.command_id(_UPDATE, index) in self.recorded
        return not found or self.command_id(_ENROL, index) in self.recorded

    def _command(self, request: EnrollMemberRequest | UpdateMemberRequest) -> Command:
        command = convert(request, self._principal, self._now, regions=self._regions)
        command.bound_program = self._program.name  # a member of another program is nobody here, whoever asks
        return command

    def _enrolment(self, index: int, item: MemberUpsert) -> EnrollMemberRequest:
        return EnrollMemberRequest(
            request_id=str(self.command_id(_ENROL, index)),
            origin=self._request.origin,
            program=self._program.name,
            identifiers=[self._external_id(item), *item.identifiers],
            profile=item.profile,
        )

    def _update(self, index: int, item: MemberUpsert) -> UpdateMemberRequest:
        update = UpdateMemberRequest(
            request_id=str(self.command_id(_UPDATE, index)),
            origin=self._request.origin,
            profile=item.profile,
            add_identifiers=item.identifiers,
            attributes=item.attributes,
            source=self._request.source,
            source_time=self._request.source_time,
        )
        for identifier in update.add_identifiers:
            identifier.program = identifier.program or self._program.name
        if item.WhichOneof("who") == "external_id":
            update.identifier.CopyFrom(self._external_id(item))
        else:
            update.member = item.member
        return update

    def _external_id(self, item: MemberUpsert) -> Identifier:
        kind = IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID
        return Identifier(type=kind, value=item.external_id, program=self._program.name)


def upsert_results(upserts: Sequence[Upsert], results: Sequence[Result]) -> list[UpsertResult]:
    """What each item came to."""
    settled = iter(results)
    return [
        UpsertResult(error=upsert.item_error())
        if isinstance(upsert, ApiError)
        else _result([next(settled) for _ in upsert])
        for upsert in upserts
    ]


def _result(results: Sequence[Result]) -> UpsertResult:
    *enrolments, updated = results
    enrolment = enrolments[0] if enrolments else None
    response = UpdateMemberResponse()
    try:
        reply(response, updated, with_texts=False)
    except ApiError as error:
        if error.reason == _NO_MEMBER and isinstance(enrolment, Existing | Failure):
            error = ApiError.of(_TAKEN)  # another identifier of the item is somebody else's
        return UpsertResult(error=error.item_error())
    state = UpsertState.UPSERT_STATE_UPDATED if response.outcome.transaction else UpsertState.UPSERT_STATE_UNCHANGED
    if isinstance(enrolment, Outcome) and isinstance(enrolment.main, MemberEnrolled):
        state = UpsertState.UPSERT_STATE_CREATED
    return UpsertResult(state=state, member=response.outcome.member)
