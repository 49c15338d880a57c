"""M8: erasure. No table, view, export, log line or feed holds the person; points and proofs stay as they were."""

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from time import time_ns
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.consent_pb2 import ErasureReason, RetentionPolicy
from loyalty.v1.crm_service_pb2 import ListStatementEntriesRequest, WatchChangesRequest
from loyalty.v1.feedback_results_pb2 import CreateFeedbackLinkRequest, SubmitFeedbackRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType, Profile
from loyalty.v1.person_pb2 import ListConsentsRequest
from loyalty.v1.pos_service_pb2 import GetBalanceRequest, LookupMemberRequest
from psycopg.errors import UniqueViolation

from ledger.cli.retention import run
from ledger.domain.instant import DAY
from ledger.export.export import Order
from ledger.export.export import export as export_to
from ledger.proof.verify import verify_export
from ledger.store.archive import NO_ARCHIVE
from ledger.store.arrays import register_arrays
from ledger.store.personal import NewPerson, PersonalWrites
from projections.check import check
from tests import people
from tests.commands import loyalty
from tests.conftest import OpenShop
from tests.members.known import attribute, get, update
from tests.members.known import search as search_members
from tests.people import erase, gives, record_consents, say
from tests.programs import cashback, discount, program, rolling, spend, voucher
from tests.proof import fold, prove
from tests.rights import entitlements_of, vouchers_of
from tests.running import Databases, ServerProcess, free_address, running, token
from tests.search import Search
from tests.shop import TIMEOUT_S, Shop, line, new_id, refused
from tests.trail import wait_for

GONE = grpc.StatusCode.FAILED_PRECONDITION
MISSING = grpc.StatusCode.NOT_FOUND

GIVEN, FAMILY = "Žofie-Quendolin", "Brrmpftová"
CARD, PHONE, E164 = "PERSON-CARD-7712345", "030 98765432", "+493098765432"
EMAIL, EXTERNAL, QR = "Zofie.Brrmpft@Example-Mail.test", "crm-ext-Zx81Qy", "qr-secret-98zyxWvu"
TEXT = "Der Kaffee schmeckt wie bei Oma Brrmpfta in Xanadu."
"""Nobody else in any test is like that."""


def identifier(kind: str, value: str) -> Identifier:
    """An identifier of that kind."""
    return Identifier(type=IdentifierType.Value(f"IDENTIFIER_TYPE_{kind}"), value=value)


ATTRIBUTE = "Xwq-size 47 3/8"

IDENTIFIERS = [
    identifier("CARD", CARD),
    identifier("PHONE", PHONE),
    identifier("EMAIL", EMAIL),
    identifier("EXTERNAL_ID", EXTERNAL),
    identifier("QR_TOKEN", QR),
]


class Site:
    """A server of our own that logs all it can, with the shop in it and what it lets out of the house."""

    def __init__(self, server: ServerProcess, metrics: str, log: Path) -> None:
        self.server, self.metrics, self.log = server, metrics, log
        self.url = server.database_url
        definition = program(
            spend(),
            rewards=[cashback(), discount(5), voucher()],
            consents=[people.purpose()],
            attributes=[attribute("size")],
        )
        self.channel = server.channel()
        self.shop = Shop(self.channel, token(self.url), definition)

    def feed(self) -> list[bytes]:
        """Everything that WatchChanges says, snapshot and tail."""
        head, said = self.shop.head(), []
        call = self.shop.crm.WatchChanges(WatchChangesRequest(), metadata=self.shop.metadata, timeout=TIMEOUT_S)
        for message in call:
            said.append(message.SerializeToString())
            said.append(str(message).encode())
            if message.position >= head:
                break
        call.cancel()
        return said

    def told(self) -> list[bytes]:
        """What else the service says and leaves behind: the feed, the log of events, the audit trail, metrics, logs."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics") as page:
            metrics = page.read()
        events = [event.SerializeToString() for event in self.shop.events("")]
        trail = [entry.SerializeToString() for entry in wait_for(self.shop, 1)]
        return [*self.feed(), *events, *trail, metrics, self.log.read_bytes()]

    def exports(self, folder: Path) -> Path:
        """Exports of everything, in all formats."""
        with psycopg.connect(self.url) as connection:
            views = connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'views'::regnamespace AND relkind = 'v'"
            ).fetchall()
        for what in ("events", *(name for (name,) in views)):
            export_to(self.url, folder / what, Order(what, "jsonl"), now=1)
        for kind in ("csv", "parquet"):
            export_to(self.url, folder / f"statements-{kind}", Order("statements", kind), now=1)
        export_to(self.url, folder / "events-csv", Order("events", "csv"), now=1)
        return folder


@pytest.fixture(scope="module")
def site(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server of our own."""
    metrics, log = free_address(), tmp_path_factory.mktemp("log") / "server.log"
    server = ServerProcess(
        databases.url(databases.create()), LOYALTY_METRICS_ADDRESS=metrics, LOYALTY_LOG_LEVEL="debug"
    )
    with log.open("wb") as server.log, server:
        site = Site(server, metrics, log)
        yield site
        site.channel.close()


def enrolment(shop: Shop, request_id: str = "") -> c.EnrollMemberRequest:
    """The person joins."""
    return c.EnrollMemberRequest(
        request_id=request_id or new_id(),
        origin=shop.origin("2026-01-05T10:00"),
        program=shop.program,
        identifiers=IDENTIFIERS,
        profile=Profile(given_name=GIVEN, family_name=FAMILY, language_code="hi"),
        consents=[gives()],
    )


def live(shop: Shop, joined: c.EnrollMemberRequest) -> tuple[str, list[str]]:
    """The person does all that a member can do, right and wrong; returns their name and secrets they were given."""
    (first,) = shop.batch(joined)
    member = first.enroll_member.member
    card, phone, email, external, qr = (shop.here(one) for one in IDENTIFIERS)
    for one in (card, phone, email, external, qr):
        lookup = LookupMemberRequest(identifier=one)
        assert shop.pos.LookupMember(lookup, metadata=shop.metadata, timeout=TIMEOUT_S).masked_name.startswith("Ž")
        shop.pos.GetBalance(GetBalanceRequest(identifier=one), metadata=shop.metadata, timeout=TIMEOUT_S)
    sale = shop.sale(card, [line(100_00, "tea"), line(50_00, "pot")], till=1)
    shop.quote(phone, 10_00)
    shop.batch(shop.sale_request(email, 20_00), shop.sale_request(qr, 1_00, holds=[f"{member}/holds/{new_id()}"]))
    shop.give_back(sale.outcome.transaction, ["2"])
    hold = shop.reserve(member, "voucher").hold
    code = shop.commit(hold).redemption.vouchers[0].code
    bought = shop.commit(shop.reserve(member, "voucher").hold).redemption.vouchers[0].code
    shop.sale(external, 30_00, voucher_codes=[bought])
    with refused("INSUFFICIENT_POINTS"):
        request = c.ReserveRewardRequest(request_id=new_id(), origin=shop.origin(), reward_id="cashback", quantity=1000)
        request.identifier.CopyFrom(email)
        shop.pos.ReserveReward(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        shop.sale(identifier("EMAIL", f"{EMAIL} oops"), 1_00)
    with refused("MEMBER_NOT_FOUND", MISSING):
        shop.sale(Identifier(type=phone.type, value=f"{PHONE}9", program=shop.program), 1_00)
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.INVALID_ARGUMENT):
        other = enrolment(shop, joined.request_id)
        other.profile.family_name = f"{FAMILY}-X"
        shop.pos.EnrollMember(other, metadata=shop.metadata, timeout=TIMEOUT_S)
    assert shop.enroll([card]).existed
    update(shop, member, attributes={"size": ATTRIBUTE})
    assert search_members(shop, name_prefix=GIVEN)[0].member == member
    assert get(shop, member).personal.profile.family_name == FAMILY
    record_consents(shop, phone, people.withdraws(channel="SMS"))
    assert say(shop, member, sale.outcome.transaction, rating=2, text=TEXT, language_code="hi").outcome.position
    link = CreateFeedbackLinkRequest(transaction=sale.outcome.transaction)
    link_token = shop.crm.CreateFeedbackLink(link, metadata=shop.metadata, timeout=TIMEOUT_S).token
    said = SubmitFeedbackRequest(request_id=new_id(), origin=shop.origin(), token=link_token, sku="tea", text=TEXT)
    shop.crm.SubmitFeedback(said, metadata=shop.metadata, timeout=TIMEOUT_S)
    assert people.said(shop, member=member)[0].feedback_text == TEXT
    exported = json.loads(people.export(shop, member))
    (person,) = exported["profile"]["members"]
    assert (person["given_name"], person["family_name"], person["language_code"]) == (GIVEN, FAMILY, "hi")
    assert [(one["attribute"], one["value"]) for one in exported["profile"]["attributes"]] == [("size", ATTRIBUTE)]
    assert {(one["type"], one["value"]) for one in exported["profile"]["identifiers"]} == {
        ("CARD", CARD),
        ("PHONE", E164),
        ("EMAIL", EMAIL.lower()),
        ("EXTERNAL_ID", EXTERNAL),
        ("QR_TOKEN", QR),
    }
    assert {TEXT} == {one["feedback_text"] for one in exported["profile"]["feedback_texts"]}
    assert {one["purpose"] for one in exported["views"]["consents"]} == {"marketing"}
    assert [event["member_enrolled"]["program"] for event in exported["events"][:1]] == [shop.program]
    assert [line["sku"] for line in exported["events"][2]["sale_recorded"]["request"]["sale"]["lines"]] == [
        "tea",
        "pot",
    ]
    for view in ("balances", "statements", "tiers", "vouchers", "feedback"):
        assert exported["views"][view]
    return member, [code, bought, link_token]


def test_m8_nobody_is_left(site: Site, databases: Databases, tmp_path: Path) -> None:
    """Before erasure the person is in the profile store only, after it nowhere: a search of everything says so."""
    shop = site.shop
    joined = enrolment(shop)
    member, secrets = live(shop, joined)
    search = Search(GIVEN, FAMILY, CARD, PHONE, E164, EMAIL, EXTERNAL, QR, TEXT, ATTRIBUTE, "Brrmpft", *secrets)
    found = search.in_database(site.url)
    assert set().union(*found.values()) >= {GIVEN, FAMILY, CARD, E164, EMAIL, EXTERNAL, QR, TEXT, ATTRIBUTE}
    assert {name for name in found if not name.startswith("profile.")} == {"public.voucher_codes"}
    assert search.in_texts(site.told()) == set()
    assert search.in_files(site.exports(tmp_path / "before")) == {}

    balance, events = prove(shop, member), shop.events(member)
    erase(shop, member)
    assert search.in_database(site.url) == {}
    assert search.in_texts(site.told()) == set()
    assert search.in_files(site.exports(tmp_path / "after")) == {}
    assert search.in_bytes((databases.postgres.data_dir / "server.log").read_bytes()) == set()

    after = prove(shop, member)
    assert (after.available_points, after.pending_points, after.held_points) == (
        balance.available_points,
        balance.pending_points,
        balance.held_points,
    )
    assert shop.events(member)[: len(events)] == events
    assert verify_export(tmp_path / "after" / "events", [], [], 1).ok
    assert check(site.url).ok
    erase(shop, comes_back(shop, member, joined))

    assert search.in_files(data_files(site.url, databases)), "rows that are gone leave their bytes"
    loyalty("retention", "--apply", LOYALTY_DATABASE_URL=site.url)
    assert search.in_files(data_files(site.url, databases)) == {}


def data_files(url: str, databases: Databases) -> Path:
    """The folder of a database's files, as they are on disk."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row: Any = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    return databases.postgres.data_dir / "data" / "base" / str(row[0])


def comes_back(shop: Shop, member: str, joined: c.EnrollMemberRequest) -> str:
    """Nothing brings the erased member back; the person can join anew, as another member."""
    again = shop.pos.EnrollMember(joined, metadata=shop.metadata, timeout=TIMEOUT_S)
    assert (again.member, again.outcome.replayed) == (member, True)
    head = shop.head()
    for one in map(shop.here, IDENTIFIERS):
        with refused("MEMBER_NOT_FOUND", MISSING):
            shop.pos.LookupMember(LookupMemberRequest(identifier=one), metadata=shop.metadata, timeout=TIMEOUT_S)
        with refused("MEMBER_NOT_FOUND", MISSING):
            shop.sale(one, 10_00)
    for call in (
        lambda: shop.sale(member, 10_00),
        lambda: shop.reserve(member, "discount"),
        lambda: shop.adjust(member, 1),
        lambda: record_consents(shop, member, gives()),
        lambda: say(shop, member, (shop.store, "2026-01-05"), rating=1, at="2026-01-06"),
        lambda: people.export(shop, member),
        lambda: erase(shop, member),
    ):
        with refused("MEMBER_ERASED", GONE):
            call()
    assert people.consents(shop, member).held == []
    assert not shop.written(head)
    back = shop.enroll(IDENTIFIERS, profile=joined.profile)
    assert not back.existed
    assert back.member != member
    assert shop.sale(shop.here(IDENTIFIERS[0]), 10_00).outcome.member == back.member
    assert shop.balance(back.member).available_points == 10
    return back.member


def test_retries_after_erasure(open_shop: OpenShop) -> None:
    """What was acknowledged is answered as it was, though nobody knows any more whose the card was, or has it again."""
    shop = open_shop(program(consents=[people.purpose()]))
    card = identifier("CARD", f"E-{new_id()[:20]}")
    member = shop.enroll([card]).member
    sale = shop.sale_request(shop.here(card), 10_00, at="2026-01-01T10:00")
    first = shop.record(sale)
    request_id = new_id()
    erased = erase(shop, member, request_id=request_id, at="2026-01-02T10:00")
    with refused("MEMBER_ERASED", GONE, erased_at="2026-01-02T10:00:00Z"):
        erase(shop, member)
    again = erase(shop, member, request_id=request_id, at="2026-01-02T10:00")
    assert (again.outcome.replayed, again.outcome.position) == (True, erased.outcome.position)
    for _ in range(2):
        retried = shop.record(
            shop.sale_request(shop.here(card), 10_00, at="2026-01-01T10:00", request_id=sale.request_id)
        )
        assert (retried.outcome.replayed, retried.outcome.position) == (True, first.outcome.position)
        shop.enroll([card])
    prove(shop, member)


def test_only_if_nothing_happened_since(open_shop: OpenShop) -> None:
    """Whoever decided on what they saw is told when it is not so any more."""
    shop = open_shop(program())
    member = shop.member()
    shop.sale(member, 10_00)
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED, etag='"v2"'):
        erase(shop, member, etag='"v1"')
    erase(shop, member, "OTHER", etag='"v2"')


def test_points_expire_in_the_books(open_shop: OpenShop) -> None:
    """Nobody can spend an erased member's points; they are in the books until they expire, as everybody's."""
    shop = open_shop(program(expiry=rolling(days=30)))
    member = shop.member()
    shop.sale(member, 100_00)
    erase(shop, member)
    balance = prove(shop, member)
    assert balance.available_points == 100
    assert shop.balance(member, "2040-01-01").available_points == 0
    assert fold(shop, member).person.erased_at


def test_what_is_answered_about_the_erased(open_shop: OpenShop) -> None:
    """Whoever asks for the person is refused; the books answer about an account that is nobody's any more."""
    shop = open_shop(program(rewards=[voucher()]))
    member = shop.member()
    sale = shop.sale(member, 100_00)
    shop.commit(shop.reserve(member, "voucher").hold)
    issued = vouchers_of(shop, member)
    erase(shop, member)
    link = CreateFeedbackLinkRequest(transaction=sale.outcome.transaction)
    for call in (
        lambda: get(shop, member, position=shop.head()),
        lambda: people.export(shop, member),
        lambda: shop.crm.CreateFeedbackLink(link, metadata=shop.metadata, timeout=TIMEOUT_S),
    ):
        with refused("MEMBER_ERASED", GONE):
            call()
    assert vouchers_of(shop, member) == issued
    assert entitlements_of(shop, member) == []
    entries = ListStatementEntriesRequest(member=member)
    assert shop.crm.ListStatementEntries(entries, metadata=shop.metadata, timeout=TIMEOUT_S).entries
    assert shop.balance(member).available_points


def test_in_one_batch(site: Site) -> None:
    """Enrolments and erasures that go to the log together: who is erased is not written, who comes after is."""
    shop = site.shop
    cards = [identifier("CARD", f"B-{new_id()[:20]}") for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        first = [shop.enroll([card]).member for card in cards]
        erased = pool.map(lambda member: erase(shop, member), first)
        came = pool.map(lambda card: shop.enroll([card]), cards)
        list(erased)
        answers = list(came)
    for card, member, answer in zip(cards, first, answers, strict=True):
        assert answer.existed == (answer.member == member)
        lookup = LookupMemberRequest(identifier=shop.here(card))
        if answer.existed:
            with refused("MEMBER_NOT_FOUND", MISSING):
                shop.pos.LookupMember(lookup, metadata=shop.metadata, timeout=TIMEOUT_S)
        else:
            found = shop.pos.LookupMember(lookup, metadata=shop.metadata, timeout=TIMEOUT_S)
            assert found.member == answer.member


def test_another_server_knows_at_once(site: Site) -> None:
    """A server that has the member in its cache writes nothing for them once another one has erased them."""
    with running(site.url) as other, other.channel() as channel:
        there = Shop(channel, site.shop.metadata[0][1].removeprefix("Bearer "))
        there.program, there.store = site.shop.program, site.shop.store
        member = site.shop.member()
        there.sale(member, 10_00)
        erase(site.shop, member)
        with refused("MEMBER_ERASED", GONE):
            there.sale(member, 10_00)


def test_every_table_goes_with_the_member(database_url: str) -> None:
    """A table that somebody adds to the profile store refers to members, has an index for it, and leaves no samples."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = 'profile'::regnamespace AND c.relkind = 'r'"
        ).fetchall()
        assert len(tables) >= 5
        for oid, name in tables:
            if name != "members":
                cascade = connection.execute(
                    "SELECT count(*) FROM pg_constraint k JOIN pg_index i ON i.indrelid = k.conrelid"
                    " AND i.indkey[0] = k.conkey[1] WHERE k.conrelid = %s AND k.confrelid = 'profile.members'::regclass"
                    " AND k.confdeltype = 'c'",
                    (oid,),
                ).fetchone()
                assert cascade is not None
                assert cascade[0], f"profile.{name} must refer to profile.members ON DELETE CASCADE, with an index"
            sampled = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped"
                " AND attstattarget IS DISTINCT FROM 0",
                (oid,),
            ).fetchall()
            assert not sampled, f"CALL profile.keep_no_samples() where profile.{name} is made"


def test_lost_race_tells_nobody(database_url: str, databases: Databases) -> None:
    """Two servers enrol the same card at the same time: PostgreSQL's log does not say which card."""
    key = ("programs/p", 1, "RACE-CARD-5512")
    with psycopg.connect(database_url) as connection:
        register_arrays(connection)
        first, second = (
            NewPerson(uuid4(), uuid4(), "programs/p", [key], Profile(), c.EnrollMemberRequest()) for _ in range(2)
        )
        for person in (first, second):
            writes = PersonalWrites()
            writes.enrol(person)
            with pytest.raises(UniqueViolation) if person is second else nullcontext():
                writes.write(connection.cursor(), 1)
    assert b"RACE-CARD" not in (databases.postgres.data_dir / "server.log").read_bytes()


def test_retention(databases: Databases) -> None:
    """Who has not been there for so long is erased, old texts go; a dry run only counts."""
    url = databases.url(databases.create())
    with running(url) as server, server.channel() as channel:
        policy = RetentionPolicy(inactive_months=24, feedback_text_days=30)
        shop = Shop(channel, token(url), program(retention=policy))
        without = Shop(channel, token(url), program())
        card = identifier("CARD", "RETAINED-1")
        member, kept = shop.enroll([card]).member, without.member()
        say(shop, member, (shop.store, "2026-01-05"), text="Gut.", at="2026-01-06")
        now = time_ns() // 1_000
        assert [one[1:] for one in run(url, NO_ARCHIVE, now, apply=True)] == [(0, 0)]
        month, years = now + 32 * DAY, now + 740 * DAY
        assert [tuple(one) for one in run(url, NO_ARCHIVE, month, apply=False)] == [(shop.program, 0, 1)]
        assert people.said(shop)[0].feedback_text == "Gut."
        assert [one[1:] for one in run(url, NO_ARCHIVE, month, apply=True)] == [(0, 1)]
        assert (people.said(shop)[0].feedback_text, people.said(shop)[0].has_text) == ("", True)
        assert [one[1:] for one in run(url, NO_ARCHIVE, years, apply=False)] == [(1, 0)]
        assert [one[1:] for one in run(url, NO_ARCHIVE, years, apply=True)] == [(1, 0)]
        assert [one[1:] for one in run(url, NO_ARCHIVE, years, apply=True)] == []
        (event,) = shop.events(member, "MemberErased")
        assert event.member_erased.request.reason == ErasureReason.ERASURE_REASON_RETENTION
        assert event.member_erased.origin.credential.startswith("databaseRoles/")
        with refused("MEMBER_ERASED", GONE):
            shop.sale(member, 1_00)
        without.sale(kept, 1_00)


def test_reads_are_noted(open_shop: OpenShop) -> None:
    """Whoever has all that is known exported, or reads what members wrote, is in the audit trail; so is who erases."""
    shop = open_shop(program())
    member = shop.member()
    say(shop, member, (shop.store, "2026-01-05"), text="Gut.", at="2026-01-06")
    people.said(shop, member=member)
    people.export(shop, member)
    erase(shop, member)
    noted = wait_for(shop, 3, member=member)
    assert {one.entry.method.rpartition("/")[2] for one in noted} == {"ExportMember", "ListFeedback", "EraseMember"}
    assert all(one.entry.resource == member for one in noted)


def test_commands(site: Site) -> None:
    """`loyalty member export` prints the document, `loyalty retention` what it would do."""
    card = identifier("CARD", f"C-{new_id()[:20]}")
    member = site.shop.enroll([card]).member
    secret = site.shop.metadata[0][1].removeprefix("Bearer ")
    printed = loyalty("member", "export", member, "--address", site.server.address, "--token", secret)
    document = json.loads(printed)
    assert document["member"] == member
    assert [one["value"] for one in document["profile"]["identifiers"]] == [card.value]
    nobody = f"members/{new_id()}"
    refusal = loyalty("member", "export", nobody, "--address", site.server.address, "--token", secret, status=1)
    assert "NOT_FOUND" in refusal
    assert loyalty("retention", LOYALTY_DATABASE_URL=site.url) == "no program has rules of retention\n"
    assert json.loads(loyalty("retention", "--json", LOYALTY_DATABASE_URL=site.url)) == []
    assert "cannot be reached" in loyalty(
        "retention", "--apply", status=1, LOYALTY_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"
    )


def test_unknown_member(open_shop: OpenShop) -> None:
    """Of a member who is nobody there is nothing to tell or erase."""
    shop = open_shop(program())
    nobody = f"members/{new_id()}"
    for call in (
        lambda: erase(shop, nobody),
        lambda: people.export(shop, nobody),
        lambda: shop.crm.ListConsents(ListConsentsRequest(member=nobody), metadata=shop.metadata, timeout=TIMEOUT_S),
    ):
        with refused("MEMBER_NOT_FOUND", MISSING):
            call()
