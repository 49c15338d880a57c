"""What was archived is where it was for everybody: tills, auditors, views and proofs."""

from pathlib import Path
from typing import Any, get_args

import pytest
from psycopg import errors, sql

from ledger.archive.restore import restore
from ledger.export.archived import whole_events
from ledger.export.export import Order, export
from ledger.proof.manifest import Format
from ledger.proof.verify import verify_export
from ledger.store.archive import Archive
from ledger.store.topics import Archived
from projections.catalogue import PROJECTIONS
from projections.check import CheckError, check
from projections.rebuild import RebuildError, rebuild
from tests.archive.lived import ROWS, SIGNER, Lived, archivable, sealed, stored, wait_for_views
from tests.proof import prove
from tests.sealing.signing import change

FORMATS: tuple[Format, ...] = get_args(Format)
LIVE = "SELECT topic FROM events WHERE state IS NOT NULL ORDER BY notification_id"
PROOFS = "SELECT * FROM log_tiles t, log_checkpoints c ORDER BY t.level, t.index, c.size"
TREE = "SELECT level, index, hashes FROM log_tiles ORDER BY level, index"


def test_all_goes_on_with_the_archive(lived: Lived, tmp_path: Path) -> None:
    """Retries, returns, readers, check and rebuild see what they saw; proofs stay; and all of it comes back."""
    before, proofs = stored(lived.url, ROWS), stored(lived.url, PROOFS)
    done = lived.archived(tmp_path)
    assert (done.last_position, done.states) == (len(before), archivable(lived.url, len(before)))
    assert {topic for (topic,) in stored(lived.url, LIVE)} == {"audit/1", "program/1"}
    assert stored(lived.url, PROOFS) == proofs
    report = verify_export(tmp_path / done.parts[0], [("old", lived.checkpoint)], [SIGNER.verifier])
    assert (report.findings, report.rows) == ([], len(before))

    with pytest.raises(CheckError, match=f"events up to {len(before)} are in the archive: set LOYALTY_ARCHIVE"):
        check(lived.url, 1)
    with pytest.raises(
        RebuildError, match=f"balances cannot be rebuilt: event {lived.joined_at}: it is in the archive"
    ):
        rebuild(lived.url, "balances")
    for name in reversed(list(PROJECTIONS)):
        rebuild(lived.url, name, archive=Archive(tmp_path))
    assert check(lived.url, 2, archive=tmp_path).counts == {}

    with lived.open(tmp_path) as shop:
        again = shop.record(lived.sale)
        assert again.outcome.replayed
        again.outcome.replayed = False
        assert again.SerializeToString(deterministic=True) == lived.answer.SerializeToString(deterministic=True)
        shop.sale(lived.members[0], 1_00)
        wait_for_views(lived.url)
        back = shop.give_back(receipt=shop.reference(1), member=lived.members[0])
        assert (back.waiting, back.returned_minor, shop.balance(lived.members[0]).available_points) == (False, 10_00, 6)
        for member in lived.members:
            prove(shop, member)
        assert shop.explain(lived.answer.outcome.transaction).transaction == lived.answer.outcome.transaction
        assert [event.position for event in shop.events("")] == list(range(1, shop.head() + 1))
    assert check(lived.url, 1, archive=tmp_path).ok

    sealed(lived.url)
    for kind in FORMATS:
        with pytest.raises(Archived, match=f"event {lived.joined_at}: it is in the archive: set LOYALTY_ARCHIVE"):
            export(lived.url, tmp_path / f"cut-{kind}", Order("events", kind), now=1)
        export(lived.url, tmp_path / kind, Order("events", kind), now=1, archive=Archive(tmp_path))
        report = verify_export(tmp_path / kind, [("old", lived.checkpoint)], [])
        assert (report.findings, report.rows) == ([], len(stored(lived.url, ROWS)))

    assert restore(lived.url, tmp_path) == (1, done.states)
    assert stored(lived.url, ROWS)[: len(before)] == before
    assert check(lived.url, 1).ok
    assert restore(lived.url, tmp_path) == (0, 0)
    with pytest.raises(errors.IntegrityConstraintViolation):
        stored(lived.url, "UPDATE events SET state = state")


@pytest.mark.parametrize("kind", FORMATS)
def test_archived_while_it_is_exported(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Format
) -> None:
    """All of a file is of one moment, whatever leaves the database between its look for the archive and its rows."""

    def then_archived(*where: Any) -> sql.Composed:
        monkeypatch.undo()
        found = whole_events(*where)
        lived.archived(tmp_path / "archive")
        return found

    monkeypatch.setattr("ledger.export.events.whole_events", then_archived)
    export(lived.url, tmp_path / "export", Order("events", kind), now=1)
    assert stored(lived.url, "SELECT FROM events WHERE state IS NULL")
    assert verify_export(tmp_path / "export", [("old", lived.checkpoint)], []).ok


@pytest.mark.parametrize("kind", FORMATS)
def test_a_state_that_is_nowhere(lived: Lived, tmp_path: Path, kind: Format) -> None:
    """An event without what it says is not exported: the export ends there, and names it."""
    change(lived.url, f"UPDATE events SET state = NULL WHERE notification_id = {lived.sold_at}")
    with pytest.raises(Archived, match=f"event {lived.sold_at}: it is in the archive, and no part of it"):
        export(lived.url, tmp_path / "export", Order("events", kind), now=1, archive=Archive(tmp_path))


def test_a_check_that_was_interrupted(lived: Lived, tmp_path: Path) -> None:
    """Its state fits the log whether the last event was archived before it, or since."""
    state, folder = tmp_path / "state.json", tmp_path / "archive"
    interrupted(lived, state, folder)
    lived.archived(folder)
    assert check(lived.url, 1, state_file=state, archive=folder).ok
    interrupted(lived, state, folder)
    assert check(lived.url, 1, state_file=state, archive=folder).ok


class Interrupted(Exception):
    """Somebody stopped the check."""


def interrupted(lived: Lived, state: Path, folder: Path) -> None:
    """A check that is stopped once something is done."""

    def stop(_done: int, _of: int) -> None:
        if state.exists():
            raise Interrupted

    with pytest.raises(Interrupted):
        check(lived.url, 1, stop, state, archive=folder)
    assert state.exists()
