"""Lots: soonest-expiring first, then oldest; gone to the instant; never more nor less than there is."""

from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.account_pb2 import Allocation, Balance
from loyalty.v1.account_pb2 import Lot as LotMessage
from loyalty.v1.commands_pb2 import AdjustPointsRequest
from loyalty.v1.events_pb2 import PointsAdjusted, PointsExpired
from loyalty.v1.expiry_pb2 import ExpiryPolicy
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.instant import FOREVER, from_timestamp
from ledger.domain.lot import Lot
from ledger.domain.program import Program
from ledger.domain.purse import TOTALS
from ledger.domain.refusal import InvariantBroken
from ledger.domain.rounding import INT64_MAX, Overflow
from ledger.domain.settle import settle
from ledger.sample_program import sample_program
from tests.programs import rolling

PROGRAM: Final = Program(sample_program())
ACCOUNT: Final = UUID(int=1)
MARCH: Final = 1_000_000_000
JUNE: Final = 2_000_000_000
NOW: Final = 500_000_000

LOTS: Final = st.builds(
    Lot,
    expires_at=st.sampled_from([MARCH, JUNE, FOREVER]),
    activates_at=st.sampled_from([0, NOW // 2, NOW * 2]),
    number=st.just(0),
    points=st.integers(1, 1_000),
    follows_activity=st.booleans(),
    expiry=st.none(),
)


def lot(number: int, points: int, expires_at: int = FOREVER, activates_at: int = 0) -> Lot:
    """A lot."""
    return Lot(expires_at, number, activates_at, points, False)


def account(*lots: Lot) -> Account:
    """An account with those lots, issued by adjustments in the order of their numbers."""
    account = Account(ACCOUNT)
    account.program = PROGRAM.name
    for entry in sorted(lots, key=lambda entry: entry.number):
        event = PointsAdjusted(request=AdjustPointsRequest(points=entry.points))
        entry.write(event.lot)
        account.apply(event)
    account.check()
    return account


def case(state: Account, at: int) -> Case[AdjustPointsRequest]:
    """A command at an instant."""
    return Case(AdjustPointsRequest(), Origin(), UUID(int=2), at, PROGRAM, state, {})


def taken(state: Account, points: int, at: int = NOW) -> list[tuple[int, int]]:
    """What spending takes, as (lot, points)."""
    return [(allocation.lot, allocation.points) for allocation in state.take(points, at)]


def test_the_soonest_expiring_is_spent_first() -> None:
    """X5: A 100 expires in March and was earned later, B 100 expires in June: 120 leave A 0, B 80."""
    state = account(lot(1, 100, JUNE), lot(2, 100, MARCH))
    assert taken(state, 120) == [(2, 100), (1, 20)]


@pytest.mark.parametrize(
    ("lots", "expected"),
    [
        ([lot(1, 5), lot(2, 5)], [1, 2]),
        ([lot(1, 5), lot(2, 5, JUNE)], [2, 1]),
        ([lot(1, 5, JUNE, 7), lot(2, 5, JUNE, 3)], [1, 2]),
        ([lot(1, 5, JUNE, 3), lot(2, 5, JUNE, 3)], [1, 2]),
    ],
)
def test_the_order_of_spending(lots: list[Lot], expected: list[int]) -> None:
    """Soonest-expiring, then oldest, then by number; what never expires comes last."""
    assert [number for number, _ in taken(account(*lots), 10)] == expected


def test_a_lot_is_gone_at_the_instant() -> None:
    """X6: a lot that expires exactly at the instant asked is expired."""
    state = account(lot(1, 100, MARCH))
    assert state.available(MARCH - 1) == 100
    assert state.available(MARCH) == 0
    assert taken(state, 100, MARCH) == []


def test_a_pending_lot_waits() -> None:
    """It cannot be spent before the instant of its activation, and can at that instant."""
    state = account(lot(1, 100, JUNE, MARCH))
    assert state.available(MARCH - 1) == 0
    assert taken(state, 1, MARCH - 1) == []
    assert state.available(MARCH) == 100


def expired(run: Case[AdjustPointsRequest]) -> list[tuple[int, list[tuple[int, int]]]]:
    """What a case recorded as expired, as (deadline, (lot, points))."""
    events = [new.payload for new in run.events]
    return [
        (
            from_timestamp(event.effective_at),
            [(allocation.lot, allocation.points) for allocation in event.allocations],
        )
        for event in events
        if isinstance(event, PointsExpired)
    ]


def test_what_is_left_of_a_lot_expires_once() -> None:
    """X6: of 100 with 60 used, 40 expire; running it twice changes nothing. X8: at its deadline."""
    state = account(lot(1, 100, MARCH), lot(2, 50, JUNE), lot(3, 7))
    spend = PointsAdjusted(request=AdjustPointsRequest(points=-60))
    spend.allocations.extend(state.take(60, NOW))
    state.apply(spend)
    late = case(state, MARCH + 6 * 3_600_000_000)
    settle(late)
    assert expired(late)[0] == (MARCH, [(1, 40)])
    late.account.check()
    again = case(late.account, late.at)
    settle(again)
    assert again.events == []


def test_a_spent_lot_expires_nothing() -> None:
    """X6: nor does one without a date."""
    state = account(lot(1, 60, MARCH), lot(2, 5))
    spend = PointsAdjusted(request=AdjustPointsRequest(points=-60))
    spend.allocations.extend(state.take(60, NOW))
    state.apply(spend)
    run = case(state, JUNE * 2)
    settle(run)
    assert expired(run) == []
    assert run.account.available(JUNE * 2) == 5


def test_lots_that_expire_together_are_one_event() -> None:
    """X7: 300 and 200, 200 spent, then both expire: nothing is left to spend."""
    state = account(lot(1, 300, MARCH), lot(2, 200, MARCH))
    spend = PointsAdjusted(request=AdjustPointsRequest(points=-200))
    spend.allocations.extend(state.take(200, NOW))
    state.apply(spend)
    assert state.available(MARCH) == 0
    run = case(state, MARCH)
    settle(run)
    assert expired(run) == [(MARCH, [(1, 100), (2, 200)])]
    assert taken(run.account, 1, MARCH) == []


def test_the_next_expiry_counts_all_lots_of_that_instant() -> None:
    """Only active points; later and undated ones are not in it."""
    state = account(lot(1, 5, MARCH), lot(2, 6, MARCH), lot(3, 7, JUNE), lot(4, 8, MARCH, NOW + 1))
    balance = Balance()
    state.write_balance(balance, NOW)
    assert (balance.next_expiry.points, from_timestamp(balance.next_expiry.expires_at)) == (
        11,
        MARCH,
    )
    assert (balance.available_points, balance.pending_points) == (18, 8)


def test_more_than_a_lot_holds_cannot_be_taken() -> None:
    """An event that says so contradicts the account."""
    state = account(lot(1, 5, MARCH))
    for allocation in (
        lot(1, 6, MARCH).allocation(6),
        lot(1, 5, JUNE).allocation(5),
        lot(2, 5, MARCH).allocation(1),
        lot(1, 5, MARCH).allocation(0),
    ):
        event = PointsAdjusted(request=AdjustPointsRequest(points=-1), allocations=[allocation])
        with pytest.raises(InvariantBroken):
            state.copy().apply(event)


@given(entry=LOTS, part=st.integers(1, 1_000), policy=st.sampled_from([None, rolling(days=3)]))
def test_a_lot_survives_its_messages(entry: Lot, part: int, policy: ExpiryPolicy | None) -> None:
    """What is written is read back; a part of it keeps its dates."""
    message = LotMessage()
    entry = entry._replace(expiry=policy)
    entry.write(message)
    assert Lot.of(LotMessage.FromString(message.SerializeToString())) == entry
    allocation = Allocation.FromString(entry.allocation(part).SerializeToString())
    assert Lot.of(allocation) == entry._replace(points=part, expiry=None)


@given(lots=st.lists(LOTS, max_size=8), points=st.integers(0, 5_000), at=st.sampled_from([NOW, MARCH, JUNE]))
def test_spending_takes_exactly_what_is_there(lots: list[Lot], points: int, at: int) -> None:
    """As much as asked or all that is active, in the order of expiry, and giving it back undoes it."""
    state = account(*(entry._replace(number=number) for number, entry in enumerate(lots, 1)))
    before = list(state.lots)
    available = state.available(at)
    allocations = state.take(points, at)
    assert sum(allocation.points for allocation in allocations) == min(points, available)
    assert [Lot.of(a).expires_at for a in allocations] == sorted(Lot.of(a).expires_at for a in allocations)
    event = PointsAdjusted(request=AdjustPointsRequest(points=-min(points, available)))
    event.allocations.extend(allocations)
    state.apply(event)
    state.check()
    assert state.available(at) == available - min(points, available)
    state.give_back(allocations)
    assert state.lots == before


@pytest.mark.parametrize("name", TOTALS)
def test_totals_stay_within_64_bits(name: str) -> None:
    """Of every kind of movement, for nothing else could be written into a snapshot."""
    account = Account(ACCOUNT)
    setattr(account, name, INT64_MAX)
    account.check_totals()
    setattr(account, name, INT64_MAX + 1)
    with pytest.raises(Overflow):
        account.check_totals()
