"""A copy of the feed in an SQLite file of the consumer's own.

What a message brings and the place behind it are one transaction. So whatever happens in between, a consumer that goes
on from the place that its copy knows has each change once, in order.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from loyalty.v1.crm_service_pb2 import WatchChangesResponse

BUSY_TIMEOUT_S: Final = 30.0
"""How long to wait for somebody who reads the copy meanwhile."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS place (
    log_id TEXT NOT NULL, position INTEGER NOT NULL, snapshot_page_token TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS filter (
    program TEXT NOT NULL, types TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS members (
    member TEXT NOT NULL PRIMARY KEY, program TEXT NOT NULL, snapshot TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY, position INTEGER NOT NULL UNIQUE, recorded_at TEXT NOT NULL, subject TEXT NOT NULL,
    type TEXT NOT NULL, change TEXT NOT NULL
);
"""


class Place(NamedTuple):
    """Up to where a copy has the feed."""

    log_id: str = ""
    """Empty for a new copy."""
    position: int = 0
    """0 while the snapshot is not complete."""
    snapshot_page_token: str = ""


class OtherFilter(Exception):
    """The file is a copy of other changes than those that are asked for. The message says of which."""


class SqliteCopy:
    """The file: members as the snapshot showed them, and every change since, in the order in which they came."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, timeout=BUSY_TIMEOUT_S, isolation_level=None)

    def __enter__(self) -> Self:
        self._connection.executescript(_TABLES)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def place(self) -> Place:
        """Where to go on."""
        row = self._connection.execute("SELECT log_id, position, snapshot_page_token FROM place").fetchone()
        return Place() if row is None else Place(*row)

    def keep_filter(self, program: str, types: Sequence[str]) -> None:
        """Notes of which changes it is a copy, for as long as the file is there. Raises OtherFilter."""
        asked = (program, " ".join(types))
        with self._transaction():
            kept = self._connection.execute("SELECT program, types FROM filter").fetchone()
            if kept is None:
                self._connection.execute("INSERT INTO filter VALUES (?, ?)", asked)
            elif kept != asked:
                raise OtherFilter(f"it is a copy of {_filter(*kept)}, and not of {_filter(*asked)}: name another file")

    def clear(self) -> None:
        """Forgets all that it has, to begin anew."""
        with self._transaction():
            for table in ("members", "changes", "place"):
                self._connection.execute(f"DELETE FROM {table}")

    def apply(self, message: WatchChangesResponse) -> None:
        """Takes over what a message brings, and the place behind it, or nothing of both. Who is erased goes."""
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO members VALUES (?, ?, ?)",
                [(one.member, one.program, _json(one)) for one in message.members],
            )
            self._connection.executemany(
                "INSERT INTO changes (position, recorded_at, subject, type, change) VALUES (?, ?, ?, ?, ?)",
                [
                    (one.position, one.recorded_at.ToJsonString(), one.subject, one.WhichOneof("event"), _json(one))
                    for one in message.changes
                ],
            )
            self._connection.executemany(
                "DELETE FROM members WHERE member = ?",
                [(one.subject,) for one in message.changes if one.HasField("member_erased")],
            )
            self._connection.execute("DELETE FROM place")
            self._connection.execute(
                "INSERT INTO place VALUES (?, ?, ?)", (message.log_id, message.position, message.snapshot_page_token)
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _filter(program: str, types: str) -> str:
    return f"{program or 'all programs'}, {types or 'all types'}"


def _json(message: Message) -> str:
    return MessageToJson(message, indent=None, preserving_proto_field_name=True)
