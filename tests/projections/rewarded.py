"""Histories of members with vouchers and entitlements."""

from typing import TypeVar
from uuid import UUID

from loyalty.v1 import commands_pb2 as c
from loyalty.v1.expiry_pb2 import CalendarPeriod
from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import PriorityService

from ledger.domain.names import hold_name, member_name
from ledger.domain.refusal import Rejected
from tests.programs import entitlement, voucher
from tests.projections.history import DAY, History, program

HistoryT = TypeVar("HistoryT", bound=History)

DAYS = CalendarPeriod(days=20)

REWARDS = [
    voucher(5, "five", validity=DAYS, terms={"stock": 40}),
    voucher(5, "card", value_minor=50_00),
    voucher(5, "coded", code_pool="cinema", validity=DAYS),
    entitlement("lounge", 5, priority_service=PriorityService(service="lounge", times=2), validity=DAYS),
]


def with_rewards() -> Program:
    """The usual program, with what is issued in its catalogue."""
    definition = program()
    del definition.rewards[:]
    definition.rewards.extend(REWARDS)
    return definition


def lively(seed: int, commands: int = 150) -> History:
    """Members who are given, buy, use, lose and bring back vouchers and entitlements, in any order."""
    return live_rewards(History(with_rewards(), seed), commands)


def live_rewards(history: HistoryT, commands: int) -> HistoryT:
    """The same in a history that has begun."""
    members = [history.enrol() for _ in range(4)]
    history.upload("cinema", *(f"hash-{number}" for number in range(30)))
    done: dict[UUID, list[UUID]] = {member: [] for member in members}
    for _ in range(commands):
        history.at += history.random.choice([0, DAY // 4, DAY, 3 * DAY])
        member = history.random.choice(members)
        try:
            done[member].append(_live(history, member, done[member]))
        except Rejected:
            continue
    return history


def _live(history: History, member: UUID, done: list[UUID]) -> UUID:
    rnd, name, account = history.random, member_name(member), history.accounts[member]
    reward_id = rnd.choice(["five", "card", "coded", "lounge"])
    match rnd.randrange(9):
        case 0 | 1:
            request = c.GrantRewardRequest(member=name, reward_id=reward_id, quantity=rnd.randrange(1, 4), reason="x")
            return history.run(member, request)
        case 2:
            history.adjust(member, 100)
            hold = history.reserve(member, reward_id)
            return history.commit(member, hold) if rnd.random() < 0.7 else hold
        case 3 if account.holds:
            return history.run(member, c.ReleaseRewardRequest(hold=hold_name(member, next(iter(account.holds)))))
        case 4 | 5 if account.vouchers:
            sale = c.RecordSaleRequest(member=name)
            sale.sale.lines.add(line_id="1", price_minor=20_00, quantity=1)
            sale.voucher_codes.append(rnd.choice(list(account.vouchers.values())).code_hash)
            return history.run(member, sale)
        case 6 if account.entitlements:
            return history.run(member, c.UseEntitlementRequest(entitlement=rnd.choice(list(account.entitlements))))
        case 7 if account.vouchers:
            return history.run(member, c.RevokeVoucherRequest(voucher=rnd.choice(list(account.vouchers)), reason="x"))
        case 8 if done:
            return history.reverse(member, rnd.choice(done))
        case _:
            history.settle(member)
            return history.sell(member, 10_00)
