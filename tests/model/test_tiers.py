"""Tiers without any I/O: after each command and at any later time, members stand where the model says."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString
from hypothesis import given, note
from hypothesis import strategies as st
from loyalty.v1.account_pb2 import TierProgress
from loyalty.v1.events_pb2 import TierChanged
from loyalty.v1.tier_pb2 import TierChangeReason

from ledger.domain.names import last_id
from ledger.domain.new_event import NewEvent, main_event
from ledger.domain.refusal import Rejected
from tests.model.answers import shown
from tests.model.commands import (
    STARTS,
    AdjustStep,
    AnyStep,
    CrashStep,
    PinStep,
    Planner,
    RetryStep,
    ReturnStep,
    SaleStep,
    steps,
)
from tests.model.dates import US
from tests.model.desk import MEMBERS, Desk
from tests.model.effort import examples
from tests.model.ladders import ladders
from tests.model.programs import rules
from tests.model.purse import Figures
from tests.model.reference import World
from tests.model.scheme import HERE, Line, Rules

DAY = 86_400 * US


@st.composite
def tiered(draw: st.DrawFn) -> Rules:
    """Simple rules, and tiers with any policy."""
    return replace(draw(rules(plain=True)), ladder=draw(ladders()))


def changes(events: Iterable[NewEvent]) -> list[tuple[str, str]]:
    """The tiers that came, and why."""
    return [
        (event.payload.to_tier, TierChangeReason.Name(event.payload.reason).removeprefix("TIER_CHANGE_REASON_"))
        for event in events
        if isinstance(event.payload, TierChanged)
    ]


def visits() -> st.SearchStrategy[list[AnyStep]]:
    """Sales that reach tiers and their returns, with time between them, mostly of one member."""
    later = st.sampled_from([days * DAY // 2 for days in (0, 1, 2, 7, 41, 62, 180, 365, -2, -90)])
    common: dict[str, Any] = {"later": later, "who": st.sampled_from((0, 0, 0, 1)), "joins": st.just(False)}
    lines = st.sampled_from((4_000, 12_345, 30_000)).map(lambda price: (Line("", price),))
    sale = st.builds(
        SaleStep,
        **common,
        lines=lines,
        discount=st.sampled_from((0, 0, 500)),
        holds=st.just(0),
        pay=st.none(),
        awaited=st.booleans(),
        place=st.just(HERE),
    )
    back = st.sampled_from(((), ((1, None, 2_000),)))
    undone = st.builds(ReturnStep, **common, which=st.integers(0, 3), named=st.just(True), lines=back)
    pinned = st.builds(PinStep, **common, tier=st.sampled_from((0, 0, 1, 2)))
    adjusted = st.builds(AdjustStep, **common, points=st.just(1))
    return st.lists(st.one_of(sale, sale, sale, undone, pinned, adjusted), min_size=3, max_size=14)


@examples(300)
@given(rules=tiered(), start=st.sampled_from(STARTS), commands=st.one_of(visits(), visits(), steps()))
def test_tiers(rules: Rules, start: int, commands: list[AnyStep]) -> None:
    """The receipts, the changes with their reasons, and what is shown at any later time are the model's."""
    desk, planner, world = Desk(rules, start), Planner(list(MEMBERS), start), World(rules, MEMBERS)
    for step in commands:
        planned = planner.plan(step) if not isinstance(step, RetryStep | CrashStep) else None
        case = desk.case(planned) if planned is not None else None
        if planned is None or case is None:
            continue
        member = f"members/{case.account.account_id}"
        told = len(world.purses[member].status.history)
        try:
            desk.decide(case)
        except Rejected as no:
            world, _ = world.carry_out(planned.request.request_id, planned.at, planned.act)
            note(f"{_line(planned.request)} -> {no}")
            continue
        desk.keep(case)
        world, expected = world.carry_out(planned.request.request_id, planned.at, planned.act)
        main: Any = main_event(case.events).payload
        note(f"{_line(planned.request)} -> {_line(main)}")
        status = world.purses[member].status
        if isinstance(expected, Figures):
            assert shown(main.receipt.tier) == expected.tier
        assert changes(case.events) == [(tier, reason) for _, tier, reason in status.history[told:]]
        for days in (0, 1, 33, 100, 400, 900):
            at, progress = planned.at + days * DAY, TierProgress()
            account = desk.accounts[last_id(member)]
            desk.program.ladder.write_progress(progress, account.tier, account.standing, at)
            assert shown(progress) == status.shown(at), days


def _line(message: Message) -> str:
    return MessageToString(message, as_one_line=True)
