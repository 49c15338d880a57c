"""What CRM knows of a member comes together: attributes, consents and feedback make segments, segments make points."""

from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from loyalty.v1 import value_pb2 as v
from loyalty.v1.earning_pb2 import Conditions
from loyalty.v1.program_pb2 import Program

from tests.conftest import OpenShop
from tests.members.known import attribute, changes, crm_member, get, identifier, listed, update, upsert
from tests.people import erase, figures, gives, purpose, record_consents, say, withdraws
from tests.programs import plus, program, spend
from tests.proof import prove
from tests.segmenting import Segments, failing
from tests.shop import TIMEOUT_S, Shop, new_id, refused


def definition(**changes: Any) -> Program:
    """A point for each euro, an attribute and a purpose of consent."""
    return program(spend(), attributes=[attribute("vegan", "flag")], consents=[purpose("marketing")], **changes)


def test_segments_of_what_members_say(open_shop: OpenShop) -> None:
    """An attribute, a consent and a rating put a member in; taking them back takes the member out."""
    shop = open_shop(definition())
    segments = Segments(shop)
    criteria = {
        "vegans": "attributes.vegan",
        "by-mail": '"marketing/email" in consents && "marketing" in consents',
        "promoters": "last_nps >= 9 && last_rating == 5 && feedback_given == 1",
    }
    for segment_id, expression in criteria.items():
        segments.save(segment_id, expression)
    member, other = shop.member(), shop.member()
    update(shop, member, attributes={"vegan": "true"})
    record_consents(shop, member, gives(channel="EMAIL"))
    record_consents(shop, other, gives(channel="SMS"))
    sale = shop.sale(member, 10_00)
    say(shop, member, sale.outcome.transaction, rating=5, nps=9)
    assert {one: segments.members(one) for one in criteria} == {one: [member] for one in criteria}
    facts = MessageToDict(get(shop, member).facts)
    assert [facts[name] for name in ("consents", "segments")] == [
        ["marketing", "marketing/email"],
        sorted(criteria),
    ]
    assert (facts["last_nps"], facts["last_rating"], facts["feedback_given"]) == (9, 5, 1)
    say(shop, other, shop.sale(other, 10_00).outcome.transaction, rating=1, nps=0)
    assert {key: one.nps_thousandths for key, one in figures(shop, "SEGMENT").items()} == dict.fromkeys(criteria, 1_000)
    assert figures(shop, segment="vegans")[""].count == 1

    update(shop, member, attributes={"vegan": None})
    record_consents(shop, member, withdraws())
    assert [segments.members(one) for one in criteria] == [[], [], [member]]
    assert segments.moves("by-mail") == [("+", member), ("-", member)]
    with failing("INVALID_FIELD") as found:
        segments.save("typo", "attributes.vegn")
    assert found == [("segment.expression", "there is no attribute 'vegn': add it to the program's attributes")]
    prove(shop, member)


def test_a_segment_earns_more(open_shop: OpenShop) -> None:
    """A promotion for members of a segment counts from the moment at which they are in it."""
    shop = open_shop(definition(promotions=[plus(5, conditions=Conditions(expression="'vip' in member.segments"))]))
    segments = Segments(shop)
    segments.save("vip")
    member = shop.member()
    earned = [shop.sale(member, 1_00).receipt.earned_points]
    segments.put("vip", add=[member])
    assert segments.members("vip") == [member]
    earned.append(shop.sale(member, 1_00).receipt.earned_points)
    segments.put("vip", remove=[member])
    assert segments.members("vip") == []
    earned.append(shop.sale(member, 1_00).receipt.earned_points)
    assert earned == [1, 6, 1]
    prove(shop, member)


def test_a_retry_brings_nobody_back(open_shop: OpenShop) -> None:
    """An upsert that found a member, sent again when they are erased, is answered as it was and enrols nobody."""
    shop = open_shop(definition())
    member = shop.enroll([identifier("external_id", "crm-9")]).member
    item, request_id = crm_member("crm-9", vegan="true"), new_id()
    first = upsert(shop, item, request_id=request_id)
    assert [one.member for one in first] == [member]
    erase(shop, member)
    head = shop.head()
    assert upsert(shop, item, request_id=request_id) == first
    assert not changes(shop, head)


def scored(shop: Shop) -> tuple[list[str], list[str]]:
    """The members with RFM scores, and those of high value."""
    span = v.SalesSpan(program=shop.program)
    position = shop.head()
    scores = shop.crm.ListRfmMembers(
        v.ListRfmMembersRequest(span=span, min_position=position), metadata=shop.metadata, timeout=TIMEOUT_S
    )
    high = v.ListHighValueMembersRequest(
        span=span,
        share_millionths=1_000_000,
        min_position=position,
    )
    found = shop.crm.ListHighValueMembers(high, metadata=shop.metadata, timeout=TIMEOUT_S)
    return [one.member for one in scores.members], sorted(one.member for one in found.members)


def test_who_is_erased_is_in_no_segment_and_no_list(open_shop: OpenShop) -> None:
    """Neither by expression nor by list nor by what they bought; asked for, the answer says when they were erased."""
    shop = open_shop(definition())
    segments = Segments(shop)
    segments.save("buyers", "sales > 0")
    segments.save("friends")
    member, other = shop.member(), shop.member()
    for one in (member, other):
        shop.sale(one, 10_00)
    segments.put("friends", add=[member, other])
    both = sorted((member, other))
    assert [segments.members(one) for one in ("buyers", "friends")] == [both, both]
    assert [one.member for one in listed(shop, segment="friends")] == both
    assert scored(shop) == (both, both)
    erase(shop, member)
    assert [segments.members(one) for one in ("buyers", "friends")] == [[other], [other]]
    assert [one.member for one in listed(shop)] == [other]
    assert scored(shop) == ([other], [other])
    assert get(shop, other).facts["sales"] == 1
    with refused("MEMBER_ERASED"):
        get(shop, member)
    with refused("MEMBER_ERASED"):
        shop.crm.GetMemberValue(v.GetMemberValueRequest(member=member), metadata=shop.metadata, timeout=TIMEOUT_S)
    with refused("SEGMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        listed(shop, segment="enemies")
    segments.save("late", "sales == 1")
    assert segments.members("late") == [other]
    prove(shop, other)
