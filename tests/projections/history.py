"""Histories: events as the ledger's own decisions make them, for projections to follow."""

import random
from collections.abc import Sequence
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import earning_pb2 as e
from loyalty.v1 import expiry_pb2 as x
from loyalty.v1 import program_pb2 as p
from loyalty.v1 import reward_pb2 as r
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.events_pb2 import RewardReserved
from loyalty.v1.origin_pb2 import Origin, TillReference
from loyalty.v1.sale_pb2 import ReturnLine, Sale, SaleLine
from loyalty.v1.tier_pb2 import Tier

from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.decide import block, decide, enroll_member, publish_program, settle_account
from ledger.domain.instant import MINUTE, set_timestamp
from ledger.domain.names import hold_name, member_name, pool_stream, transaction_name
from ledger.domain.new_event import NewEvent
from ledger.domain.pool import Pool, Pools, PoolUnknown
from ledger.domain.program import Program
from ledger.domain.refusal import Rejected
from ledger.domain.rules.reward import codes_key
from ledger.domain.sale_reference import sale_reference
from ledger.domain.transaction import Transaction
from ledger.domain.upload_codes import upload_codes
from ledger.store.recorder import Session

DAY = 24 * 60 * MINUTE

START = 1_577_836_800_000_000
"""2020-01-01 UTC."""


def program(name: str = "programs/shop", **changes: Any) -> p.Program:
    """A program with tiers, a discount and cashback; points are pending for a day and expire after 30."""
    definition = p.Program(
        name=name,
        display_name=LocalizedText(en="Shop"),
        currency="EUR",
        time_zone="Europe/Berlin",
        earning_rules=[e.EarningRule(rule_id="spend", spend=e.SpendRule(points=1, per_minor=100))],
        pending=x.PendingPolicy(days=1),
        expiry=x.ExpiryPolicy(rolling=x.RollingExpiry(period=x.CalendarPeriod(days=30))),
        tiers=[Tier(tier_id="blue"), Tier(tier_id="gold", threshold=500)],
        rewards=[
            r.Reward(
                reward_id="five-off",
                cost_points=50,
                order_discount=r.OrderDiscount(amount_minor=500),
            ),
            r.Reward(reward_id="cash", cashback=r.Cashback(points=10, value_minor=100)),
        ],
        hold_timeout=Duration(seconds=1800),
        returns=p.ReturnPolicy(claw_back=p.ClawBack.CLAW_BACK_NEGATIVE),
    )
    for field, value in changes.items():
        if isinstance(value, Message):
            getattr(definition, field).CopyFrom(value)
        else:
            setattr(definition, field, value)
    return definition


def inactivity_program() -> p.Program:
    """A program whose lots live on as long as the member comes back, with grace for what returns give back."""
    return program(
        "programs/club",
        expiry=x.ExpiryPolicy(inactivity=x.InactivityExpiry(period=x.CalendarPeriod(days=40))),
        returns=p.ReturnPolicy(restore_expired=p.RestoreExpired.RESTORE_EXPIRED_GRACE, grace_days=90),
    )


_TERMINALS = count(1)
"""Histories that share a log have receipts of their own."""


class History:
    """Decides commands in order and keeps what they come to. Ids come from a seed, so two histories are alike."""

    def __init__(self, definition: p.Program | None = None, seed: int = 1) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.at = START
        self.terminal = f"t-{next(_TERMINALS)}"
        self.events: list[NewEvent] = []
        self.accounts: dict[UUID, Account] = {}
        self.files: dict[UUID, Transaction] = {}
        self.pools: dict[UUID, Pool] = {}
        self.definition = definition or program()
        self.sequence = 0
        request = c.PublishProgramRequest(request_id=str(self.new_id()), program=self.definition)
        event = publish_program(request, UUID(request.request_id), self.origin(), 1)
        self.program = Program(event.payload.request.program)  # type: ignore[attr-defined]  # publish_program makes a ProgramPublished
        self.events.append(event)

    def new_id(self) -> UUID:
        """A UUID of this history."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def origin(self) -> Origin:
        """A till, now."""
        origin = Origin(store=f"store-{self.random.randrange(5)}", terminal=self.terminal, operator="op-7")
        set_timestamp(origin.occurred_at, self.at)
        return origin

    # -- commands

    def enrol(self) -> UUID:
        """A new member."""
        request_id, member_id = self.new_id(), self.new_id()
        request = c.EnrollMemberRequest(request_id=str(request_id), program=self.program.name)
        case = enroll_member(request, request_id, self.origin(), self.at, self.program, member_id)
        self._keep(case)
        return member_id

    def sell(self, member: UUID, *prices: int, holds: Sequence[str] = (), pay: bool = False) -> UUID:
        """A sale with a line for each price."""
        sale = Sale(
            currency="EUR",
            lines=[
                SaleLine(
                    line_id=str(number), sku=f"sku-{price}", quantity=1, price_minor=price,
                    category="grocery",
                )
                for number, price in enumerate(prices, 1)
            ],
        )  # fmt: skip
        request = c.RecordSaleRequest(member=member_name(member), sale=sale, holds=holds)
        if pay:
            request.points_payment.reward_id = "cash"
        return self.run(member, request)

    def reserve(self, member: UUID, reward: str = "five-off", quantity: int = 1) -> UUID:
        """A reservation; its id is the hold's."""
        request = c.ReserveRewardRequest(member=member_name(member), reward_id=reward, quantity=quantity)
        return self.run(member, request)

    def commit(self, member: UUID, hold: UUID) -> UUID:
        """Redeems a hold."""
        return self.run(member, c.CommitRewardRequest(hold=hold_name(member, str(hold))))

    def release(self, member: UUID, hold: UUID) -> UUID:
        """Gives a hold back."""
        return self.run(member, c.ReleaseRewardRequest(hold=hold_name(member, str(hold))))

    def give_back(self, member: UUID, sale: UUID, *lines: str) -> UUID:
        """Returns lines of a sale, or all of it."""
        request = c.ReturnSaleRequest(
            member=member_name(member),
            transaction=transaction_name(sale),
            lines=[ReturnLine(line_id=line) for line in lines],
        )
        return self.run(member, request, target=sale)

    def reverse(self, member: UUID, transaction: UUID) -> UUID:
        """Reverses a transaction."""
        request = c.ReverseTransactionRequest(transaction=transaction_name(transaction))
        return self.run(member, request, target=transaction)

    def adjust(self, member: UUID, points: int) -> UUID:
        """Adjusts by hand."""
        request = c.AdjustPointsRequest(member=member_name(member), points=points, reason="test")
        return self.run(member, request)

    def settle(self, member: UUID) -> None:
        """Records what time has done."""
        case = Case(
            c.AdjustPointsRequest(), Origin(), self.new_id(), self.at, self.program,
            self.accounts[member], {},
        )  # fmt: skip
        settle_account(case)
        self._keep(case)

    def block(self) -> None:
        """Reverses a command that never came."""
        request_id, blocked = self.new_id(), self.new_id()
        request = c.ReverseTransactionRequest(request_id=str(request_id), original_request_id=str(blocked))
        self.events += block(request, request_id, self.origin(), blocked)

    def run(self, member: UUID, request: Any, target: UUID | None = None) -> UUID:
        """Decides any command of a member."""
        request_id = self.new_id()
        request.request_id = str(request_id)
        origin = self.origin()
        self.sequence += 1
        origin.till.CopyFrom(TillReference(business_date="2020-01-01", sequence=self.sequence))
        reference = sale_reference(self.program.name, origin) if isinstance(request, c.RecordSaleRequest) else None
        while True:
            case = Case(
                request, origin, request_id, self.at, self.program, self.accounts[member], self.files,
                self.files.get(target) if target is not None else None, reference,
                Pools(self.program.name, self.pools), b"secret",
            )  # fmt: skip
            try:
                decide(case)
            except PoolUnknown as unknown:
                self.pools[unknown.stream_id] = Pool(unknown.stream_id)
                continue
            self._keep(case)
            return request_id

    def upload(self, code_pool: str, *codes: str) -> None:
        """Uploads codes, by what they are found by."""
        request_id = self.new_id()
        request = c.UploadVoucherCodesRequest(
            request_id=str(request_id), program=self.program.name, code_pool=code_pool, codes=codes
        )
        stream_id = pool_stream(self.program.name, codes_key(code_pool))
        pools = Pools(self.program.name, self.pools | {stream_id: self.pools.get(stream_id, Pool(stream_id))})
        self.events.append(upload_codes(request, request_id, self.origin(), pools))
        self.pools.update(pools.changed)

    def record(self, member: UUID, event: Any) -> None:
        """Records an event that no command would decide."""
        account = self.accounts[member]
        account.apply(event)
        self.events.append(NewEvent(member, account.version, event, None, None, None))

    def _keep(self, case: Case[Any]) -> None:
        self.accounts[case.account.account_id] = case.account
        self.pools.update(case.pools.changed)
        self.events += case.events
        for event in case.events:
            if event.request_id is not None:
                self.files[event.request_id] = Transaction(event.request_id, event.stream_id, event.payload)
        for event in case.events:
            if event.transaction_id in self.files:
                file = self.files[event.transaction_id]
                file.follow_ups.append((event.request_id, event.payload))

    # -- at random

    def live(self, commands: int, members: int = 6) -> "History":
        """Any commands in any order, with days between them, some late, some refused."""
        names = [self.enrol() for _ in range(members)]
        rnd = self.random
        sales: dict[UUID, list[UUID]] = {name: [] for name in names}
        holds: dict[UUID, list[UUID]] = {name: [] for name in names}
        for _ in range(commands):
            self.at += rnd.choice([0, MINUTE, 20 * MINUTE, 3 * 60 * MINUTE, DAY, 12 * DAY])
            member = rnd.choice(names)
            try:
                self._do_something(member, sales[member], holds[member])
            except Rejected:
                continue
        return self

    def _do_something(self, member: UUID, sales: list[UUID], holds: list[UUID]) -> None:
        rnd = self.random
        match rnd.randrange(14):
            case 0 | 1 | 2 | 3 | 4:
                sales.append(self.sell(member, *(rnd.randrange(30_000) for _ in range(3))))
            case 5:
                sales.append(self.sell(member, rnd.randrange(30_000), pay=True))
            case 6 | 7:
                hold = self.reserve(member, rnd.choice(["five-off", "cash"]), rnd.randrange(1, 4))
                if isinstance(self.files[hold].main, RewardReserved):
                    holds.append(hold)
            case 8 if holds:
                self.commit(member, rnd.choice(holds))
            case 9 if holds:
                self.release(member, rnd.choice(holds))
            case 10 | 11 if sales:
                self._undo_something(member, sales, holds)
            case 12:
                self.adjust(member, rnd.choice([-80, -10, 25, 300]))
            case 13:
                self.settle(member)
                self.block()
            case _:
                name = hold_name(member, str(holds[-1])) if holds else ""
                sales.append(self.sell(member, 9_000, holds=[name] if name else []))

    def _undo_something(self, member: UUID, sales: list[UUID], holds: list[UUID]) -> None:
        if self.random.random() < 0.5:
            lines: tuple[str, ...] = self.random.choice([(), ("1",), ("2", "3")])
            self.give_back(member, self.random.choice(sales), *lines)
        else:
            self.reverse(member, self.random.choice(sales + holds))


def append(database_url: str, events: Sequence[NewEvent], batch: int = 50, at: int = START) -> None:
    """Appends events in batches, each recorded a second after the one before."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        session = Session(connection)
        for first in range(0, len(events), batch):
            session.append(events[first : first + batch], at + first * 1_000_000)
