"""Qualifying: what an event counts towards tiers, and the change of tier that follows from it."""

from loyalty.v1.events_pb2 import ActivityRecorded, PendingSettled, SaleRecorded, TierChanged, Undo
from loyalty.v1.tier_pb2 import TIER_BASIS_POINTS, TIER_BASIS_SPEND

from ledger.domain.case import Case, RequestT
from ledger.domain.instant import set_timestamp
from ledger.domain.ladder import Rung


def qualify(
    case: Case[RequestT],
    event: SaleRecorded | ActivityRecorded | PendingSettled | Undo,
    amount: int,
    period: int | None = None,
) -> Rung:
    """Writes into an event what it counts; returns where that leads, for `change_tier` once the event is recorded.

    What comes back (less than 0) is taken from the period in which it was counted. Raises Overflow.
    """
    before = Rung(case.account.tier, case.account.standing)
    if not amount:
        return before
    message = event.qualification
    message.period, counted, rung = case.program.ladder.count(before, case.at, amount, period)
    message.amount = amount
    counted.standing.write_after(message)
    return rung


def amount_of(case: Case[RequestT], *, points: int, spent_minor: int = 0, visits: int = 0) -> int:
    """Which of them counts in the program."""
    basis = case.program.ladder.basis
    if basis == TIER_BASIS_POINTS:
        return points
    return spent_minor if basis == TIER_BASIS_SPEND else visits


def change_tier(case: Case[RequestT], rung: Rung) -> None:
    """Records the tier that an event led to, if it is another one."""
    account = case.account
    if rung.tier == account.tier:
        return
    event = TierChanged(
        origin=case.origin,
        program_version=case.program.version,
        from_tier=account.tier,
        to_tier=rung.tier,
        qualifying_amount=case.program.ladder.holding(rung.standing, case.at),
        reason=rung.reason,
    )
    rung.standing.write(event.standing)
    case.record(event, transaction_id=case.request_id)


def record_scheduled(case: Case[RequestT]) -> None:
    """Records the next change of tier that was scheduled."""
    account, ladder = case.account, case.program.ladder
    due = account.standing.ahead[0]
    _, standing = ladder.at(account.tier, account.standing, due.at)
    event = TierChanged(
        from_tier=account.tier,
        to_tier=due.tier,
        qualifying_amount=ladder.holding(standing, due.at),
        reason=due.reason,
    )
    set_timestamp(event.effective_at, due.at)
    standing._replace(as_of=max(standing.as_of, due.at) if standing.as_of else 0).write(event.standing)
    case.record(event)
