"""The folder that an export goes to: whole files only, and after a kill it goes on at the border of a file."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from ledger.proof.manifest import (
    MANIFEST,
    MANIFEST_NOTE,
    ExportedFile,
    Format,
    Manifest,
    manifest_text,
)
from ledger.proof.note import Signer, sign

UNFINISHED: Final = "unfinished.json"
_PART: Final = ".part"


class ExportError(Exception):
    """The export cannot be made. The message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is being exported; kept in the folder until all of it is there."""

    exported: str
    format: Format
    first_position: int
    last_position: int
    tree_size: int
    is_signed: bool
    """Whether a checkpoint signs the tree."""
    files: Sequence[ExportedFile] = ()
    """Those that are done."""

    @classmethod
    def parse(cls, content: bytes) -> "Plan":
        """The plan of an earlier run. Raises ExportError."""
        try:
            fields: dict[str, Any] = json.loads(content)
            return cls(**{**fields, "files": [ExportedFile(**one) for one in fields["files"]]})
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ExportError(f"{UNFINISHED} cannot be read: export anew into another folder") from None


class ExportFolder:
    """A folder with an export in it, or a part of one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, plan: Plan) -> Plan:
        """Begins an export in a folder that is new or empty. Raises ExportError."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ExportError(f"{self.path} is not empty: give another folder, or --resume to go on with what is there")
        self.path.mkdir(parents=True, exist_ok=True)
        self._keep(plan)
        return plan

    def resume(self) -> Plan | None:
        """The plan of an export that was not finished; None of one that was. Raises ExportError."""
        try:
            return Plan.parse((self.path / UNFINISHED).read_bytes())
        except FileNotFoundError:
            if (self.path / MANIFEST).exists():
                return None
            raise ExportError(f"{self.path} has no export to go on with: leave out --resume") from None

    def done(self, plan: Plan, file: ExportedFile) -> Plan:
        """Notes that a file is done."""
        plan = replace(plan, files=[*plan.files, file])
        self._keep(plan)
        return plan

    def finish(self, manifest: Manifest, signers: Sequence[Signer]) -> None:
        """Writes the manifest, and signs it where there is a key."""
        content = manifest.to_json()
        if signers:
            note = sign(manifest_text(manifest.origin, content), signers)
            self.write(MANIFEST_NOTE, note.encode())
        self.write(MANIFEST, content)
        (self.path / UNFINISHED).unlink()

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file."""
        with self.open(name) as file:
            file.write(content)

    def write_tile(self, name: str, content: bytes) -> None:
        """Writes a tile, of which there are many: what a crash leaves of it is found, since hashes do not fit."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def open(self, name: str) -> "NewFile":
        """A file to be written, which is there when all of it is."""
        return NewFile(self.path / name)

    def _keep(self, plan: Plan) -> None:
        self.write(UNFINISHED, json.dumps(asdict(plan)).encode())


class NewFile:
    """A file that appears under its name once it is whole and on disk. Has a SHA-256 and a size as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + _PART)
        self._digest = sha256()
        self.size_bytes = 0

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = self._part.open("wb")
        return self

    def write(self, content: bytes) -> int:
        """Adds to it."""
        self._digest.update(content)
        self.size_bytes += len(content)
        return self._file.write(content)

    @property
    def sha256(self) -> str:
        """Of what has been written."""
        return self._digest.hexdigest()

    def flush(self) -> None:
        """As writers of other libraries expect."""
        self._file.flush()

    closed = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink()


Progress = Callable[[int, int], None]
"""(rows done, rows in all), now and then."""
