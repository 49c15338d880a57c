"""A site: a ledger server with a database of its own, a program, a credential and members."""

import itertools
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import grpc
import psycopg
from loyalty.v1.program_pb2 import Program

from ledger.sample_program import sample_program
from tests.bench.load import Clients, Job, Round
from tests.bench.process import LEDGER, Served
from tests.running import token
from tests.shop import Shop

CATCH_UP_MAX_S: Final = 600.0

FILL_SALES: Final = 50_000
"""Sales of one round of filling; each is made before it is sent."""

FILL_BATCH: Final = 250

SEEDS: Final = itertools.count(1)
"""Each round of sales has a number of its own, and with it receipt numbers that no other has."""


class SalesLost(Exception):
    """The log does not hold what was acknowledged."""


class Site:
    """A ledger server at work.

    Args:
        database_url: A migrated database.
        clients: Where the load comes from.
        members: How many to enrol.
        command: What to run in place of the ledger.
        environment: Further settings of the server.
        program: Named as the sample program, which it is unless given.
    """

    def __init__(
        self,
        database_url: str,
        clients: Clients,
        members: int,
        command: Sequence[str] = LEDGER,
        environment: Mapping[str, str] | None = None,
        program: Program | None = None,
    ) -> None:
        self._program = program or sample_program()
        self.database_url = database_url
        self.server = Served(database_url, command, environment)
        self.token = token(database_url, "pos")
        self.members: Sequence[str] = ()
        self._clients = clients
        self._members = members

    def __enter__(self) -> Self:
        self.server.__enter__()
        try:
            self._open()
        except BaseException:
            self.server.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.__exit__(kind, error, traceback)

    def _open(self) -> None:
        with grpc.insecure_channel(self.server.address) as channel:
            shop = Shop(channel, token(self.database_url, "manager"))
            shop.publish(self._program)
        self.members = self._clients.enroll(self.server.address, self.token, self._members)

    def job(self, seconds: float, in_flight: int, *, batch: int = 0, rate: float = 0.0) -> Job:
        """A round of sales that nobody has sent."""
        return Job(
            self.server.address,
            self.token,
            self.members,
            next(SEEDS),
            seconds,
            in_flight,
            batch=batch,
            rate=rate,
        )

    def run(self, job: Job) -> Round:
        """A round of sales, from a server that has nothing else to do.

        Raises SalesLost unless the log has grown by exactly the sales that were acknowledged.
        """
        self.catch_up()
        before = self.head()
        done = self._clients.run(job)
        self.check_sales(before, done.sales)
        return done

    def check_sales(self, before: int, acknowledged: int) -> None:
        """Raises SalesLost unless the log has so many sales behind a position."""
        recorded = self._value(
            "SELECT count(*) FROM events WHERE notification_id > %s AND topic LIKE 'sale/%%'", before
        )
        if recorded != acknowledged:
            raise SalesLost(f"{acknowledged} sales were acknowledged and {recorded} recorded")

    def fill(self, events: int) -> int:
        """Records sales until the log has so many events; returns how many sales that took."""
        sales = 0
        while (missing := events - self.head()) > 0 or not sales:
            count = min(max(missing, FILL_BATCH), FILL_SALES)
            job = self.job(0, 8, batch=FILL_BATCH)._replace(sales=count)
            sales += self._clients.run(job).sales
        return sales

    def head(self) -> int:
        """The end of the log."""
        return self._value("SELECT coalesce(max(notification_id), 0) FROM events")

    def catch_up(self) -> None:
        """Waits until every projection has."""
        until = time.monotonic() + CATCH_UP_MAX_S
        head = self.head()
        while self._value("SELECT min(position) FROM projection.tracking WHERE live") < head:
            if time.monotonic() > until:
                raise TimeoutError(f"a projection has not caught up in {CATCH_UP_MAX_S:g} s")
            time.sleep(0.05)

    def log_bytes(self) -> int:
        """The log on disk, with its indexes."""
        return self._value("SELECT pg_total_relation_size('events')")

    def view_bytes(self) -> int:
        """The projections' tables on disk, with their indexes."""
        return self._value(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
            " JOIN projection.tracking t"
            " ON c.relnamespace = to_regnamespace(t.name || '_' || t.generation)"
            " WHERE c.relkind = 'r'"
        )

    def _value(self, query: str, *parameters: int) -> int:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(query.encode(), parameters or None).fetchone()
        return int(row[0]) if row is not None else 0
