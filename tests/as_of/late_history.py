"""Histories in which some of what happened arrives late."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from loyalty.v1.program_pb2 import Program

from ledger.as_of.question import Question
from ledger.as_of.sides import Sides
from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.effect import effective_at
from tests.projections.history import DAY, START, History, inactivity_program, program
from tests.projections.rewarded import live_rewards, with_rewards

RECORDED_FROM: Final = START + 10_000 * DAY
"""Everything is recorded long after it happened, a second for each command."""


class Happened(NamedTuple):
    """An event of the log."""

    position: int
    stream_id: UUID
    version: int
    recorded_at: int
    command_id: UUID | None
    payload: Any

    @property
    def effective_at(self) -> int:
        """When it took effect."""
        return effective_at(self.payload, self.recorded_at)


class LateHistory(History):
    """A history in which every fourth command was given up to 20 days before those that were recorded before it."""

    is_late = True

    def __init__(self, definition: Program, seed: int) -> None:
        self.commands: dict[tuple[UUID, int], UUID] = {}
        """Request ids by member and version of the events that a command caused."""
        super().__init__(definition, seed)

    def _keep(self, case: Case[Any]) -> None:
        for event in case.events:
            if "origin" in event.payload.DESCRIPTOR.fields_by_name and event.payload.HasField("origin"):
                self.commands[event.stream_id, event.version] = case.request_id
        super()._keep(case)

    def run(self, member: UUID, request: Any, target: UUID | None = None) -> UUID:
        """Decides any command of a member, perhaps of an earlier day."""
        now = self.at
        if self.is_late and self.random.random() < 0.25:
            self.at -= self.random.randrange(20 * DAY)
        try:
            return super().run(member, request, target)
        finally:
            self.at = now


def lives(kind: str, seed: int, commands: int, *, is_late: bool) -> tuple[LateHistory, list[list[Happened]]]:
    """A history of a kind, and each member's events."""
    definitions = {"rolling": program, "inactivity": inactivity_program, "rewards": with_rewards}
    history = LateHistory(definitions[kind](), seed)
    history.is_late = is_late
    if kind == "rewards":
        live_rewards(history, commands)
    else:
        history.live(commands, members=3)
    by_member: dict[UUID, list[Happened]] = {member: [] for member in history.accounts}
    for position, event in enumerate(history.events, 1):
        if event.stream_id in by_member:
            command = history.commands.get((event.stream_id, event.version))
            recorded_at = RECORDED_FROM + position * 1_000_000
            happened = Happened(position, event.stream_id, event.version, recorded_at, command, event.payload)
            by_member[event.stream_id].append(happened)
    return history, list(by_member.values())


def fold(events: Sequence[Happened]) -> Account:
    """The account of some events."""
    account = Account(events[0].stream_id)
    for event in events:
        account.apply(event.payload)
    return account


def sides(events: Sequence[Happened], question: Question) -> Sides:
    """Both sides."""
    both = Sides(events[0].stream_id, question)
    for event in events:
        both.add(event)
    both.check()
    return both
