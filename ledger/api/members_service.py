"""Members as persons and as customers, as CrmService answers about them."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

import grpc
from loyalty.v1 import profile_pb2 as pb
from loyalty.v1.commands_pb2 import UpdateMemberRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.reward_pb2 import EntitlementState, VoucherState

from ledger.api.binding import sees
from ledger.api.check import CHECKS
from ledger.api.crm_parts import CrmPart, CrmParts
from ledger.api.dispatch import wait_s
from ledger.api.erased import check_not_erased
from ledger.api.errors import ApiError
from ledger.api.gathering import Gathering
from ledger.api.identifiers import normalise
from ledger.api.interceptor import PRINCIPAL
from ledger.api.known_program import check_known, unknown_program
from ledger.api.members_question import after_token, members_question, token_after
from ledger.api.of_segment import of_segment
from ledger.api.paging import PAGE_ENTRIES_DEFAULT, page_size
from ledger.api.reply import reply
from ledger.api.upserts import upsert_commands, upsert_results
from ledger.domain.instant import DAY, from_timestamp
from ledger.domain.names import last_id
from ledger.domain.rounding import INT64_MAX
from ledger.member_views import MemberProfile
from ledger.views import MemberView, ViewBehind
from ledger.writer.writer import Clock

FOUND_MAX: Final = 50
"""Members that one search shows."""

FOUND_DEFAULT: Final = 20

SOON_DAYS: Final = 30
"""Points that expire within so many days are expiring soon."""

_ISSUED: Final = VoucherState.VOUCHER_STATE_ISSUED
_OPEN: Final = EntitlementState.ENTITLEMENT_STATE_ISSUED

Context = grpc.aio.ServicerContext[Any, Any]


class MembersService(CrmPart):
    """The part of CrmService that is about members."""

    def __init__(self, parts: CrmParts, clock: Clock) -> None:
        super().__init__(parts, clock)
        self._profiles = {
            with_person: Gathering(partial(self._read_profiles, with_person=with_person))
            for with_person in (False, True)
        }

    async def GetMember(self, request: pb.GetMemberRequest, context: Context) -> pb.GetMemberResponse:
        """Everything that is known of a member."""
        CHECKS[pb.GetMemberRequest](request, self._clock())
        found = await self._known(request, context)
        if found is None:  # or enrolled a moment ago: what the log holds by now decides
            request.min_position = await asyncio.to_thread(self._parts.reader.head_position)
            found = await self._known(request, context)
        if found is None and await sees(self._parts.reader, request.member):
            await check_not_erased(self._parts.reader, request.member)
        principal = PRINCIPAL.get()
        if found is None or not principal.sees(found[0].view.program):
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND, member=request.member)
        if self._needs_database(found[0]):
            response = await asyncio.to_thread(self._response, request.member, *found)
        else:
            response = self._response(request.member, *found)
        if not principal.sees_sensitive:
            _hide_sensitive(response)
        return response

    async def _known(self, request: pb.GetMemberRequest, context: Context) -> tuple[MemberProfile, int] | None:
        """What is known of a member, and as of when; None for one that is not known yet, or was erased."""
        if request.min_position:
            try:
                await asyncio.to_thread(self._parts.members.wait_for, request.min_position, wait_s(context))
            except ViewBehind as behind:
                raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        return await self._profiles[request.with_personal_data].one(last_id(request.member))

    def _read_profiles(self, members: Sequence[UUID], *, with_person: bool) -> Mapping[UUID, tuple[MemberProfile, int]]:
        now = self._clock()
        profiles = self._parts.members.profiles(members, now, with_person=with_person)
        return {member_id: (profile, now) for member_id, profile in profiles.items()}

    def _needs_database(self, profile: MemberProfile) -> bool:
        """Whether a response needs more than the profile."""
        facts, person = profile.facts, profile.person
        if facts["open_vouchers"] or facts["open_entitlements"]:
            return True
        has_attributes = person is not None and bool(person[0].attributes)
        return has_attributes and self._parts.programs.cached(profile.view.program) is None

    def _response(self, member: str, profile: MemberProfile, now: int) -> pb.GetMemberResponse:
        view, facts, person = profile
        response = pb.GetMemberResponse(
            member=member,
            program=view.program,
            balance=view.balance,
            tier=view.tier,
            tier_benefits=view.tier_benefits,
            expiry_schedule=view.expiries,
            position=view.position,
        )
        response.facts.update({**_facts_of(view, now), **facts})
        self._add_rights(response, facts, last_id(member), now)
        if person is not None:
            self._add_person(response, *person)
        return response

    def _add_rights(self, response: pb.GetMemberResponse, facts: Mapping[str, Any], member_id: UUID, now: int) -> None:
        """Adds what can be used, where there is any."""
        newest, size = 2**63 - 1, PAGE_ENTRIES_DEFAULT
        if facts["open_vouchers"]:
            vouchers = self._parts.views.vouchers(member_id, newest, size, _ISSUED, now)
            response.open_vouchers.extend(vouchers.vouchers if vouchers is not None else ())
        if facts["open_entitlements"]:
            entitlements = self._parts.views.entitlements(member_id, newest, size, _OPEN, now)
            response.open_entitlements.extend(entitlements.entitlements if entitlements is not None else ())

    def _add_person(self, response: pb.GetMemberResponse, personal: pb.PersonalData, etag: str) -> None:
        """Adds what is known of the person."""
        response.etag = etag
        response.personal.CopyFrom(personal)
        if not personal.attributes:
            return
        program = self._parts.programs.cached(response.program) or self._parts.programs.newest(response.program)
        definitions = program.attributes if program is not None else {}
        for attribute in response.personal.attributes:
            definition = definitions.get(attribute.attribute_id)
            # What the program does not know any more may have been sensitive.
            attribute.is_sensitive = definition is None or definition.is_sensitive

    async def ListMembers(self, request: pb.ListMembersRequest, context: Context) -> pb.ListMembersResponse:
        """The members of a program, by id."""
        now = self._clock()
        CHECKS[pb.ListMembersRequest](request, now)
        question = members_question(request, await self._known_program(request.program))
        after = after_token(request.page_token, question)
        position = INT64_MAX
        if question.segment:
            name = f"{question.program}/segments/{question.segment}"
            read = partial(self._parts.segments.segment, name)
            _, position = await of_segment(self._parts, name, read, request.min_position, context)
        try:
            await asyncio.to_thread(self._parts.members.wait_for, request.min_position, wait_s(context))
            size = page_size(request.page_size)
            page = await asyncio.to_thread(self._parts.members.page, question, after, size, now)
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        token = token_after(page.last, question) if page.last is not None else ""
        reflected = min(page.position, position)
        return pb.ListMembersResponse(members=page.members, next_page_token=token, position=reflected)

    async def SearchMembers(self, request: pb.SearchMembersRequest, context: Context) -> pb.SearchMembersResponse:
        """Finds members by name or identifier."""
        CHECKS[pb.SearchMembersRequest](request, self._clock())
        program = await self._known_program(request.program or request.identifier.program)
        size = min(request.page_size or FOUND_DEFAULT, FOUND_MAX)
        match request.WhichOneof("by"):
            case "name_prefix":
                found = await asyncio.to_thread(self._parts.profiles.by_name, program, request.name_prefix, size + 1)
            case "identifier_ending":
                ending = request.identifier_ending.strip()
                found = await asyncio.to_thread(self._parts.profiles.by_ending, program, ending, size + 1)
            case _:
                key = normalise(request.identifier, program, await self._parts.dispatch.region(program))
                found = await asyncio.to_thread(self._parts.profiles.by_key, (program, *key[1:]))
        return pb.SearchMembersResponse(members=found[:size], has_more=len(found) > size)

    async def UpdateMember(self, request: UpdateMemberRequest, context: Context) -> pb.UpdateMemberResponse:
        """Changes what is known of a person."""
        return reply(pb.UpdateMemberResponse(), await self._parts.dispatch.settle(request, context), with_texts=False)

    async def UpsertMembers(self, request: pb.UpsertMembersRequest, _context: Context) -> pb.UpsertMembersResponse:
        """Changes many members, and enrols those that are new."""
        now = self._clock()
        CHECKS[pb.UpsertMembersRequest](request, now)
        name = await self._known_program(request.program)
        program = await asyncio.to_thread(self._parts.programs.newest, name)
        if program is None:
            raise unknown_program(name)
        upserts = await asyncio.to_thread(upsert_commands, request, PRINCIPAL.get(), now, program, self._parts.reader)
        right = [upsert for upsert in upserts if not isinstance(upsert, ApiError)]
        results = await self._parts.dispatch.settle_upserts(right) if right else ()
        return pb.UpsertMembersResponse(results=upsert_results(upserts, results))

    async def _known_program(self, named: str) -> str:
        """The program that a request names, or the credential's. Raises ApiError where the caller may not know it."""
        program = named or PRINCIPAL.get().program
        if not program:
            raise ApiError.invalid([("program", "is required: the credential is bound to no program")])
        await check_known(program, self._parts.reader)
        return program


def _facts_of(view: MemberView, now: int) -> dict[str, Any]:
    """What a view of points and tier has of the facts about a member."""
    soon = now + SOON_DAYS * DAY
    return {
        "available_points": view.balance.available_points,
        "pending_points": view.balance.pending_points,
        "held_points": view.balance.held_points,
        "expiring_points": sum(one.points for one in view.expiries if from_timestamp(one.expires_at) <= soon),
        "tier": view.tier.tier,
    }


def _hide_sensitive(response: pb.GetMemberResponse) -> None:
    for attribute in response.personal.attributes:
        if attribute.is_sensitive:
            attribute.ClearField("value")
