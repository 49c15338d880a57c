"""Proof of a member's balance from their events: it adds up, and the views show the same."""

import time
from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from loyalty.v1.account_pb2 import Balance, TierProgress
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.pos_service_pb2 import GetBalanceRequest
from loyalty.v1.program_service_pb2 import GetProgramRequest
from loyalty.v1.reward_pb2 import Entitlement as EntitlementMessage
from loyalty.v1.reward_pb2 import Voucher as VoucherMessage

from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.decide import settle_account
from ledger.domain.entitlement import ISSUED as ENTITLEMENT_ISSUED
from ledger.domain.instant import FOREVER, SECOND, from_timestamp, to_timestamp
from ledger.domain.names import last_id
from ledger.domain.program import Program
from ledger.domain.versions import Versions
from ledger.domain.voucher import ISSUED as VOUCHER_ISSUED
from tests.rights import entitlements_of, vouchers_of
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
    if account.vouchers or account.entitlements:
        _prove_rights(shop, member, account, versions.at(from_timestamp(now.as_of)))
    for deadline in _deadlines(account):
        for at in (deadline - 1, deadline):
            if at > from_timestamp(now.as_of):
                request = GetBalanceRequest(member=member, as_of=to_timestamp(at), min_position=head)
                _shown(shop, request, account, versions)
    return now


def _prove_rights(shop: Shop, member: str, account: Account, program: Program) -> None:
    """The views show the vouchers and entitlements that the account knows as it knows them, and no other open ones.

    Within a second of the clock: none of those of a test expires just now.
    """
    vouchers, entitlements = vouchers_of(shop, member, page_size=7), entitlements_of(shop, member, page_size=7)
    at = int(time.time() * SECOND)
    case = Case(Empty(), Origin(), UUID(int=0), at, program, account, {})
    settle_account(case)
    shown = {one.name: one.SerializeToString(deterministic=True) for one in vouchers}
    shown |= {one.name: one.SerializeToString(deterministic=True) for one in entitlements}
    for voucher in case.account.vouchers.values():
        written = VoucherMessage()
        voucher.write(written)
        written.ClearField("code_hash")
        assert shown.pop(voucher.name) == written.SerializeToString(deterministic=True)
    for entitlement in case.account.entitlements.values():
        right = EntitlementMessage()
        entitlement.write(right)
        assert shown.pop(entitlement.name) == right.SerializeToString(deterministic=True)
    issued = [one.name for one in vouchers if one.state == VOUCHER_ISSUED]
    issued += [one.name for one in entitlements if one.state == ENTITLEMENT_ISSUED]
    assert shown.keys().isdisjoint(issued)


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
