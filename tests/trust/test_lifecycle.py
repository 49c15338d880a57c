"""The life of a server, as a process of its own: it starts, says how it is, and stops without losing anything."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from loyalty.v1.pos_service_pb2 import GetBalanceRequest, LookupMemberRequest
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ledger.api.lifecycle import MESSAGE_BYTES_MAX
from ledger.store.credentials import Credentials
from tests.running import Databases
from tests.trust.client import DEADLINE_S, balance, bearer, failure
from tests.trust.stand_in import SECRET_OF_A_PERSON
from tests.trust.test_terminals import run

ROOT = Path(__file__).parents[2]


class Program:
    """A server process and what it says."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log
        word, port, metrics_port = self.said().split()
        assert word == "listening"
        self.port, self.metrics_port = int(port), int(metrics_port)

    def said(self) -> str:
        """The next line on its output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log
        return line.strip()

    def tell(self, line: str) -> None:
        """Lets one GetBalance answer with a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text("utf-8")

    def health(self, service: str = "") -> str:
        """What its health service says."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            reply = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                health_pb2.HealthCheckRequest.SerializeToString,
                health_pb2.HealthCheckResponse.FromString,
            )(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_S)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)

    def wait_for_health(self, status: str) -> None:
        """Asks until it is as it should be."""
        deadline = time.monotonic() + DEADLINE_S
        while self.health() != status:
            assert time.monotonic() < deadline


def environment(database_url: str, **more: str) -> Mapping[str, str]:
    """What a server process sees."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LOYALTY_")}
    return {
        **ours,
        "LOYALTY_DATABASE_URL": database_url,
        "LOYALTY_ADDRESS": "127.0.0.1:0",
        "LOYALTY_METRICS_ADDRESS": "127.0.0.1:0",
        **more,
    }


@contextmanager
def program(database_url: str, tmp_path: Path, **more: str) -> Iterator[Program]:
    """A server of the stand-ins as a process."""
    log = tmp_path / "server.log"
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.trust.stand_in"],
            cwd=ROOT,
            env=environment(database_url, **more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield Program(process, log)
        finally:
            process.kill()


def look_up(channel: grpc.Channel, token: str) -> grpc.StatusCode:
    """The code of a LookupMember, which answers at once."""
    call = PosServiceStub(channel).LookupMember.future(
        LookupMemberRequest(), metadata=bearer(token), timeout=DEADLINE_S
    )
    return call.code()


def test_drain(database_url: str, credentials: Credentials, tmp_path: Path) -> None:
    """After SIGTERM the calls in flight are answered, new ones are refused, and only then is all closed."""
    token = credentials.add("pos")
    with (
        program(database_url, tmp_path) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = PosServiceStub(channel)
        request = GetBalanceRequest()
        calls = [stub.GetBalance.future(request, metadata=bearer(token), timeout=DEADLINE_S) for _ in range(8)]
        assert [server.said() for _ in calls] == ["called"] * 8
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + DEADLINE_S
        code = None
        while code is not grpc.StatusCode.UNAVAILABLE:  # until the server has understood
            assert time.monotonic() < deadline
            code = look_up(channel, token)
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as another:
            assert look_up(another, token) is grpc.StatusCode.UNAVAILABLE
        assert not any(call.done() for call in calls)
        for number in range(8):
            server.tell(f"answer-{number}")
        answers = {call.result(timeout=DEADLINE_S).member for call in calls}
        assert answers == {f"answer-{number}" for number in range(8)}
        assert server.said() == "closing"
        assert server.process.wait(DEADLINE_S) == 0
        assert "Traceback" not in server.log
        assert "draining" in server.log


def test_a_second_signal_cuts_off(database_url: str, credentials: Credentials, tmp_path: Path) -> None:
    """Who presses Ctrl-C twice does not want to wait; the rest is closed all the same."""
    token = credentials.add("pos")
    with (
        program(database_url, tmp_path, LOYALTY_DRAIN_SECONDS="600") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        call = PosServiceStub(channel).GetBalance.future(
            GetBalanceRequest(), metadata=bearer(token), timeout=DEADLINE_S
        )
        assert server.said() == "called"
        server.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + DEADLINE_S
        while "draining" not in server.log:
            assert time.monotonic() < deadline
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(grpc.RpcError):
            call.result(timeout=DEADLINE_S)
        assert server.said() == "closing"
        server.tell("the thread that still waits may end")
        assert server.process.wait(DEADLINE_S) == 0
        assert "calls in flight are cut off" in server.log


def test_health_and_reflection_need_no_credential(database_url: str, tmp_path: Path) -> None:
    """Load balancers and grpcurl have none."""
    with program(database_url, tmp_path) as server:
        for service in ("", "loyalty.v1.PosService", "loyalty.v1.AuditService"):
            assert server.health(service) == "SERVING"
        with pytest.raises(grpc.RpcError) as caught:
            server.health("no.such.Service")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert {"loyalty.v1.PosService", "grpc.health.v1.Health"} <= set(services)
        assert run("health", "--address", f"127.0.0.1:{server.port}").strip() == "SERVING"
        said = json.loads(run("health", "--address", f"127.0.0.1:{server.port}", "--json"))
        assert said["status"] == "SERVING"


def test_health_follows_the_database(database_url: str, databases: Databases, tmp_path: Path) -> None:
    """NOT_SERVING while it does not answer, and SERVING again by itself."""
    name = sql.Identifier(str(conninfo_to_dict(database_url)["dbname"]))
    with (
        program(database_url, tmp_path) as server,
        psycopg.connect(databases.postgres.url, autocommit=True) as admin,
    ):
        assert server.health() == "SERVING"
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        server.wait_for_health("NOT_SERVING")
        run("health", "--address", f"127.0.0.1:{server.port}", exit_code=1)
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
        server.wait_for_health("SERVING")
        assert "not serving" in server.log
        assert "serving again" in server.log


def test_metrics(database_url: str, credentials: Credentials, tmp_path: Path) -> None:
    """Prometheus finds the series that the README names; none has anything about a person in it."""
    with program(database_url, tmp_path) as server:
        with pytest.raises(grpc.RpcError):
            balance(server.port)
        url = f"http://127.0.0.1:{server.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=DEADLINE_S) as reply:
            text = reply.read().decode()
    for series in (
        "loyalty_call_seconds_bucket",
        "loyalty_batch_commands_bucket",
        "loyalty_commit_seconds_bucket",
        "loyalty_queue_commands",
        "loyalty_conflicts_total",
    ):
        assert f"\n{series}" in text
    for family in (
        "loyalty_projection_lag_events",
        "loyalty_projection_position",
        "loyalty_projection_stopped_at",
        "loyalty_segmenter_lag_events",
        "loyalty_log_seal_position",
        "loyalty_log_seal_signed_position",
        "loyalty_log_seal_lag_events",
        "loyalty_log_seal_stopped_at",
    ):
        assert f"# TYPE {family}" in text
    assert (
        'loyalty_calls_total{code="UNAUTHENTICATED",method="loyalty.v1.PosService/GetBalance",'
        'reason="CREDENTIAL_INVALID"} 1.0' in text
    )


def test_the_log_of_a_server_holds_no_secret(database_url: str, credentials: Credentials, tmp_path: Path) -> None:
    """Right and wrong tokens, a phone number, an e-mail address in an exception: none of it is written."""
    token = credentials.add("pos", "store-7", "till-1")
    with program(database_url, tmp_path, LOYALTY_LOG_LEVEL="debug") as server:
        with pytest.raises(grpc.RpcError) as caught:
            balance(server.port, bearer(token), "members/raise")
        incident = dict(failure(caught.value).metadata)["incident"]
        for wrong in (token[:-1] + "~", f"{token[:8]}.{'A' * 43}", "Bearer", "919876543210"):
            with pytest.raises(grpc.RpcError):
                balance(server.port, bearer(wrong))
        server.tell("answered")
        assert balance(server.port, bearer(token), "+919876543210") == "answered"
        log = server.log
        lines = [json.loads(line) for line in log.splitlines()]
    for secret in (token, token[9:], "919876543210", SECRET_OF_A_PERSON, "A" * 43):
        assert secret not in log
    (broken,) = [line for line in lines if line["event"] == "incident"]
    assert broken["incident"] == incident
    assert "wait_for_line" in broken["exception"]
    assert "ValueError" in broken["exception"]
    (good,) = [line for line in lines if line.get("code") == "OK"]
    assert good["level"] == "debug"
    assert good["credential"] == token[:8]
    assert (good["store"], good["terminal"]) == ("store-7", "till-1")
    assert good["method"] == "loyalty.v1.PosService/GetBalance"
    refused = [line for line in lines if line.get("reason") == "CREDENTIAL_INVALID"]
    assert len(refused) == 4
    assert {line["level"] for line in refused} == {"warning"}


def test_a_message_over_the_limit(database_url: str, credentials: Credentials, tmp_path: Path) -> None:
    """It is refused and the service goes on."""
    token = credentials.add("auditor")
    with (
        program(database_url, tmp_path) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        audit = AuditServiceStub(channel)
        large = ReadEventsRequest(subject="x" * MESSAGE_BYTES_MAX)
        with pytest.raises(grpc.RpcError) as caught:
            list(audit.ReadEvents(large, metadata=bearer(token), timeout=DEADLINE_S))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        small = ReadEventsRequest(until_position=2)
        assert len(list(audit.ReadEvents(small, metadata=bearer(token), timeout=DEADLINE_S))) == 2


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("LOYALTY_ADDRESS", "choose another port with LOYALTY_ADDRESS"),
        ("LOYALTY_METRICS_ADDRESS", "choose another port with LOYALTY_METRICS_ADDRESS"),
    ],
)
def test_a_port_in_use(database_url: str, tmp_path: Path, variable: str, says: str) -> None:
    """Two servers never share a port by accident; the second says so."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        assert refused_start(database_url, **{variable: taken}).startswith(f"{taken} is in use")
        assert says in refused_start(database_url, **{variable: taken})


def test_a_host_that_is_not_ours(database_url: str, tmp_path: Path) -> None:
    """A metrics address of another machine cannot be listened on."""
    said = refused_start(database_url, LOYALTY_METRICS_ADDRESS="192.0.2.1:9")
    assert said == "192.0.2.1 is no address of this machine; correct LOYALTY_METRICS_ADDRESS"


def refused_start(database_url: str, **more: str) -> str:
    """The ListenError of a server that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.trust.stand_in"],
        cwd=ROOT,
        env=environment(database_url, **more),
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S * 3,
    )
    assert done.returncode != 0
    assert done.stdout.splitlines() == ["closing"], "what was begun is closed all the same"
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ledger.api.lifecycle.ListenError: ")
    return last.removeprefix("ledger.api.lifecycle.ListenError: ")


def test_several_servers_share_a_port_when_told_to(database_url: str, credentials: Credentials, tmp_path: Path) -> None:
    """LOYALTY_REUSE_PORT=yes: both listen, and either answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    shared = {"LOYALTY_ADDRESS": address, "LOYALTY_REUSE_PORT": "yes"}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    with (
        program(database_url, tmp_path / "one", **shared) as one,
        program(database_url, tmp_path / "two", **shared) as two,
    ):
        assert one.port == two.port
        assert one.health() == "SERVING"
