"""The end of the demo: what an auditor does with an export, when no server and no database is there to be trusted."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from loyalty.v1.account_pb2 import Balance

from ledger.cli.keys import local_key_file
from ledger.cli.log import LOCAL_CHECKPOINTS
from ledger.demo.failure import DemoFailed
from ledger.demo.own_server import OwnServer
from ledger.local_postgres import LocalPostgres
from ledger.proof.checkpoint_file import CheckpointFile, SignedCheckpoint
from ledger.proof.keys import read_keys

SIGNED_PATIENCE_S: Final = 120.0
"""How long the log may take to be sealed and signed up to its end."""

FIGURES: Final = ("available_points", "pending_points", "held_points")
"""What is compared of each member."""

_POLL_S: Final = 0.1


class Proof(NamedTuple):
    """What came out without server and database."""

    folder: Path
    events: int
    export_seconds: float
    verified: bool
    verify_seconds: float
    old_size: int
    """How many events the earlier checkpoint covers which the log was held against."""
    findings: list[str]
    differences: int
    """Members whose points, added up from the export, are not those that the server has said."""

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return self.verified and not self.differences


def await_signed(own: OwnServer, position: int) -> None:
    """Waits until a checkpoint outside of the database covers a position. Raises DemoFailed."""
    file = CheckpointFile(own.folder / LOCAL_CHECKPOINTS)
    give_up_at = time.monotonic() + SIGNED_PATIENCE_S
    while (newest := file.newest()) is None or newest.size < position:
        if time.monotonic() > give_up_at:
            raise DemoFailed(f"no checkpoint covers position {position}: see what the server has said above")
        time.sleep(_POLL_S)


def prove_offline(own: OwnServer, as_of: str, balances: Mapping[str, Balance]) -> Proof:
    """Exports the log, stops the database, verifies the export and adds up every member's points from it alone.

    Each step is a command of its own, as an auditor types it. The server has ended before.

    Args:
        own: The demo's server.
        as_of: The instant of the balances, as RFC 3339 has it.
        balances: What the server has said, by member.

    Raises:
        DemoFailed: A command could not be carried out.
        LocalPostgresError: The database does not start again.
    """
    folder = own.folder / "export"
    shutil.rmtree(folder, ignore_errors=True)
    key_file = local_key_file(own.folder)
    with LocalPostgres(own.postgres_folder) as postgres:
        url = own.database_url(postgres.url)
        exported = _loyalty("export", "events", folder, "--database-url", url, "--key-file", key_file)
    checkpoint = own.folder / "checkpoint.earlier"
    with (own.folder / LOCAL_CHECKPOINTS).open(encoding="utf-8") as lines:
        old = SignedCheckpoint.parse(next(lines))
    checkpoint.write_text(old.note, encoding="utf-8")
    public_key = read_keys(key_file).verifiers[0]
    verified = _loyalty("verify", folder, "--checkpoint", checkpoint, "--key", public_key)
    found = _loyalty("balances", folder, "--as-of", as_of)["balances"]
    points = {one["member"]: tuple(one[figure] for figure in FIGURES) for one in found}
    said = {member: tuple(getattr(one, figure) for figure in FIGURES) for member, one in balances.items()}
    return Proof(
        folder=folder,
        events=verified["rows"],
        export_seconds=exported["seconds"],
        verified=verified["ok"],
        verify_seconds=verified["seconds"],
        old_size=old.size,
        findings=[f"{one['kind']}: {one['message']}" for one in verified["findings"]],
        differences=sum(points.get(member) != figures for member, figures in said.items()),
    )


def _loyalty(*arguments: object) -> dict[str, Any]:
    """What a command answers. It gets nothing but its arguments."""
    done = subprocess.run(
        [sys.executable, "-m", "server", *map(str, arguments), "--json"],
        env={name: value for name, value in os.environ.items() if not name.startswith(("LOYALTY_", "PG"))},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise DemoFailed(f"`loyalty {arguments[0]}` failed") from None
    return answer
