"""M2: segments by what members bought, where, how often and for how much; entered and left once each."""

import time

import grpc
import psycopg
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.audit_trail_pb2 import AuditKind
from loyalty.v1.earning_pb2 import EarningRule, SpendRule
from loyalty.v1.member_pb2 import Identifier, IdentifierType, Profile
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.program_pb2 import Program
from loyalty.v1.sale_pb2 import SaleLine
from loyalty.v1.segment_pb2 import DateRange, SetSegmentMembersRequest
from loyalty.v1.segment_reads_pb2 import (
    GetSegmentRequest,
    ListSegmentMembersRequest,
    ListSegmentsRequest,
    PreviewSegmentRequest,
    PreviewSegmentResponse,
)

from ledger.segment_views import PREVIEWS_MAX
from tests.conftest import OpenShop
from tests.members.known import attribute, listed, update
from tests.people import erase
from tests.proof import prove
from tests.running import ServerProcess, token
from tests.segmenting import Measure, Segments, failing
from tests.shop import TIMEOUT_S, Details, Shop, new_id
from tests.trail import wait_for


def program() -> Program:
    """A point for each euro."""
    return Program(earning_rules=[EarningRule(rule_id="spend", spend=SpendRule(points=1, per_minor=100))])


IN_STORE_1 = Measure(measure_id="here", stores=["s-1"])


def test_m2_segments_follow_what_members_buy(open_shop: OpenShop) -> None:
    """Each criterion of the scenario; a sale makes members enter and leave, and its return makes them go back."""
    shop = open_shop(program())
    segments = Segments(shop)
    criteria = {
        "in-store-s": "here.sales > 0",
        "two-or-more": "sales >= 2",
        "exactly-one": "sales == 1",
        "average-above": "average_basket_minor > 4000",
        "average-below": "average_basket_minor < 4000",
        "total-below": "spent_minor < 4000",
        "both": "sales >= 2 && average_basket_minor > 4000",
        "either": "sales >= 2 || average_basket_minor > 4000",
        "neither": "!(sales >= 2 || average_basket_minor > 4000)",
    }
    for segment_id, expression in criteria.items():
        segments.save(segment_id, expression, *([IN_STORE_1] if "here" in expression else []))
    none, small, large, twice = (shop.member() for _ in range(4))
    shop.sale(small, 3_999)
    shop.store = "s-2"
    shop.sale(large, 4_001)
    shop.store = "s-1"
    shop.sale(twice, 3_000)
    last = shop.sale(twice, 6_000)

    def who(segment_id: str) -> set[str]:
        return set(segments.members(segment_id))

    assert who("in-store-s") == {small, twice}
    assert who("two-or-more") == {twice}
    assert who("exactly-one") == {small, large}
    assert who("average-above") == {large, twice}
    assert who("average-below") == {small}
    assert who("total-below") == {none, small}
    assert who("both") == {twice}
    assert who("either") == {large, twice}
    assert who("neither") == {small}, "who never bought has no average: it cannot be evaluated"
    assert segments.get("total-below").member_count == 2

    shop.reverse(last.outcome.transaction)
    assert who("two-or-more") == set()
    assert who("exactly-one") == {small, large, twice}
    assert who("either") == {large}
    assert segments.moves("two-or-more") == [("+", twice), ("-", twice)]
    assert [one.segment for one in segments.of(twice, current_only=True)]
    for member in (none, small, large, twice):
        prove(shop, member)


def test_measures_by_product_place_and_period(open_shop: OpenShop) -> None:
    """SKU, brand, category, label, channel, share in one store, days and dates; what came back comes off."""
    shop = open_shop(program())
    segments = Segments(shop)
    member, other = shop.member(), shop.member()
    line = SaleLine(price_minor=8_000, sku="A1", brand="acme", category="shoes", labels=["red", "new"])
    bought = shop.sale(member, [line, SaleLine(price_minor=2_000, sku="B2")])
    shop.sale(member, 10_000, at="2024-05-06T12:00")
    shop.store = "s-2"
    shop.sale(other, 5_000)
    shop.store = "s-1"
    true_of_member = {
        "sku": ("m.units == 1 && m.sales == 1", Measure(measure_id="m", skus=["A1", "C3"])),
        "brand": ("m.spent_minor == 8000", Measure(measure_id="m", brands=["acme"])),
        "category": ("m.average_minor == 8000", Measure(measure_id="m", categories=["shoes"])),
        "label": ("m.share_percent == 40", Measure(measure_id="m", labels=["red"])),
        "store": ("m.share_percent > 50", Measure(measure_id="m", stores=["s-1"])),
        "channel": ("m.sales == 2", Measure(measure_id="m", channels=[Channel.CHANNEL_STORE])),
        "today": ("m.sales == 1 && m.last_days == 0", Measure(measure_id="m", last_days=1)),
        "in-may": (
            "m.spent_minor == 10000 && m.share_percent == 100",
            Measure(measure_id="m", dates=DateRange(from_date="2024-05-01", until_date="2024-05-06")),
        ),
        "before": ("m.last_days > 300", Measure(measure_id="m", dates=DateRange(until_date="2024-12-31"))),
    }
    for segment_id, (expression, measure) in true_of_member.items():
        segments.save(segment_id, f"sales == 2 && {expression}", measure)
    segments.save("facts", 'anniversary_days == 0 && last_purchase_days == 0 && tier == "" && "s-1" in stores')
    assert {one.segment.rpartition("/")[2] for one in segments.of(member, current_only=True)} == {
        *true_of_member,
        "facts",
    }
    assert segments.of(other) == []

    shop.give_back(bought.outcome.transaction, ["1"])
    left = {one.segment.rpartition("/")[2] for one in segments.of(member) if one.left_position}
    assert left == {"sku", "brand", "category", "label"}
    prove(shop, member)


def test_lists_changes_and_the_end_of_a_segment(open_shop: OpenShop) -> None:
    """A list adds members; a new definition lets some leave; a deleted segment has nobody, and its history stays."""
    shop = open_shop(program())
    segments = Segments(shop)
    listed, buyer, stranger = shop.member(), shop.member(), shop.member()
    shop.sale(buyer, 1_000)
    first = segments.save("club", "sales > 0", display_name=LocalizedText(en="Club", hi="क्लब"))
    assert first.segment.etag == '"v1"'
    segments.put("club", [listed])
    segments.put("club", [listed], [stranger])  # who is on it stays, who is not stays off
    assert set(segments.members("club", page_size=1)) == {listed, buyer}
    state = segments.get("club")
    assert (state.member_count, state.listed_count, state.is_complete) == (2, 1, True)
    was = shop.events(segments.name("club"))[-1].recorded_at

    segments.save("club", "sales > 5", etag='"v1"')
    assert set(segments.members("club")) == {listed}
    segments.put("club", remove=[listed])
    assert segments.members("club") == []
    assert set(segments.members("club", as_of=was)) == {listed, buyer}
    explained = segments.explain("club", buyer)
    assert (explained.is_member, explained.holds, explained.is_listed) == (False, False, False)
    assert explained.HasField("left_at")

    segments.put("club", [stranger])
    assert segments.members("club") == [stranger]
    with failing("SEGMENT_NOT_FOUND"):
        segments.delete("other")
    with failing("ETAG_MISMATCH"):
        segments.delete("club", '"v1"')
    segments.delete("club", '"v2"')
    gone = waited_moves(segments, "club", ("-", stranger))
    for member in (listed, buyer, stranger):
        assert [sign for sign, one in gone if one == member] == ["+", "-"]
    with failing("SEGMENT_NOT_FOUND"):
        segments.get("club", now=False)
    with failing("SEGMENT_NOT_FOUND"):
        segments.put("club", [listed])
    with failing("SEGMENT_DELETED"):
        segments.save("club", "sales > 0")
    assert [one.segment for one in segments.of(buyer, page_size=1)] == [segments.name("club")]
    assert set(segments.members("club", as_of=was)) == {listed, buyer}, "what was stays"
    for member in (listed, buyer, stranger):
        prove(shop, member)


def waited_moves(segments: Segments, segment_id: str, last: tuple[str, str]) -> list[tuple[str, str]]:
    """Who entered and left, once the segmenter has looked at another segment behind it."""
    segments.save("behind", "false")
    segments.get("behind")
    moves = segments.moves(segment_id)
    assert moves[-1] == last
    return moves


def test_bad_segments_are_named_at_once(open_shop: OpenShop) -> None:
    """Expressions that do not parse, name what there is not or cost too much; measures; lists with strangers."""
    shop = open_shop(program())
    segments = Segments(shop)
    for expression, what in {
        "sales >": "Failed to parse",
        "shoe_size > 40": "there is no variable 'shoe_size'",
        "sales": "neither true nor false",
        "m.colour > 3": "there is no field 'colour'",
        "enrolled_store == '\0'": "must not have control characters",
        "sales > 1 || " * 99 + "sales > 0": "must be at most 1000 characters",
        "+".join(["1"] * 450) + " > sales": "is too costly",
    }.items():
        measures = [Measure(measure_id="m")] if "m.colour" in expression else []
        with failing("INVALID_FIELD") as found:
            segments.save("bad", expression, *measures, validate_only=True)
        ((field, description),) = found
        assert field == "segment.expression"
        assert what in description
    with failing("INVALID_FIELD") as found:
        segments.save("bad", "true", Measure(measure_id="sales", last_days=-1), Measure(measure_id="b", stores=[""]))
    assert [field for field, _ in found] == [
        "segment.measures[0].measure_id",
        "segment.measures[0].last_days",
        "segment.measures[1].stores[0]",
    ]
    segments.save("all", "true")
    segments.save("nobody", "false")
    member = shop.member()
    assert segments.members("all") == [member]
    assert segments.members("nobody") == []
    with failing("INVALID_FIELD") as found:
        segments.put("nobody", [member, f"members/{new_id()}"])
    assert [field for field, _ in found] == ["add[1]"]
    listed = shop.crm.ListSegments(ListSegmentsRequest(program=shop.program, page_size=1), **segments.options)
    assert listed.segments[0].segment.name == segments.name("all")
    rest = ListSegmentsRequest(program=shop.program, page_token=listed.next_page_token)
    assert [one.segment.name for one in shop.crm.ListSegments(rest, **segments.options).segments] == [
        segments.name("nobody")
    ]


def test_a_page_token_is_of_one_list(open_shop: OpenShop) -> None:
    """That of another segment's members, or of another program's segments, is refused."""
    shop, other = open_shop(program()), open_shop(program())
    segments = Segments(shop)
    segments.save("all", "true")
    segments.save("listed")
    segments.put("listed", [shop.member(), shop.member()])
    segments.get("all"), segments.get("listed")
    members = ListSegmentMembersRequest(name=segments.name("listed"), page_size=1)
    listed = ListSegmentsRequest(program=shop.program, page_size=1)
    members.page_token = shop.crm.ListSegmentMembers(members, **segments.options).next_page_token
    listed.page_token = shop.crm.ListSegments(listed, **segments.options).next_page_token
    assert len(shop.crm.ListSegmentMembers(members, **segments.options).members) == 1
    assert len(shop.crm.ListSegments(listed, **segments.options).segments) == 1
    members.name, listed.program = segments.name("all"), other.program
    with failing("INVALID_FIELD") as found:
        shop.crm.ListSegmentMembers(members, **segments.options)
    assert [field for field, _ in found] == ["page_token"]
    with failing("INVALID_FIELD") as found:
        shop.crm.ListSegments(listed, **segments.options)
    assert [field for field, _ in found] == ["page_token"]


def test_a_segment_is_there_once_it_is_saved(open_shop: OpenShop) -> None:
    """Whoever asks for it at once is not told that it does not exist."""
    shop = open_shop(program())
    segments = Segments(shop)
    for number in range(5):
        segments.save(f"s{number}", "true")
        request = GetSegmentRequest(name=segments.name(f"s{number}"))
        assert shop.crm.GetSegment(request, **segments.options).segment.segment.expression == "true"
    segments.save("last", "sales > 0")
    last = ListSegmentMembersRequest(name=segments.name("last"))
    assert not shop.crm.ListSegmentMembers(last, **segments.options).members


def test_members_of_a_segment_are_those_of_the_position(open_shop: OpenShop) -> None:
    """Also where they are listed as members of the program: the segmenter's work is waited for."""
    shop = open_shop(program())
    Segments(shop).save("buyers", "sales > 0")
    for number in range(1, 4):
        shop.sale(shop.member(), 1_00)
        assert len(listed(shop, segment="buyers")) == number


def test_an_erased_member_changes_no_answer(open_shop: OpenShop) -> None:
    """A list that was sent before is answered as it was; an explanation says that there is nobody to explain."""
    shop = open_shop(program())
    segments = Segments(shop)
    segments.save("list")
    external = Identifier(type=IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID, value="crm-1", program=shop.program)
    member, other = shop.enroll([external]).member, shop.member()
    asked = [
        SetSegmentMembersRequest(name=segments.name("list"), add=[member, other]),
        SetSegmentMembersRequest(name=segments.name("list"), add_external_ids=["crm-1"], remove=[other]),
    ]
    for request in asked:
        request.request_id = new_id()
        request.origin.CopyFrom(shop.origin())
    first = [shop.crm.SetSegmentMembers(request, **segments.options).outcome for request in asked]
    erase(shop, member)
    for request, outcome in zip(asked, first, strict=True):
        again = shop.crm.SetSegmentMembers(request, **segments.options).outcome
        assert again.replayed
        assert again.transaction == outcome.transaction
    del asked[1].remove[:]
    with failing("REQUEST_ID_REUSED"):
        shop.crm.SetSegmentMembers(asked[1], **segments.options)
    assert segments.members("list") == []
    with failing("MEMBER_ERASED"):
        segments.explain("list", member)


def test_an_external_id_that_moved_changes_no_answer(open_shop: OpenShop) -> None:
    """A list that is sent again means who had the id when it was sent first; one with more ids is another list."""
    shop = open_shop(program())
    segments = Segments(shop)
    segments.save("list")
    ids = [
        Identifier(type=IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID, value=f"crm-{number}", program=shop.program)
        for number in range(3)
    ]
    first, second = shop.enroll(ids[:2]).member, shop.enroll(ids[2:]).member
    request = SetSegmentMembersRequest(name=segments.name("list"), request_id=new_id(), origin=shop.origin())
    request.add_external_ids.extend(one.value for one in ids)
    once = shop.crm.SetSegmentMembers(request, **segments.options).outcome
    update(shop, first, remove_identifiers=ids[:1])
    shop.enroll(ids[:1])
    again = shop.crm.SetSegmentMembers(request, **segments.options).outcome
    assert (again.replayed, again.transaction) == (True, once.transaction)
    assert set(segments.members("list")) == {first, second}
    del request.add_external_ids[1:]
    with failing("REQUEST_ID_REUSED"):
        shop.crm.SetSegmentMembers(request, **segments.options)


def test_preview_and_explanation(open_shop: OpenShop) -> None:
    """The size before saving, with a sample and what cannot be evaluated; why a member is in, clause by clause."""
    shop = open_shop(program())
    segments = Segments(shop)
    shopper, idle = shop.member(), shop.member()
    shop.sale(shopper, 5_000)
    expression = '(sales > 0 && here.spent_minor >= 5000) || tier == "gold"'
    segments.save("some", expression, IN_STORE_1)
    assert segments.members("some") == [shopper]
    preview = segments.preview(expression, IN_STORE_1, sample_size=1)
    assert (preview.member_count, preview.total_count, list(preview.sample)) == (1, 2, [shopper])
    unknown = segments.preview("average_basket_minor > 1")
    assert (unknown.member_count, unknown.failed_count) == (1, 1)
    assert "TypeError" in unknown.error

    explained = segments.explain("some", shopper)
    assert explained.is_member
    assert explained.holds
    both, gold = explained.clause.clauses
    assert (explained.clause.operator, both.operator, gold.holds) == ("or", "and", False)
    assert [(fact.name, fact.value) for clause in both.clauses for fact in clause.facts] == [
        ("sales", "1"),
        ("here.spent_minor", "5000"),
    ]
    assert not segments.explain("some", idle).holds
    with failing("MEMBER_NOT_FOUND"):
        segments.explain("some", f"members/{new_id()}")
    for member in (shopper, idle):
        prove(shop, member)


def test_previews_beyond_those_that_wait_are_refused(open_shop: OpenShop, server: ServerProcess) -> None:
    """With a delay to retry after; tills are answered meanwhile, and previews again afterwards."""
    shop = open_shop(program())
    segments = Segments(shop)
    member = shop.member()
    request = PreviewSegmentRequest(segment=segments.segment("some", "sales > 0"))
    with psycopg.connect(server.database_url) as connection:
        connection.execute("LOCK TABLE sales_1.sales_members")  # no preview comes to an end
        asked = [
            shop.crm.PreviewSegment.future(request, metadata=shop.metadata, timeout=2.0)
            for _ in range(PREVIEWS_MAX * 4)
        ]
        assert shop.sale(member, 1_000).outcome.transaction
        refused = [one for one in asked if one.code() == grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert len(refused) >= 2 * PREVIEWS_MAX
    error = refused[0].exception()
    assert isinstance(error, grpc.RpcError)
    details = Details(error)
    assert (details.reason, details.retry.retry_delay.ToMilliseconds() > 0) == ("OVERLOADED", True)
    until = time.monotonic() + TIMEOUT_S
    while (found := call_of(shop, request)) is None:  # those whose callers have gone are still in hand
        assert time.monotonic() < until
    assert found.member_count == 1


def call_of(shop: Shop, request: PreviewSegmentRequest) -> PreviewSegmentResponse | None:
    """A preview, or None where there are too many."""
    try:
        return shop.crm.PreviewSegment(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        if Details(error).reason != "OVERLOADED":
            raise
        time.sleep(0.05)
        return None


def test_crm_finds_out_no_sensitive_attribute(open_shop: OpenShop, server: ServerProcess) -> None:
    """Neither by a preview, nor by a segment of its own, nor by the explanation of a manager's; each is noted."""
    definition = program()
    definition.attributes.extend([attribute("diet", is_sensitive=True), attribute("children", "integer")])
    shop = open_shop(definition)
    member = shop.enroll(profile=Profile(given_name="Asha")).member
    update(shop, member, attributes={"diet": "coeliac", "children": "2"})
    crm = Shop(shop.channel, token(server.database_url, "crm"))
    crm.program = shop.program
    segments, of_crm = Segments(shop), Segments(crm)
    sought = 'attributes.diet == "coeliac"'
    for ask in (of_crm.preview, lambda expression: of_crm.save("diet", expression)):
        with failing("INVALID_FIELD") as found:
            ask(sought)
        assert found == [("segment.expression", "the attribute 'diet' is sensitive: a manager must do it")]
    segments.save("diet", f"{sought} || attributes.children > 5")
    segments.save("secret", f"{sought} && sales == 0")
    of_crm.save("children", "attributes.children > 1")
    assert segments.members("diet") == segments.members("children") == [member]

    def shown(of: Segments, segment_id: str) -> dict[str, str]:
        clause = of.explain(segment_id, member).clause
        return {fact.name: fact.value for part in (clause, *clause.clauses) for fact in part.facts}

    assert shown(segments, "diet") == {"attributes.diet": '"coeliac"', "attributes.children": "2"}
    assert shown(of_crm, "diet") == {"attributes.diet": "", "attributes.children": "2"}
    assert shown(of_crm, "children") == {"attributes.children": "2"}
    assert shown(of_crm, "secret") == {"attributes.diet": "", "sales": "0"}
    reads = wait_for(shop, 4, member=member, kind=AuditKind.AUDIT_KIND_READ)
    assert sum(one.entry.count for one in reads) == 4
    assert {one.entry.method for one in reads} == {"loyalty.v1.CrmService/ExplainSegment"}


def test_a_segment_that_the_rules_name_stays(open_shop: OpenShop) -> None:
    """Its deletion is refused as long as an expression of the program has its id.

    A retry changes nothing and is answered as before, also when the program does not know an attribute of it any more.
    """
    rule = EarningRule(rule_id="vip", spend=SpendRule(points=1, per_minor=100))
    rule.conditions.expression = '"segments" != "" && "vip" != ""'
    shop = open_shop(Program(earning_rules=[rule], attributes=[attribute("children", "integer")]))
    segments = Segments(shop)
    request_id = new_id()
    once = segments.save("vip", "attributes.children > 3", request_id=request_id)
    shop.publish(Program(earning_rules=[rule]))
    again = segments.save("vip", "attributes.children > 3", request_id=request_id)
    assert again.outcome.replayed
    assert again.segment == once.segment
    with failing("REQUEST_ID_REUSED"):
        segments.save("vip", "sales > 4", request_id=request_id)
    with failing("SEGMENT_IN_USE"):
        segments.delete("vip")
    assert segments.get("vip").segment.version == 1
