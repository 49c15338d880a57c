"""Feedback: about a sale, a product, a reward or a visit; once each; by till, app or link; it may earn points."""

from typing import Any

import grpc
import psycopg
import pytest
from loyalty.v1.feedback_results_pb2 import (
    CreateFeedbackLinkRequest,
    ListFeedbackRequest,
    SubmitFeedbackRequest,
    SubmitFeedbackResponse,
)
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.program_pb2 import Store
from loyalty.v1.reward_pb2 import PriorityService

from ledger.domain.names import last_id
from ledger.store.feedback_links import LINKS_MAX
from tests import people
from tests.conftest import OpenShop
from tests.people import figures, say
from tests.programs import activity, discount, entitlement, limit, program, spend, tiers
from tests.proof import prove
from tests.running import ServerProcess, token
from tests.shop import TIMEOUT_S, Details, Shop, line, new_id, refused

REUSED = grpc.StatusCode.INVALID_ARGUMENT
MISSING = grpc.StatusCode.NOT_FOUND
BASKET = [line(40_00, "tea"), line(60_00, "pot")]


SOLD_AT = "2026-01-04T10:00"


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop that gives 20 points for feedback, twice a day, with tiers from 0 and 100 points."""
    rewards = [discount(5), entitlement("lounge", 5, priority_service=PriorityService(service="lounge"))]
    paid = activity(20, "feedback", limits=[limit("day", times=2)])
    return open_shop(program(spend(), paid, rewards=rewards, tiers=tiers(silver=0, gold=115)))


def test_of_a_sale_and_its_products(shop: Shop) -> None:
    """Once for the sale as a whole and once for each product; a product that was not sold cannot be praised."""
    member = shop.member()
    sale = shop.sale(member, BASKET).outcome.transaction
    first = say(shop, member, sale, rating=4, nps=9, text="Gut.\nGern wieder.")
    assert first.receipt.earned_points == 20
    assert [(award.rule, award.points) for award in first.awards] == [("activity", 20)]
    assert first.receipt.balance.available_points == 120
    assert first.receipt.tier.tier == "gold"
    assert "20 points" in " ".join(first.receipt.texts[0].lines)
    for sku, rating in (("tea", 1), ("pot", 5)):
        assert say(shop, member, sale, sku=sku, rating=rating).receipt.earned_points == 0
    for again in ({"rating": 5}, {"sku": "tea", "nps": 0}):
        with refused("FEEDBACK_GIVEN"):
            say(shop, member, sale, **again)
    with refused("FEEDBACK_NOT_POSSIBLE", why="the sale has no such product"):
        say(shop, member, sale, sku="cup", rating=5)
    later = shop.sale(member, BASKET, at="2026-03-02T12:00").outcome.transaction
    with refused("FEEDBACK_NOT_POSSIBLE", why="the transaction was on a later day"):
        say(shop, member, later, at="2026-03-01T12:00", rating=5)
    newest, middle, oldest = people.said(shop, page_size=2, member=member)
    assert (oldest.feedback_text, oldest.tier, oldest.rating, oldest.nps) == ("Gut.\nGern wieder.", "silver", 4, 9)
    assert (middle.sku, middle.tier, middle.HasField("nps")) == ("tea", "gold", False)
    assert (newest.sku, newest.about, newest.store) == ("pot", sale, shop.store)
    assert prove(shop, member).available_points == 220
    (recorded, *_) = shop.events(member, "FeedbackRecorded")
    assert recorded.feedback_recorded.has_text
    assert b"Gern" not in recorded.SerializeToString()
    explained = shop.explain(first.outcome.transaction)
    assert [award.points for award in explained.awards] == [20]
    assert explained.texts[1].lines[0].endswith("की राय।")


def test_it_earns_once_for_each_transaction_that_holds(shop: Shop) -> None:
    """Whichever of its products is rated first; within the limits of the rule; and never for what was reversed."""
    member = shop.member()
    sales = [shop.sale(member, BASKET).outcome.transaction for _ in range(4)]
    shop.reverse(sales[0])
    for said in ({}, {"sku": "tea"}):
        with refused("FEEDBACK_NOT_POSSIBLE", why="the transaction was reversed"):
            say(shop, member, sales[0], rating=5, **said)
    earned = [
        say(shop, member, sale, sku=sku, rating=5).receipt.earned_points
        for sale in sales[1:]
        for sku in ("pot", "tea", "")
    ]
    assert earned == [20, 0, 0, 20, 0, 0, 0, 0, 0]
    assert prove(shop, member).available_points == 340


def test_of_rewards_and_visits(shop: Shop) -> None:
    """A reward that was redeemed, an entitlement that was used, a day in a store; nothing else."""
    member = shop.member()
    sale = shop.sale(member, 50_00)
    redeemed = shop.commit(shop.reserve(member, "discount").hold).outcome.transaction
    lounge = shop.commit(shop.reserve(member, "lounge").hold)
    used = shop.use(lounge.redemption.entitlements[0]).outcome.transaction
    say(shop, member, redeemed, rating=2)
    say(shop, "", used, rating=5)
    with refused("FEEDBACK_GIVEN"):
        say(shop, member, used, rating=5)
    with refused("FEEDBACK_NOT_POSSIBLE", why="only a sale has products"):
        say(shop, member, lounge.outcome.transaction, rating=5, sku="tea")
    with refused("FEEDBACK_NOT_POSSIBLE", why="the transaction is a RewardReserved"):
        say(shop, member, shop.reserve(member, "discount").outcome.transaction, rating=5)
    say(shop, member, ("s-9", "2026-01-05"), nps=6, at="2026-02-05T10:00")
    say(shop, member, ("s-8", "2026-01-05"), nps=6, at="2026-02-05T10:00")
    with refused("FEEDBACK_GIVEN"):
        say(shop, member, ("s-9", "2026-01-05"), nps=7, at="2026-01-06T10:00")
    for day, at in (("2026-01-04", "2026-02-05T10:00"), ("2026-02-06", "2026-02-05T10:00")):
        with refused("FEEDBACK_NOT_POSSIBLE"):
            say(shop, member, ("s-9", day), nps=6, at=at)
    say(shop, member, ("s-9", "2026-02-06"), nps=6, at="2026-02-06T10:00")
    with refused("FEEDBACK_NOT_POSSIBLE"):
        say(shop, member, ("s-7", "2026-01-05"), nps=6, at="2026-01-06T10:00")  # too late to be compared
    keys = {"FEEDBACK_SUBJECT_REWARD": 2, "FEEDBACK_SUBJECT_VISIT": 3}
    assert {key: one.count for key, one in figures(shop, "SUBJECT").items()} == keys
    assert {one.reward_id for one in people.said(shop)} == {"discount", "lounge", ""}
    with refused("TRANSACTION_NOT_FOUND", MISSING):
        say(shop, shop.member(), sale.outcome.transaction, rating=1)
    with refused("TRANSACTION_NOT_FOUND", MISSING):
        say(shop, "", f"transactions/{new_id()}", rating=1)
    prove(shop, member)


def test_again(shop: Shop) -> None:
    """Sent again it answers the same (C2), with another text or rating it is refused, also at the same time."""
    member = shop.member()
    sale = shop.sale(member, 10_00, at=SOLD_AT).outcome.transaction
    request_id = new_id()
    same: dict[str, Any] = {"request_id": request_id, "at": "2026-01-05T10:00"}
    first = say(shop, member, sale, rating=4, text="Gut", **same)
    again = say(shop, member, sale, rating=4, text=" Gut ", **same)
    assert (again.outcome.replayed, again.outcome.position) == (True, first.outcome.position)
    assert again.receipt.texts == first.receipt.texts
    for field, changed in (("rating", {"rating": 5, "text": "Gut"}), ("text", {"rating": 4, "text": "Schlecht"})):
        with refused("REQUEST_ID_REUSED", REUSED, field=field):
            say(shop, member, sale, **changed, **same)
    with refused("REQUEST_ID_REUSED", REUSED, field="text"):
        say(shop, member, sale, rating=4, **same)
    assert len(people.said(shop)) == 1
    refusal = new_id()
    for _ in range(2):
        with refused("FEEDBACK_GIVEN", transaction=f"transactions/{refusal}"):
            say(shop, member, sale, rating=1, text="Doch nicht", request_id=refusal, at="2026-01-06T10:00")
    assert [one.feedback_text for one in people.said(shop)] == ["Gut"]
    assert prove(shop, member).available_points == 30


def submit(shop: Shop, link: str, request_id: str = "", **said: Any) -> SubmitFeedbackResponse:
    """Says something by a link."""
    origin = shop.origin("2026-01-05T10:00")
    origin.channel = Channel.CHANNEL_WEB
    request = SubmitFeedbackRequest(request_id=request_id or new_id(), origin=origin, token=link, **said)
    return shop.crm.SubmitFeedback(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def test_by_link(shop: Shop, server: ServerProcess) -> None:
    """Whoever has the link says something once, and gets the same answer again even when its time has run out."""
    member = shop.member()
    sale = shop.sale(member, BASKET, at=SOLD_AT).outcome.transaction
    request = CreateFeedbackLinkRequest(transaction=sale, valid_days=1)
    links = [shop.crm.CreateFeedbackLink(request, metadata=shop.metadata, timeout=TIMEOUT_S).token for _ in range(3)]
    request_id = new_id()
    assert submit(shop, links[0], request_id, nps=10).earned_points == 20
    with refused("FEEDBACK_GIVEN"):
        submit(shop, links[1], nps=1)
    assert submit(shop, links[1], sku="tea", nps=1).earned_points == 0
    with psycopg.connect(server.database_url) as connection:
        connection.execute("UPDATE profile.feedback_links SET expires_at = 1600000000000000")
    again = submit(shop, links[0], request_id, nps=10)
    assert (again.earned_points, again.replayed) == (20, True)
    with refused("FEEDBACK_LINK_EXPIRED", expires_at="2020-09-13T12:26:40Z"):
        submit(shop, links[2], sku="pot", nps=1)
    with refused("FEEDBACK_LINK_INVALID", MISSING):
        submit(shop, links[2][:-1], nps=1)
    assert {one.channel for one in people.said(shop, member=member)} == {Channel.CHANNEL_WEB}
    people.erase(shop, member)
    with refused("FEEDBACK_LINK_INVALID", MISSING):
        submit(shop, links[2], sku="pot", nps=1)
    with refused("MEMBER_ERASED"):
        shop.crm.CreateFeedbackLink(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    enrolled = shop.enroll().outcome.transaction
    with refused("FEEDBACK_NOT_POSSIBLE"):
        wrong = CreateFeedbackLinkRequest(transaction=enrolled)
        shop.crm.CreateFeedbackLink(wrong, metadata=shop.metadata, timeout=TIMEOUT_S)


def test_a_transaction_has_so_many_links(shop: Shop, server: ServerProcess) -> None:
    """Those that are too old do not count, nor those of another transaction."""
    member = shop.member()
    sale, other = (shop.sale(member, 1_00).outcome.transaction for _ in range(2))
    request = CreateFeedbackLinkRequest(transaction=sale)

    def made() -> int:
        calls = [shop.crm.CreateFeedbackLink.future(request, metadata=shop.metadata) for _ in range(LINKS_MAX + 1)]
        failures = [call.exception() for call in calls]
        assert [Details(error).reason for error in failures if error is not None] == ["FEEDBACK_NOT_POSSIBLE"]
        return sum(error is None for error in failures)

    assert made() == LINKS_MAX
    shop.crm.CreateFeedbackLink(CreateFeedbackLinkRequest(transaction=other), metadata=shop.metadata)
    with psycopg.connect(server.database_url) as connection:
        connection.execute(
            "UPDATE profile.feedback_links SET expires_at = 0 WHERE transaction_id = %s", (last_id(sale),)
        )
    assert made() == LINKS_MAX


def test_results(shop: Shop) -> None:
    """Counts, averages, distribution and net promoter score, by whatever they are asked for."""
    stars = [(5, 10), (4, 9), (4, 8), (1, 0), (2, 6)]
    for number, (rating, nps) in enumerate(stars):
        member = shop.member()
        shop.store = f"s-{number % 2}"
        sale = shop.sale(member, BASKET, at=f"2026-01-1{number}T23:30").outcome.transaction
        say(shop, member, sale, rating=rating, nps=nps, at=f"2026-01-1{number}T23:30")
        if number < 2:
            say(shop, member, sale, sku="tea", rating=3, text="Na ja", at=f"2026-01-1{number}T23:31")
    whole = figures(shop)[""]
    assert (whole.count, list(whole.rating_counts), whole.texts) == (7, [1, 1, 2, 2, 1], 2)
    assert whole.rating_average_thousandths == 3_143  # 22 / 7
    assert (whole.promoters, whole.passives, whole.detractors, whole.nps_thousandths) == (2, 1, 2, 0)
    products = figures(shop, "SKU")
    assert {sku: one.count for sku, one in products.items()} == {"": 5, "tea": 2}
    assert not products["tea"].HasField("nps_thousandths")
    by_store = figures(shop, "STORE", sku="")
    assert {store: one.count for store, one in by_store.items()} == {"s-0": 4, "s-1": 3}
    assert {day: one.count for day, one in figures(shop, "DAY", until_day="2026-01-12").items()} == {
        "2026-01-11": 2,  # half past midnight in Berlin
        "2026-01-12": 2,
    }
    assert {tier: one.count for tier, one in figures(shop, "TIER").items()} == {"silver": 5, "gold": 2}
    assert {key: one.count for key, one in figures(shop, "CHANNEL").items()} == {"CHANNEL_STORE": 7}
    assert figures(shop, store="s-9") == {}
    assert figures(shop, tier="gold", from_day="2026-01-12")[""].rating_counts[2] == 1
    bad = figures(shop, "STORE", channel=Channel.CHANNEL_STORE, from_day="2026-01-14")
    assert bad["s-1"].nps_thousandths == -1_000


def test_who_may_read(shop: Shop, server: ServerProcess) -> None:
    """Texts are for those who look after members; a till learns none, and nobody those of another program."""
    member = shop.member()
    say(shop, member, ("s-1", "2026-01-05"), text="Gut", at="2026-01-06")
    for role in ("pos", "auditor"):
        other = Shop(shop.channel, token(server.database_url, role))
        other.program = shop.program
        with refused("NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
            request = ListFeedbackRequest(filter=people.asked(other))
            other.crm.ListFeedback(request, metadata=other.metadata, timeout=TIMEOUT_S)
    elsewhere = Shop(shop.channel, token(server.database_url, "crm", program="programs/elsewhere"))
    with refused("PROGRAM_NOT_FOUND", MISSING):
        request = ListFeedbackRequest(filter=people.asked(shop))
        elsewhere.crm.ListFeedback(request, metadata=elsewhere.metadata, timeout=TIMEOUT_S)
    with refused("TRANSACTION_NOT_FOUND", MISSING):
        sale = shop.sale(member, 1_00).outcome.transaction
        link = CreateFeedbackLinkRequest(transaction=sale)
        elsewhere.crm.CreateFeedbackLink(link, metadata=elsewhere.metadata, timeout=TIMEOUT_S)


def test_stores_of_the_program(open_shop: OpenShop) -> None:
    """A visit was to a store that the program has; its day is that of the store's clock."""
    shop = open_shop(program(stores=[Store(store_id="s-1"), Store(store_id="far", time_zone="Asia/Tokyo")]))
    member = shop.member()
    with refused("STORE_NOT_FOUND", MISSING):
        say(shop, member, ("s-2", "2026-01-05"), rating=1, at="2026-01-06")
    say(shop, member, ("far", "2026-01-06"), rating=1, at="2026-01-05T16:00")
    (one,) = people.said(shop)
    assert (one.day, one.store) == ("2026-01-06", "far")
