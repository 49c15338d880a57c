"""The verifier against exports that somebody has been at: each change is found, named, and named where it is."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.proof.finding import Kind, Report
from ledger.proof.leaf import StoredEvent
from ledger.proof.manifest import Format, Manifest
from ledger.proof.note import Signer, sign
from ledger.proof.verify import ExportUnreadable, verify_export
from tests.proofs.exported import (
    FILE_EVENTS,
    ORIGIN,
    SIGNER,
    Row,
    event,
    finish,
    log_of,
    make,
    note_of,
    numbered,
    write,
)

EVENTS = 700
LOG = log_of(EVENTS)
FORMATS: tuple[Format, ...] = get_args(Format)
KEYS = [SIGNER.verifier]
POSITIONS = st.integers(1, EVENTS)


def verified(folder: Path, *old: str, processes: int = 1) -> Report:
    """What the verifier says, by the log's key."""
    return verify_export(folder, [("old", note) for note in old], KEYS, processes)


def kinds(report: Report) -> list[tuple[Kind, int | None]]:
    """What was found, and where."""
    return [(one.kind, one.position) for one in report.findings]


def after(kind: Format, rows: Sequence[Row]) -> list[tuple[Kind, int | None]]:
    """What is found in an export that has these rows in place of the log's; all files are what the manifest lists."""
    with TemporaryDirectory() as folder:
        make(Path(folder), kind, rows, LOG)
        return kinds(verified(Path(folder)))


def resequenced(events: Sequence[StoredEvent]) -> list[Row]:
    """Rows whose positions have been made anew, so that nothing is missing at first sight."""
    return numbered(events)


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> Format:
    """Each format."""
    given_kind: Format = request.param
    return given_kind


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
@pytest.mark.parametrize("processes", [1, 2])
def test_an_honest_export_is_verified(tmp_path: Path, kind: Format, count: int, processes: int) -> None:
    """L3: with every checkpoint that it once had, alone and in parallel, without a database anywhere."""
    log = LOG[:count]
    sizes = sorted({1, count // 2, count - 1} - {0})
    make(tmp_path, kind, numbered(log), log, sizes=sizes)
    report = verified(tmp_path, *(note_of(log[:size]) for size in sizes), processes=processes)
    assert (report.ok, report.findings, report.rows) == (True, [], count)
    assert not report.notes
    assert list(report.lines())[-1] == "verified"


@given(st.sampled_from(FORMATS), POSITIONS, st.sampled_from(["state", "version", "topic", "stream_id", "recorded_at"]))
@settings(max_examples=30, deadline=None)
def test_a_changed_event_is_named(kind: Format, position: int, field: str) -> None:
    """L2: whatever is changed of an event."""
    other = event(9_999)._replace(
        stream_id=UUID(int=99), topic="other/1", recorded_at=LOG[position - 1].recorded_at + 1
    )
    rows = numbered(LOG)
    rows[position - 1] = (position, LOG[position - 1]._replace(**{field: getattr(other, field)}))
    found = after(kind, rows)
    assert ("changed", position) in found
    assert found[0][1] == position


@given(st.sampled_from(FORMATS), POSITIONS, st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_removed_event_is_named(kind: Format, position: int, is_resequenced: bool) -> None:
    """L2: and its successors may have taken its place."""
    events = [*LOG[: position - 1], *LOG[position:]]
    rows = resequenced(events) if is_resequenced else [row for row in numbered(LOG) if row[0] != position]
    assert after(kind, rows)[0] == ("missing", position)


@given(st.sampled_from(FORMATS), POSITIONS)
@settings(max_examples=30, deadline=None)
def test_an_inserted_event_is_named(kind: Format, position: int) -> None:
    """L2: one that the log never had."""
    new = event(9_999)._replace(recorded_at=LOG[position - 1].recorded_at)
    rows = resequenced([*LOG[: position - 1], new, *LOG[position - 1 :]])
    assert after(kind, rows)[0] == ("inserted", position)


@given(st.sampled_from(FORMATS), POSITIONS, POSITIONS)
@settings(max_examples=30, deadline=None)
def test_a_repeated_event_is_named(kind: Format, position: int, of: int) -> None:
    """L2: one that the log has somewhere else, in between or in place of another."""
    copy = LOG[of - 1]
    found = after(kind, resequenced([*LOG[: position - 1], copy, *LOG[position - 1 :]]))
    # A copy behind or in front of the event itself is the same log: the later of both is one too many.
    assert ("inserted", position + (of == position)) in found
    if of != position:
        rows = numbered(LOG)
        rows[position - 1] = (position, copy)
        assert ("changed", position) in after(kind, rows)


@given(st.sampled_from(FORMATS), st.sets(POSITIONS, min_size=2, max_size=2), st.booleans())
@settings(max_examples=30, deadline=None)
def test_swapped_events_are_named(kind: Format, positions: set[int], is_resequenced: bool) -> None:
    """L2: by the first of both, near or far apart."""
    first, second = sorted(positions)
    rows = numbered(LOG)
    rows[first - 1], rows[second - 1] = rows[second - 1], rows[first - 1]
    found = after(kind, resequenced([one for _, one in rows]) if is_resequenced else rows)
    assert ("swapped", first) in found
    assert found[0][1] == first


@given(st.sampled_from(FORMATS), st.data())
@settings(max_examples=120, deadline=None)
def test_every_changed_byte_is_found(kind: Format, data: st.DataObject) -> None:
    """L2: in whichever file of the export; in lines of text by the position of the event."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, kind, numbered(LOG), LOG, sizes=[300])
        path = data.draw(st.sampled_from(sorted(one for one in folder.rglob("*") if one.is_file())))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        before = path.read_bytes()
        path.write_bytes(content)
        try:
            report = verified(folder)
        except ExportUnreadable:
            assert path.name == "manifest.json"
            return
        assert not report.ok, (path, at)
        if path.parent.name == "events":
            first = int(path.stem)
            assert any(path.name in finding.message for finding in report.findings)
            if kind == "jsonl":
                assert report.first_bad_position == first + before[:at].count(b"\n")
            else:
                assert report.first_bad_position is None or report.first_bad_position >= first


@pytest.mark.parametrize("name", ["events/0000000000257.jsonl", "checkpoint", "checkpoints.jsonl", "tile/0/001"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """Of events, of checkpoints, of the tree."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    (tmp_path / name).unlink()
    report = verified(tmp_path)
    assert not report.ok
    assert any(name in finding.message for finding in report.findings)


def test_a_file_more_is_named(tmp_path: Path) -> None:
    """Who reads all files of a folder must not read one that nobody verified."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    write(tmp_path, "events/more.jsonl", b"")
    assert kinds(verified(tmp_path)) == [("file_extra", None)]


@pytest.mark.parametrize("lost", [1, 100])
def test_a_truncated_export_is_named(tmp_path: Path, kind: Format, lost: int) -> None:
    """Files that end early, and a manifest that leaves the end out."""
    make(tmp_path / "rows", kind, numbered(LOG)[:-lost], LOG)
    assert kinds(verified(tmp_path / "rows"))[0] == ("missing", EVENTS - lost + 1)
    make(tmp_path / "files", kind, numbered(LOG), LOG)
    manifest = Manifest.parse((tmp_path / "files/manifest.json").read_bytes())
    finish(tmp_path / "files", Manifest(**{**vars(manifest), "files": manifest.files[:-1]}))
    assert ("truncated", 2 * FILE_EVENTS + 1) in kinds(verified(tmp_path / "files"))


def test_a_line_more_at_the_end_is_found(tmp_path: Path, kind: Format) -> None:
    """Which no tree knows of."""
    make(tmp_path, kind, [*numbered(LOG), (EVENTS + 1, event(EVENTS + 1))], LOG)
    assert kinds(verified(tmp_path)) == [("inserted", EVENTS + 1)]


def test_a_wrong_position_is_found(tmp_path: Path, kind: Format) -> None:
    """The position is not in the leaf: it is where the leaf is."""
    rows = numbered(LOG)
    rows[300] = (77, LOG[300])
    make(tmp_path, kind, rows, LOG)
    assert kinds(verified(tmp_path)) == [("changed", 301)]


def test_a_clock_that_went_back_is_found(tmp_path: Path, kind: Format) -> None:
    """Within a file and from one to the next, though the log was signed like that."""
    for position in (300, 257):
        log = [*LOG[: position - 1], LOG[position - 1]._replace(recorded_at=5), *LOG[position:]]
        folder = tmp_path / str(position)
        make(folder, kind, numbered(log), log)
        assert kinds(verified(folder)) == [("clock", position)]


# -- the tree


@pytest.mark.parametrize(("name", "found"), [("tile/0/001", 257), ("tile/0/002.p/188", 513), ("tile/1/000.p/2", None)])
def test_a_damaged_tile_is_told_from_a_changed_event(tmp_path: Path, name: str, found: int | None) -> None:
    """The events are what was signed for, whatever the tiles say."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    path = tmp_path / name
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert kinds(verified(tmp_path)) == [("tile", found)]


def test_an_event_changed_with_its_tile_is_narrowed_down(tmp_path: Path, kind: Format) -> None:
    """The tile above still knows."""
    forged = [*LOG[:299], LOG[299]._replace(state=b"other"), *LOG[300:]]
    make(tmp_path, kind, numbered(forged), forged, signed=LOG)
    make(tmp_path / "honest", kind, numbered(LOG), LOG)
    shutil.copy(tmp_path / "honest/tile/1/000.p/2", tmp_path / "tile/1/000.p/2")
    shutil.rmtree(tmp_path / "honest")
    assert kinds(verified(tmp_path)) == [("changed", 257)]


def test_history_that_was_written_anew_is_narrowed_down(tmp_path: Path, kind: Format) -> None:
    """Events and tree agree with each other; only what was signed is left to tell."""
    forged = [*LOG[:299], LOG[299]._replace(state=b"other"), *LOG[300:]]
    make(tmp_path, kind, numbered(forged), forged, signed=LOG, sizes=[100, 280, 310, 600])
    report = verified(tmp_path)
    assert report.findings[0].kind == "forged"
    assert "between position 281 and 310" in report.findings[0].message
    assert report.first_bad_position == 281
    assert report.checkpoints == 2


def test_history_that_was_signed_anew_is_caught_by_an_old_checkpoint(tmp_path: Path, kind: Format) -> None:
    """Who has the key can sign anything but what an auditor has kept."""
    forged = [*LOG[:299], LOG[299]._replace(state=b"other"), *LOG[300:]]
    make(tmp_path, kind, numbered(forged), forged, sizes=[299])
    report = verified(tmp_path, note_of(LOG[:200]), note_of(LOG[:400]))
    assert kinds(report) == [("inconsistent", 300)]
    assert "between position 300 and 400" in report.findings[0].message


# -- checkpoints and keys


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    """Of another log, of a later one, signed by somebody else, or no checkpoints at all."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    for note, expected in (
        (note_of(LOG[:300], "other.example"), ("other_log", None)),
        (note_of(log_of(701)), ("future", 701)),
        (note_of(LOG[:300], signer=Signer.generate("log.example/loyalty")), ("signature", None)),
        ("nothing", ("signature", None)),
    ):
        assert kinds(verified(tmp_path, note)) == [expected]


def test_without_a_key_it_says_so(tmp_path: Path) -> None:
    """An export that agrees with itself proves no more than that."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    report = verify_export(tmp_path, [("old", note_of(LOG[:300]))])
    assert report.ok
    assert report.notes == ["no key was given, so that no signature was verified"]


def test_what_is_not_signed_is_not_verified(tmp_path: Path) -> None:
    """Neither a manifest without a note nor an export without checkpoints."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    manifest = Manifest.parse((tmp_path / "manifest.json").read_bytes())
    finish(tmp_path, Manifest(**{**vars(manifest), "checkpoints": None}))
    (tmp_path / "manifest.note").unlink()
    assert kinds(verified(tmp_path)) == [("signature", None), ("signature", None)]
    assert verify_export(tmp_path).ok
    assert len(verify_export(tmp_path).notes) == 3


def test_what_is_no_export_cannot_be_read(tmp_path: Path) -> None:
    """No manifest, none that can be read, and none that leads out of the folder."""
    with pytest.raises(ExportUnreadable, match="is no export"):
        verified(tmp_path)
    write(tmp_path, "manifest.json", b"{}")
    with pytest.raises(ExportUnreadable, match="cannot be read"):
        verified(tmp_path)
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    content = (tmp_path / "manifest.json").read_bytes()
    for wrong in (b"../etc/passwd", b"/etc/passwd", b"events/../../x", b"c:x"):
        write(tmp_path, "manifest.json", content.replace(b"events/0000000000001.jsonl", wrong))
        with pytest.raises(ExportUnreadable, match="a file that cannot be"):
            verified(tmp_path)


def test_files_that_share_a_tile_are_refused(tmp_path: Path) -> None:
    """Each would be verified with the tile's own hashes for the other's events."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    content = (tmp_path / "manifest.json").read_bytes()
    write(tmp_path, "manifest.json", content.replace(b'"first_position": 257', b'"first_position": 250'))
    with pytest.raises(ExportUnreadable, match="between two tiles"):
        verified(tmp_path)


def test_a_signature_of_a_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    """Though it is the same key's."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    assert kinds(verified(tmp_path, (tmp_path / "manifest.note").read_text())) == [("signature", None)]
    assert ORIGIN in (tmp_path / "manifest.note").read_text()


def test_a_witness_cannot_sign_for_the_log(tmp_path: Path) -> None:
    """Its key may be given beside the log's; an export that it alone has signed is not verified."""
    witness = Signer.generate("witness.example")
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    for name in ("checkpoint", "manifest.note"):
        text, _, _ = (tmp_path / name).read_text().rpartition("\n\n")
        (tmp_path / name).write_text(sign(text + "\n", [witness]))
    report = verify_export(tmp_path, [], [*KEYS, witness.verifier], 1)
    assert [one.kind for one in report.findings] == ["signature", "signature"]


def changed_manifest(folder: Path, **changes: Any) -> None:
    """An export whose manifest says something else, and that nobody has signed."""
    make(folder, "jsonl", numbered(LOG), LOG)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][0] |= changes.pop("file", {})
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))
    (folder / "manifest.note").unlink()


def test_a_view_proves_no_checkpoint(tmp_path: Path) -> None:
    """Whoever calls an export of events that of a view does not get around the checkpoint that was kept."""
    changed_manifest(tmp_path, exported="balances")
    report = verify_export(tmp_path, [("old", note_of(LOG[:300]))])
    assert [one.kind for one in report.findings] == ["unproved"]


def test_a_manifest_that_claims_too_much(tmp_path: Path) -> None:
    """What no folder has is refused or found, and costs nothing."""
    changed_manifest(tmp_path, tree_size=1 << 40)
    assert "truncated" in [one.kind for one in verify_export(tmp_path).findings]
    for name in ("events/" + "x" * 300, "events/\ud800", "events/\n"):
        changed_manifest(tmp_path, file={"name": name})
        with pytest.raises(ExportUnreadable, match="has a file that cannot be"):
            verify_export(tmp_path)


@pytest.mark.parametrize(
    "name", ["manifest.json", "manifest.note", "checkpoint", "checkpoints.jsonl", "events", "tile"]
)
def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path, name: str) -> None:
    """A pipe would be waited for, for ever; a link to a device never ends."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    file = tmp_path / name
    if file.is_dir():
        file = next(path for path in sorted(file.rglob("*")) if path.is_file())
    file.unlink()
    os.mkfifo(file)
    if name == "manifest.json":
        with pytest.raises(ExportUnreadable, match="no ordinary file"):
            verified(tmp_path)
    else:
        assert not verified(tmp_path).ok


@pytest.mark.parametrize("name", ["checkpoint", "manifest.note"])
def test_other_line_ends_and_spare_bits_are_changes(tmp_path: Path, name: str) -> None:
    """Though they mean the same to many a reader."""
    make(tmp_path, "jsonl", numbered(LOG), LOG)
    file = tmp_path / name
    content = file.read_bytes()
    for changed in (content.replace(b"\n", b"\r", 1), content[:-3] + bytes([content[-3] + 1]) + content[-2:]):
        file.write_bytes(changed)
        assert not verified(tmp_path).ok


def test_a_file_before_the_first_position(tmp_path: Path) -> None:
    """Is none of a log."""
    changed_manifest(tmp_path, file={"first_position": 0})
    with pytest.raises(ExportUnreadable, match="begins before position 1"):
        verify_export(tmp_path)
