"""A log's key and its file of checkpoints, for tests; and a log of events that mean nothing."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import tuple_row

from ledger.proof.checkpoint_file import CheckpointFile, SignedCheckpoint
from ledger.proof.keys import Keys, create_keys, read_keys
from ledger.proof.note import Checkpoint, Signer, open_checkpoint
from ledger.store.arrays import register_arrays
from projections.notary import Notary

ORIGIN: Final = "shop.example/loyalty"
PATIENCE_S: Final = 60.0
NOW: Final = 1_577_836_800_000_000

_APPEND: Final = """
INSERT INTO events SELECT gen_random_uuid(), 1, 'refused/1', int8send(n), n, n, NULL, NULL, NULL
FROM generate_series(%s::bigint, %s::bigint) AS n
"""


class Signing(NamedTuple):
    """Where a log's keys and checkpoints are."""

    key_file: Path
    checkpoint_file: Path

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a server that signs."""
        return {
            "LOYALTY_LOG_KEY_FILE": str(self.key_file),
            "LOYALTY_CHECKPOINT_FILE": str(self.checkpoint_file),
        }

    @property
    def keys(self) -> Keys:
        """The keys, as they are now."""
        return read_keys(self.key_file)

    def kept(self) -> list[SignedCheckpoint]:
        """What is in the file, oldest first."""
        if not self.checkpoint_file.exists():
            return []
        return [SignedCheckpoint.parse(line) for line in self.checkpoint_file.read_text("utf-8").splitlines()]

    def checkpoints(self) -> list[Checkpoint]:
        """The same, each proved by its signature."""
        return [open_checkpoint(one.note, self.keys.verifiers, ORIGIN) for one in self.kept()]

    def notary(self) -> Notary:
        """A notary that has just started."""
        return Notary(self.key_file, self.checkpoint_file, ORIGIN, lambda: NOW)

    def newest(self) -> int:
        """The size of the newest checkpoint."""
        kept = CheckpointFile(self.checkpoint_file).newest()
        return kept.size if kept is not None else 0


def signing_in(folder: Path) -> Signing:
    """A new key in a folder."""
    create_keys(folder / "log.key", Keys((Signer.generate(ORIGIN),)))
    return Signing(folder / "log.key", folder / "checkpoints.jsonl")


@contextmanager
def cursor_on(database_url: str) -> Iterator[psycopg.Cursor[Any]]:
    """A cursor like the sealer's, of a role that nothing is refused to."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        register_arrays(connection)
        yield connection.cursor(binary=True, row_factory=tuple_row)


def append(database_url: str, first: int, last: int) -> None:
    """Appends events of no meaning, and tells who listens."""
    with psycopg.connect(database_url, autocommit=True) as connection, connection.transaction():
        connection.execute(_APPEND, (first, last))
        connection.execute("SELECT pg_notify('events', %s)", (str(last),))


def change(database_url: str, *statements: str) -> None:
    """Changes the database past its guards, as a superuser can."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


def eventually(condition: Callable[[], bool]) -> None:
    """Asks until a condition is true."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        pause.wait(0.02)
