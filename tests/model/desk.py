"""The domain at a desk: decisions on accounts in memory, without any I/O."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.commands_pb2 import EnrollMemberRequest
from loyalty.v1.origin_pb2 import Origin

from ledger.api.convert import convert
from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.decide import decide, enroll_member
from ledger.domain.names import last_id
from ledger.domain.new_event import NewEvent
from ledger.domain.pool import Pool, Pools, PoolUnknown
from ledger.domain.program import Program
from ledger.domain.refusal import Rejected
from ledger.domain.transaction import Transaction
from tests.model.commands import AnyStep, Planned, Planner
from tests.model.in_process import ADMIN
from tests.model.programs import definition
from tests.model.scheme import Rules
from tests.shop import instant

NOW: Final = instant("2035-01-01").ToMicroseconds()
MEMBERS: Final = ("members/00000000-0000-7000-8000-000000000001", "members/00000000-0000-7000-8000-000000000002")


class Desk:
    """Accounts and transactions in memory."""

    def __init__(self, rules: Rules, start: int) -> None:
        self.program = Program(definition(rules, "programs/p"))
        self.files: dict[UUID, Transaction] = {}
        self.pools: dict[UUID, Pool] = {}
        self.accounts = {
            last_id(member): enroll_member(
                EnrollMemberRequest(), UUID(int=number), Origin(), start, self.program, last_id(member)
            ).account
            for number, member in enumerate(MEMBERS, 1)
        }

    def case(self, planned: Planned) -> Case[Message] | None:
        """A command with all that it needs; None for one that is not about an account."""
        request = type(planned.request)()
        request.CopyFrom(planned.request)
        command = convert(request, ADMIN, NOW, regions={})
        target = self.files.get(command.target) if command.target is not None else None
        account_id = command.member or (target.account_id if target is not None else None)
        if account_id is None:
            return None
        files = {key: self.files[key] for key in command.transactions if key in self.files}
        return Case(
            command.request,
            command.origin,
            command.request_id,
            command.at,
            self.program,
            self.accounts[account_id],
            files,
            target,
            pools=Pools("programs/p", self.pools),
        )

    def decide(self, case: Case[Message]) -> None:
        """Decides a command, anew with each pool that it turns out to need."""
        before = case.account
        while True:
            try:
                decide(case)
            except PoolUnknown as unknown:
                self.pools[unknown.stream_id] = Pool(unknown.stream_id)
                case.account, case.events, case.pools = before, [], Pools("programs/p", self.pools)
            else:
                return

    def keep(self, case: Case[Message]) -> None:
        """Takes what a command decided for done."""
        self.accounts[case.account.account_id] = case.account
        self.pools.update(case.pools.changed)
        for event in case.events:
            if event.request_id is not None:
                self.files[event.request_id] = Transaction(event.request_id, event.stream_id, event.payload)
        for event in case.events:
            file = self.files.get(event.transaction_id) if event.transaction_id is not None else None
            if file is not None:
                file.follow_ups.append((event.request_id, event.payload))


def decided(rules: Rules, start: int, commands: list[AnyStep]) -> Iterator[tuple[Account, Case[Message]]]:
    """Each decision of some commands, with the account as it was before."""
    desk, planner = Desk(rules, start), Planner(list(MEMBERS), start)
    for step in commands:
        planned = planner.plan(step)
        case = desk.case(planned) if planned is not None else None
        if case is None:
            continue
        before = case.account
        kept = before.to_snapshot()
        try:
            desk.decide(case)
        except Rejected:
            assert before.to_snapshot() == kept
            continue
        assert before.to_snapshot() == kept, "a decision changed the account that it was given"
        yield before, case
        desk.keep(case)


def own_events(case: Case[Message]) -> list[NewEvent]:
    """A decision's events on its account, without those on what all members share."""
    return [event for event in case.events if event.stream_id == case.account.account_id]
