"""What a verification finds, and the report of all of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

FINDINGS_MAX: Final = 100
"""More than these are counted, not listed."""

Kind = Literal[
    "changed",
    "missing",
    "inserted",
    "swapped",
    "clock",
    "tile",
    "forged",
    "signature",
    "other_log",
    "future",
    "inconsistent",
    "unproved",
    "file_missing",
    "file_changed",
    "file_extra",
    "truncated",
]
"""What is wrong:

changed, missing, inserted, swapped: an event is not the one that was signed for.
clock: recorded_at decreases.
tile: the tree's tiles are damaged; the events are right.
forged: events and tree have been changed alike, and are not what was signed for.
signature: a note is not signed by a key that is trusted.
other_log: a checkpoint is of another log.
future: a checkpoint is of a later log than the export: the export is old, or the log has lost its end.
inconsistent: the log does not continue that of a checkpoint.
unproved: what would prove it is not in the export.
file_missing, file_changed, file_extra: a file is not as the manifest lists it.
truncated: the export covers less than it should.
"""


class Finding(NamedTuple):
    """Something that is wrong."""

    kind: Kind
    message: str
    position: int | None = None
    """The first position that it is about; None where it is not about events."""

    def __str__(self) -> str:
        where = f" at position {self.position}" if self.position is not None else ""
        return f"{self.kind}{where}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a verification came to."""

    origin: str
    exported: str
    first_position: int
    last_position: int
    tree_size: int
    rows: int
    checkpoints: int
    """How many checkpoints of the export, and earlier ones, the tree agrees with."""
    findings: Sequence[Finding]
    """Of events first, by position."""
    notes: Sequence[str]
    """What was not verified, since nothing was given to verify it by."""
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def first_bad_position(self) -> int | None:
        """The first position at which something is wrong."""
        return min((one.position for one in self.findings if one.position is not None), default=None)

    def lines(self) -> Iterator[str]:
        """A report for people."""
        what = f"positions {self.first_position} to {self.last_position}" if self.exported == "events" else "rows"
        rate = self.rows / self.seconds if self.seconds else 0.0
        yield (
            f"{self.rows} {self.exported} read, {what}, of {self.origin or 'a log without a name'}"
            f" in {self.seconds:.1f} s ({rate:,.0f}/s)"
        )
        yield from (f"note: {note}" for note in self.notes)
        yield from (str(finding) for finding in self.findings[:FINDINGS_MAX])
        if len(self.findings) > FINDINGS_MAX:
            yield f"and {len(self.findings) - FINDINGS_MAX} more"
        if self.checkpoints:
            yield f"checkpoints that agree: {self.checkpoints}"
        yield "verified" if self.ok else "NOT verified"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "ok": self.ok,
            "origin": self.origin,
            "exported": self.exported,
            "first_position": self.first_position,
            "last_position": self.last_position,
            "tree_size": self.tree_size,
            "rows": self.rows,
            "checkpoints": self.checkpoints,
            "first_bad_position": self.first_bad_position,
            "findings": [finding._asdict() for finding in self.findings[:FINDINGS_MAX]],
            "findings_count": len(self.findings),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }
