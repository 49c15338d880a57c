"""Drawing from pools: what a command takes of stock and of limits of all members, keeps, or gives back."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from loyalty.v1.earning_pb2 import LimitScope
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import PoolDrawn, PoolKept, PoolReturned, ReleaseReason
from loyalty.v1.reward_pb2 import Use

from ledger.domain.case import Case, RequestT
from ledger.domain.instant import set_timestamp
from ledger.domain.names import last_id, member_name
from ledger.domain.pool import Draw
from ledger.domain.refusal import Refused

CODES: Final = "codes/"
"""What the keys of pools of codes begin with."""


def draw(case: Case[RequestT], uses: Iterable[Use], hold: str = "", expires_at: int = 0) -> list[str]:
    """Draws, for a hold until its deadline, or for good; returns the hashes of the codes that are given out for good.

    What timed out before is given back in the log first: from now on somebody relies on it, so that a commit which
    comes late, with an earlier clock, finds that it was too late.
    """
    codes: list[str] = []
    for use in _of_pools(uses):
        _settle(case, use.key)
        event = PoolDrawn(
            origin=case.origin,
            program=case.program.name,
            pool=use.key,
            period=use.period,
            amount=use.amount,
            drawn=(case.pools.pool(use.key).recorded(use.period) or 0) + use.amount,
            member=member_name(case.account.account_id),
            hold=hold,
        )
        if hold:
            set_timestamp(event.expires_at, expires_at)
        elif use.key.startswith(CODES):
            event.code_hashes.extend(case.pools.pool(use.key).codes[: use.amount])
            codes += event.code_hashes
        case.record_pool(event, case.request_id)
    return codes


def keep(case: Case[RequestT], uses: Iterable[Use], hold: str) -> list[str]:
    """Makes what a hold drew final; returns the hashes of the codes that it gets, where it drew from a pool of codes.

    Raises Refused when others have it by now.
    """
    codes: list[str] = []
    for use in _of_pools(uses):
        if hold not in case.pools.pool(use.key).open:
            raise Refused(ErrorReason.ERROR_REASON_HOLD_EXPIRED, hold=hold)
        event = PoolKept(origin=case.origin, program=case.program.name, pool=use.key, hold=hold)
        if use.key.startswith(CODES):
            event.code_hashes.extend(case.pools.pool(use.key).codes[: use.amount])
            codes += event.code_hashes
        case.record_pool(event, case.request_id)
    return codes


def give_back(case: Case[RequestT], uses: Iterable[Use], reason: ReleaseReason.ValueType, hold: str = "") -> None:
    """Gives back what was drawn, for a hold or for good.

    What is forgotten, or given back by time, is left alone, and so are codes that were given out.
    """
    for use in _of_pools(uses):
        if use.key.startswith(CODES) and not hold:
            continue
        pool = case.pools.pool(use.key)
        if (hold and hold not in pool.open) or pool.recorded(use.period) is None:
            continue
        _return(case, use.key, Draw(hold, use.period, use.amount, case.at), reason, case.request_id)


def _settle(case: Case[RequestT], key: str) -> None:
    """Records what time has given back."""
    for due in case.pools.pool(key).due(case.at):
        _return(case, key, due, ReleaseReason.RELEASE_REASON_TIMED_OUT, last_id(due.hold))


def _return(case: Case[RequestT], key: str, drawn: Draw, reason: ReleaseReason.ValueType, transaction_id: UUID) -> None:
    event = PoolReturned(
        program=case.program.name,
        pool=key,
        period=drawn.period,
        amount=drawn.amount,
        drawn=(case.pools.pool(key).recorded(drawn.period) or 0) - drawn.amount,
        hold=drawn.hold,
        reason=reason,
    )
    if reason != ReleaseReason.RELEASE_REASON_TIMED_OUT:
        event.origin.CopyFrom(case.origin)
    set_timestamp(event.effective_at, drawn.expires_at)
    case.record_pool(event, transaction_id)


def _of_pools(uses: Iterable[Use]) -> list[Use]:
    return [use for use in uses if use.scope == LimitScope.LIMIT_SCOPE_PROGRAM]
