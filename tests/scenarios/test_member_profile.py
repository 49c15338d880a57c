"""The profile of a member: what is known of the person and of the customer, and what rules make of it."""

import grpc
from google.protobuf.json_format import MessageToDict
from loyalty.v1.earning_pb2 import Conditions
from loyalty.v1.member_pb2 import Profile
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.profile_pb2 import MemberUpsert, UpdateMemberResponse, UpsertState

from tests.conftest import OpenShop
from tests.members.known import (
    attribute,
    attributes_of,
    changes,
    crm_member,
    get,
    identifier,
    listed,
    search,
    update,
    upsert,
)
from tests.programs import plus, program, spend
from tests.proof import prove
from tests.shop import Shop, instant, line, new_id, refused

NOT_FOUND = grpc.StatusCode.NOT_FOUND
CREATED = UpsertState.UPSERT_STATE_CREATED
UPDATED = UpsertState.UPSERT_STATE_UPDATED
UNCHANGED = UpsertState.UPSERT_STATE_UNCHANGED

ATTRIBUTES = [
    attribute("vegan", "flag"),
    attribute("children", "integer"),
    attribute("score", "decimal"),
    attribute("born", "date"),
    attribute("circle", "text", "gold", "blue"),
    attribute("diet", "text", is_sensitive=True),
]


def known_shop(open_shop: OpenShop, *conditions: str) -> Shop:
    """A shop with attributes, and a promotion for each condition: of 1 point, then 2, 4 and so on."""
    promotions = [
        plus(2**index, f"p{index}", conditions=Conditions(expression=text)) for index, text in enumerate(conditions)
    ]
    return open_shop(program(spend(), promotions=promotions, attributes=ATTRIBUTES))


def test_one_member_over_till_web_shop_and_app(open_shop: OpenShop) -> None:
    """Whatever identifies them: one account, with every channel in its figures."""
    shop = known_shop(open_shop)
    card, mail, token = (
        identifier(*one) for one in (("card", "4000-1"), ("email", "Asha@example.com"), ("qr_token", "t0k"))
    )
    member = shop.enroll([card, mail], profile=Profile(given_name="Asha", family_name="Rao")).member
    update(shop, member, add_identifiers=[shop.here(token)])
    for one, channel, minor in ((card, "STORE", 10_00), (mail, "WEB", 20_00), (token, "APP", 30_00)):
        request = shop.sale_request(shop.here(one), [line(minor, "milk", category="dairy")])
        request.origin.channel = Channel.Value(f"CHANNEL_{channel}")
        assert shop.record(request).outcome.member == member
    profile = get(shop, member)
    facts = MessageToDict(profile.facts)
    assert {name: entry["spent_minor"] for name, entry in facts["channels"].items()} == {
        "store": 10_00,
        "web": 20_00,
        "app": 30_00,
    }
    assert (facts["sales"], facts["average_basket_minor"]) == (3, 20_00)
    assert (facts["favourite_channel"], facts["favourite_store"]) == ("app", shop.store)
    assert (facts["favourite_category"], facts["favourite_product"]) == ("dairy", "milk")
    assert profile.balance.available_points == prove(shop, member).available_points == 60
    assert profile.personal.profile == Profile(given_name="Asha", family_name="Rao", language_code="en")
    assert [one.value for one in profile.personal.identifiers] == ["4000-1", "asha@example.com", "t0k"]


def test_an_update_changes_what_it_names(open_shop: OpenShop) -> None:
    """The event says what changed and not to what; an etag refuses who did not see the last change."""
    shop = known_shop(open_shop)
    member = shop.enroll(profile=Profile(given_name="Asha", family_name="Rao")).member
    first = get(shop, member).etag
    updated = update(shop, member, profile=Profile(given_name="Aisha"), etag=first, attributes={"children": "+2"})
    assert (list(updated.fields), [one.attribute_id for one in updated.attributes]) == (["given_name"], ["children"])
    profile = get(shop, member)
    assert profile.personal.profile == Profile(given_name="Aisha", family_name="Rao", language_code="en")
    assert attributes_of(shop, member) == {"children": "2"}
    assert profile.etag == updated.etag != first
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED, etag=updated.etag):
        update(shop, member, profile=Profile(given_name="Eve"), etag=first)
    update(shop, member, update_mask={"paths": ["given_name", "language_code"]}, profile=Profile(language_code="hi"))
    assert get(shop, member).personal.profile == Profile(family_name="Rao", language_code="hi")
    update(shop, member, attributes={"children": None})
    assert attributes_of(shop, member) == {}
    (_, *events) = shop.events(member)
    assert b"Aisha" not in b"".join(event.SerializeToString() for event in events)
    assert [list(event.member_updated.fields) for event in events] == [
        ["given_name"],
        ["given_name", "language_code"],
        [],
    ]
    prove(shop, member)


def test_an_identifier_is_one_members(open_shop: OpenShop) -> None:
    """One that is taken cannot be added; one that is taken away is free again, at once."""
    shop = known_shop(open_shop)
    card, mail = identifier("card", "4000-2", shop), identifier("email", "b@example.com", shop)
    one, other = shop.enroll([card]).member, shop.enroll([mail]).member
    with refused("IDENTIFIER_TAKEN", grpc.StatusCode.ALREADY_EXISTS):
        update(shop, other, add_identifiers=[card])
    with refused("IDENTIFIER_NOT_FOUND", NOT_FOUND):
        update(shop, other, remove_identifiers=[card])
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="remove_identifiers"):
        update(shop, one, remove_identifiers=[card], add_identifiers=[card])
    update(shop, one, remove_identifiers=[card])
    with refused("MEMBER_NOT_FOUND", NOT_FOUND):
        shop.sale(card, 1_00)
    update(shop, other, add_identifiers=[card])
    assert shop.sale(card, 1_00).outcome.member == other
    assert [member.member for member in search(shop, identifier=card)] == [other]
    prove(shop, other)


def test_an_update_sent_again_changes_nothing(open_shop: OpenShop) -> None:
    """The same answer years later; with other content it is refused, naming the field."""
    shop = known_shop(open_shop)
    member, request_id = shop.member(), new_id()
    first = update(shop, member, request_id=request_id, attributes={"circle": "blue"})
    assert shop.transaction(first.outcome.transaction).events[0].member_updated.attributes == first.attributes
    assert shop.explain(first.outcome.transaction).texts[0].lines[0].startswith("Profile changed on ")
    with refused("NOT_REVERSIBLE", type="MemberUpdated"):
        shop.reverse(first.outcome.transaction)
    update(shop, member, attributes={"circle": "gold"})
    again = update(shop, member, request_id=request_id, attributes={"circle": "blue"})
    assert again.outcome.replayed
    again.outcome.replayed = False
    assert again == first
    assert attributes_of(shop, member) == {"circle": "gold"}
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.INVALID_ARGUMENT, field="attributes[0].value"):
        update(shop, member, request_id=request_id, attributes={"circle": "gold"})


def test_attributes_decide_what_is_earned(open_shop: OpenShop) -> None:
    """From the next command on. One that is not set counts as false, and why is recorded without any value."""
    shop = known_shop(
        open_shop,
        "member.attributes.children > 1",
        "has(member.attributes.vegan) && member.attributes.vegan",
        "'score' in member.attributes && member.attributes.score >= 2.5",
        "has(member.attributes.born) && member.attributes.born < '2000-01-01'",
    )
    member = shop.member()
    assert shop.sale(member, 1_00).receipt.earned_points == 1
    (sale,) = shop.events(member, "SaleRecorded")
    (failure,) = sale.sale_recorded.failures
    assert failure.rule == "p0"
    assert failure.error.startswith("an attribute of the member is not set")
    given = {"children": "2", "vegan": "true", "score": "2.50", "born": "1999-12-31"}
    update(shop, member, attributes=given)
    quoted = shop.quote(member, 1_00)
    sold = shop.sale(member, 1_00)
    assert quoted.receipt.earned_points == sold.receipt.earned_points == 1 + 1 + 2 + 4 + 8
    update(shop, member, attributes={"vegan": "false", "score": None, "children": "1", "born": "2000-01-01"})
    late = shop.sale(member, 1_00)
    assert late.receipt.earned_points == 1
    explained = shop.explain(late.outcome.transaction)
    assert {one.rule for one in explained.unmatched} == {"p0", "p1", "p2", "p3"}
    prove(shop, member)


def test_attributes_in_one_batch_with_the_sale(open_shop: OpenShop) -> None:
    """An upsert that enrols, and the sale right behind it."""
    shop = known_shop(open_shop, "member.attributes.circle == 'gold'")
    (result,) = upsert(shop, crm_member("crm-1", circle="gold"))
    assert result.state == CREATED
    assert shop.sale(identifier("external_id", "crm-1", shop), 1_00).receipt.earned_points == 2
    prove(shop, result.member)


def test_an_upsert_is_for_each_item_by_itself(open_shop: OpenShop) -> None:
    """Some fail, the others do not; sent again it changes nothing; what an older source says stays out."""
    shop = known_shop(open_shop)
    taken = shop.enroll([identifier("email", "c@example.com")]).member
    thief = crm_member("crm-4", "Thief", circle="blue")
    thief.identifiers.append(identifier("email", "C@example.com"))
    items = [
        crm_member("crm-2", "Bea", children="1", circle="gold"),
        crm_member("crm-3", children="many", circle="green", unknown="1"),
        thief,
        crm_member(""),
    ]
    request_id = new_id()
    first = upsert(shop, *items, request_id=request_id, source_time="2026-02-01")
    assert [one.state for one in first] == [CREATED, 0, 0, 0]
    assert [violation.field for violation in first[1].error.field_violations] == [
        "attributes[0].value",
        "attributes[1].value",
        "attributes[2].attribute_id",
    ]
    assert [one.error.code for one in first[1:]] == [3, grpc.StatusCode.ALREADY_EXISTS.value[0], 3]
    head = shop.head()
    assert upsert(shop, *items, request_id=request_id, source_time="2026-02-01") == first
    assert not changes(shop, head)
    bea = first[0].member
    older = crm_member("crm-2", "Old", children="9", circle="blue", score="1")
    assert [one.state for one in upsert(shop, older, source_time="2026-01-31")] == [UPDATED]
    assert attributes_of(shop, bea) == {"children": "1", "circle": "gold", "score": "1"}
    assert get(shop, bea).personal.profile.given_name == "Bea"
    same = crm_member("crm-2", "Bea", children="1")
    head = shop.head()
    assert [one.state for one in upsert(shop, same, source_time="2026-02-03")] == [UNCHANGED]
    assert not changes(shop, head)
    between = crm_member("crm-2", "Was", children="5", circle="blue")
    assert [one.state for one in upsert(shop, between, source_time="2026-02-02")] == [UPDATED]
    assert attributes_of(shop, bea) == {"children": "1", "circle": "blue", "score": "1"}
    assert [one.error.reason for one in upsert(shop, crm_member("crm-9"), create=False)] == [4]
    assert get(shop, taken).personal.attributes == []
    prove(shop, bea)


def test_an_older_source_neither_gives_nor_takes_identifiers(open_shop: OpenShop) -> None:
    """Files may arrive in any order: what a later one says of an identifier stays, also that it is not there."""
    shop = known_shop(open_shop)
    phone, mail = identifier("phone", "+4930901820"), identifier("email", "d@example.com")
    item = crm_member("crm-5", "Dee")
    item.identifiers.extend([phone, mail])

    def without_phone(member: str, source_time: str = "") -> UpdateMemberResponse:
        return update(shop, member, source_time=source_time, remove_identifiers=[shop.here(phone)])

    def file(source_time: str, request_id: str = "") -> int:
        (result,) = upsert(shop, item, source_time=source_time, request_id=request_id)
        return result.state

    def known() -> list[str]:
        return [one.value for one in get(shop, dee).personal.identifiers if one.value != "crm-5"]

    assert file("2026-01-01") == CREATED
    dee = shop.sale(shop.here(phone), 1_00).outcome.member
    again = new_id()
    assert file("2026-02-01", again) == UNCHANGED
    kept = without_phone(dee, "2026-01-15")
    assert (list(kept.fields), list(kept.kept), kept.outcome.transaction) == ([], ["identifiers"], "")
    assert known() == ["+4930901820", "d@example.com"]
    removed = without_phone(dee, "2026-03-01")
    assert (list(removed.fields), list(removed.kept)) == (["identifiers"], [])
    assert file("2026-02-01", again) == file("2025-01-01") == file("2026-02-28") == UNCHANGED
    assert known() == ["d@example.com"]
    other = shop.enroll([phone]).member
    assert file("2026-02-27") == UNCHANGED
    with refused("IDENTIFIER_TAKEN", grpc.StatusCode.ALREADY_EXISTS):
        update(shop, dee, source_time="2026-03-02", add_identifiers=[shop.here(phone)])
    without_phone(other)
    assert file("2026-03-02") == UPDATED
    assert known() == ["+4930901820", "d@example.com"]
    without_phone(dee)
    assert file("2026-03-03") == UNCHANGED
    assert known() == ["d@example.com"]
    assert [list(event.member_updated.fields) for event in shop.events(dee, "MemberUpdated")] == [["identifiers"]] * 3
    prove(shop, dee)


def test_one_batch_heeds_the_later_source(open_shop: OpenShop) -> None:
    """Items for one member in one call: whichever comes first, the later time is not in question."""
    shop = known_shop(open_shop)
    card = identifier("card", "4000-5")
    member = shop.enroll([identifier("external_id", "crm-6")]).member
    request = MemberUpsert(member=member, identifiers=[card])
    assert [one.state for one in upsert(shop, request, request, source_time="2026-02-01")] == [UPDATED, UNCHANGED]
    update(shop, member, source_time="2026-02-01", remove_identifiers=[shop.here(card)])
    assert [one.state for one in upsert(shop, request, request, source_time="2026-01-31")] == [UNCHANGED] * 2
    assert [one.value for one in get(shop, member).personal.identifiers] == ["crm-6"]
    prove(shop, member)


def test_lists_and_searches(open_shop: OpenShop) -> None:
    """By how a name begins, whatever its case and accents, by identifier and by how one ends."""
    shop = known_shop(open_shop)
    people = [("Zoë", "Müller"), ("Zoe", "Ångström"), ("आशा", "राव"), ("O'Zo", "Zöllner")]
    members = [
        shop.enroll(
            [identifier("card", f"4000-77{index}5"), identifier("phone", f"+49 30 90182{index}")],
            profile=Profile(given_name=given, family_name=family),
        ).member
        for index, (given, family) in enumerate(people)
    ]

    named = [identifier("external_id", "CRM-AB-77"), identifier("email", "Zara@example.org")]
    members.append(shop.enroll(named, profile=Profile(given_name="Zara")).member)

    def found(**by: object) -> list[str]:
        return [one.profile.given_name for one in search(shop, **by)]

    assert found(name_prefix="ZO") == ["O'Zo", "Zoe", "Zoë"]
    assert found(name_prefix="zoe m") == ["Zoë"]
    assert found(name_prefix="angstrom  Z") == ["Zoe"]
    assert found(name_prefix="आश") == ["आशा"]
    assert found(name_prefix="zoellner") == found(name_prefix="zz") == []
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        found(name_prefix="\u0301\u0301")
    assert found(identifier_ending="0-7715") == ["Zoe"]
    assert found(identifier_ending="AB-77") == found(identifier_ending="EXAMPLE.org") == ["Zara"]
    assert found(identifier=identifier("phone", "030 901823")) == ["O'Zo"]
    (one,) = search(shop, identifier_ending="0-7725")
    assert [shown.value for shown in one.masked_identifiers] == ["***7725", "***1822"]
    shop.sale(members[2], 5_00)
    assert [one.member for one in listed(shop)] == sorted(members)
    (buyer,) = listed(shop, purchased_from=instant("2020-01-01"))
    assert (buyer.member, buyer.sales, buyer.spent_minor) == (members[2], 1, 5_00)
    assert len(listed(shop, not_purchased_since=instant("2020-01-01"))) == len(members) - 1
    assert listed(shop, tier="gold") == listed(shop, enrolled_until=instant("2020-01-01")) == []
