"""Who did what: administrative actions, reads of personal data and refused attempts are in the log."""

from collections.abc import Sequence

import grpc
import pytest
from loyalty.v1 import audit_trail_pb2 as a
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.audit_trail_pb2 import AuditEntry, ListAuditEntriesRequest, ListedAuditEntry
from loyalty.v1.crm_service_pb2 import WatchChangesRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.pos_service_pb2 import (
    ExplainTransactionRequest,
    GetBalanceRequest,
    LookupMemberRequest,
    SubmitBatchRequest,
)

from ledger.store.credentials import Credentials, Role
from ledger.store.datastore import LedgerDatastore
from tests.conftest import OpenShop
from tests.programs import program
from tests.proof import prove
from tests.running import ServerProcess, token
from tests.shop import TIMEOUT_S, Shop, command, new_id, refused
from tests.trail import credential, entries, patiently, phone, wait_for

POS = "loyalty.v1.PosService"
LOOKUP = f"{POS}/LookupMember"
SALE = f"{POS}/RecordSale"
DENIED = grpc.StatusCode.PERMISSION_DENIED


def caller(server: ServerProcess, shop: Shop, role: Role, **bound: str) -> Shop:
    """Somebody else at the shop."""
    other = Shop(shop.channel, token(server.database_url, role, **bound))
    other.program = shop.program
    return other


def look_up(shop: Shop, request: LookupMemberRequest) -> str:
    """The member with an identifier."""
    return patiently(lambda: shop.pos.LookupMember(request, metadata=shop.metadata, timeout=TIMEOUT_S)).member


def only(found: Sequence[ListedAuditEntry]) -> AuditEntry:
    """The only one of them."""
    assert len(found) == 1, found
    return found[0].entry


def test_reads_of_personal_data(server: ServerProcess, open_shop: OpenShop) -> None:
    """Each look-up by identifier is in the trail: who, with which role, from where, whom. No personal data is."""
    shop = open_shop(program())
    number = phone()
    member = shop.enroll([number]).member
    till = caller(server, shop, "pos", store="s-9", terminal="t-9", program=shop.program)
    for _ in range(3):
        assert look_up(till, LookupMemberRequest(identifier=number)) == member
    by_number = GetBalanceRequest(identifier=number)
    till.pos.GetBalance(by_number, metadata=till.metadata, timeout=TIMEOUT_S)
    by_name = GetBalanceRequest(member=member)
    till.pos.GetBalance(by_name, metadata=till.metadata, timeout=TIMEOUT_S)
    till.store, till.terminal = "s-9", "t-9"
    assert till.enroll([number]).existed
    enrolment = command(c.EnrollMemberRequest(request_id=new_id(), program=shop.program, identifiers=[number]))
    batch = SubmitBatchRequest(commands=[enrolment])
    till.pos.SubmitBatch(batch, metadata=till.metadata, timeout=TIMEOUT_S)
    found = wait_for(shop, 6, member=member, kind=a.AUDIT_KIND_READ)
    assert sum(one.entry.count for one in found) == 6
    assert {one.entry.method for one in found} == {LOOKUP, f"{POS}/GetBalance", f"{POS}/EnrollMember"}
    for one in found:
        entry = one.entry
        assert entry.actor == credential(till)
        assert (entry.role, entry.store, entry.terminal) == ("pos", "s-9", "t-9")
        assert (entry.resource, entry.network, entry.reason) == (member, "127.0.0.0/24", 0)
        assert entry.first_at.ToNanoseconds() <= entry.last_at.ToNanoseconds() <= one.recorded_at.ToNanoseconds()
        assert number.value.encode() not in one.SerializeToString()
    prove(shop, member)


def test_refused_attempts(server: ServerProcess, open_shop: OpenShop) -> None:
    """What a role may not do, what a credential is not bound to, alone and in a batch, and a wrong secret."""
    shop = open_shop(program())
    member = shop.member()
    auditor = caller(server, shop, "auditor")
    for _ in range(4):
        with refused("NOT_ALLOWED", DENIED):
            auditor.sale(member, 1_00)
    assert len(wait_for(shop, 1, actor=credential(auditor))) == 1, "identical ones wait for the minute to end"
    entry = only(entries(shop, actor=credential(auditor)))
    assert (entry.kind, entry.method, entry.role) == (a.AUDIT_KIND_REFUSAL, SALE, "auditor")
    assert entry.reason == ErrorReason.ERROR_REASON_NOT_ALLOWED
    till = caller(server, shop, "pos", store="s-2", terminal="t-2")
    with refused("NOT_ALLOWED", DENIED):
        till.sale(member, 1_00)
    foreign = till.sale_request(member, 1_00)
    foreign.origin.store = "s-3"
    assert till.batch(foreign)[0].error.reason == ErrorReason.ERROR_REASON_NOT_ALLOWED
    with refused("NOT_ALLOWED", DENIED):
        till.adjust("members/nobody's business", 1)
    found = wait_for(shop, 3, actor=credential(till))
    assert [one.entry.resource for one in found if one.entry.method != SALE] == [""]
    found = [one for one in found if one.entry.method == SALE]
    assert {(one.entry.method, one.entry.resource, one.entry.store) for one in found} == {(SALE, member, "s-2")}


@pytest.mark.parametrize("revoked", [False, True])
def test_credentials_that_are_refused(server: ServerProcess, open_shop: OpenShop, revoked: bool) -> None:
    """A wrong secret, and a revoked credential, are put down to the credential; what is nobody's to nobody."""
    shop = open_shop(program())
    member = shop.member()
    till = caller(server, shop, "pos", store="s-4")
    if revoked:
        with LedgerDatastore(server.database_url) as datastore:
            assert Credentials(datastore.pool).revoke(credential(till).removeprefix("credentials/"))
    else:
        wrong = till.metadata[0][1][:-4] + "AAAA"
        till.metadata = (("authorization", wrong),)
    with refused("CREDENTIAL_INVALID", grpc.StatusCode.UNAUTHENTICATED):
        till.sale(member, 1_00)
    found = wait_for(shop, 1, actor=credential(till), kind=a.AUDIT_KIND_REFUSAL)
    entry = only(found)
    assert (entry.role, entry.store, entry.method, entry.resource) == ("pos", "s-4", SALE, "")
    assert entry.reason == ErrorReason.ERROR_REASON_CREDENTIAL_INVALID
    nobody = "t-zzzzzz"
    till.metadata = (("authorization", f"Bearer {nobody}.{'A' * 43}"),)
    with refused("CREDENTIAL_INVALID", grpc.StatusCode.UNAUTHENTICATED):
        till.sale(member, 1_00)
    assert entries(shop, actor=f"credentials/{nobody}") == []


def test_what_is_done_by_hand(server: ServerProcess, open_shop: OpenShop) -> None:
    """Adjustments, refused ones too, programs and codes: by which credential, and in whose name."""
    shop = open_shop(program())
    member = shop.member()
    manager = caller(server, shop, "manager")
    manager.adjust(member, 100)
    with refused("INSUFFICIENT_POINTS"):
        manager.adjust(member, -500)
    manager.upload_codes("summer", "ABCD-EFGH-1")
    manager.publish(program())
    found = entries(shop, actor=credential(manager))
    assert [(one.entry.method.rpartition("/")[2], one.entry.kind, one.entry.resource) for one in found] == [
        ("PublishProgram", a.AUDIT_KIND_ADMINISTRATION, shop.program),
        ("UploadVoucherCodes", a.AUDIT_KIND_ADMINISTRATION, shop.program),
        ("AdjustPoints", a.AUDIT_KIND_REFUSAL, member),
        ("AdjustPoints", a.AUDIT_KIND_ADMINISTRATION, member),
    ]
    assert found[2].entry.reason == ErrorReason.ERROR_REASON_INSUFFICIENT_POINTS
    assert {one.entry.operator for one in found[1:]} == {"op-7"}
    assert [one.entry.resource for one in entries(shop, member=member)] == [member, member]
    prove(shop, member)


def test_a_retry_with_another_credential(server: ServerProcess, open_shop: OpenShop) -> None:
    """It is answered as before: the log keeps who was first."""
    shop = open_shop(program())
    member = shop.member()
    first, second = caller(server, shop, "manager"), caller(server, shop, "manager")
    request_id = "0190f3a0-0000-7000-8000-000000000001"
    at = "2026-01-31T12:00"
    for one in (first, second):
        one.terminal = first.terminal
        response = one.adjust(member, 100, request_id=request_id, at=at)
    assert response.outcome.replayed
    assert only(entries(shop, member=member)).actor == credential(first)


def test_no_caller_says_who_it_is(open_shop: OpenShop) -> None:
    """The credential of an origin is the server's to set."""
    shop = open_shop(program())
    member = shop.member()
    request = shop.sale_request(member, 1_00)
    request.origin.credential = "credentials/s-222222"
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        shop.record(request)


def test_credentials_made_and_revoked(server: ServerProcess, open_shop: OpenShop) -> None:
    """Each is in the log, with what it may do, together with its effect."""
    shop = open_shop(program())
    bound = {"store": "s-1", "terminal": "t-1", "program": shop.program}
    till = caller(server, shop, "pos", **bound)
    with LedgerDatastore(server.database_url) as datastore:
        credentials = Credentials(datastore.pool)
        for _ in range(2):
            assert credentials.revoke(credential(till).removeprefix("credentials/"))
    found = [one for one in entries(shop, kind=a.AUDIT_KIND_ADMINISTRATION) if one.entry.resource == credential(till)]
    assert [one.entry.method for one in found] == ["loyalty terminals revoke", "loyalty terminals add"]
    assert dict(found[1].entry.details) == {"role": "pos", **bound}
    assert {one.entry.actor.partition("/")[0] for one in found} == {"databaseRoles"}


def test_auditors_see_no_personal_data(server: ServerProcess, open_shop: OpenShop) -> None:
    """Unless they were granted it: neither a name nor whom an identifier belongs to."""
    shop = open_shop(program())
    number = phone()
    member = shop.enroll([number]).member
    number = shop.here(number)
    auditor = caller(server, shop, "auditor")
    with refused("NOT_ALLOWED", DENIED):
        look_up(auditor, LookupMemberRequest(identifier=number))
    with refused("NOT_ALLOWED", DENIED):
        by_number = GetBalanceRequest(identifier=number)
        auditor.pos.GetBalance(by_number, metadata=auditor.metadata, timeout=TIMEOUT_S)
    assert auditor.get_balance(member).member == member
    with LedgerDatastore(server.database_url) as datastore:
        granted = Shop(shop.channel, Credentials(datastore.pool).add("auditor", personal_data=True))
    assert look_up(granted, LookupMemberRequest(identifier=number)) == member
    assert only(wait_for(shop, 1, actor=credential(granted))).kind == a.AUDIT_KIND_READ


def test_pages_and_times(server: ServerProcess, open_shop: OpenShop) -> None:
    """All entries exactly once over pages of any size; from and until are half-open; a token is of one list."""
    shop = open_shop(program())
    member = shop.member()
    manager = caller(server, shop, "manager")
    for _ in range(5):
        manager.adjust(member, 1)
    whole = entries(shop, member=member)
    positions = [one.position for one in whole]
    assert len(positions) == 5
    assert positions == sorted(positions, reverse=True)
    for size in (1, 2, 5):
        assert entries(shop, member=member, page_size=size) == whole
    later = entries(shop, member=member, recorded_from=whole[2].recorded_at)
    earlier = entries(shop, member=member, recorded_until=whole[2].recorded_at)
    assert whole == later + earlier
    assert whole[2] in later
    page = ListAuditEntriesRequest(member=member, page_size=2)
    first = shop.audit.ListAuditEntries(page, metadata=shop.metadata, timeout=TIMEOUT_S)
    page.page_token, page.member = first.next_page_token, shop.member()
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        shop.audit.ListAuditEntries(page, metadata=shop.metadata, timeout=TIMEOUT_S)
    assert entries(shop, actor="nobody") == []


def test_who_may_list_it(server: ServerProcess, open_shop: OpenShop) -> None:
    """Auditors of the whole service; no till, no manager, nobody who is bound to a program."""
    shop = open_shop(program())
    assert entries(caller(server, shop, "auditor"), actor="nobody") == []
    for other in (caller(server, shop, "manager"), caller(server, shop, "auditor", program=shop.program)):
        with refused("NOT_ALLOWED", DENIED):
            request = ListAuditEntriesRequest()
            other.audit.ListAuditEntries(request, metadata=other.metadata, timeout=TIMEOUT_S)


def test_the_event_itself(server: ServerProcess, open_shop: OpenShop) -> None:
    """Auditors read it like any other, by its trail too; CRM does not, and nobody can explain or reverse it away."""
    shop = open_shop(program())
    till = caller(server, shop, "pos")
    position = entries(shop, kind=a.AUDIT_KIND_ADMINISTRATION)[0].position
    (event,) = [one for one in shop.events("", "AuditRecorded", after=position - 1) if one.position == position]
    assert event.audit_recorded.request.entries[0].resource == credential(till)
    assert shop.events(event.subject) == [event]
    assert list(shop.transaction(event.transaction).events) == [event]
    watch = shop.crm.WatchChanges(WatchChangesRequest(after_position=position - 1), metadata=shop.metadata)
    changes = next(watch)
    watch.cancel()
    assert changes.position >= position
    assert [one for one in changes.changes if one.HasField("audit_recorded")] == []
    explain = ExplainTransactionRequest(name=event.transaction)
    explained = shop.pos.ExplainTransaction(explain, metadata=shop.metadata, timeout=TIMEOUT_S).explanation
    assert explained.type == "AuditRecorded"
    bound = caller(server, shop, "pos", program=shop.program)
    with refused("TRANSACTION_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        bound.transaction(event.transaction)
    with refused("NOT_REVERSIBLE"):
        shop.reverse(event.transaction)
