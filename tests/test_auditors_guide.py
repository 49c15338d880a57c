"""The README's page for auditors: each of its commands, in their order, as somebody types them."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
import pytest
from loyalty.v1.proof_pb2 import GetCheckpointRequest

from ledger.cli.connection import LOCAL_DATABASE
from ledger.demo.own_server import OwnServer
from tests.running import ROOT
from tests.sealing.signing import eventually
from tests.shop import TIMEOUT_S, Shop

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE: Final = README[README.index("## Auditing it") : README.index("## The books")]
EXPORT, LIVE, BESIDE = (block.splitlines() for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL))
BY_RETAILER, OFFLINE, ONLINE = EXPORT[:3], EXPORT[3:], LIVE + BESIDE
PAGE_LINES_MAX: Final = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the auditor sits. Not below pytest's own folder, which PostgreSQL's user cannot enter."""
    with tempfile.TemporaryDirectory(prefix="loyalty-audit-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def typed(command: str, folder: Path) -> str:
    """What a line prints, in a shell that has nothing but `loyalty`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LOYALTY_")}
    loyalty = f'loyalty() {{ "{sys.executable}" "{ROOT}/server.py" "$@"; }}; {command}'
    done = subprocess.run(
        ["/bin/bash", "-ec", loyalty], cwd=folder, env=ours, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_each_command_in_its_order(folder: Path) -> None:
    """Of a shop that sells between the two exports; offline there is neither server nor database."""
    said: dict[str, str] = {}
    own = OwnServer(folder / "var", LOCAL_DATABASE)
    with own, sold_in(own) as (shop, member):
        shop.sale(member, 125_00)
        instant = datetime.now(UTC).isoformat()

        def type_in(command: str) -> None:
            line = command.replace("MEMBER", member.removeprefix("members/")).replace(" 2026-01-01", f" {instant}")
            said[" ".join(command.split("#", maxsplit=1)[0].split())] = typed(line, folder)

        for command in BY_RETAILER:
            shop.sale(member, 10_00)
            eventually(lambda: is_signed(shop))
            type_in(command)
    for command in OFFLINE:
        type_in(command)
    with own, sold_in(own):
        for command in ONLINE:
            type_in(command)
    assert said["loyalty verify 2026 --key log.pub --checkpoint 2025/checkpoint"].endswith("verified\n")
    (row,) = [row for row in (folder / "balances.csv").read_text().splitlines() if member in row]
    assert row == f"programs/sample,{member},15,0,0,bronze"
    assert "12" in said["loyalty member state members/MEMBER --effective-at 2026-01-01"]


@contextmanager
def sold_in(own: OwnServer) -> Iterator[tuple[Shop, str]]:
    """The shop of the sample program, and a member."""
    endpoint = own.endpoint()
    with grpc.insecure_channel(endpoint.address) as channel:
        shop = Shop(channel, endpoint.token)
        shop.program = "programs/sample"
        yield shop, shop.member()


def is_signed(shop: Shop) -> bool:
    """Whether a checkpoint covers all of the log."""
    try:
        shop.audit.GetCheckpoint(GetCheckpointRequest(min_size=shop.head()), metadata=shop.metadata, timeout=TIMEOUT_S)
    except grpc.RpcError:
        return False
    return True


def test_it_is_one_page() -> None:
    """And every command line has a comment."""
    assert len(GUIDE.splitlines()) <= PAGE_LINES_MAX
