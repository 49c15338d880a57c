"""The gate: roles, limits, and what becomes of whatever a handler raises."""

import asyncio
import importlib.resources
import json
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from loyalty.v1 import (
    audit_service_pb2,
    crm_service_pb2,
    insight_pb2,
    pos_service_pb2,
    program_service_pb2,
)
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from loyalty.v1.commands_pb2 import Command, RecordSaleRequest
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.member_pb2 import Identifier
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub
from prometheus_client import REGISTRY

from ledger.api import insight_service
from ledger.api.authentication import Authenticator
from ledger.api.errors import ApiError
from ledger.api.interceptor import Gate
from ledger.api.methods import ENDLESS, LOOKUPS, ROLES, WHOLE_LOG
from ledger.store.credentials import Credentials
from tests.trust.client import DEADLINE_S, balance, bearer, failure, raw
from tests.trust.stand_in import caller, running

SERVICES: list[ServiceDescriptor] = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (pos_service_pb2, "PosService"),
        (program_service_pb2, "ProgramService"),
        (crm_service_pb2, "CrmService"),
        (audit_service_pb2, "AuditService"),
    )
]

GET_BALANCE = "/loyalty.v1.PosService/GetBalance"


def counted(code: str, reason: str = "", method: str = GET_BALANCE) -> float:
    """How many calls the metrics have with a code and reason."""
    labels = {"method": method.removeprefix("/"), "code": code, "reason": reason}
    return REGISTRY.get_sample_value("loyalty_calls_total", labels) or 0.0


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for what the server does after its client has gone."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline


def test_every_method_has_its_roles() -> None:
    """The tables name each method that there is, and none that is not."""
    methods = {f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods}
    assert set(ROLES) == methods
    assert set(LOOKUPS) <= methods
    assert methods >= ENDLESS
    assert methods >= WHOLE_LOG
    assert all("admin" in roles for roles in ROLES.values())


@pytest.mark.parametrize("role", ["auditor", "crm"])
def test_a_credential_of_another_role(gate: Gate, credentials: Credentials, role: str) -> None:
    """An auditor or a CRM cannot write; a till cannot read the log."""
    token = credentials.add("auditor" if role == "auditor" else "crm")
    till = credentials.add("pos")
    with running(gate) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = iter(())
        stream = PosServiceStub(channel).StreamCommands(calls, metadata=bearer(token), timeout=DEADLINE_S)
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        refused = failure(caught.value)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "NOT_ALLOWED",
        )
        log = AuditServiceStub(channel).ReadEvents(
            audit_service_pb2.ReadEventsRequest(), metadata=bearer(till), timeout=DEADLINE_S
        )
        with pytest.raises(grpc.RpcError) as caught:
            list(log)
        assert failure(caught.value).reason == "NOT_ALLOWED"


def test_a_method_without_roles_is_nobodys(authenticator: Authenticator, credentials: Credentials) -> None:
    """A service that somebody adds and forgets to list is closed, also to an admin."""
    gate = Gate(authenticator, lookups_per_minute=5, roles={})
    with running(gate) as port, pytest.raises(grpc.RpcError) as caught:
        balance(port, bearer(credentials.add("admin")))
    assert failure(caught.value).code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("path", ["/loyalty.v1.PosService/Nope", "/other.Service/Nope"])
def test_a_method_that_does_not_exist(gate: Gate, credentials: Credentials, path: str) -> None:
    """It is UNIMPLEMENTED, with or without a credential."""
    with running(gate) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for metadata in ((), bearer(credentials.add("admin"))):
            with pytest.raises(grpc.RpcError) as caught:
                raw(channel, path)(b"", metadata=metadata, timeout=DEADLINE_S)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_an_error_with_its_details(gate: Gate, credentials: Credentials) -> None:
    """What a handler refuses arrives with reason, metadata and text, in the till's language."""

    async def refuse(_: object) -> str:
        raise ApiError.of(ErrorReason.ERROR_REASON_INSUFFICIENT_POINTS, needed_points=100, available_points=7)

    before = counted("FAILED_PRECONDITION", "INSUFFICIENT_POINTS")
    with running(gate, refuse) as port:
        token = credentials.add("pos")
        with pytest.raises(grpc.RpcError) as english:
            balance(port, bearer(token))
        with pytest.raises(grpc.RpcError) as hindi:
            balance(port, bearer(token, ("accept-language", "hi-IN,en;q=0.5")))
    said = failure(english.value)
    assert said.code is grpc.StatusCode.FAILED_PRECONDITION
    assert said.metadata == (("available_points", "7"), ("needed_points", "100"))
    assert (said.cashier_language, failure(hindi.value).cashier_language) == ("en", "hi")
    assert said.cashier_text != failure(hindi.value).cashier_text
    assert counted("FAILED_PRECONDITION", "INSUFFICIENT_POINTS") == before + 2


def test_a_defect_tells_only_a_number(gate: Gate, credentials: Credentials) -> None:
    """INTERNAL has an incident to ask for and nothing of what went wrong; the service goes on."""

    async def break_once(request: pos_service_pb2.GetBalanceRequest) -> str:
        if request.member == "members/broken":
            raise ExceptionGroup("of a task", [KeyError("+919876543210 of table members")])
        return await caller(request)

    with running(gate, break_once) as port:
        token = credentials.add("pos")
        with pytest.raises(grpc.RpcError) as caught:
            balance(port, bearer(token), "members/broken")
        assert balance(port, bearer(token))
    said = failure(caught.value)
    assert (said.code, said.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    ((name, incident),) = said.metadata
    assert (name, len(incident)) == ("incident", 20)
    assert "KeyError" not in repr(said)
    assert "members" not in repr(said)
    assert "919876543210" not in repr(said)


def test_a_task_group_of_a_handler_is_looked_through(gate: Gate, credentials: Credentials) -> None:
    """One refusal in a group is that refusal."""

    async def refuse(_: object) -> str:
        async with asyncio.TaskGroup():
            raise ApiError.of(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND)

    with running(gate, refuse) as port, pytest.raises(grpc.RpcError) as caught:
        balance(port, bearer(credentials.add("pos")))
    assert failure(caught.value).reason == "MEMBER_NOT_FOUND"


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"\x0a\xff\x01", b"\x0a\x02\xc3\x28", b"\x0a\x05mem"],
    ids=["bad tag", "cut length", "not UTF-8", "cut short"],
)
def test_bytes_that_are_no_request(gate: Gate, credentials: Credentials, payload: bytes) -> None:
    """They are a bad request, not a defect; and without a credential they are not even looked at."""
    with running(gate) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        token = credentials.add("pos")
        with pytest.raises(grpc.RpcError) as caught:
            raw(channel, GET_BALANCE)(payload, metadata=bearer(token), timeout=DEADLINE_S)
        said = failure(caught.value)
        assert (said.code, said.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        with pytest.raises(grpc.RpcError) as caught:
            raw(channel, GET_BALANCE)(payload, timeout=DEADLINE_S)
        assert failure(caught.value).code is grpc.StatusCode.UNAUTHENTICATED
        stream = raw(channel, "/loyalty.v1.PosService/StreamCommands", "stream_stream")
        with pytest.raises(grpc.RpcError) as caught:
            list(stream(iter([payload]), metadata=bearer(token), timeout=DEADLINE_S))
        assert failure(caught.value).reason == "INVALID_FIELD"
        good = pos_service_pb2.StreamCommandsRequest().SerializeToString()
        results = stream(iter([good, good, payload, good]), metadata=bearer(token), timeout=DEADLINE_S)
        assert [type(next(results)) for _ in "ab"] == [bytes, bytes], "what came before is answered"
        with pytest.raises(grpc.RpcError) as caught:
            next(results)
        assert failure(caught.value).reason == "INVALID_FIELD"
        assert balance(port, bearer(token))


def test_streams_of_both_kinds(gate: Gate, credentials: Credentials) -> None:
    """All messages come, in order, and a failure in the middle comes after what was sent before it."""
    token = credentials.add("admin")
    with running(gate) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        audit = AuditServiceStub(channel)
        request = audit_service_pb2.ReadEventsRequest(until_position=50)
        log = audit.ReadEvents(request, metadata=bearer(token), timeout=DEADLINE_S)
        assert [message.position for message in log] == list(range(1, 51))
        request = audit_service_pb2.ReadEventsRequest(until_position=-3)
        log = audit.ReadEvents(request, metadata=bearer(token), timeout=DEADLINE_S)
        assert next(log).position == 1
        with pytest.raises(grpc.RpcError) as caught:
            next(log)
        assert failure(caught.value).reason == "DATA_CORRUPT"
        ids = [str(number) for number in range(100)]
        commands = (
            pos_service_pb2.StreamCommandsRequest(command=Command(record_sale=RecordSaleRequest(request_id=one)))
            for one in ids
        )
        results = PosServiceStub(channel).StreamCommands(commands, metadata=bearer(token), timeout=DEADLINE_S)
        assert [message.result.request_id for message in results] == ids


def test_a_caller_that_goes_away_is_counted(gate: Gate, credentials: Credentials) -> None:
    """Cancelled and too late are told apart, and are no defects."""
    entered = threading.Semaphore(0)

    async def hang(_: object) -> str:
        entered.release()
        await asyncio.Event().wait()
        return ""

    cancelled, late = counted("CANCELLED"), counted("DEADLINE_EXCEEDED")
    token = credentials.add("pos")
    with running(gate, hang) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        get_balance = PosServiceStub(channel).GetBalance
        request = pos_service_pb2.GetBalanceRequest()
        call = get_balance.future(request, metadata=bearer(token), timeout=DEADLINE_S)
        assert entered.acquire(timeout=DEADLINE_S)
        call.cancel()
        wait_until(lambda: counted("CANCELLED") == cancelled + 1)
        call = get_balance.future(request, metadata=bearer(token), timeout=0.2)
        assert entered.acquire(timeout=DEADLINE_S)
        with pytest.raises(grpc.RpcError) as caught:
            call.result()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: counted("DEADLINE_EXCEEDED") == late + 1)


def test_look_ups_are_limited_for_each_credential(gate: Gate, credentials: Credentials) -> None:
    """Whoever tries out phone numbers is stopped, is told for how long, and stops nobody else."""
    with running(gate) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        till, other = credentials.add("pos"), credentials.add("pos")
        look_up = PosServiceStub(channel).LookupMember
        request = pos_service_pb2.LookupMemberRequest()
        for _ in range(5):
            look_up(request, metadata=bearer(till), timeout=DEADLINE_S)
        with pytest.raises(grpc.RpcError) as caught:
            look_up(request, metadata=bearer(till), timeout=DEADLINE_S)
        said = failure(caught.value)
        assert (said.code, said.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert said.retry_ms is not None
        assert 0 < said.retry_ms <= 12_000
        by_phone = pos_service_pb2.GetBalanceRequest(identifier=Identifier(value="+911234567890"))
        with pytest.raises(grpc.RpcError) as caught:
            PosServiceStub(channel).GetBalance(by_phone, metadata=bearer(till), timeout=DEADLINE_S)
        assert failure(caught.value).reason == "RATE_LIMITED"
        assert balance(port, bearer(till)), "by the member's name it looks nobody up"
        look_up(request, metadata=bearer(other), timeout=DEADLINE_S)


def test_draining_ends_what_would_not_end(gate: Gate, credentials: Credentials) -> None:
    """A feed and an idle stream of commands are told to go elsewhere; what was sent is answered."""
    token = credentials.add("admin")
    more = threading.Event()

    async def drain(_: object) -> str:
        gate.drain()
        return ""

    def commands() -> Iterator[pos_service_pb2.StreamCommandsRequest]:
        for one in ("a", "b"):
            command = Command(record_sale=RecordSaleRequest(request_id=one))
            yield pos_service_pb2.StreamCommandsRequest(command=command)
        more.wait(DEADLINE_S)

    with running(gate, drain) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        feed = CrmServiceStub(channel).WatchChanges(
            crm_service_pb2.WatchChangesRequest(), metadata=bearer(token), timeout=DEADLINE_S
        )
        stream = PosServiceStub(channel).StreamCommands(commands(), metadata=bearer(token), timeout=DEADLINE_S)
        assert next(feed).position == 1
        assert [next(stream).result.request_id for _ in "ab"] == ["a", "b"]
        balance(port, bearer(token))
        for ended in (feed, stream):
            with pytest.raises(grpc.RpcError) as caught:
                next(ended)
            said = failure(caught.value)
            assert (said.code, said.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        more.set()


def test_a_revoked_credential_stops_a_stream(gate: Gate, credentials: Credentials) -> None:
    """However long the stream has been open: what was sent before is answered, and then it ends."""
    token = credentials.add("pos")
    answered = threading.Semaphore(0)
    ended = threading.Event()

    def commands() -> Iterator[pos_service_pb2.StreamCommandsRequest]:
        while not ended.is_set():
            command = Command(record_sale=RecordSaleRequest(request_id="one"))
            yield pos_service_pb2.StreamCommandsRequest(command=command)
            answered.acquire(timeout=DEADLINE_S)

    with running(gate) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = PosServiceStub(channel).StreamCommands(commands(), metadata=bearer(token), timeout=DEADLINE_S)
        assert next(stream).result.request_id == "one"
        credentials.revoke(token[:8])
        answered.release()
        with pytest.raises(grpc.RpcError) as caught:  # noqa: PT012 - one call of many fails
            for _ in stream:
                answered.release()
        ended.set()
        answered.release()
        assert failure(caught.value).reason == "CREDENTIAL_INVALID"


def test_who_does_not_read_on_holds_nobody_up(
    gate: Gate, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question whose answer is not read ends in time, so that the next is answered; read on, it says why."""
    monkeypatch.setattr(insight_service, "SLOW_READER_S", 0.05)
    request = insight_pb2.ReadPairsRequest(program="programs/one")
    metadata = bearer(credentials.add("crm"))
    with running(gate) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        crm = CrmServiceStub(channel)
        slow = [crm.ReadPairs(request, metadata=metadata) for _ in range(insight_service.READERS_MAX)]
        for one in slow:
            next(one)
        next(crm.ReadPairs(request, metadata=metadata, timeout=DEADLINE_S))
        for one in slow:
            with pytest.raises(grpc.RpcError) as caught:
                list(one)
            assert failure(caught.value).reason == "DEADLINE_PASSED"


def test_the_service_config_retries_only_unavailable(gate: Gate, credentials: Credentials) -> None:
    """A client with our service_config.json gets over two failures of the database, and over nothing else."""
    attempts = 0
    reason = ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE

    async def fail_twice(_: object) -> str:
        nonlocal attempts
        attempts += 1
        if attempts % 3:
            raise ApiError.of(reason)
        return "done"

    file = importlib.resources.files("ledger.api") / "service_config.json"
    config = json.dumps(json.loads(file.read_text(encoding="utf-8")))
    with running(gate, fail_twice) as port:
        token = credentials.add("pos")
        options = [("grpc.service_config", config)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            stub = PosServiceStub(channel)
            request = pos_service_pb2.GetBalanceRequest()
            assert stub.GetBalance(request, metadata=bearer(token)).member == "done"
            assert attempts == 3
            reason = ErrorReason.ERROR_REASON_OVERLOADED
            with pytest.raises(grpc.RpcError):
                stub.GetBalance(request, metadata=bearer(token))
            assert attempts == 4


def test_the_service_config_names_methods_that_exist() -> None:
    """A mistyped name would silently configure nothing."""
    file = importlib.resources.files("ledger.api") / "service_config.json"
    names = [
        name for entry in json.loads(file.read_text(encoding="utf-8"))["methodConfig"] for name in entry["name"] if name
    ]
    assert names
    assert {f"/{name['service']}/{name['method']}" for name in names} <= set(ROLES)
