"""Checks of the requests that are about members as persons."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from loyalty.v1.attribute_pb2 import AttributeDefinition, AttributeValue
from loyalty.v1.commands_pb2 import UpdateMemberRequest
from loyalty.v1.member_pb2 import Identifier, Profile
from loyalty.v1.profile_pb2 import (
    GetMemberRequest,
    ListMembersRequest,
    MemberUpsert,
    SearchMembersRequest,
    UpsertMembersRequest,
)

from ledger.api.check_parts import OCCURRED_AT_AHEAD_MAX, check_head, check_identifier, check_who
from ledger.api.check_reads import check_page
from ledger.api.fields import (
    Checks,
    Problems,
    check_member_name,
    check_not_negative,
    check_program_name,
    check_text,
    check_timestamp,
)
from ledger.api.identifiers import VALUE_CHARACTERS_MAX
from ledger.domain.attribute import TEXT_CHARACTERS_MAX, canonical
from ledger.domain.member_profile import NAMES
from ledger.domain.publish_attributes import ATTRIBUTES_MAX
from ledger.store.name_key import fold

IDENTIFIERS_MAX: Final = 10
"""Identifiers that one update adds or removes."""

ITEMS_MAX: Final = 1_000
"""Members of one UpsertMembers."""

ETAG_CHARACTERS_MAX: Final = 32

NAME_PREFIX_CHARACTERS_MIN: Final = 2
"""Characters by which a name is searched at least: fewer would find everybody."""

NAME_PREFIX_CHARACTERS_MAX: Final = 200

ENDING_CHARACTERS_MIN: Final = 4
"""Characters of the end of an identifier at least."""

ENDING_CHARACTERS_MAX: Final = 64

_LANGUAGES: Final = frozenset(("", "en", "hi"))
_PATHS: Final = frozenset((*NAMES, "*"))
_SOURCE: Final = re.compile("[a-z0-9-]{0,63}").fullmatch
_ATTRIBUTE: Final = re.compile("[a-z][a-z0-9_]{0,62}").fullmatch


def _check_update_member(request: UpdateMemberRequest, now: int, problems: Problems) -> None:
    """What UpdateMember is asked with."""
    check_head(request.request_id, request.origin, now, problems)
    check_who(request, problems)
    _profile(request.profile, "profile", problems)
    for index, path in enumerate(request.update_mask.paths[: len(_PATHS)]):
        if path not in _PATHS:
            problems.append((f"update_mask.paths[{index}]", f"must be one of {', '.join(NAMES)}, or *"))
    if len(request.update_mask.paths) > len(_PATHS):
        problems.append(("update_mask.paths", "names a field twice"))
    _identifiers(request.add_identifiers, "add_identifiers", problems)
    _identifiers(request.remove_identifiers, "remove_identifiers", problems)
    _attributes(request.attributes, "attributes", problems)
    check_text(request.etag, "etag", problems, most=ETAG_CHARACTERS_MAX)
    _source(request, now, problems)


def _check_upsert_members(request: UpsertMembersRequest, now: int, problems: Problems) -> None:
    """The whole of an UpsertMembers; each item has a check of its own."""
    check_head(request.request_id, request.origin, now, problems)
    if request.program:
        check_program_name(request.program, "program", problems)
    if not 1 <= len(request.items) <= ITEMS_MAX:
        problems.append(("items", f"must be 1 to {ITEMS_MAX}; there are {len(request.items)}"))
    if not request.HasField("source_time"):
        problems.append(("source_time", "is required: when the source had these values"))
    _source(request, now, problems)


def check_upsert(item: MemberUpsert, problems: Problems) -> None:
    """One item of an UpsertMembers."""
    match item.WhichOneof("who"):
        case "member":
            check_member_name(item.member, "member", problems)
        case "external_id":
            check_text(item.external_id, "external_id", problems, least=1, most=VALUE_CHARACTERS_MAX)
        case None:
            problems.append(("external_id", "is missing: name the member by external_id or member"))
    _profile(item.profile, "profile", problems)
    _identifiers(item.identifiers, "identifiers", problems)
    _attributes(item.attributes, "attributes", problems)


def value_problems(item: MemberUpsert, definitions: Mapping[str, AttributeDefinition]) -> Problems:
    """What is wrong with an item's attributes, now that it is known what the program's are."""
    problems: Problems = []
    for index, attribute in enumerate(item.attributes):
        definition = definitions.get(attribute.attribute_id)
        if definition is None:
            problems.append((f"attributes[{index}].attribute_id", "is no attribute of the program"))
        elif attribute.HasField("value"):
            try:
                canonical(definition, attribute.value)
            except ValueError as error:
                problems.append((f"attributes[{index}].value", str(error)))
    return problems


def _check_get_member(request: GetMemberRequest, _now: int, problems: Problems) -> None:
    """What GetMember is asked with."""
    check_member_name(request.member, "member", problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_list_members(request: ListMembersRequest, _now: int, problems: Problems) -> None:
    """What ListMembers is asked with."""
    if request.program:
        check_program_name(request.program, "program", problems)
    check_text(request.tier, "tier", problems)
    check_text(request.segment, "segment", problems)
    for name in ("purchased_from", "not_purchased_since", "enrolled_from", "enrolled_until"):
        if request.HasField(name):
            check_timestamp(getattr(request, name), name, problems)
    check_page(request, problems)
    check_not_negative(request.min_position, "min_position", problems)


def _check_search_members(request: SearchMembersRequest, _now: int, problems: Problems) -> None:
    """What SearchMembers is asked with."""
    if request.program:
        check_program_name(request.program, "program", problems)
    match request.WhichOneof("by"):
        case "name_prefix":
            check_text(request.name_prefix, "name_prefix", problems, most=NAME_PREFIX_CHARACTERS_MAX)
            if len(fold(request.name_prefix)) < NAME_PREFIX_CHARACTERS_MIN:  # else accents alone would find everybody
                problems.append(("name_prefix", f"must be at least {NAME_PREFIX_CHARACTERS_MIN} characters"))
        case "identifier":
            check_identifier(request.identifier, "identifier", problems)
        case "identifier_ending":
            check_text(request.identifier_ending, "identifier_ending", problems, most=ENDING_CHARACTERS_MAX)
            if len(request.identifier_ending.strip()) < ENDING_CHARACTERS_MIN:
                problems.append(("identifier_ending", f"must be at least {ENDING_CHARACTERS_MIN} characters"))
        case None:
            problems.append(("name_prefix", "is missing: search by name_prefix, identifier or identifier_ending"))
    check_not_negative(request.page_size, "page_size", problems)


def _profile(profile: Profile, path: str, problems: Problems) -> None:
    check_text(profile.given_name, f"{path}.given_name", problems)
    check_text(profile.family_name, f"{path}.family_name", problems)
    if profile.language_code not in _LANGUAGES:
        problems.append((f"{path}.language_code", 'must be "en", "hi" or empty'))


def _identifiers(identifiers: Sequence[Identifier], path: str, problems: Problems) -> None:
    if len(identifiers) > IDENTIFIERS_MAX:
        problems.append((path, f"must be at most {IDENTIFIERS_MAX}"))
    for index, identifier in enumerate(identifiers[:IDENTIFIERS_MAX]):
        check_identifier(identifier, f"{path}[{index}]", problems)


def _attributes(attributes: Sequence[AttributeValue], path: str, problems: Problems) -> None:
    """What can be said without the program, which says what they are."""
    if len(attributes) > ATTRIBUTES_MAX:
        problems.append((path, f"must be at most {ATTRIBUTES_MAX}"))
    seen: set[str] = set()
    for index, attribute in enumerate(attributes[:ATTRIBUTES_MAX]):
        at = f"{path}[{index}]"
        if not _ATTRIBUTE(attribute.attribute_id):
            allowed = "must be 1 to 63 lower-case letters, digits and underscores, a letter first"
            problems.append((f"{at}.attribute_id", allowed))
        elif attribute.attribute_id in seen:
            problems.append((f"{at}.attribute_id", "is named twice"))
        seen.add(attribute.attribute_id)
        check_text(attribute.value, f"{at}.value", problems, most=TEXT_CHARACTERS_MAX)


def _source(request: UpdateMemberRequest | UpsertMembersRequest, now: int, problems: Problems) -> None:
    if not _SOURCE(request.source):
        problems.append(("source", "must be at most 63 lower-case letters, digits and dashes, or empty"))
    if request.HasField("source_time"):
        at = check_timestamp(request.source_time, "source_time", problems)
        if at is not None and at > now + OCCURRED_AT_AHEAD_MAX:
            problems.append(("source_time", "must not be in the future: nothing earlier could be set until then"))


CHECKS: Final[Checks] = {
    UpdateMemberRequest: _check_update_member,
    UpsertMembersRequest: _check_upsert_members,
    GetMemberRequest: _check_get_member,
    ListMembersRequest: _check_list_members,
    SearchMembersRequest: _check_search_members,
}
