"""Random commands in random order, with retries and crashes, against the model."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Protocol
from uuid import UUID

import psycopg
import pytest
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString
from hypothesis import given, note
from hypothesis import strategies as st
from loyalty.v1.account_pb2 import TierProgress
from loyalty.v1.commands_pb2 import EnrollMemberRequest
from loyalty.v1.events_pb2 import TierChanged
from loyalty.v1.pos_service_pb2 import EnrollMemberResponse
from loyalty.v1.program_pb2 import Program as Definition
from loyalty.v1.snapshot_pb2 import AccountSnapshot
from loyalty.v1.tier_pb2 import TierChangeReason

from ledger.domain.account import Account
from ledger.domain.program import Program
from ledger.writer import writer
from tests.model.answers import figures, is_no, shown
from tests.model.commands import (
    STARTS,
    AnyStep,
    CrashStep,
    Planned,
    Planner,
    PublishStep,
    RetryStep,
    origin,
    steps,
)
from tests.model.effort import examples
from tests.model.in_process import Answered, InProcess, Refusal, in_process, without_replayed
from tests.model.programs import definition, rules
from tests.model.purse import No
from tests.model.reference import World
from tests.model.scheme import Rules
from tests.running import Databases
from tests.shop import instant, new_id

DAY = 86_400_000_000

NOW = instant("2035-01-01").ToMicroseconds()


@pytest.fixture(scope="module")
def servers(databases: Databases) -> Iterator[list[InProcess]]:
    """Two servers on one database; snapshots after every third event instead of every 200th."""
    name = databases.create()
    with psycopg.connect(databases.url(name), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    url = databases.url(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "SNAPSHOT_EVERY", 3)
        with in_process(url, lambda: NOW) as one, in_process(url, lambda: NOW) as other:
            yield [one, other]


class Server(Protocol):
    """What a run asks of a server."""

    def restart(self) -> None:
        """Loses all that it has in memory."""

    def publish(self, program: Definition) -> None:
        """Publishes a program."""

    def send(self, *requests: Message) -> list[Answered]:
        """What some requests, sent as one batch, are answered."""


class Run:
    """One example: the same commands for the ledger and for the model."""

    def __init__(self, servers: Sequence[Server], versions: Sequence[Rules], start: int) -> None:
        self.servers, self.versions = servers, versions
        for server in servers:
            server.restart()
        self.name = f"programs/m-{new_id()}"
        servers[0].publish(definition(versions[0], self.name))
        self.members = [self._enroll(self.name, start), self._enroll(self.name, start)]
        self.planner = Planner(self.members, start)
        self.world = World(versions[0], self.members)
        self.program = Program(definition(versions[0], self.name))
        self.answers: dict[str, Answered] = {}
        self.batch: list[Planned] = []
        self.turn = 0

    def _enroll(self, program: str, start: int) -> str:
        request = EnrollMemberRequest(request_id=new_id(), origin=origin(start), program=program)
        response = self.servers[0].send(request)[0]
        if not isinstance(response, EnrollMemberResponse):
            raise TypeError(response)
        return response.member

    def take(self, step: AnyStep) -> None:
        """Does one step; commands wait for the rest of their batch."""
        match step:
            case CrashStep():
                self.flush()
                self.crash(step)
            case PublishStep():
                self.flush()
                self.publish(step)
            case RetryStep():
                self.flush()
                self.retry(step)
            case _:
                if not step.joins:
                    self.flush()
                planned = self.planner.plan(step)
                if planned is not None:
                    self.batch.append(planned)

    def flush(self) -> None:
        """Sends the batch and compares each answer with the model's."""
        if not self.batch:
            return
        self.turn += 1
        answers = self.servers[self.turn % 2].send(*(planned.request for planned in self.batch))
        for planned, answer in zip(self.batch, answers, strict=True):
            request_id = planned.request.request_id
            note(f"{type(planned.request).__name__} {one_line(planned.request)} -> {one_line(answer)}")
            self.world, expected = self.world.carry_out(request_id, planned.at, planned.act)
            if isinstance(expected, No):
                assert is_no(answer, expected), (expected.reason, answer)
                if expected.recorded:
                    self.answers[request_id] = answer
            else:
                assert not isinstance(answer, Refusal), (answer, expected)
                assert figures(answer) == expected
                self.answers[request_id] = answer
        self.batch.clear()

    def retry(self, step: RetryStep) -> None:
        """An earlier command again: the same answer, and nothing else happens."""
        done = [one for one in self.planner.done if one.request.request_id in self.answers]
        if not done:
            return
        planned = done[-1 - step.which % len(done)]
        answer = self.servers[step.who].send(planned.request)[0]
        first = self.answers[planned.request.request_id]
        assert without_replayed(answer) == without_replayed(first)
        assert isinstance(answer, Refusal) or answer.outcome.replayed  # type: ignore[attr-defined]  # as above

    def publish(self, step: PublishStep) -> None:
        """Another version decides from now on, or from later on."""
        rules = self.versions[step.version]
        start = 0 if step.starts is None else self.planner.at + step.starts
        note(f"version {step.version} from {start}")
        self.servers[step.who].publish(definition(rules, self.name, start))
        for server in self.servers:  # which would know of it within a second
            server.restart()
        self.world.publish(rules, start)

    def crash(self, step: CrashStep) -> None:
        """A server starts again with nothing in memory."""
        self.servers[step.server].restart()


def drop_snapshots(server: InProcess, members: list[str]) -> None:
    """Snapshots can be done without."""
    with server.datastore.pool.connection() as connection:
        connection.execute(
            "DELETE FROM snapshots WHERE originator_id = ANY (%s)", ([UUID(member[8:]) for member in members],)
        )


def check(run: Run, servers: list[InProcess]) -> None:
    """The promises that must hold whenever nothing is under way."""
    for member in run.members:
        account_id = UUID(member[8:])
        replayed = servers[0].replayed(account_id)
        replayed.check()
        for account in ways_to(servers, account_id):
            assert account.to_snapshot() == replayed.to_snapshot()
        for later in (0, DAY, 40 * DAY, 400 * DAY):
            at = run.planner.at + later
            world = deepcopy(run.world)
            world.pass_time(member, at)
            assert replayed.available(at) == world.purses[member].available(at)
            progress = TierProgress()
            run.program.ladder.write_progress(progress, replayed.tier, replayed.standing, at)
            assert shown(progress) == world.purses[member].status.shown(at)
        assert tier_changes(servers[0], account_id) == [
            (tier, reason) for _, tier, reason in run.world.purses[member].status.history
        ]


def tier_changes(server: InProcess, account_id: UUID) -> list[tuple[str, str]]:
    """The tiers that a member came to, and why."""
    return [
        (event.to_tier, TierChangeReason.Name(event.reason).removeprefix("TIER_CHANGE_REASON_"))
        for event in server.events(account_id)
        if isinstance(event, TierChanged)
    ]


def ways_to(servers: list[InProcess], account_id: UUID) -> Iterator[Account]:
    """The account from each server's memory, and from its snapshot, each with the events since then."""
    for server in servers:
        with server.recorder.session() as session:
            known = server.writer._cache.account(account_id)
            states = session.snapshots([account_id])
            bases = [known.copy()] if known is not None else []
            bases += [Account.from_snapshot(account_id, AccountSnapshot.FromString(state)) for state in states.values()]
            for account in bases:
                for row in session.fetch({account_id: account.version}):
                    if row.found_by_stream:
                        account.apply(row.payload)  # type: ignore[arg-type]  # an account's stream holds nothing else
                account.check()
                yield account


def one_line(message: Answered) -> str:
    """A message for people who look for the cause of a failure."""
    return str(message) if isinstance(message, Refusal) else MessageToString(message, as_one_line=True)


@examples(120)
@given(program=rules(), start=st.sampled_from(STARTS), commands=steps())
def test_model(servers: list[InProcess], program: Rules, start: int, commands: list[AnyStep]) -> None:
    """Every answer and the balance at any time are the model's, whatever is repeated, joined or lost."""
    compared(servers, [program], start, commands)


@st.composite
def in_versions(draw: st.DrawFn) -> list[Rules]:
    """A program and what becomes of it."""
    first = draw(rules())
    return [first, draw(rules(after=first)), first]


@examples(60)
@given(versions=in_versions(), start=st.sampled_from(STARTS), commands=steps(versions=2))
def test_versions(servers: list[InProcess], versions: list[Rules], start: int, commands: list[AnyStep]) -> None:
    """The same while other versions of the program are published, for now or for later."""
    compared(servers, versions, start, commands)


def compared(servers: list[InProcess], versions: list[Rules], start: int, commands: list[AnyStep]) -> None:
    """Does the commands and compares what they come to."""
    run = Run(servers, versions, start)
    for step in commands:
        run.take(step)
        if isinstance(step, CrashStep) and step.snapshots:
            drop_snapshots(servers[0], run.members)
    run.flush()
    check(run, servers)
