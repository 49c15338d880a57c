"""Consent: by purpose, way of contact and version of the text; withdrawn, it acts at once."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest
from loyalty.v1.commands_pb2 import EnrollMemberRequest
from loyalty.v1.consent_pb2 import RetentionPolicy
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.person_pb2 import ListConsentsRequest
from loyalty.v1.pos_service_pb2 import LookupMemberRequest

from ledger.domain.instant import from_timestamp, to_timestamp
from ledger.domain.names import last_id
from tests import people
from tests.conftest import OpenShop
from tests.people import gives, held, record_consents, withdraws
from tests.programs import program
from tests.proof import fold, prove
from tests.shop import TIMEOUT_S, Details, Shop, instant, new_id, refused

ALL = "ESAPC"


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop that asks for consent to marketing, in two versions of its text, and to profiling, for a year."""
    purposes = [people.purpose("marketing", 1, 2), people.purpose("profiling", renew_after_days=365)]
    return open_shop(program(consents=purposes))


def test_consents_at_the_till(shop: Shop) -> None:
    """A member consents while being enrolled; what was shown is kept, and one way of contact can be taken out."""
    request = EnrollMemberRequest(
        request_id=new_id(),
        origin=shop.origin("2026-01-05T10:00"),
        program=shop.program,
        consents=[gives("marketing", version=2), gives("profiling", "EMAIL")],
    )
    enrolled = shop.pos.EnrollMember(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    assert shop.pos.EnrollMember(request, metadata=shop.metadata, timeout=TIMEOUT_S).outcome.replayed
    member = enrolled.member
    assert held(shop, member, "2026-01-06") == {"marketing": ALL, "profiling": "E"}
    record_consents(shop, member, withdraws("marketing", "SMS"), gives("profiling", "POST"), at="2026-02-01T12:00")
    assert held(shop, member, "2026-01-31") == {"marketing": ALL, "profiling": "E"}
    assert held(shop, member, "2026-02-02") == {"marketing": "EAPC", "profiling": "EP"}
    record_consents(shop, member, withdraws("marketing"), at="2026-03-01T12:00")
    assert held(shop, member, "2026-03-01T11:59:59") == {"marketing": "EAPC", "profiling": "EP"}
    assert held(shop, member, "2026-03-01T12:00") == {"profiling": "EP"}
    newest, *_, first = people.consents(shop, member).decisions
    assert (newest.change, newest.store, newest.channel, newest.operator) == (
        withdraws("marketing"),
        shop.store,
        Channel.CHANNEL_STORE,
        "op-7",
    )
    assert first.change == gives("marketing", version=2)
    assert first.transaction == enrolled.outcome.transaction
    _prove_consents(shop, member)


def _prove_consents(shop: Shop, member: str) -> None:
    """The account and the view agree from the last decision on, to the instant at which consent runs out."""
    prove(shop, member)
    person = fold(shop, member).person
    answer = people.consents(shop, member)
    last = max(from_timestamp(one.at) for one in answer.decisions)
    ends = {from_timestamp(one.expires_at) for one in answer.decisions if one.HasField("expires_at")}
    for at in {last, *(at for end in ends for at in (end - 1, end) if at > last)}:
        request = ListConsentsRequest(member=member, as_of=to_timestamp(at))
        shown = shop.crm.ListConsents(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        ways = [(purpose, way) for purpose in ("marketing", "profiling") for way in range(2, 7)]
        assert {(one.purpose, one.channel) for one in shown.held} == {
            way for way in ways if person.consents_to(*way, at)
        }


def test_runs_out(shop: Shop) -> None:
    """Consent that has to be renewed holds through the last day, whether or not anything runs, and can be renewed."""
    member = shop.member()
    record_consents(shop, member, gives("profiling", "EMAIL"), at="2024-03-01T15:00")
    assert held(shop, member, "2025-03-01T22:59:59") == {"profiling": "E"}
    assert held(shop, member, "2025-03-01T23:00") == {}  # midnight in Berlin
    record_consents(shop, member, gives("profiling", "EMAIL"), at="2025-02-01T15:00")
    assert held(shop, member, "2025-03-02") == {"profiling": "E"}
    _prove_consents(shop, member)


def test_late(shop: Shop) -> None:
    """A till was offline: a consent that was given before a withdrawal does not undo it, whichever arrives first."""
    member = shop.member()
    record_consents(shop, member, withdraws("marketing", "SMS"), at="2026-02-02T10:00")
    record_consents(shop, member, gives("marketing"), at="2026-02-01T10:00")
    assert held(shop, member) == {"marketing": "EAPC"}
    record_consents(shop, member, withdraws("marketing"), at="2026-01-01T10:00")
    assert held(shop, member) == {"marketing": "EAPC"}
    record_consents(shop, member, gives("marketing", "SMS"), at="2026-02-02T10:00")  # the same instant: the later one
    assert held(shop, member) == {"marketing": ALL}
    _prove_consents(shop, member)


def test_a_fast_clock(shop: Shop) -> None:
    """A clock that is ahead, which is let pass, holds nothing back and wins over nothing that is decided after it."""

    def ahead(minutes: int) -> str:
        return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()

    member = shop.member()
    record_consents(shop, member, gives("marketing"), gives("profiling"), at=ahead(4))
    assert held(shop, member) == {"marketing": ALL, "profiling": ALL}
    record_consents(shop, member, withdraws("marketing"))
    assert held(shop, member) == held(shop, member, ahead(6)) == {"profiling": ALL}
    record_consents(shop, member, withdraws("profiling"), at=ahead(4))
    assert held(shop, member) == {}
    record_consents(shop, member, gives("marketing"))
    assert held(shop, member) == held(shop, member, ahead(6)) == {"marketing": ALL}
    _prove_consents(shop, member)
    people.erase(shop, member, at=ahead(4))
    assert held(shop, member) == {}


def test_unknown(shop: Shop) -> None:
    """What the program does not ask for cannot be given; what it does not ask for any more can be withdrawn."""
    member = shop.member()
    code = grpc.StatusCode.NOT_FOUND
    with refused("CONSENT_NOT_FOUND", code, purpose="sharing", text="join", version=1):
        record_consents(shop, member, gives("sharing"))
    with refused("CONSENT_NOT_FOUND", code, purpose="marketing", text="join", version=3):
        record_consents(shop, member, gives("marketing", version=3))
    with refused("CONSENT_NOT_FOUND", code, purpose="sharing"):
        record_consents(shop, member, withdraws("sharing"))
    with refused("CONSENT_NOT_FOUND", code):
        request = EnrollMemberRequest(
            request_id=new_id(), origin=shop.origin(), program=shop.program, consents=[gives("sharing")]
        )
        shop.pos.EnrollMember(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    assert shop.events(member) == shop.events(member, "MemberEnrolled")
    record_consents(shop, member, gives("marketing"))
    shop.publish(program(consents=[people.purpose("profiling")]))
    record_consents(shop, member, withdraws("marketing"))
    assert held(shop, member) == {}


def test_again(shop: Shop) -> None:
    """Sent again it changes nothing (C2); with another decision it is refused. A till may know only the card."""
    card = Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=f"77{last_id(new_id()).int % 10**10}")
    member = shop.enroll([card]).member
    request_id = new_id()
    first = record_consents(shop, shop.here(card), gives(), request_id=request_id, at="2026-01-01T10:00")
    again = record_consents(shop, shop.here(card), gives(), request_id=request_id, at="2026-01-01T10:00")
    assert again.outcome.replayed
    again.outcome.replayed = False
    assert again == first
    assert len(people.consents(shop, member).decisions) == 1
    lookup = LookupMemberRequest(identifier=shop.here(card), min_position=shop.head())
    shown = shop.pos.LookupMember(lookup, metadata=shop.metadata, timeout=TIMEOUT_S).consents
    assert [one.purpose for one in shown] == ["marketing"] * 5
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.INVALID_ARGUMENT, field="changes[0].given"):
        record_consents(shop, member, withdraws(), request_id=request_id, at="2026-01-01T10:00")


def test_bad_program(open_shop: OpenShop) -> None:
    """All that is wrong with purposes is named at once."""
    twice = people.purpose("marketing", 1, 1)
    silent = people.purpose("Profiling", renew_after_days=-1)
    silent.texts[0].text.hi = ""
    empty = people.purpose("offers")
    del empty.texts[:]
    with pytest.raises(grpc.RpcError) as caught:
        open_shop(program(consents=[twice, silent, empty], retention=RetentionPolicy(inactive_months=1)))
    assert Details(caught.value).fields == [
        "program.consents[1].purpose_id",
        "program.consents[0].texts[1]",
        "program.consents[1].texts[0].text.hi",
        "program.consents[1].renew_after_days",
        "program.consents[2].texts",
        "program.retention.inactive_months",
    ]


def test_pages(shop: Shop) -> None:
    """Decisions come in pages, the last first."""
    member = shop.member()
    for day in range(1, 6):
        record_consents(shop, member, gives() if day % 2 else withdraws(), at=f"2026-01-0{day}T10:00")
    first = people.consents(shop, member, page_size=3)
    second = people.consents(shop, member, page_size=3, page_token=first.next_page_token)
    decided = [*first.decisions, *second.decisions]
    assert [one.at for one in decided] == [instant(f"2026-01-0{day}T10:00") for day in (5, 4, 3, 2, 1)]
    assert second.next_page_token == ""
