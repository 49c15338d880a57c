"""The domain without any I/O: what must hold of every decision on every account."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.decide import settle_account
from ledger.domain.expiry import expires_at
from ledger.domain.program import Program
from tests.model.commands import STARTS, AnyStep, steps
from tests.model.dates import NEVER, US, Expiry, gone_at
from tests.model.desk import decided, own_events
from tests.model.effort import examples
from tests.model.programs import definition, rules
from tests.model.scheme import Rules


@examples(250)
@given(rules=rules(), start=st.sampled_from(STARTS), commands=steps())
def test_decisions(rules: Rules, start: int, commands: list[AnyStep]) -> None:
    """Points add up after each event; replayed from their bytes, the events give the account that was decided."""
    for before, case in decided(rules, start, commands):
        replayed = before.copy()
        for number, event in enumerate(own_events(case), before.version + 1):
            assert event.version == number
            stored = type(event.payload).FromString(event.payload.SerializeToString())
            replayed.apply(stored)  # type: ignore[arg-type]  # decide makes account events only
            replayed.check()
        assert replayed.to_snapshot() == case.account.to_snapshot()
        assert sum(event.request_id is not None for event in case.events) == 1


@examples(150)
@given(rules=rules(), start=st.sampled_from(STARTS), commands=steps())
def test_snapshots(rules: Rules, start: int, commands: list[AnyStep]) -> None:
    """An account from its snapshot is the account, and goes on as it would have."""
    for before, case in decided(rules, start, commands):
        state = before.to_snapshot()
        again = Account.from_snapshot(before.account_id, type(state).FromString(state.SerializeToString()))
        assert again.to_snapshot() == state
        again.check()
        for at in (case.at, case.at + 40 * 86_400 * US):
            assert again.available(at) == before.available(at)
        for event in own_events(case):
            again.apply(event.payload)  # type: ignore[arg-type]  # decide makes account events only
        assert again.to_snapshot() == case.account.to_snapshot()


@examples(150)
@given(rules=rules(), start=st.sampled_from(STARTS), commands=steps(late=False))
def test_balance_does_not_wait_for_a_job(rules: Rules, start: int, commands: list[AnyStep]) -> None:
    """The balance at any later instant is the same whether or not what is due by then was recorded."""
    for _, case in decided(rules, start, commands):
        account = case.account
        deadlines = {lot.expires_at for lot in account.lots} | {lot.activates_at for lot in account.lots}
        deadlines |= {hold.expires_at for hold in account.holds.values()}
        for deadline in sorted(deadlines - {0, NEVER}):
            for at in (deadline - 1, deadline):
                if at < case.at:
                    continue
                settled = Case(case.request, case.origin, case.request_id, at, case.program, account, {})
                settle_account(settled)
                settled.account.check()
                assert settled.account.available(at) == account.available(at)
                twice = Case(case.request, case.origin, case.request_id, at, case.program, settled.account, {})
                settle_account(twice)
                assert not twice.events


ZONES = (
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "America/Los_Angeles",
    "America/Sao_Paulo",  # until 2019 the clocks changed at midnight
    "Australia/Lord_Howe",  # the clocks change by half an hour
    "Asia/Kathmandu",
    "Africa/Cairo",
)

POLICIES = (
    Expiry("days", 1),
    Expiry("days", 365),
    Expiry("months", 1),
    Expiry("years", 1),
    Expiry("month"),
    Expiry("month", 12),
    Expiry("quarter"),
    Expiry("year"),
    Expiry("date", 2, 29),
    Expiry("inactivity", 30),
)


def moments() -> st.SearchStrategy[int]:
    """Instants, many of them around midnight somewhere and on days on which clocks change."""
    whole = st.datetimes(datetime(2000, 1, 2), datetime(2034, 12, 30)).map(  # noqa: DTZ001 - made UTC right here
        lambda moment: int(moment.replace(tzinfo=UTC).timestamp()) * US
    )
    days = st.sampled_from(("2018-11-04", "2019-02-17", "2024-03-31", "2024-10-27", "2024-02-28", "2023-12-31"))
    minutes = st.integers(-900, 1_800)
    around = st.tuples(days, minutes).map(
        lambda at: int((datetime.fromisoformat(at[0]).replace(tzinfo=UTC) + timedelta(minutes=at[1])).timestamp()) * US
    )
    return st.tuples(st.one_of(whole, around), st.sampled_from((0, 0, 1, -1, 59 * US))).map(sum)


@examples(400)
@given(zone=st.sampled_from(ZONES), policy=st.sampled_from(POLICIES), at=st.lists(moments(), min_size=1, max_size=6))
def test_expiry(zone: str, policy: Expiry, at: list[int]) -> None:
    """What a program remembers is what it would work out, and both are what the calendar says."""
    program = Program(definition(Rules(zone=zone, expiry=policy), "programs/p"))
    for moment in [*at, *(moment - moment % (3_600 * US) for moment in at), *at]:
        found = program.validity.expires_at(moment)
        assert found == expires_at(program.definition.expiry, moment, ZoneInfo(zone))
        assert found == gone_at(policy, moment, zone)
