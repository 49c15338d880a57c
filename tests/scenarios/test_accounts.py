"""Accounts: A6 of the scenario book, one member for each person."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from loyalty.v1.member_pb2 import Identifier, IdentifierType, Profile
from loyalty.v1.program_pb2 import DuplicateEnrolment

from tests.conftest import OpenShop
from tests.programs import program
from tests.proof import prove
from tests.shop import Shop, new_id, refused

ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS
REFUSE = DuplicateEnrolment.DUPLICATE_ENROLMENT_REFUSE


def card(value: str) -> Identifier:
    """A card."""
    return Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=value)


def phone(value: str) -> Identifier:
    """A phone number."""
    return Identifier(type=IdentifierType.IDENTIFIER_TYPE_PHONE, value=value)


def email(value: str) -> Identifier:
    """An e-mail address."""
    return Identifier(type=IdentifierType.IDENTIFIER_TYPE_EMAIL, value=value)


SAME_PERSON = [
    ("DE", email("Asha.Rao@example.com"), email("asha.rao@EXAMPLE.COM")),
    ("DE", email("grüße@example.com"), email("GRÜSSE@example.com")),
    ("DE", card("4000-1234"), card("4000-1234")),
    ("DE", card("4000-1234"), card(" 4000-1234 ")),
    ("DE", phone("030 901820"), phone("+49 30 901820")),
    ("DE", phone("+4930901820"), phone("(030) 90 18 20")),
    ("IN", phone("098765 43210"), phone("+91 98765-43210")),
    ("US", phone("(212) 555-0123"), phone("+1 212 555 0123")),
]


def sold(shop: Shop, identifier: Identifier) -> str:
    """The member to whom a sale for this identifier is booked."""
    return shop.sale(shop.here(identifier), 1_00).outcome.member


@pytest.mark.parametrize(("region", "first", "second"), SAME_PERSON)
def test_a6_existing_member(open_shop: OpenShop, region: str, first: Identifier, second: Identifier) -> None:
    """A second enrolment by e-mail, phone or card, however it is written, answers with the member who is there."""
    shop = open_shop(program(default_region=region))
    enrolled = shop.enroll([first, email("other@example.com")])
    assert not enrolled.existed
    shop.sale(enrolled.member, 5_00)
    again = shop.enroll([second])
    assert (again.member, again.existed) == (enrolled.member, True)
    assert again.receipt.balance.available_points == 5
    assert len(shop.events(enrolled.member, "MemberEnrolled")) == 1
    assert sold(shop, first) == sold(shop, second) == enrolled.member
    assert prove(shop, enrolled.member).available_points == 7


@pytest.mark.parametrize(("region", "first", "second"), SAME_PERSON)
def test_a6_refused(open_shop: OpenShop, region: str, first: Identifier, second: Identifier) -> None:
    """A program may refuse it instead; nothing is recorded and the first member stays as they are."""
    shop = open_shop(program(default_region=region, duplicate_enrolment=REFUSE))
    member = shop.enroll([first]).member
    head = shop.head()
    with refused("IDENTIFIER_TAKEN", ALREADY_EXISTS):
        shop.enroll([card("9999-0000"), second])
    assert shop.events("", "MemberEnrolled", after=head) == []
    assert sold(shop, second) == member
    fresh = shop.enroll([card("9999-0000")])
    assert (fresh.existed, fresh.member != member) == (False, True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (card("4000-1234"), card("4000-1235")),
        (card("12345678"), phone("+49 12345678")),
        (email("a@example.com"), email("a@example.org")),
        (phone("+49 30 901820"), phone("+49 30 901821")),
    ],
)
def test_a6_different_people(open_shop: OpenShop, first: Identifier, second: Identifier) -> None:
    """Other identifiers are other people, also when only the kind differs."""
    shop = open_shop(program())
    members = {shop.enroll([identifier]).member for identifier in (first, second)}
    assert len(members) == 2
    assert {sold(shop, first), sold(shop, second)} == members


def test_a6_two_members_in_one_enrolment(open_shop: OpenShop) -> None:
    """Identifiers of two members cannot be one new member, whatever the program says."""
    shop = open_shop(program())
    shop.enroll([card("4000-1234")])
    shop.enroll([email("a@example.com")])
    with refused("IDENTIFIER_TAKEN", ALREADY_EXISTS):
        shop.enroll([card("4000-1234"), email("a@example.com")])


def test_a6_each_program_has_its_own_members(open_shop: OpenShop) -> None:
    """A card enrolled in one program says nothing about another."""
    shops = [open_shop(program()) for _ in range(2)]
    members = {shop.enroll([card("4000-1234")]).member for shop in shops}
    assert len(members) == 2


def test_a6_the_same_identifier_twice(open_shop: OpenShop) -> None:
    """A till that sends the phone in both forms names one identifier, not two."""
    shop = open_shop(program())
    member = shop.enroll([phone("030 901820"), phone("+49 30 901820")]).member
    assert sold(shop, phone("030/901820")) == member


def _parallel(calls: list[Callable[[], str]]) -> list[str]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@pytest.mark.parametrize(("region", "first", "second"), SAME_PERSON[:1] + SAME_PERSON[3:5])
def test_a6_at_the_same_moment(open_shop: OpenShop, region: str, first: Identifier, second: Identifier) -> None:
    """Ten tills enrol one person at once: it is one member for all of them."""
    shop = open_shop(program(default_region=region))
    head = shop.head()

    def enroll(identifier: Identifier) -> Callable[[], str]:
        return lambda: shop.enroll([identifier]).member

    members = _parallel([enroll((first, second)[number % 2]) for number in range(10)])
    assert len(set(members)) == 1
    enrolled = shop.events("", "MemberEnrolled", after=head)
    assert members[0] in {event.subject for event in enrolled}
    mine = [event for event in enrolled if event.member_enrolled.program == shop.program]
    assert len(mine) == 1


def test_a6_sent_again(open_shop: OpenShop) -> None:
    """The same enrolment sent again is the same member and the first answer; with another name it is refused."""
    shop = open_shop(program(duplicate_enrolment=REFUSE))
    request_id, asha = new_id(), Profile(given_name="Asha", language_code="hi")
    first = shop.enroll([card("4000-1234")], profile=asha, request_id=request_id)
    again = shop.enroll([card("4000-1234")], profile=asha, request_id=request_id)
    assert again.outcome.replayed
    assert (again.member, again.existed) == (first.member, False)
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.INVALID_ARGUMENT, field="profile.given_name"):
        shop.enroll(
            [card("4000-1234")],
            profile=Profile(given_name="Usha", language_code="hi"),
            request_id=request_id,
        )


def test_a6_no_personal_data_in_events(open_shop: OpenShop) -> None:
    """What is known about the person is in the profile store; no event has it."""
    shop = open_shop(program())
    profile = Profile(given_name="Asha-Marker", family_name="Rao-Marker")
    identifiers = [card("MARKER-4000"), email("marker@example.com"), phone("+4930901820")]
    member = shop.enroll(identifiers, profile=profile).member
    assert sold(shop, card("MARKER-4000")) == member
    stored = b"".join(event.SerializeToString() for event in shop.events(member)).lower()
    for secret in (b"marker", b"4930901820"):
        assert secret not in stored
