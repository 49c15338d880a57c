"""State as of: what holds of any history, without any I/O."""

import pytest
from google.protobuf.empty_pb2 import Empty
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.as_of_pb2 import MemberState
from loyalty.v1.events_pb2 import CommandRefused
from loyalty.v1.origin_pb2 import Origin

from ledger.as_of.question import Question
from ledger.as_of.sides import NoMember
from ledger.as_of.state import state_of
from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.decide import settle_account
from ledger.domain.instant import FOREVER
from ledger.domain.refusal import InvariantBroken
from projections.postings import postings
from tests.as_of.late_history import Happened, fold, lives, sides
from tests.model.effort import examples

KINDS = pytest.mark.parametrize("kind", ["rolling", "inactivity", "rewards"])
SEEDS = st.integers(0, 10**9)


def shown(account: Account, at: int) -> MemberState:
    """An account's state, vouchers and entitlements in an order that does not depend on what is recorded."""
    state = state_of(account, at, 1)
    state.vouchers.sort(key=lambda one: one.name)
    state.entitlements.sort(key=lambda one: one.name)
    return state


def deadlines(account: Account) -> set[int]:
    """When something happens by itself."""
    found = {lot.expires_at for lot in account.lots} | {lot.activates_at for lot in account.lots}
    found |= {hold.expires_at for hold in account.holds.values()} | {one.at for one in account.standing.ahead}
    found |= {voucher.expires_at for voucher in account.vouchers.values()}
    found |= {entitlement.expires_at for entitlement in account.entitlements.values()}
    return found - {0, FOREVER}


def posted(events: list[Happened]) -> int:
    """What the member has by some events."""
    return sum(postings(event.payload).get("member", 0) for event in events)


@KINDS
@examples(4)
@given(seed=SEEDS)
def test_every_position_is_the_fold_of_the_events_up_to_it(kind: str, seed: int) -> None:
    """And so is what all of them come to by the time that they took effect, whatever the clocks say."""
    _, members = lives(kind, seed, 80, is_late=True)
    for events in members:
        for number in range(1, len(events) + 1):
            known_by_then = events[:number]
            at = max(event.effective_at for event in known_by_then)
            question = Question(known_by_then[-1].position, at, by_effect=False)
            account = fold(known_by_then)
            assert shown(sides(events, question).believed, at) == shown(account, at)
            assert not sides(known_by_then, question).late
            by_effect = sides(known_by_then, question._replace(at=FOREVER, by_effect=True)).known
            for moment in {at} | deadlines(account):
                assert shown(by_effect, moment) == shown(account, moment)


@KINDS
@examples(4)
@given(seed=SEEDS)
def test_the_difference_is_what_came_late(kind: str, seed: int) -> None:
    """What is known is what was believed and what came late; the points of each are those that it posts."""
    _, members = lives(kind, seed, 80, is_late=True)
    late_in_all = 0
    for events in members:
        moments = sorted({event.effective_at for event in events})
        for at in moments[:: max(len(moments) // 8, 1)]:
            in_effect = [event for event in events if event.version == 1 or event.effective_at <= at]
            for believed in events[:: max(len(events) // 8, 1)]:
                both = sides(events, Question(believed.position, at, by_effect=True))
                late = [event for event in in_effect if event.position > believed.position]
                assert both.known.balance == posted(in_effect)
                assert both.known.balance - both.believed.balance == posted(late)
                late = [event for event in late if event.command_id is not None]
                assert sum(one.points for one in both.late) == posted(late)
                named = {event.command_id for event in late if not isinstance(event.payload, CommandRefused)}
                assert {one.transaction for one in both.late} == named
                assert both.late_total == len(named)
                late_in_all += len(named)
    assert late_in_all


@KINDS
@examples(4)
@given(seed=SEEDS)
def test_with_nothing_late_both_times_are_one(kind: str, seed: int) -> None:
    """Where no clock is behind, what is known about an instant is what was believed then, recorded or not."""
    history, members = lives(kind, seed, 120, is_late=False)
    for events in members:
        commands = [event for event in events if event.command_id is not None]
        for event in commands:
            after = [one.effective_at for one in commands if one.effective_at > event.effective_at]
            done = [one for one in commands if one.effective_at <= event.effective_at]
            account = fold(events[: done[-1].version])
            until = min(after, default=FOREVER)
            for at in {event.effective_at} | {at for at in deadlines(account) if event.effective_at < at < until}:
                known = sides(events, Question(events[-1].position, at, by_effect=True)).known
                assert shown(known, at) == shown(account, at)
                settled = Case(Empty(), Origin(), event.stream_id, at, history.program, account, {})
                settle_account(settled)
                assert shown(settled.account, at) == shown(account, at)


def test_events_that_do_not_follow_each_other_are_no_state() -> None:
    """One is missing, or the stream is not that of a member."""
    _, (events, *_) = lives("rolling", 1, 60, is_late=False)
    question = Question(events[-1].position, events[-1].recorded_at, by_effect=False)
    assert sides(events, question).believed_events == len(events) > 10
    with pytest.raises(InvariantBroken, match="event 6 where 5 is next"):
        sides([*events[:4], *events[5:]], question)
    with pytest.raises(NoMember):
        sides([event._replace(version=event.version - 1) for event in events[1:]], question)
