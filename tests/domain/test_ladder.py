"""The ladder: what must hold of every policy, whatever is counted, comes back or is pinned, and whenever one looks."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.account_pb2 import TierProgress
from loyalty.v1.expiry_pb2 import CalendarUnit
from loyalty.v1.program_pb2 import Program
from loyalty.v1.tier_pb2 import Standing as StandingMessage

from ledger.domain.instant import HOUR
from ledger.domain.ladder import Ladder, Rung
from ledger.domain.standing import NO_STANDING, Standing
from tests.programs import tier_policy, tiers
from tests.shop import instant

START = instant("2020-01-31T12:00").ToMicroseconds()
DAY = 24 * HOUR
ZONE = ZoneInfo("Europe/Berlin")
NAMES = ("base", "mid", "top")


PERIODS: list[dict[str, object]] = [
    {},
    {"rolling": {"days": 30}},
    {"rolling": {"months": 1}},
    {"calendar": CalendarUnit.CALENDAR_UNIT_MONTH},
    {"calendar": CalendarUnit.CALENDAR_UNIT_QUARTER},
    {"since_change": {"months": 1}},
    {"since_change": {}},
]


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    """The ladder of a program with any policy."""
    fields = dict(draw(st.sampled_from(PERIODS)))
    fields["downgrade"] = draw(st.sampled_from(("TO_MATCH", "ONE_STEP", "NEVER")))
    if fields["downgrade"] != "NEVER":
        fields["grace"] = draw(st.sampled_from((None, {"days": 1}, {"days": 20})))
    policy = tier_policy(**fields)  # type: ignore[arg-type]  # the fields of tier_policy, drawn
    return Ladder(Program(tiers=tiers(base=0, mid=100, top=200), tier_policy=policy), ZONE)


Step = tuple[int, int, str | None]
"""Days since the step before, less than 0 for one that arrives late; an amount; or a floor."""

STEPS = st.lists(
    st.tuples(
        st.integers(-40, 70),
        st.sampled_from((30, 60, 100, 150, 250, -30, -100)),
        st.sampled_from((None, None, None, None, "", "mid", "top")),
    ),
    max_size=12,
)


def settled(ladder: Ladder, rung: Rung, at: int) -> Rung:
    """The rung with each change that is due recorded."""
    while rung.standing.ahead and rung.standing.ahead[0].at <= at:
        due = rung.standing.ahead[0]
        _, standing = ladder.at(rung.tier, rung.standing, due.at)
        rung = Rung(due.tier, standing)
    return rung


def moved(ladder: Ladder, rung: Rung, at: int, step: Step) -> Rung:
    """The rung after a step."""
    _, amount, floor = step
    rung = settled(ladder, rung, at)
    if floor is not None:
        return ladder.pin(rung, at, floor)[1]
    known = [period for period, counted in rung.standing.amounts if counted]
    if amount < 0:
        return ladder.count(rung, at, amount, known[0])[2] if known else rung
    return ladder.count(rung, at, amount)[2]


def shown(ladder: Ladder, rung: Rung, at: int) -> TierProgress:
    """What a receipt would show."""
    progress = TierProgress()
    ladder.write_progress(progress, rung.tier, rung.standing, at)
    return progress


@given(ladder=ladders(), steps=STEPS)
def test_no_answer_waits_for_a_job(ladder: Ladder, steps: list[Step]) -> None:
    """At every change ahead the answer is the same whether or not what is due was recorded; so is what follows."""
    rung, at = Rung("base", NO_STANDING), START
    for step in steps:
        at = max(at + step[0] * DAY, START)
        rung = moved(ladder, rung, at, step)
        instants = [change.at for change in rung.standing.ahead]
        assert instants == sorted(set(instants))
        assert len(instants) < len(NAMES)
        for deadline in instants:
            for moment in (deadline - 1, deadline, deadline + 45 * DAY):
                if moment >= at:
                    assert shown(ladder, rung, moment) == shown(ladder, settled(ladder, rung, moment), moment)
        places = [NAMES.index(change.tier) for change in rung.standing.ahead]
        assert [NAMES.index(rung.tier), *places] == sorted({NAMES.index(rung.tier), *places}, reverse=True)


@given(ladder=ladders(), steps=STEPS)
def test_never_below_the_floor_nor_below_what_is_reached(ladder: Ladder, steps: list[Step]) -> None:
    """The tier is at least the floor and at least what counts now; only what is ahead takes it away."""
    rung, at = Rung("base", NO_STANDING), START
    for step in steps:
        at = max(at + step[0] * DAY, START)
        rung = moved(ladder, rung, at, step)
        tiers_seen = [rung.tier, *(change.tier for change in rung.standing.ahead)]
        floor = NAMES.index(rung.standing.floor) if rung.standing.floor else 0
        assert all(NAMES.index(tier) >= floor for tier in tiers_seen)
        now = max(at, rung.standing.as_of)
        holding = ladder.holding(ladder.at(rung.tier, rung.standing, now)[1], now)
        assert NAMES.index(rung.tier) >= sum(threshold <= holding for threshold in (100, 200))


@given(ladder=ladders(), steps=STEPS)
def test_a_standing_is_kept_exactly(ladder: Ladder, steps: list[Step]) -> None:
    """Written and read again it is the same, in the short form too; and it stays small."""
    rung, at = Rung("base", NO_STANDING), START
    for step in steps:
        at = max(at + step[0] * DAY, START)
        rung = moved(ladder, rung, at, step)
        again = Standing.of(StandingMessage.FromString(rung.standing.to_bytes()))
        assert again == rung.standing
        assert len(rung.standing.amounts) <= 72
