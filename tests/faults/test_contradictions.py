"""A log that contradicts itself, or has lost what was acknowledged: nothing hangs, and no gap is made."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.origin_pb2 import Origin, TillReference
from loyalty.v1.sale_pb2 import Sale

from tests.model.in_process import InProcess, in_process
from tests.programs import program
from tests.running import Databases
from tests.shop import instant, line, new_id

NOW = instant("2030-01-01").ToMicroseconds()


@pytest.fixture
def url(databases: Databases) -> str:
    """A database of its own, since it will be damaged."""
    return databases.url(databases.create())


@pytest.fixture
def server(url: str) -> Iterator[InProcess]:
    """A ledger on it."""
    with in_process(url, lambda: NOW) as server:
        yield server


@pytest.fixture
def member(server: InProcess) -> str:
    """A member of a program."""
    definition = program(name="programs/p", currency="EUR", time_zone="UTC", default_region="DE")
    server.publish(definition)
    answer: Any = server.send(c.EnrollMemberRequest(request_id=new_id(), program=definition.name))[0]
    return str(answer.member)


def sale(member: str, sequence: int) -> c.RecordSaleRequest:
    """A sale with a receipt number."""
    till = TillReference(business_date="2029-12-31", sequence=sequence)
    return c.RecordSaleRequest(
        request_id=new_id(),
        member=member,
        origin=Origin(store="s-1", terminal="t-1", till=till),
        sale=Sale(lines=[line(10_00)]),
    )


def damage(url: str, statement: str) -> None:
    """Changes the log behind the service's back."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        connection.execute(statement.encode())
        connection.execute("ALTER TABLE events ENABLE TRIGGER ALL")


@pytest.mark.timeout(60)
def test_a_key_that_contradicts_its_event_harms_no_neighbour(server: InProcess, member: str, url: str) -> None:
    """A receipt whose row has lost its request id can be neither found nor written: it fails, its neighbours pass."""
    first = sale(member, 1)
    server.send(first)
    damage(url, f"UPDATE events SET request_id = NULL WHERE request_id = '{first.request_id}'")
    answers = server.send(sale(member, 2), first, sale(member, 3))
    told = [getattr(answer, "reason", "") for answer in answers]
    assert told == ["", "DATA_CORRUPT", ""]
    assert not hasattr(server.send(sale(member, 4))[0], "reason")


def test_a_log_that_lost_its_end_gets_no_gap(server: InProcess, member: str, url: str) -> None:
    """After a fail-over to a copy that lacks events, a server that remembers them decides anew on what is there."""
    for sequence in (1, 2, 3):
        server.send(sale(member, sequence))
    damage(url, "DELETE FROM events WHERE notification_id = (SELECT max(notification_id) FROM events)")
    assert not hasattr(server.send(sale(member, 4))[0], "reason")
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT originator_version FROM events WHERE originator_id = %s ORDER BY notification_id",
            (member.removeprefix("members/"),),
        ).fetchall()
        (ends,) = connection.execute("SELECT max(notification_id) = count(*) FROM events").fetchall()
    assert [version for (version,) in rows] == [1, 2, 3, 4]
    assert ends == (True,)
