"""Who may see and change what, what is noted of it, and what other servers make of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import pytest
from loyalty.v1.audit_trail_pb2 import AuditKind
from loyalty.v1.commands_pb2 import UpdateMemberRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.member_pb2 import Identifier, Profile
from loyalty.v1.profile_pb2 import MemberUpsert, UpsertState

from ledger.cli.connection import asked_to_wait_s
from ledger.store.credentials import Credentials, Role
from ledger.store.datastore import LedgerDatastore
from tests.conftest import OpenShop
from tests.members.known import attribute, changes, crm_member, get, identifier, search, update, upsert, values
from tests.programs import program, spend
from tests.proof import prove
from tests.running import Databases, ServerProcess, running, token
from tests.shop import TIMEOUT_S, Details, Shop, instant, new_id, refused
from tests.trail import wait_for

NO_MEMBER = ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DENIED = grpc.StatusCode.PERMISSION_DENIED
CRM = "loyalty.v1.CrmService"


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop whose program has attributes."""
    attributes = [attribute("diet", is_sensitive=True), attribute("children", "integer")]
    return open_shop(program(spend(), attributes=attributes))


def caller(shop: Shop, server: ServerProcess, role: Role, **bound: str) -> Shop:
    """Somebody else at the shop."""
    other = Shop(shop.channel, token(server.database_url, role, **bound))
    other.program = shop.program
    return other


def granted(server: ServerProcess) -> str:
    """The token of an auditor who was granted personal data."""
    datastore = LedgerDatastore(server.database_url)
    datastore.pool.open()
    try:
        return Credentials(datastore.pool).add("auditor", personal_data=True)
    finally:
        datastore.close()


def test_personal_data_by_role(shop: Shop, server: ServerProcess) -> None:
    """A manager sees it all, a CRM system no sensitive value, an auditor what was granted, a till nothing of it."""
    member = shop.enroll(profile=Profile(given_name="Asha")).member
    update(shop, member, attributes={"diet": "vegan", "children": "2"})
    position = shop.head()

    def seen(other: Shop, *, personal: bool = True) -> dict[str, str | None]:
        found = get(other, member, personal=personal, position=position).personal
        return {one.attribute_id: one.value if one.HasField("value") else None for one in found.attributes}

    assert seen(caller(shop, server, "manager")) == {"children": "2", "diet": "vegan"}
    assert seen(caller(shop, server, "crm", program=shop.program)) == {"children": "2", "diet": None}
    auditor = caller(shop, server, "auditor")
    assert seen(auditor, personal=False) == {}
    with refused("NOT_ALLOWED", DENIED):
        seen(auditor)
    with refused("NOT_ALLOWED", DENIED):
        search(auditor, name_prefix="as")
    assert seen(Shop(shop.channel, granted(server))) == {"children": "2", "diet": None}
    for call in (seen, lambda till: update(till, member), lambda till: search(till, name_prefix="as")):
        with refused("NOT_ALLOWED", DENIED):
            call(caller(shop, server, "pos", store="s-1", terminal="t-1", program=shop.program))
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        seen(caller(shop, server, "crm", program="programs/sample"))
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        update(caller(shop, server, "crm", program="programs/sample"), member)


def test_an_upsert_changes_members_of_its_program(shop: Shop, open_shop: OpenShop) -> None:
    """And of no other, whatever else the caller may change."""
    member, other = shop.member(), open_shop(program(spend()))
    head = shop.head()
    foreign = MemberUpsert(member=member, profile=Profile(given_name="Eve"))
    (result,) = upsert(other, foreign)
    assert (result.error.reason, result.member) == (NO_MEMBER, "")
    assert not changes(shop, head)
    assert [one.state for one in upsert(shop, foreign)] == [UpsertState.UPSERT_STATE_UPDATED]


def test_each_read_is_in_the_trail(shop: Shop) -> None:
    """With the members who were shown; a profile without the person is nobody's secret."""
    members = [shop.enroll(profile=Profile(given_name=f"Trail {index}")).member for index in range(2)]
    get(shop, members[0])
    get(shop, members[0], personal=False)
    assert len(search(shop, name_prefix="trail")) == len(members)
    found = wait_for(shop, 2, member=members[0], kind=AuditKind.AUDIT_KIND_READ)
    assert sorted((one.entry.method, one.entry.count) for one in found) == [
        (f"{CRM}/GetMember", 1),
        (f"{CRM}/SearchMembers", 1),
    ]
    (other,) = wait_for(shop, 1, member=members[1], kind=AuditKind.AUDIT_KIND_READ)
    assert other.entry.method == f"{CRM}/SearchMembers"


@pytest.fixture(scope="module")
def strict(databases: Databases) -> Iterator[ServerProcess]:
    """A server on which a credential may look up three times a minute."""
    with databases.fresh() as url, running(url, LOYALTY_RATE_LOOKUPS_PER_MINUTE="3") as process:
        yield process


@pytest.fixture
def strict_shop(strict: ServerProcess) -> Iterator[Shop]:
    """A shop there, with a credential of its own."""
    with strict.channel() as channel:
        yield Shop(channel, token(strict.database_url), program(spend(), attributes=[attribute("diet")]))


def test_searches_are_limited(strict_shop: Shop) -> None:
    """Nobody can try out all names."""
    for _ in range(3):
        assert search(strict_shop, name_prefix="ab") == []
    with refused("RATE_LIMITED", EXHAUSTED):
        search(strict_shop, name_prefix="ab")


def phones(first: int, count: int) -> list[Identifier]:
    """Different phone numbers."""
    return [identifier("phone", f"+493090182{number}") for number in range(first, first + count)]


def test_updates_by_phone_are_look_ups(strict_shop: Shop, strict: ServerProcess) -> None:
    """That change nothing: an update that is sent only to learn whose a number is counts, and is in the trail."""
    known = [strict_shop.enroll([phone]).member for phone in phones(10, 2)]
    crm = caller(strict_shop, strict, "crm")

    def probe(phone: Identifier, **fields: Any) -> str:
        request = UpdateMemberRequest(
            request_id=new_id(),
            origin=crm.origin(),
            identifier=crm.here(phone),
            source_time=instant("2026-01-01"),
            **fields,
        )
        return crm.crm.UpdateMember(request, metadata=crm.metadata, timeout=TIMEOUT_S).outcome.member

    assert [probe(phone) for phone in phones(10, 2)] == known
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        probe(phones(10, 1)[0], etag='"p9"')
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        update(crm, known[0], add_identifiers=[crm.here(phones(30, 1)[0])], attributes={"unknown": "1"})
    with refused("RATE_LIMITED", EXHAUSTED):
        probe(phones(10, 1)[0])
    for member in known:
        (noted,) = wait_for(strict_shop, 1, member=member, kind=AuditKind.AUDIT_KIND_READ)
        assert (noted.entry.method, noted.entry.count) == (f"{CRM}/UpdateMember", 1)


def test_upserts_that_tell_of_people_are_look_ups(strict_shop: Shop, strict: ServerProcess) -> None:
    """Whether a phone number is somebody's counts, with or without enrolment. External ids are free."""
    members = [strict_shop.enroll([identifier("external_id", f"e-{number}")]).member for number in range(5)]
    for phone in phones(20, 4):
        strict_shop.enroll([phone])
    crm = caller(strict_shop, strict, "crm")
    own = [crm_member(f"e-{number}") for number in range(5)]
    stranger, thief = (MemberUpsert(external_id=one, identifiers=phones(20, 1)) for one in ("e-9", "e-0"))
    wrong = MemberUpsert(external_id="e-1", identifiers=phones(40, 1), attributes=values(unknown="1"))
    for _ in range(2):
        assert [one.member for one in upsert(crm, *own, create=False)] == members
    nobody = upsert(crm, stranger, stranger, wrong, create=False)
    assert [one.error.reason for one in nobody] == [NO_MEMBER, NO_MEMBER, ErrorReason.ERROR_REASON_INVALID_FIELD]
    taken = upsert(crm, stranger, thief, stranger, thief)
    assert [one.error.reason for one in taken] == [ErrorReason.ERROR_REASON_IDENTIFIER_TAKEN] * 4
    with pytest.raises(grpc.RpcError) as limited:
        upsert(crm, thief)
    assert Details(limited.value).reason == "RATE_LIMITED"
    assert 0 < asked_to_wait_s(limited.value) <= 20  # which an import does, and goes on
    assert [one.member for one in upsert(crm, *own)] == members


def test_two_servers_change_one_member(shop: Shop, server: ServerProcess) -> None:
    """Each change is made on the one before it: versions count on without a gap, and one etag lets one change in.

    Whoever is faster, the later source has the last word.
    """
    member = shop.member()
    etag = get(shop, member).etag
    with running(server.database_url) as second, second.channel() as channel:
        other = Shop(channel, shop.metadata[0][1].removeprefix("Bearer "))
        other.program = shop.program
        shops = [shop, other]

        def change(index: int) -> int:
            updated = update(shops[index % 2], member, attributes={"children": str(index)})
            return updated.attributes[0].version

        def claim(index: int) -> str:
            try:
                return update(shops[index % 2], member, etag=etag, profile=Profile(given_name=f"N{index}")).etag
            except grpc.RpcError as error:
                return Details(error).reason

        card = shop.here(identifier("card", "4000-9"))

        def say(minute: int) -> None:
            """Adds the card, or takes it away; the last one adds it, which is no change where it is there."""
            change = {"add_identifiers": [card]} if minute % 2 else {"remove_identifiers": [card]}
            at = f"2026-01-01T00:{minute:02}"
            with suppress(grpc.RpcError):  # it may be there no more
                update(shops[minute % 2], member, source_time=at, **change)

        with ThreadPoolExecutor(8) as pool:
            claims = list(pool.map(claim, range(8)))
            versions = list(pool.map(change, range(16)))
            for first in range(0, 24, 4):
                list(pool.map(say, (first + 1, first + 2, first + 3)))
                assert card.value in [one.value for one in get(shop, member).personal.identifiers]
        assert sorted(versions) == list(range(1, 17))
        assert claims.count("ETAG_MISMATCH") == len(claims) - 1
        assert [one.state for one in upsert(other, crm_member("both", children="1"))] == [1]
        assert len(search(shop, identifier=identifier("external_id", "both"))) == 1
    prove(shop, member)
