"""Proof of a member's balance from their events: it adds up, and the views show the same."""

from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from loyalty.v1.account_pb2 import Balance, TierProgress
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.pos_service_pb2 import GetBalanceRequest
from loyalty.v1.program_service_pb2 import GetProgramRequest

from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.decide import settle_account
from ledger.domain.instant import FOREVER, from_timestamp, to_timestamp
from ledger.domain.names import last_id
from ledger.domain.program import Program
from ledger.domain.versions import Versions
from tests.shop import TIMEOUT_S, Shop


def fold(shop: Shop, member: str) -> Account:
    """A member's account, replayed from their events. The points add up after each of them."""
    account = Account(last_id(member))
    for event in shop.events(member):
        account.apply(getattr(event, event.WhichOneof("event") or ""))
        account.check()
        assert account.version == event.subject_version
    return account


def prove(shop: Shop, member: str) -> Balance:
    """The balance now, proved: GetBalance shows what the events come to, now and at every deadline ahead.

    Nothing has recorded those deadlines, so that shows too that no answer waits for a job.
    """
    account = fold(shop, member)
    head = shop.head()
    versions = _versions(shop, account.program)
    now = _shown(shop, GetBalanceRequest(member=member, min_position=head), account, versions)
    for deadline in _deadlines(account):
        for at in (deadline - 1, deadline):
            if at > from_timestamp(now.as_of):
                request = GetBalanceRequest(member=member, as_of=to_timestamp(at), min_position=head)
                _shown(shop, request, account, versions)
    return now


def _versions(shop: Shop, name: str, version: int = 0) -> Versions:
    """The versions of a program that can still decide something."""
    request = GetProgramRequest(name=name, version=version)
    program = Program(shop.programs.GetProgram(request, metadata=shop.metadata, timeout=TIMEOUT_S).program)
    return Versions(program, _versions(shop, name, program.version - 1) if program.starts_at else None)


def _shown(shop: Shop, request: GetBalanceRequest, account: Account, versions: Versions) -> Balance:
    response = shop.pos.GetBalance(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    at = from_timestamp(response.balance.as_of)
    program = versions.at(at)
    case = Case(Empty(), Origin(), UUID(int=0), at, program, account, {})
    settle_account(case)
    case.account.check()
    balance, tier = Balance(), TierProgress()
    case.account.write_balance(balance, at)
    program.ladder.write_progress(tier, case.account.tier, case.account.standing, at)
    assert response.balance == balance
    assert response.tier == tier
    return response.balance


def _deadlines(account: Account) -> set[int]:
    deadlines = {hold.expires_at for hold in account.holds.values()}
    for lot in account.lots:
        deadlines |= {lot.activates_at, lot.expires_at} - {0, FOREVER}
    return deadlines | {change.at for change in account.standing.ahead}
