"""The state of a check: what is done, in a file, so that a check that was interrupted can go on behind it."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Cursor

from ledger.domain.instant import FOREVER
from ledger.store.migrate import migrations
from projections.catalogue import PROJECTIONS
from projections.finding import Finding, Findings
from projections.share import Since
from projections.shared_rows import Rows
from projections.tracking import Generation

# What is archived has no hash but the sealed one, which is the same.
SHARES_MAX: Final = 1 << 16
"""More than a log has for which there is disk."""

_LEAF: Final = """
SELECT coalesce(leaf_hash(e), sealed_leaf(notification_id), '') FROM events e WHERE notification_id = %b
"""


class StateUnfit(Exception):
    """The file is of another log or release, or is none. The message says what to do."""


class ShareDone(NamedTuple):
    """A share that is done."""

    since: Since
    """Up to where."""
    accounts: int
    findings: Findings
    shared_rows: dict[str, Rows]


class CheckState:
    """The shares that are done. Bound to the release, to the log up to its head, and to the tables of the views."""

    def __init__(self, file: Path | None, cursor: Cursor[Any], generations: Sequence[Generation], shares: int) -> None:
        """`shares` is into how many shares a check is divided that begins now. Raises StateUnfit."""
        self.shares = shares
        self.done: dict[int, ShareDone] = {}
        self._file = file
        self._cursor = cursor
        self._release = release()
        self._schemas = [generation.schema for generation in generations]
        if file is not None and file.exists():
            self._read(file)

    def add(self, share: int, done: ShareDone) -> None:
        """Keeps a share that is done."""
        self.done[share] = done
        if self._file is None:
            return
        head = max(done.since.head for done in self.done.values())
        content = {
            "release": self._release,
            "schemas": self._schemas,
            "head": head,
            "head_hash": self._leaf(head),
            "shares": self.shares,
            "done": {str(share): _written(done) for share, done in self.done.items()},
        }
        beside = self._file.with_name(f"{self._file.name}.new")
        beside.write_text(json.dumps(content, default=_plain), encoding="utf-8")
        beside.replace(self._file)

    def _read(self, file: Path) -> None:
        try:
            content = json.loads(file.read_text(encoding="utf-8"), object_hook=_typed)
            of = (content["release"], content["schemas"], content["head_hash"])
            self.shares = int(content["shares"])
            self.done = {int(share): _done(fields) for share, fields in content["done"].items()}
            head = int(content["head"])
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
            raise StateUnfit(f"{file} is not the state of a check: name another file") from None
        except OSError as error:
            raise StateUnfit(f"{file} cannot be read: {error.strerror}") from None
        if not (
            1 <= self.shares <= SHARES_MAX and 0 <= head < FOREVER and all(0 <= one < self.shares for one in self.done)
        ):
            raise StateUnfit(f"{file} is not the state of a check: name another file")
        for there, here, what in zip(
            of,
            (self._release, self._schemas, self._leaf(head)),
            ("by another release", "before a view was rebuilt", f"on another log: event {head} is not the same"),
            strict=True,
        ):
            if there != here:
                raise StateUnfit(f"the check in {file} was begun {what}. Delete the file to begin anew")

    def _leaf(self, position: int) -> str:
        row = self._cursor.execute(_LEAF, (position,)).fetchone()
        return row[0].hex() if row is not None else ""


def release() -> str:
    """The release that a state is of: its version, and the tables that it knows."""
    digests = b"".join(migration.digest for migration in migrations())
    try:
        number = version("loyalty-ledger")
    except PackageNotFoundError:  # a source tree that is not installed
        number = "unknown"
    return f"{number} {sha256(digests).hexdigest()}"


def _written(done: ShareDone) -> dict[str, Any]:
    return {
        "head": done.since.head,
        "positions": done.since.positions,
        "accounts": done.accounts,
        "first": done.findings.first,
        "count": done.findings.count,
        "shared_rows": {place: list(rows.values()) for place, rows in done.shared_rows.items()},
    }


def _done(fields: dict[str, Any]) -> ShareDone:
    findings = Findings()
    findings.first = [Finding(*one) for one in fields["first"]]
    findings.count = Counter(fields["count"])
    keys = {f"{name}.{table}": keys for name, one in PROJECTIONS.items() for table, keys in one.shared_tables.items()}
    shared = {
        place: {tuple(row[key] for key in keys[place]): row for row in rows}
        for place, rows in fields["shared_rows"].items()
    }
    return ShareDone(Since(fields["head"], fields["positions"]), fields["accounts"], findings, shared)


def _plain(value: Any) -> dict[str, str]:
    """What JSON has no type for."""
    match value:
        case Decimal() | UUID() | date():
            return {"": type(value).__name__, "is": str(value)}
        case bytes():
            return {"": "bytes", "is": value.hex()}
        case _:
            raise TypeError(type(value))


_TYPES: Final[Mapping[str, Callable[[str], Any]]] = {
    "Decimal": Decimal,
    "UUID": UUID,
    "date": date.fromisoformat,
    "bytes": bytes.fromhex,
}


def _typed(fields: dict[str, Any]) -> Any:
    return _TYPES[fields[""]](fields["is"]) if "" in fields else fields
