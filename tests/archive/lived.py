"""A ledger that has lived a little, sealed and signed, to be archived."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.program_pb2 import Program
from psycopg.rows import tuple_row

from ledger.archive.archive import ArchiveDone, archive
from ledger.proof.keys import Keys
from ledger.proof.note import Checkpoint, Signer, sign
from ledger.store.archive import ARCHIVED_TOPICS
from ledger.store.arrays import register_arrays
from ledger.store.seal import seal
from tests.programs import spend
from tests.proof import prove
from tests.running import Databases, running, token
from tests.shop import Shop

ORIGIN: Final = "log.example/loyalty"
SIGNER: Final = Signer.generate("log.example/loyalty")
KEYS: Final = Keys((SIGNER,))
BEHIND: Final = "SELECT (SELECT max(notification_id) FROM events) - min(position) FROM views.positions"
ROWS: Final = "SELECT * FROM events ORDER BY notification_id"


class Lived(NamedTuple):
    """A ledger, and what was answered while it was young."""

    database: str
    url: str
    program: str
    terminal: str
    members: tuple[str, ...]
    sale: c.RecordSaleRequest
    """The first member's first sale, receipt 1."""
    answer: pos.RecordSaleResponse
    checkpoint: str
    """What the auditor has."""
    sold_at: int
    """The position of that sale."""
    joined_at: int
    """The position of the first event that can be archived: the first member's enrolment."""

    def copied(self, databases: Databases) -> "Lived":
        """A copy of it."""
        name = databases.create(self.database)
        return self._replace(database=name, url=databases.url(name))

    def archived(self, folder: Path, until: int | None = None, keys: Keys = KEYS) -> ArchiveDone:
        """Archives all of it, or up to a position."""
        until = until or int(stored(self.url, "SELECT max(notification_id) FROM events")[0][0])
        return archive(self.url, folder, until, now=1, keys=keys)

    @contextmanager
    def open(self, folder: Path | None = None) -> Iterator[Shop]:
        """The shop, on a server with an archive or without; it seals nothing."""
        environment = {"LOYALTY_ARCHIVE": str(folder)} if folder is not None else {}
        with running(self.url, LOYALTY_LOG_SEAL="no", **environment) as server, server.channel() as channel:
            shop = Shop(channel, token(self.url))
            shop.program, shop.terminal = self.program, self.terminal
            yield shop


def archivable(url: str, until: int, first: int = 1) -> int:
    """How many events up to a position have a state that goes to the archive."""
    query = f"SELECT topic FROM events WHERE notification_id BETWEEN {first} AND {until}"
    return sum(topic in ARCHIVED_TOPICS for (topic,) in stored(url, query))


def stored(url: str, query: str) -> list[tuple[Any, ...]]:
    """What the database has."""
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def wait_for_views(url: str) -> None:
    """Waits until every view has the whole log: nothing is archived that a view lacks."""
    end = time.monotonic() + 60
    while True:
        ((behind,),) = stored(url, BEHIND)
        if behind == 0:
            return
        if time.monotonic() > end:
            raise AssertionError(f"a view still lacks {behind} events")
        time.sleep(0.02)


def sealed(url: str) -> str:
    """Seals the log and signs it; returns the checkpoint."""
    with psycopg.connect(url) as connection:
        register_arrays(connection)
        tree = seal(connection.cursor(binary=True, row_factory=tuple_row), 10_000)
        note = sign(Checkpoint(ORIGIN, tree.size, tree.root()).text, [SIGNER])
        connection.execute("INSERT INTO log_checkpoints VALUES (%s, 1, %s)", (tree.size, note))
    return note


def live(databases: Databases) -> Lived:
    """A ledger with sales, a return, a refusal and an adjustment, of three members."""
    name = databases.create()
    url = databases.url(name)
    with running(url, LOYALTY_LOG_SEAL="no") as server, server.channel() as channel:
        shop = Shop(channel, token(url), Program(earning_rules=[spend()]))
        members = tuple(shop.member() for _ in range(3))
        sale = shop.sale_request(members[0], 10_00, till=1)
        answer = shop.record(sale)
        for member in members:
            shop.sale(member, 5_00)
        checkpoint = sealed(url)
        shop.give_back(shop.sale(members[1], 20_00).outcome.transaction)
        shop.adjust(members[2], 7)
        wait_for_views(url)
        for member in members:
            prove(shop, member)
    sealed(url)
    ((sold_at,),) = stored(url, f"SELECT notification_id FROM events WHERE request_id = '{sale.request_id}'")
    ((joined_at,),) = stored(url, "SELECT min(notification_id) FROM events WHERE topic = 'enrolled/1'")
    return Lived(name, url, shop.program, shop.terminal, members, sale, answer, checkpoint, sold_at, joined_at)
