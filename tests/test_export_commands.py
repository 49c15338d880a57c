"""`loyalty export` and `loyalty verify`, as somebody types them, and what DuckDB reads of it."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import grpc
import psycopg
import pytest
from loyalty.v1.program_pb2 import Program
from psycopg.rows import tuple_row

from ledger.export.export import Order, export
from ledger.proof.manifest import Format
from ledger.proof.note import Checkpoint, Signer, sign
from ledger.proof.verify import verify_export
from ledger.store.arrays import register_arrays
from ledger.store.seal import seal
from tests.commands import loyalty as command
from tests.programs import spend
from tests.proof import prove
from tests.running import Databases, running, token
from tests.shop import Shop

SIGNER = Signer.generate("log.example/loyalty")
READ = {"jsonl": "read_json('{}/*.jsonl')", "csv": "read_csv('{}/*.csv')", "parquet": "read_parquet('{}/*.parquet')"}
_COLUMNS = """
SELECT column_name FROM information_schema.columns WHERE table_schema = 'views' AND table_name = '{}'
ORDER BY ordinal_position
"""
VIEWS = ("balances", "lots", "statements", "tiers", "programs", "trial_balance")


def loyalty(*arguments: object, status: int = 0, url: str = "", key_file: Path | str = "") -> str:
    """What a command prints that ends with a status."""
    return command(*arguments, status=status, LOYALTY_DATABASE_URL=url, LOYALTY_LOG_KEY_FILE=str(key_file))


class Audited(NamedTuple):
    """A log that was sealed, the key file of its owner, and what its auditor has."""

    url: str
    key_file: Path
    public_key: Path
    old: Path


def seal_all(url: str) -> str:
    """Seals the log; returns the checkpoint."""
    with psycopg.connect(url) as connection:
        register_arrays(connection)
        tree = seal(connection.cursor(binary=True, row_factory=tuple_row), 10_000)
        note = sign(Checkpoint("log.example/loyalty", tree.size, tree.root()).text, [SIGNER])
        connection.execute("INSERT INTO log_checkpoints VALUES (%s, 1, %s)", (tree.size, note))
    return note


def wait_for_views(shop: Shop, member: str) -> None:
    """A new server's first views may take longer than a call waits for them."""
    for _ in range(10):
        try:
            shop.balance(member, min_position=shop.head())
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
        else:
            return
    raise AssertionError("the views do not catch up")


@pytest.fixture(scope="module")
def audited(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """A ledger that has sold something, before the auditor came and after."""
    folder = tmp_path_factory.mktemp("audited")
    found = Audited(databases.url(databases.create()), folder / "private", folder / "public", folder / "old")
    found.key_file.write_text(SIGNER.encode() + "\n")
    found.key_file.chmod(0o600)
    found.public_key.write_text(f"{SIGNER.verifier}\n")
    with running(found.url) as server, server.channel() as channel:
        shop = Shop(channel, token(found.url), Program(earning_rules=[spend()]))
        members = [shop.member() for _ in range(3)]
        for member in members:
            shop.sale(member, 10_00)
        found.old.write_text(seal_all(found.url))
        for member in members:
            shop.sale(member, 5_00)
        wait_for_views(shop, members[0])
        for member in members:
            prove(shop, member)
    seal_all(found.url)
    return found


def rows_of(kind: str, folder: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    """What DuckDB reads."""
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM {READ[kind].format(folder)}").fetchall()


def stored(url: str, query: str) -> list[tuple[Any, ...]]:
    """What the database has."""
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize("kind", READ)
def test_events_arrive_as_they_are_stored(audited: Audited, tmp_path: Path, kind: str) -> None:
    """In each format, column by column and byte by byte; and the export is verified with no database in reach."""
    folder = tmp_path / "export"
    said = json.loads(
        loyalty("export", "events", folder, "--format", kind, "--json", url=audited.url, key_file=audited.key_file)
    )
    columns = (
        "position, stream_id::text, version, recorded_at, topic, request_id::text, transaction_id::text,"
        " sale_reference, state"
    )
    exported = sorted(rows_of(kind, folder / "events", columns))
    if kind != "parquet":
        exported = [(*row[:-1], b64decode(row[-1])) for row in exported]
    assert exported == stored(
        audited.url,
        "SELECT notification_id, originator_id::text, originator_version, recorded_at, topic, request_id::text,"
        f" transaction_id::text, sale_reference, state FROM events WHERE notification_id <= {len(exported)} ORDER BY 1",
    )
    assert said["rows"] == len(exported)
    report = json.loads(loyalty("verify", folder, "--checkpoint", audited.old, "--key", audited.public_key, "--json"))
    assert (report["ok"], report["rows"], report["checkpoints"], report["notes"]) == (True, len(exported), 3, [])


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("view", VIEWS)
def test_views_arrive_as_they_are(audited: Audited, tmp_path: Path, kind: Format, view: str) -> None:
    """Row by row, signed with the manifest."""
    folder = tmp_path / "export"
    export(audited.url, folder, Order(view, kind), now=1, signers=[SIGNER])
    names = [name for (name,) in stored(audited.url, _COLUMNS.format(view))]
    text = ", ".join(f"{name}::text" for name in names)
    in_base64 = [name for name in names if name in {"standing", "definition"}]
    expected = stored(audited.url, f"SELECT {text} FROM views.{view}")
    if in_base64:
        expected = [row[: names.index(in_base64[0])] for row in expected]
        text = ", ".join(f"{name}::text" for name in names[: names.index(in_base64[0])])
    exported = rows_of(kind, folder / "rows", text)
    if kind == "csv":  # which has one way to write an empty text and NULL, for most readers
        exported, expected = ([tuple(one or "" for one in row) for row in rows] for rows in (exported, expected))
    assert exported != []
    assert sorted(map(str, exported)) == sorted(map(str, expected))
    assert verify_export(folder, verifiers=[SIGNER.verifier]).ok
    file = next((folder / "rows").iterdir())
    file.write_bytes(file.read_bytes() + b"\n")
    assert [one.kind for one in verify_export(folder, verifiers=[SIGNER.verifier]).findings] == ["file_changed"]


def test_statuses_and_words(audited: Audited, tmp_path: Path) -> None:
    """0: verified; 1: something is wrong, and where; 2: it cannot be read. Commands that cannot be say why."""
    folder, url = tmp_path / "export", audited.url
    said = loyalty("export", "events", folder, "--from", 2, "--until", 8, url=url)
    assert "7 rows in 1 files" in said
    assert "not signed" in said
    said = loyalty("verify", folder)
    assert "note: no key was given" in said
    assert said.endswith("verified\n")
    file = folder / "events/0000000000002.jsonl"
    file.write_text(file.read_text().replace('"version":1', '"version":9', 1))
    assert "changed at position 2:" in loyalty("verify", folder, status=1)
    assert "is no export" in loyalty("verify", tmp_path, status=2)
    assert "is no export" in json.loads(loyalty("verify", tmp_path, "--json", status=2))["error"]
    assert "a public key has the form" in loyalty("verify", folder, "--key", "a+b", status=2)
    assert "is not empty" in loyalty("export", "events", folder, status=1, url=url)
    assert "there is no view 'nothing'" in loyalty("export", "nothing", tmp_path / "none", status=1, url=url)
    assert "has no positions" in loyalty("export", "tiers", tmp_path / "none", "--from", 2, status=1, url=url)
    assert "export it anew" in loyalty("export", "tiers", tmp_path / "none", "--resume", status=1, url=url)
    assert "no export to go on with" in loyalty("export", "events", tmp_path / "none", "--resume", status=1, url=url)
    assert "sealed up to position" in loyalty("export", "events", tmp_path / "n", "--until", 999, status=1, url=url)
    assert not (tmp_path / "none").exists()
