"""`loyalty audit`, as an auditor types it; and what it shows after a server was stopped and killed."""

import json
from pathlib import Path
from typing import Any

import grpc
from loyalty.v1.member_pb2 import Identifier
from loyalty.v1.pos_service_pb2 import LookupMemberRequest
from typer.testing import CliRunner

from projections.check import check
from server import app
from tests.programs import program
from tests.running import ServerProcess, running, token
from tests.shop import TIMEOUT_S, Shop, refused
from tests.trail import credential, patiently, phone, wait_for

LOOKUPS = 2


def loyalty(*words: str, status: int = 0) -> str:
    """What a command prints that ends with a status."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "300"})
    assert result.exit_code == status, result.output
    return result.output


def audit(server: ServerProcess, auditor: str, *words: str) -> list[dict[str, Any]]:
    """What `loyalty audit` lists."""
    where = ("--address", server.address, "--token", auditor)
    return [json.loads(line)["entry"] for line in loyalty("audit", "--json", *where, *words).splitlines()]


def look_up(shop: Shop, number: Identifier) -> str:
    """The member with a number."""
    request = LookupMemberRequest(identifier=number)
    return shop.pos.LookupMember(request, metadata=shop.metadata, timeout=TIMEOUT_S).member


def at(server_channel: grpc.Channel, like: Shop) -> Shop:
    """The same shop on another server."""
    shop = Shop(server_channel, like.metadata[0][1].removeprefix("Bearer "))
    shop.program = like.program
    return shop


def test_audit(database_url: str, tmp_path: Path) -> None:
    """Nothing is lost when servers end, and the last second of reads at most when they are killed.

    What operators did by commands is there too.
    """
    number, auditor = phone(), token(database_url, "auditor")
    with running(database_url, LOYALTY_RATE_LOOKUPS_PER_MINUTE=str(LOOKUPS)) as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), program())
        till = Shop(channel, token(database_url, "pos", program=shop.program))
        member = shop.enroll([number]).member
        patiently(lambda: shop.balance(member))
        for _ in range(LOOKUPS):
            assert look_up(till, number) == member
        with refused("RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED):
            look_up(till, number)
        assert server.stop() == 0  # within the second
    with running(database_url) as server, server.channel() as channel:
        shop, till = at(channel, shop), at(channel, till)
        patiently(lambda: shop.balance(member))
        assert sum(one.entry.count for one in wait_for(shop, LOOKUPS, member=member)) == LOOKUPS
        look_up(till, number)
        wait_for(shop, LOOKUPS + 1, member=member)
        shop.adjust(member, 100)
        server.kill()
    folder = str(tmp_path / "export")
    loyalty("export", "statements", folder, "--database-url", database_url, "--format", "csv")
    loyalty("rebuild", "audit_trail", "--database-url", database_url)
    with running(database_url) as server, server.channel() as channel:
        shop = at(channel, shop)
        patiently(lambda: shop.balance(member))
        wait_for(shop, LOOKUPS + 2, member=member)
        *reads, refusal = sorted(audit(server, auditor, "--actor", credential(till)), key=lambda one: one["kind"])
        assert (refusal["reason"], refusal["kind"]) == ("ERROR_REASON_RATE_LIMITED", "AUDIT_KIND_REFUSAL")
        assert sum(int(one["count"]) for one in reads) == LOOKUPS + 1
        assert len(audit(server, auditor, "--member", member, "--kind", "administration")) == 1
        operator = audit(server, auditor, "--kind", "administration", "--limit", "2")
        assert [one["method"] for one in operator] == ["loyalty rebuild", "loyalty export"]
        assert operator[1]["resource"] == "exports/statements"
        assert operator[1]["details"] == {"format": "csv"}
        assert audit(server, auditor, "--until", "2020-01-01") == []
        table = loyalty("audit", "--address", server.address, "--token", auditor)
        assert "RATE_LIMITED" in table
        assert "PosService/LookupMember" in table
        assert "give a time" in loyalty("audit", "--from", "yesterday", status=1)
    result = check(database_url, 1)
    assert result.ok, list(result.lines())
