"""Replay is exact: pages, crashes and rebuilds leave the same bytes (promise 6, L1)."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pytest
from loyalty.v1 import program_pb2 as p
from psycopg import Cursor

from ledger.domain.new_event import NewEvent
from ledger.store.topics import TOPICS
from projections.balances import _HANDLE
from projections.catalogue import PROJECTIONS
from projections.page import Event
from projections.projection import Projection, Step
from projections.rebuild import rebuild
from tests.projections.asked import outspoken
from tests.projections.audited import audited
from tests.projections.history import History, append, inactivity_program, program
from tests.projections.moved import moved
from tests.projections.rewarded import lively
from tests.projections.tables import catch_up, tables

PROGRAMS = {"rolling": program, "inactivity": inactivity_program}


@pytest.fixture(params=PROGRAMS, name="definition")
def _definition(request: pytest.FixtureRequest) -> p.Program:
    return PROGRAMS[request.param]()


def test_any_page_size_gives_the_same_tables(
    database_url: str, another_url: str, third_url: str, definition: p.Program
) -> None:
    """How the log is cut into pages leaves no trace."""
    events = History(definition).live(250).events
    made = []
    for url, page_events in ((database_url, 1), (another_url, 7), (third_url, 500)):
        append(url, events)
        catch_up(url, page_events)
        made.append(tables(url))
    assert made[0] == made[1] == made[2]
    assert all(len(table) > 30 for name, table in made[0].items() if name == "balances.lots")


class Crash(Exception):
    """The process is gone."""


class Crashing(Projection):
    """A projection that is killed now and then, at any statement of a page."""

    def __init__(self, real: Projection, seed: int) -> None:
        self._real = real
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self.crashes = 0
        type(self).name = real.name

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """What the real one would do, cut short."""
        return self._real.collect(events)

    def apply(self, cursor: Cursor[tuple[object, ...]], events: Sequence[Event]) -> None:
        """Applies a page, or only a part of it."""
        steps = self.collect(events)
        last = self._random.randrange(len(steps) + 4)
        for number, step in enumerate(steps):
            if number == last:
                self.crashes += 1
                raise Crash
            cursor.execute(self._real.sql[step.name], step.parameters)


EVENTS: Final[Mapping[str, Callable[[], Sequence[NewEvent]]]] = {
    "audit_trail": lambda: audited(150),
    "rewards": lambda: lively(4).events,
    "consents": lambda: outspoken(4, 400).events,
    "feedback": lambda: outspoken(4, 400).events,
    "segments": lambda: moved(80),
}
"""What projections are tried on that the ordinary history has little for."""


@pytest.mark.parametrize("name", PROJECTIONS)
def test_killed_at_random_is_the_same_as_run_once(database_url: str, another_url: str, name: str) -> None:
    """A crash between any two statements of a page neither loses nor repeats anything."""
    events = EVENTS.get(name, lambda: History().live(150).events)()
    for url in (database_url, another_url):
        append(url, events)
    crashing = Crashing(PROJECTIONS[name], seed=4)
    while True:
        try:
            catch_up(database_url, 9, [crashing])
        except Crash:
            continue
        break
    catch_up(another_url, 9, [PROJECTIONS[name]])
    assert crashing.crashes > 5
    assert tables(database_url, name) == tables(another_url, name)


def test_dropped_and_replayed_is_the_same(database_url: str, definition: p.Program) -> None:
    """L1: all projections made again from event 1 have the same bytes."""
    append(database_url, History(definition).live(250).events)
    catch_up(database_url, 7)
    before = tables(database_url)
    for name in PROJECTIONS:
        assert rebuild(database_url, name).generation == 2
    assert tables(database_url) == before


def test_every_event_type_is_known_to_balances() -> None:
    """A new type of event cannot be forgotten: whether it moves points has to be said."""
    assert _HANDLE.keys() == TOPICS.keys()


def test_tables_of_projections_have_names_of_their_own() -> None:
    """A check has the tables of all projections in one schema."""
    names = [table for projection in PROJECTIONS.values() for table in (*projection.tables, *projection.shared_tables)]
    assert len(names) == len(set(names))
