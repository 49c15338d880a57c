"""Verifies an export: offline, and without trusting whoever made it.

What proves the events is that the tree over their own bytes has the root that was signed. The tiles in the export are
there to find the place where it has not.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import file_digest
from pathlib import Path
from typing import Final

from ledger.proof.diagnosis import ExportDiagnosis
from ledger.proof.event_file import FileResult, FileTask, look_at
from ledger.proof.event_rows import ExtraMissing, parquet_libraries
from ledger.proof.finding import Finding, Report
from ledger.proof.known_checkpoints import Known, KnownCheckpoints
from ledger.proof.manifest import (
    EVENTS,
    MANIFEST,
    MANIFEST_NOTE,
    ExportedFile,
    Manifest,
    ManifestInvalid,
    manifest_text,
)
from ledger.proof.note import NoteInvalid, Verifier, open_note
from ledger.proof.ordinary_file import open_ordinary, read_small, read_small_text
from ledger.proof.tile_files import TileFiles, tile_name, tile_width
from ledger.proof.tree import TILE_NODES
from ledger.proof.whole_tree import WholeTree

PROCESSES_MAX: Final = 64

EVENTS_PER_PROCESS_MIN: Final = 200_000
"""With fewer events than this for each, starting processes takes longer than it saves."""

Progress = Callable[[int, int], None]
"""(events done, events in all), now and then."""


class ExportUnreadable(Exception):
    """There is nothing that could be verified. The message says what to do."""


def verify_export(
    folder: Path,
    old_checkpoints: Sequence[tuple[str, str]] = (),
    verifiers: Sequence[Verifier] = (),
    processes: int | None = None,
    progress: Progress = lambda _done, _of: None,
) -> Report:
    """Verifies an export, and that it continues earlier checkpoints, each given by a name for it and its text.

    In as many processes as there are CPUs and files, unless told otherwise. Raises ExportUnreadable.
    """
    started = time.monotonic()
    try:
        content = read_small(folder / MANIFEST)
        manifest = Manifest.parse(content)
        if manifest.format == "parquet":
            parquet_libraries()
    except OSError as error:
        raise ExportUnreadable(f"{folder} is no export: {MANIFEST} cannot be read ({error.strerror})") from None
    except (ManifestInvalid, ExtraMissing) as error:
        raise ExportUnreadable(str(error)) from None
    verification = _Verification(folder, manifest, old_checkpoints, verifiers)
    verification.check_manifest(content)
    if manifest.exported == EVENTS:
        verification.check_events(processes or _processes(manifest), progress)
    else:
        verification.check_rows()
    return verification.report(time.monotonic() - started)


class _Verification:
    def __init__(
        self, folder: Path, manifest: Manifest, kept: Sequence[tuple[str, str]], verifiers: Sequence[Verifier]
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._verifiers = verifiers
        self._brought = len(kept)
        self._known = KnownCheckpoints(folder, manifest, kept, verifiers)
        self._files = TileFiles(folder, manifest.tree_size)
        self._findings: list[Finding] = []
        self._notes: list[str] = []
        self._rows = 0
        self._agreeing = 0

    def report(self, seconds: float) -> Report:
        """What it came to."""
        manifest = self._manifest
        findings = [*self._findings, *self._known.findings]
        findings.sort(key=lambda one: (one.position is None, one.position))
        return Report(
            origin=manifest.origin,
            exported=manifest.exported,
            first_position=manifest.first_position,
            last_position=manifest.last_position,
            tree_size=manifest.tree_size,
            rows=self._rows,
            checkpoints=self._agreeing,
            findings=findings,
            notes=self._notes,
            seconds=seconds,
        )

    def _find(self, *findings: Finding) -> None:
        self._findings += findings

    # -- the manifest and its files

    def check_manifest(self, content: bytes) -> None:
        """The signature of the manifest, and which files there are."""
        if not self._verifiers:
            self._notes.append("no key was given, so that no signature was verified")
        self._check_signature(manifest_text(self._manifest.origin, content))
        listed = [*self._manifest.files, *([self._manifest.checkpoints] if self._manifest.checkpoints else [])]
        names = {file.name for file in listed}
        for name in sorted(names):
            if not (self._folder / name).is_file():
                self._find(Finding("file_missing", f"{name} is in the manifest and not in the folder"))
        for place in sorted({name.partition("/")[0] for name in names if "/" in name}):
            there = {path.relative_to(self._folder).as_posix() for path in (self._folder / place).rglob("*")}
            for name in sorted(there - names):
                self._find(Finding("file_extra", f"{name} is in the folder and not in the manifest"))
        if self._manifest.checkpoints is not None:
            self._check_bytes(self._manifest.checkpoints)

    def _check_signature(self, text: str) -> None:
        try:
            note = read_small_text(self._folder / MANIFEST_NOTE)
        except FileNotFoundError:
            if self._verifiers:
                self._find(Finding("signature", f"the manifest is not signed: there is no {MANIFEST_NOTE}"))
            else:
                self._notes.append("the manifest is not signed")
            return
        except (OSError, UnicodeDecodeError):
            self._find(Finding("signature", f"{MANIFEST_NOTE} cannot be read"))
            return
        own = [one for one in self._verifiers if one.name == self._manifest.origin or not self._manifest.origin]
        try:
            signed = open_note(note, own) if self._verifiers else note.partition("\n\n")[0] + "\n"
        except NoteInvalid as error:
            self._find(Finding("signature", f"{MANIFEST_NOTE}: {error}"))
            return
        if signed != text:
            self._find(Finding("signature", f"{MANIFEST} has been changed: it is not what {MANIFEST_NOTE} signs"))

    def _check_bytes(self, file: ExportedFile) -> None:
        try:
            with open_ordinary(self._folder / file.name) as opened:
                if file_digest(opened, "sha256").hexdigest() == file.sha256:
                    return
        except OSError:
            return  # found before
        self._find(Finding("file_changed", f"{file.name} is not what the manifest lists"))

    def check_rows(self) -> None:
        """The files of a view, which no tree proves."""
        self._notes.append("the rows of views are signed with the manifest; only events are proved by the log's tree")
        if self._brought:
            message = f"a checkpoint proves events, and this is an export of {self._manifest.exported}"
            self._find(Finding("unproved", message))
        for file in self._manifest.files:
            self._check_bytes(file)
            self._rows += file.rows

    # -- events

    def check_events(self, processes: int, progress: Progress) -> None:
        """The events, the tree and the checkpoints."""
        manifest = self._manifest
        self._check_range()
        if not self._files.could_be_whole():
            self._find(Finding("truncated", f"the tree of {manifest.tree_size} events has more tiles than the export"))
            return
        known = self._known.of_size_up_to(manifest.tree_size)
        sizes = sorted({one.checkpoint.size for one in known} | {manifest.tree_size})
        tasks = [
            FileTask(self._folder, file, manifest.format, manifest.tree_size, _sizes_in(file, sizes))
            for file in manifest.files
        ]
        results: list[FileResult] = []
        of = sum(file.rows for file in manifest.files)
        for result in _look_at_all(tasks, min(processes, len(tasks), PROCESSES_MAX)):
            results.append(result)
            self._rows += result.rows
            progress(self._rows, of)
        self._check_files(results)
        self._check_tree(results, known)

    def _check_range(self) -> None:
        manifest = self._manifest
        expected = manifest.first_position
        for file in manifest.files:
            if file.first_position != expected or file.last_position < file.first_position:
                break
            expected = file.last_position + 1
        if expected != manifest.last_position + 1 or not 1 <= manifest.first_position < expected:
            message = f"the manifest lists no file with the positions {expected} to {manifest.last_position}"
            self._find(Finding("truncated", message, expected))
        elif manifest.last_position > manifest.tree_size:
            message = f"the tree has {manifest.tree_size} events: what follows is not proved"
            self._find(Finding("truncated", message, manifest.tree_size + 1))

    def _check_files(self, results: Sequence[FileResult]) -> None:
        before: tuple[int, int] | None = None
        for result in results:
            file = result.file
            here = f"{file.name} (positions {file.first_position} to {file.last_position})"
            if result.problem:
                if (self._folder / file.name).is_file():
                    self._find(Finding("file_changed", f"{here} cannot be read: {result.problem}", file.first_position))
            elif not result.is_listed:
                self._find(Finding("file_changed", f"{here} is not what the manifest lists"))
            if result.first_bad is None and result.rows > file.last_position - file.first_position + 1:
                message = f"more events are in {file.name} than it has positions"
                self._find(Finding("inserted", message, file.last_position + 1))
            if result.misplaced is not None and not result.first_bad:
                message = f"the event says that it is at position {result.misplaced.written}"
                self._find(Finding("changed", message, result.misplaced.position))
            if result.backwards is not None:
                _, at, last = result.backwards
                message = f"recorded at {at}, after an event that was recorded at {last}"
                self._find(Finding("clock", message, result.backwards.position))
            elif result.recorded is not None and before is not None and result.recorded[0] < before[1]:
                message = f"recorded at {result.recorded[0]}, after an event that was recorded at {before[1]}"
                self._find(Finding("clock", message, file.first_position))
            before = result.recorded or before

    def _check_tree(self, results: Sequence[FileResult], known: Sequence[Known]) -> None:
        roots = {index: root for result in results for index, root in result.roots.items()}
        edges = {size: root for result in results for size, root in result.edges.items()}
        shown = WholeTree(self._files)
        proved = WholeTree(self._files, roots, edges)
        size = self._manifest.tree_size
        if self._known.newest is None and self._manifest.checkpoints is None:
            message = "the export has no checkpoint: nobody has signed for its tree"
            if self._verifiers:
                self._find(Finding("signature", message))
            else:
                self._notes.append(message)
        signed = self._known.newest.root if self._known.newest is not None else shown.root(size)
        if proved.root(size) == signed and signed is not None:
            self._check_tiles(results, shown, proved)
        elif shown.root(size) == signed and signed is not None:
            self._locate(results, shown, proved)
        else:
            self._narrow(results, known, proved)
        self._check_consistency(known, proved)
        self._check_future()

    def _check_tiles(self, results: Sequence[FileResult], shown: WholeTree, proved: WholeTree) -> None:
        """Where the tiles are damaged, though the events are right."""
        for result in results:
            for index in result.damaged_tiles:
                self._damaged_tile((0, index))
            if result.first_bad is not None:
                self._damaged_tile((0, (result.first_bad - 1) // TILE_NODES), result.first_bad)
        for index in sorted({index // TILE_NODES for index in shown.differing_tiles(proved)}):
            self._damaged_tile((1, index))
        for key in proved.damaged_above():
            self._damaged_tile(key)

    def _damaged_tile(self, key: tuple[int, int], position: int | None = None) -> None:
        name = tile_name(key, tile_width(key, self._manifest.tree_size))
        message = f"{name} is not whole, or not the log's; the events are those that were signed for"
        self._find(Finding("tile", message, position))

    def _locate(self, results: Sequence[FileResult], shown: WholeTree, proved: WholeTree) -> None:
        """Where events are not what the tiles say, whose root is the one that was signed."""
        diagnosis = ExportDiagnosis(self._folder, self._manifest)
        differing = shown.differing_tiles(proved)
        is_moved = False
        for result in results:
            first_tile = (result.file.first_position - 1) // TILE_NODES
            last_tile = (result.file.last_position - 1) // TILE_NODES
            wrong = [index for index in differing if first_tile <= index <= last_tile]
            bad = result.first_bad
            if bad is not None and not (wrong and wrong[0] < (bad - 1) // TILE_NODES):
                # Behind an event too many or too few all others stand in the wrong place.
                if not (is_moved and bad == result.file.first_position):
                    self._find(diagnosis.at(bad))
                    is_moved = self._findings[-1].kind in {"inserted", "missing"}
            elif wrong:
                self._find(_within_tile(wrong[0], result, is_there=wrong[0] not in result.damaged_tiles))

    def _narrow(self, results: Sequence[FileResult], known: Sequence[Known], proved: WholeTree) -> None:
        """Between which checkpoints history was changed, where the tree itself is not the one that was signed."""
        for result in results:
            if result.first_bad is not None:
                message = "the event and the tree's tile contradict each other, and the tree is not the one signed for"
                self._find(Finding("changed", message, result.first_bad))
        damaged = [index for result in results for index in result.damaged_tiles]
        if damaged or proved.root(self._manifest.tree_size) is None:
            self._find(Finding("unproved", "tiles of the tree are missing or not whole: export it again"))
            return
        good = 0
        for one in known:
            if proved.root(one.checkpoint.size) != one.checkpoint.root:
                message = (
                    "events and tree were changed alike, or the log was written anew: they are not what was signed"
                    f" for; it happened between position {good + 1} and {one.checkpoint.size}"
                )
                self._find(Finding("forged", message, good + 1))
                return
            good = one.checkpoint.size

    def _check_consistency(self, known: Sequence[Known], proved: WholeTree) -> None:
        """Which checkpoints the log continues. Where its events are found to be wrong, that says where already."""
        is_located = any(finding.position is not None for finding in self._findings)
        good = 0
        for one in known:
            checkpoint = one.checkpoint
            root = proved.root(checkpoint.size)
            if root is None:
                first = checkpoint.size // TILE_NODES * TILE_NODES + 1
                message = f"{one.source} (of {checkpoint.size}): export from position {first} or an earlier one"
                self._find(Finding("unproved", message))
            elif root == checkpoint.root:
                good = checkpoint.size
                self._agreeing += 1
            elif one in self._known.kept or not is_located:
                message = (
                    f"the log does not continue {one.source} (of {checkpoint.size}): an event between position"
                    f" {good + 1} and {checkpoint.size} is not the one that was there"
                )
                self._find(Finding("inconsistent", message, None if is_located else good + 1))

    def _check_future(self) -> None:
        for known in self._known.kept:
            size = known.checkpoint.size
            if size > self._manifest.tree_size:
                message = (
                    f"{known.source} is of {size} events and the export of {self._manifest.tree_size}:"
                    " the export is older, or the log has lost its end"
                )
                self._find(Finding("future", message, self._manifest.tree_size + 1))


def _within_tile(index: int, result: FileResult, *, is_there: bool) -> Finding:
    first = max(index * TILE_NODES + 1, result.file.first_position)
    last = min((index + 1) * TILE_NODES, result.file.last_position)
    why = "and so has the tile over them" if is_there else "whose tile is missing"
    return Finding("changed", f"an event of the positions {first} to {last} has been changed, {why}", first)


def _sizes_in(file: ExportedFile, sizes: Sequence[int]) -> list[int]:
    first = (file.first_position - 1) // TILE_NODES * TILE_NODES
    last = -(-file.last_position // TILE_NODES) * TILE_NODES
    return [size for size in sizes if first < size < last]


def _processes(manifest: Manifest) -> int:
    events = sum(file.rows for file in manifest.files)
    return min(os.cpu_count() or 1, 1 + events // EVENTS_PER_PROCESS_MIN)


def _look_at_all(tasks: Sequence[FileTask], processes: int) -> Iterator[FileResult]:
    if processes <= 1:
        yield from map(look_at, tasks)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(look_at, tasks)
