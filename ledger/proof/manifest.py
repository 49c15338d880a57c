"""An export's folder: what is where in it, and the manifest that says what belongs to it.

manifest.json       what was exported, and each file with its SHA-256
manifest.note       a signed note with the SHA-256 of manifest.json
events/             the events, in files named by their first position
rows/               the rows of a view
checkpoint          the newest checkpoint, a signed note that covers the events
checkpoints.jsonl   this and the earlier checkpoints of the range
tile/               the log's tree, as C2SP's tlog-tiles lays it out
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final, Literal, NoReturn, get_args

from ledger.proof.tree import TILE_NODES

Format = Literal["jsonl", "csv", "parquet"]

EVENTS: Final = "events"
MANIFEST: Final = "manifest.json"
MANIFEST_NOTE: Final = "manifest.note"
CHECKPOINT: Final = "checkpoint"
CHECKPOINTS: Final = "checkpoints.jsonl"
VERSION: Final = 1

EVENT_COLUMNS: Final = (
    "position",
    "stream_id",
    "version",
    "recorded_at",
    "topic",
    "request_id",
    "transaction_id",
    "sale_reference",
    "state",
)
"""The columns of exported events: what a leaf consists of, behind its position."""

FILE_EVENTS: Final = 1 << 17
"""Events of a file: files begin at multiples of it, so that each whole one is a subtree of the log's tree."""

TREE_SIZE_MAX: Final = 1 << 40

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9._/-]{1,200}")

_NOTE_HEAD: Final = "loyalty-ledger export manifest"


class ManifestInvalid(Exception):
    """What should be a manifest is none. The message says which part is wrong."""


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """A file of an export."""

    name: str
    """Below the folder, with slashes."""
    sha256: str
    size_bytes: int
    rows: int
    first_position: int = 0
    """The positions that the file covers; 0 where it has no events."""
    last_position: int = 0


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an export consists of."""

    origin: str
    """The log's name, as its checkpoints have it; empty in a log without checkpoints."""
    exported: str
    """`events`, or the name of a view."""
    format: Format
    first_position: int
    last_position: int
    """Of a view: how much of the log it reflects."""
    tree_size: int
    """Of the tree that the export is proved by; 0 for a view."""
    made_at: int
    """Microseconds since 1970-01-01 UTC."""
    program_version: str
    schema_version: int
    files: Sequence[ExportedFile]
    checkpoints: ExportedFile | None = None

    def to_json(self) -> bytes:
        """The bytes of manifest.json."""
        return json.dumps({"manifest": VERSION, **asdict(self)}, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> "Manifest":
        """The manifest that `to_json` wrote. Raises ManifestInvalid."""
        try:
            fields: dict[str, Any] = json.loads(content)
            version = fields.pop("manifest")
            files = [ExportedFile(**_checked_file(one)) for one in fields.pop("files")]
            listed = fields.pop("checkpoints")
            checkpoints = ExportedFile(**_checked_file(listed)) if listed is not None else None
            manifest = cls(**fields, files=files, checkpoints=checkpoints)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ManifestInvalid(f"{MANIFEST} cannot be read") from None
        if version != VERSION:
            raise ManifestInvalid(f"{MANIFEST} is of version {version}: verify it with a newer release")
        manifest._check()
        return manifest

    def _check(self) -> None:
        numbers = (self.first_position, self.last_position, self.tree_size, self.made_at, self.schema_version)
        texts = (self.origin, self.exported, self.program_version)
        if not all(type(one) is int and one >= 0 for one in numbers) or not all(type(one) is str for one in texts):
            raise ManifestInvalid(f"{MANIFEST} has a field of a wrong type")
        if self.format not in get_args(Format):
            raise ManifestInvalid(f"{MANIFEST} has an unknown format")
        if self.tree_size > TREE_SIZE_MAX:
            raise ManifestInvalid(f"{MANIFEST} has a tree that no log has")
        if self.exported == EVENTS and any(file.first_position < 1 for file in self.files):
            raise ManifestInvalid(f"{MANIFEST} has a file that begins before position 1")
        if any(file.last_position - file.first_position >= FILE_EVENTS for file in self.files):
            raise ManifestInvalid(f"{MANIFEST} has a file that is too large")
        # A tile of events that are in two files would be verified twice, each time with half of them.
        if self.exported == EVENTS and any((file.first_position - 1) % TILE_NODES for file in self.files[1:]):
            raise ManifestInvalid(f"{MANIFEST} has files that do not meet between two tiles")


def manifest_text(origin: str, manifest: bytes) -> str:
    """What is signed of a manifest."""
    return f"{_NOTE_HEAD}\n{origin}\n{sha256(manifest).hexdigest()}\n"


def event_file(first_position: int, suffix: Format) -> str:
    """The name of the file that begins with a position."""
    return f"{EVENTS}/{first_position:013}.{suffix}"


def file_ranges(first: int, last: int) -> list[tuple[int, int]]:
    """The positions of each file of an export, first and last."""
    ranges = []
    while first <= last:
        end = min((first - 1) // FILE_EVENTS * FILE_EVENTS + FILE_EVENTS, last)
        ranges.append((first, end))
        first = end + 1
    return ranges


def _checked_file(fields: dict[str, Any]) -> dict[str, Any]:
    name = fields["name"]
    numbers = [fields[key] for key in ("size_bytes", "rows", "first_position", "last_position")]
    if type(name) is not str or type(fields["sha256"]) is not str:
        _refuse()
    # A name that leads out of the folder would have the verifier read other files.
    if not _FILE_NAME.fullmatch(name) or not all(part.strip(".") for part in name.split("/")):
        _refuse()
    if not all(type(one) is int and one >= 0 for one in numbers):
        _refuse()
    return fields


def _refuse() -> NoReturn:
    raise ManifestInvalid(f"{MANIFEST} has a file that cannot be")
