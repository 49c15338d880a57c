"""Members as CRM systems know them, in few words."""

from typing import Any

from loyalty.v1 import profile_pb2 as p
from loyalty.v1.attribute_pb2 import AttributeDefinition, AttributeType, AttributeValue
from loyalty.v1.commands_pb2 import UpdateMemberRequest
from loyalty.v1.events_pb2 import Event
from loyalty.v1.member_pb2 import Identifier, IdentifierType

from tests.shop import TIMEOUT_S, Shop, instant, new_id


def attribute(attribute_id: str, kind: str = "text", *allowed: str, **fields: Any) -> AttributeDefinition:
    """An attribute of a program."""
    type_ = AttributeType.Value(f"ATTRIBUTE_TYPE_{kind.upper()}")
    return AttributeDefinition(attribute_id=attribute_id, type=type_, allowed_values=allowed, **fields)


def identifier(kind: str, value: str, shop: Shop | None = None) -> Identifier:
    """An identifier, in a shop's program."""
    type_ = IdentifierType.Value(f"IDENTIFIER_TYPE_{kind.upper()}")
    return Identifier(type=type_, value=value, program=shop.program if shop is not None else "")


def values(**attributes: str | None) -> list[AttributeValue]:
    """What attributes are set to; None to remove one."""
    return [AttributeValue(attribute_id=name, value=value) for name, value in attributes.items()]


def update(shop: Shop, member: str, *, source_time: str = "", **fields: Any) -> p.UpdateMemberResponse:
    """Updates a member; `attributes` is a mapping."""
    request = UpdateMemberRequest(
        request_id=fields.pop("request_id", "") or new_id(),
        origin=shop.origin(),
        member=member,
        attributes=values(**fields.pop("attributes", {})),
        source_time=instant(source_time) if source_time else None,
        **fields,
    )
    return shop.crm.UpdateMember(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def get(shop: Shop, member: str, *, personal: bool = True, position: int = 0) -> p.GetMemberResponse:
    """A member's whole profile, with everything that the log holds now, or up to a position."""
    request = p.GetMemberRequest(member=member, with_personal_data=personal, min_position=position or shop.head())
    return shop.crm.GetMember(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def attributes_of(shop: Shop, member: str) -> dict[str, str]:
    """A member's attributes."""
    return {one.attribute_id: one.value for one in get(shop, member).personal.attributes}


def upsert(
    shop: Shop, *items: p.MemberUpsert, source_time: str = "2026-01-01", create: bool = True, **fields: Any
) -> list[p.UpsertResult]:
    """Upserts members."""
    request = p.UpsertMembersRequest(
        request_id=fields.pop("request_id", "") or new_id(),
        origin=shop.origin(),
        program=shop.program,
        items=items,
        create_missing=create,
        source_time=instant(source_time),
        **fields,
    )
    return list(shop.crm.UpsertMembers(request, metadata=shop.metadata, timeout=TIMEOUT_S).results)


def crm_member(external_id: str, given_name: str = "", /, **attributes: str | None) -> p.MemberUpsert:
    """A member as a CRM system has them."""
    item = p.MemberUpsert(external_id=external_id, attributes=values(**attributes))
    item.profile.given_name = given_name
    return item


def changes(shop: Shop, after: int) -> list[Event]:
    """What commands wrote behind a position; who read what comes about a second after it was read."""
    return [event for event in shop.written(after) if not event.HasField("audit_recorded")]


def search(shop: Shop, **by: Any) -> list[p.FoundMember]:
    """Who is found."""
    request = p.SearchMembersRequest(program=shop.program, **by)
    return list(shop.crm.SearchMembers(request, metadata=shop.metadata, timeout=TIMEOUT_S).members)


def listed(shop: Shop, page_size: int = 2, **conditions: Any) -> list[p.ListedMember]:
    """All members of a list, page by page."""
    request = p.ListMembersRequest(program=shop.program, page_size=page_size, min_position=shop.head(), **conditions)
    found: list[p.ListedMember] = []
    while True:
        page = shop.crm.ListMembers(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        found += page.members
        request.page_token = page.next_page_token
        if not request.page_token:
            return found
