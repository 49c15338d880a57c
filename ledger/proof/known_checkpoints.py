"""The checkpoints that an export is held against: its own, and earlier ones that an auditor has kept."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ledger.proof.finding import Finding
from ledger.proof.manifest import CHECKPOINT, CHECKPOINTS, Manifest
from ledger.proof.note import Checkpoint, NoteInvalid, Verifier, open_own_checkpoint
from ledger.proof.ordinary_file import read_small_text


class Known(NamedTuple):
    """A checkpoint, and where it comes from."""

    checkpoint: Checkpoint
    source: str


class KnownCheckpoints:
    """What can be trusted of the checkpoints of an export and of those that were kept.

    Without verifiers, signatures count as right.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, kept: Sequence[tuple[str, str]], verifiers: Sequence[Verifier]
    ) -> None:
        """`kept` has the name and the text of each checkpoint that an auditor brings."""
        self.findings: list[Finding] = []
        self.newest: Checkpoint | None = None
        """The export's, of exactly its tree."""
        self.own: list[Known] = []
        self.kept: list[Known] = []
        self._manifest = manifest
        self._verifiers = verifiers
        if manifest.checkpoints is not None:
            self._read_own(folder, manifest.checkpoints.name)
            self._read_newest(folder)
        origin = manifest.origin or None
        for source, note in kept:
            known = self._opened(note, source, origin)
            if known is not None:
                self.kept.append(known)

    def of_size_up_to(self, size: int) -> list[Known]:
        """All of them that are not later than a tree, the smallest first."""
        known = (one for one in (*self.own, *self.kept) if one.checkpoint.size <= size)
        return sorted(known, key=lambda one: one.checkpoint.size)

    def _read_newest(self, folder: Path) -> None:
        try:
            note = read_small_text(folder / CHECKPOINT)
        except (OSError, UnicodeDecodeError):
            self.findings.append(Finding("file_missing", f"{CHECKPOINT} is not there or cannot be read"))
            return
        known = self._opened(note, CHECKPOINT, self._manifest.origin)
        if known is None:
            return
        if known.checkpoint.size != self._manifest.tree_size:
            message = f"{CHECKPOINT} is of {known.checkpoint.size} events, the export of {self._manifest.tree_size}"
            self.findings.append(Finding("signature", message))
            return
        self.newest = known.checkpoint
        if self.newest not in [one.checkpoint for one in self.own[-1:]]:
            self.own.append(known)

    def _read_own(self, folder: Path, name: str) -> None:
        try:
            lines = read_small_text(folder / name).splitlines()
        except (OSError, UnicodeDecodeError):
            return  # the manifest's files are looked at elsewhere
        for size, note in _notes(lines):
            known = self._opened(note, f"the checkpoint of {size}", self._manifest.origin)
            if known is not None and known.checkpoint.size != size:
                message = f"the checkpoint of {size} says that it is of {known.checkpoint.size}"
                self.findings.append(Finding("signature", message))
            elif known is not None:
                self.own.append(known)

    def _opened(self, note: str, source: str, origin: str | None) -> Known | None:
        try:
            checkpoint = Checkpoint.parse(note.partition("\n\n")[0] + "\n")
            if origin is not None and checkpoint.origin != origin:
                message = f"{source} is of the log {checkpoint.origin!r}, the export of {origin!r}"
                self.findings.append(Finding("other_log", message))
                return None
            if self._verifiers:
                checkpoint = open_own_checkpoint(note, self._verifiers)
        except NoteInvalid as error:
            self.findings.append(Finding("signature", f"{source}: {error}"))
            return None
        return Known(checkpoint, source)


def _notes(lines: Sequence[str]) -> Iterator[tuple[Any, str]]:
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            yield fields["size"], str(fields["note"])
        except (ValueError, KeyError, TypeError, RecursionError):
            yield f"line {number} of {CHECKPOINTS}", ""
