"""An export that is killed at any moment goes on to the same bytes."""

import multiprocessing
import time
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg.rows import tuple_row

from ledger.export.export import Order, export
from ledger.proof import manifest
from ledger.proof.verify import verify_export
from ledger.store.arrays import register_arrays
from ledger.store.seal import seal
from tests.sealing.signing import append
from tests.store.test_tampering import SIGNER

EVENTS: Final = 20_000
FILE_EVENTS: Final = 256
KILLS: Final = 4


def go_on(url: str, folder: Path, *, resume: bool) -> None:
    """Exports, in a process of its own that is going to be killed."""
    manifest.FILE_EVENTS = FILE_EVENTS  # type: ignore[misc] # small files: more borders to be killed at
    export(url, folder, Order("events", "jsonl", resume=resume), now=1, signers=[SIGNER])


def kill_at(url: str, folder: Path, files: int, *, resume: bool) -> None:
    """Exports until so many files are there, and a part of the next, and no further."""
    process = multiprocessing.get_context("spawn").Process(target=go_on, args=(url, folder), kwargs={"resume": resume})
    process.start()
    while process.is_alive() and len(list((folder / "events").glob("*"))) < files:
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -9


def test_an_export_killed_again_and_again(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written twice or left out, and it is verified; before its end it is no export."""
    append(database_url, 1, EVENTS)
    with psycopg.connect(database_url) as connection:
        register_arrays(connection)
        seal(connection.cursor(binary=True, row_factory=tuple_row), EVENTS)
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    for kill in range(KILLS):
        kill_at(database_url, parts, 1 + kill * 10, resume=kill > 0)
        assert not (parts / manifest.MANIFEST).exists()
    monkeypatch.setattr(manifest, "FILE_EVENTS", FILE_EVENTS)
    export(database_url, parts, Order("events", "jsonl", resume=True), now=1, signers=[SIGNER])
    export(database_url, whole, Order("events", "jsonl"), now=1, signers=[SIGNER])
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(parts) for path in parts.rglob("*") if path.is_file())
    assert all((whole / path).read_bytes() == (parts / path).read_bytes() for path in files)
    assert verify_export(parts, [], [SIGNER.verifier], 1).rows == EVENTS
