"""The file of checkpoints: what was signed, kept where nobody who changes the database gets at it.

JSON Lines, oldest first: `signed_at` (RFC 3339, UTC), `size` and `note`. Lines are only ever appended.
"""

import json
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TAIL_BYTES: Final = 1 << 16
"""More than a line has, with the signatures of many witnesses."""


class CheckpointFileDamaged(Exception):
    """The file's last line is not what was written. The message names the file."""


class SignedCheckpoint(NamedTuple):
    """A checkpoint as it is kept."""

    signed_at: int
    """Microseconds since 1970-01-01 UTC. Not signed itself."""
    size: int
    note: str

    def as_json(self) -> dict[str, str | int]:
        """The line, before it is one."""
        signed_at = (_EPOCH + timedelta(microseconds=self.signed_at)).isoformat()
        return {"signed_at": signed_at, "size": self.size, "note": self.note}

    @classmethod
    def parse(cls, line: str | bytes) -> "SignedCheckpoint":
        """The checkpoint of a line. Raises ValueError."""
        try:
            fields = json.loads(line)
            moment = datetime.fromisoformat(fields["signed_at"])
            signed_at = (moment - _EPOCH) // timedelta(microseconds=1)
            return cls(signed_at, int(fields["size"]), str(fields["note"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no checkpoint: {error}") from None


class CheckpointFile:
    """A file of checkpoints. Every method raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def newest(self) -> SignedCheckpoint | None:
        """The last checkpoint; None in a file that has none, or is not there.

        A line that has no end was cut short when the machine stopped, before anybody relied on it. Raises
        CheckpointFileDamaged where the last line cannot be read.
        """
        lines = self._tail().split(b"\n")
        complete = [line for line in lines[:-1] if line]
        if not complete:
            return None
        try:
            return SignedCheckpoint.parse(complete[-1])
        except ValueError:
            raise CheckpointFileDamaged(f"the last line of {self.path} is not what was written") from None

    def all(self) -> list[SignedCheckpoint]:
        """All that can be read, oldest first."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found: list[SignedCheckpoint] = []
        for line in lines:
            with suppress(ValueError):
                found.append(SignedCheckpoint.parse(line))
        return found

    def append(self, checkpoint: SignedCheckpoint) -> None:
        """Adds a checkpoint; it is on the disk when this returns."""
        line = json.dumps(checkpoint.as_json()).encode() + b"\n"
        is_new = not self.path.exists()
        if self._tail()[-1:] not in (b"", b"\n"):
            line = b"\n" + line
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(self.path.parent)

    def _tail(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(end - _TAIL_BYTES, 0))
                return file.read()
        except FileNotFoundError:
            return b""


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
