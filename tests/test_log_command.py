"""`loyalty log`: keys and the witness, as an operator and a second party type them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.proof.checkpoint_file import CheckpointFile
from ledger.proof.note import Verifier, open_checkpoint
from tests.commands import loyalty
from tests.programs import program
from tests.running import ROOT, Databases, ServerProcess, running, token
from tests.sealing.signing import ORIGIN, Signing, change, eventually, signing_in
from tests.shop import Shop


def log(*arguments: str, status: int = 0) -> str:
    """What `loyalty log` prints."""
    return loyalty("log", *arguments, status=status)


def test_keys(tmp_path: Path) -> None:
    """Made, shown, rotated and retired; each step in JSON too, and no command prints a private key."""
    file = str(tmp_path / "log.key")
    made = json.loads(log("new-key", file, "--origin", ORIGIN, "--json"))
    assert made["origin"] == ORIGIN
    assert made["keys"] == [{"key": log("key", "--key-file", file).strip(), "state": "current"}]
    assert Verifier.parse(made["keys"][0]["key"]).name == ORIGIN
    assert "already" in log("new-key", file, "--origin", ORIGIN, status=1)
    rotated = json.loads(log("rotate", "--key-file", file, "--json"))["keys"]
    assert [one["state"] for one in rotated] == ["current", "signs"]
    assert rotated[1]["key"] == made["keys"][0]["key"]
    retired = log("rotate", "--retire-old", "--key-file", file)
    assert retired.splitlines() == [rotated[0]["key"], f"{rotated[1]['key']}  (retired)"]
    assert json.loads(log("key", "--key-file", file, "--json"))["keys"][1]["state"] == "retired"
    assert "PRIVATE" not in retired
    assert "cannot be read" in log("key", "--data-dir", str(tmp_path / "nothing"), status=1)
    assert "no spaces" in log("new-key", str(tmp_path / "other"), "--origin", "my shop", status=1)


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    """The log's key."""
    return signing_in(tmp_path)


@pytest.fixture
def witness_file(tmp_path: Path) -> Path:
    """Where the witness keeps what it co-signed."""
    return tmp_path / "witness.jsonl"


def witness(server: ServerProcess, signing: Signing, file: Path, *, log_key: str = "", status: int = 0) -> str:
    """What the witness says of a server's log."""
    key_file = file.with_name("witness.key")
    if not key_file.exists():
        log("new-key", str(key_file), "--origin", "witness.example")
    auditor = token(server.database_url, "auditor")
    key = log_key or str(signing.keys.verifiers[0])
    where = ("--address", server.address, "--token", auditor, "--key-file", str(key_file), "--log-key", key)
    return log("witness", str(file), *where, "--json", status=status)


@pytest.fixture
def signed_log(databases: Databases, signing: Signing) -> str:
    """The name of a database with a log of some events, all of them signed."""
    name = databases.create()
    sell(databases.url(name), signing)
    return name


def sell(database_url: str, signing: Signing) -> None:
    """Runs a server until something that happened there is signed."""
    with running(database_url, **signing.environment) as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), program())
        shop.sale(shop.member(), 1_000)
        eventually(lambda: signing.newest() == shop.head())


def test_witness(databases: Databases, signed_log: str, signing: Signing, witness_file: Path) -> None:
    """It co-signs what continues; a log that was rolled back, or is another one, it refuses for ever."""
    url = databases.url(signed_log)
    with running(url, LOYALTY_LOG_SEAL="no") as server:
        first = json.loads(witness(server, signing, witness_file))
        assert first["old_size"] == 0
        again = json.loads(witness(server, signing, witness_file))
        assert again["old_size"] == again["size"] == first["size"]
    assert len(witness_file.read_text("utf-8").splitlines()) == 1
    backup = databases.url(databases.create(signed_log))
    sell(url, signing)
    with running(url, LOYALTY_LOG_SEAL="no") as server:
        second = json.loads(witness(server, signing, witness_file))
        assert second["old_size"] == first["size"] < second["size"]
        stranger = str(signing_in(new_folder(witness_file)).keys.verifiers[0])
        assert "no key that is trusted" in witness(server, signing, witness_file, log_key=stranger, status=1)
    kept = witness_file.read_text("utf-8")
    newest = CheckpointFile(witness_file).newest()
    assert newest is not None
    own = Verifier.parse(log("key", "--key-file", str(witness_file.with_name("witness.key"))))
    for verifier in (own, signing.keys.verifiers[0]):
        assert open_checkpoint(newest.note, [verifier]).size == second["size"]
    with running(backup, LOYALTY_LOG_SEAL="no") as server:
        says = witness(server, signing, witness_file, status=1)
        assert f"the log had {second['size']} events and has only {first['size']} now: it was rolled back" in says
    assert witness_file.read_text("utf-8") == kept


def test_witness_of_a_history_that_was_written_anew(
    databases: Databases, signed_log: str, signing: Signing, witness_file: Path
) -> None:
    """The operator himself changes an event, the tree and the checkpoints, and signs again: the witness finds it."""
    url = databases.url(signed_log)
    with running(url, LOYALTY_LOG_SEAL="no") as server:
        witness(server, signing, witness_file)
    change(
        url,
        "UPDATE events SET recorded_at = recorded_at - 1 WHERE notification_id = 1",
        "DELETE FROM log_tiles",
        "DELETE FROM log_checkpoints",
        "UPDATE log_seal SET size = 0",
    )
    signing.checkpoint_file.unlink()
    sell(url, signing)
    with running(url, LOYALTY_LOG_SEAL="no") as server:
        says = witness(server, signing, witness_file, status=1)
    assert "does not continue" in says
    assert len(witness_file.read_text("utf-8").splitlines()) == 1


def test_a_server_with_a_key_that_cannot_be_used(database_url: str, signing: Signing) -> None:
    """It does not start, and says what to do."""
    signing.key_file.chmod(0o644)
    environment = {**os.environ, **signing.environment, "LOYALTY_DATABASE_URL": database_url}
    serve = [sys.executable, "server.py", "serve"]
    done = subprocess.run(serve, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"loyalty: others may read the key file {signing.key_file}: run `chmod 600 {signing.key_file}`"
    ]


def new_folder(beside: Path) -> Path:
    """A folder of its own."""
    folder = beside.with_name("stranger")
    folder.mkdir()
    return folder
