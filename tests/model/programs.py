"""Random programs, in the model's words and as they are published."""

from datetime import datetime
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st
from loyalty.v1 import earning_pb2 as e
from loyalty.v1 import expiry_pb2 as x
from loyalty.v1 import program_pb2 as p
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.sale_pb2 import LineKind, TenderKind

from tests.model.dates import Expiry, Pending
from tests.model.earning import EXPRESSIONS
from tests.model.ladders import TIER_IDS, ladders, write_ladder
from tests.model.scheme import (
    LINE_EXPRESSIONS,
    Activity,
    Cap,
    Item,
    Limit,
    Lines,
    Prize,
    Promotion,
    Rule,
    Rules,
    Spend,
    Terms,
    Visit,
    When,
    Window,
)
from tests.model.tiers import Ladder
from tests.shop import instant

TAGS: Final = ("skus:A-1", "labels:red", "categories:food", "brands:acme", "kinds:DELIVERY")
STORES: Final = ("s-1", "s-2")
CHANNELS: Final = ("STORE", "WEB")
TENDERS: Final = ("CASH", "CARD")
ACTIVITIES: Final = ("review", "birthday")
ZONES: Final = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/Los_Angeles")
CASHBACK: Final = "cash"

BASES: Final = {
    "after": e.Basis.BASIS_UNSPECIFIED,
    "before": e.Basis.BASIS_BEFORE_DISCOUNT,
    "line": e.Basis.BASIS_AFTER_LINE_DISCOUNT,
    "after_without_tax": e.Basis.BASIS_AFTER_DISCOUNT_WITHOUT_TAX,
    "before_without_tax": e.Basis.BASIS_BEFORE_DISCOUNT_WITHOUT_TAX,
}
ROUNDINGS: Final = {
    "steps": e.Rounding.ROUNDING_WHOLE_STEPS,
    "floor": e.Rounding.ROUNDING_FLOOR,
    "half_up": e.Rounding.ROUNDING_HALF_UP,
    "ceiling": e.Rounding.ROUNDING_CEILING,
}
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def simple_rules(prefix: str = "") -> st.SearchStrategy[tuple[Rule, ...]]:
    """One or two spend rules without any terms."""
    return st.lists(_spend(), min_size=1, max_size=2).map(
        lambda kinds: tuple(Rule(f"{prefix}r{number}", kind) for number, kind in enumerate(kinds))
    )


@st.composite
def rules(draw: st.DrawFn, *, plain: bool = False, after: Rules | None = None) -> Rules:
    """Programs with every kind of rule, expiry, rounding, filter and return policy; plain ones only spend rules.

    A version after another one keeps tiers and zones; its rules have other ids.
    """
    ladder = draw(st.one_of(st.just(Ladder()), ladders())) if after is None else after.ladder
    prefix = "" if after is None else "n"
    tiers = ladder.tiers
    combination = draw(st.sampled_from(("sum", "sum", "best", "first")))
    earning = draw(simple_rules(prefix))
    promotions: list[Promotion] = []
    caps: list[Cap] = []
    if not plain and draw(st.booleans()):
        earning = tuple(
            draw(_rule(f"{prefix}r{number}", carries=combination == "sum", tiers=bool(tiers)))
            for number in range(draw(st.integers(1, 4)))
        )
        promotions = [draw(_promotion(f"{prefix}p{number}", bool(tiers))) for number in range(draw(st.integers(0, 3)))]
        caps = [draw(_cap(f"{prefix}c{number}")) for number in range(draw(st.sampled_from((0, 0, 1, 2))))]
    return Rules(
        zone=draw(st.sampled_from(ZONES)) if after is None else after.zone,
        stores=draw(st.sampled_from(((), (("s-1", "Asia/Kolkata"), ("s-2", ""))))) if after is None else after.stores,
        earning=earning,
        combination=combination,
        promotions=tuple(promotions),
        stacking=draw(st.sampled_from(("all", "best", "first"))),
        caps=tuple(caps),
        pending=draw(_pending()),
        expiry=draw(st.one_of(_expiry(), _inactivity())),
        ladder=ladder,
        prizes=draw(_prizes()),
        hold_seconds=draw(st.sampled_from((60, 1800, 30 * 86_400))),
        may_owe=draw(st.booleans()),
        grace_days=draw(st.sampled_from((0, 0, 7))),
        returns_wait=draw(st.sampled_from((True, True, False))),
    )


def _prizes() -> st.SearchStrategy[tuple[Prize, ...]]:
    return st.tuples(
        st.builds(
            Prize, st.just(CASHBACK), st.sampled_from((1, 10, 25)), st.sampled_from((1, 100)), cashback=st.just(True)
        ),
        st.builds(Prize, st.just("percent"), st.just(50), percent_hundredths=st.sampled_from((1_000, 3_333, 10_000))),
        st.builds(
            Prize, st.just("amount"), st.just(30), value=st.sampled_from((999, 5_000)), most=st.sampled_from((0, 700))
        ),
    )


def _expiry() -> st.SearchStrategy[Expiry]:
    return st.one_of(
        st.sampled_from(("never", "never")).map(Expiry),
        st.builds(Expiry, st.just("days"), st.sampled_from((1, 30, 365))),
        st.builds(Expiry, st.sampled_from(("months", "month")), st.sampled_from((1, 12))),
        st.builds(Expiry, st.sampled_from(("month", "quarter", "year"))),
        st.just(Expiry("years", 1)),
        st.builds(Expiry, st.just("date"), st.sampled_from((2, 3, 12)), st.sampled_from((29, 31))).filter(
            lambda one: (one.number, one.day) != (2, 31)
        ),
    )


def _inactivity() -> st.SearchStrategy[Expiry]:
    return st.one_of(
        st.builds(Expiry, st.just("inactivity"), st.sampled_from((1, 30))),
        st.sampled_from(("months", "years")).map(lambda unit: Expiry("inactivity", 1, unit=unit)),
    )


def _pending() -> st.SearchStrategy[Pending]:
    until = [int(instant(day).ToMicroseconds()) for day in ("2003-02-20", "2024-03-10T12:00")]
    return st.one_of(
        st.sampled_from(("none", "event")).map(Pending),
        st.builds(Pending, st.just("days"), st.sampled_from((1, 10))),
        st.builds(Pending, st.just("until"), st.sampled_from(until)),
    )


def _lines() -> st.SearchStrategy[Lines]:
    some = st.frozensets(st.sampled_from(TAGS), max_size=2)
    none = st.just(frozenset[str]())
    expressions = st.sampled_from(("", "", "", *LINE_EXPRESSIONS))
    return st.builds(Lines, st.one_of(none, some), st.one_of(none, some), expressions).filter(
        lambda lines: bool(lines.expression) or not lines.only or not lines.only <= lines.excluding
    )


def _spend(*, carries: bool = False) -> st.SearchStrategy[Spend]:
    return st.builds(
        Spend,
        points=st.sampled_from((1, 3, 4, 7)),
        per=st.sampled_from((100, 30, 999)),
        rounding=st.just("steps") if carries else st.sampled_from(tuple(ROUNDINGS)),
        minimum=st.sampled_from((0, 0, 5_000)),
        lines=_lines(),
        basis=st.sampled_from(("after", *BASES)),
        carries=st.just(carries),
    )


@st.composite
def _window(draw: st.DrawFn) -> Window:
    starts = datetime(draw(st.sampled_from((2003, 2023))), 1, draw(st.integers(1, 9)), draw(st.sampled_from((0, 22))))  # noqa: DTZ001 - a local clock
    every = draw(st.sampled_from(("once", "day", "week")))
    hours = draw(st.sampled_from((2, 24) if every != "once" else (24 * 20, 24 * 400)))
    days = draw(st.frozensets(st.integers(0, 6), min_size=1, max_size=3)) | {starts.weekday()}
    return Window(starts, hours, every, days if every == "week" else frozenset())


@st.composite
def _terms(draw: st.DrawFn, *, tiers: bool, tenders: bool = True) -> Terms:
    def some(values: tuple[str, ...], likely: bool = True) -> frozenset[str]:
        return frozenset([draw(st.sampled_from(values))]) if likely and draw(st.integers(0, 5)) == 0 else frozenset()

    when = When(
        stores=some(STORES),
        channels=some(CHANNELS),
        tenders=some(TENDERS, tenders),
        tiers=some(TIER_IDS, tiers),
        windows=tuple(draw(st.lists(_window(), max_size=2))) if draw(st.integers(0, 3)) == 0 else (),
        expression=draw(st.sampled_from(("", "", "", *EXPRESSIONS))),
    )
    period = st.sampled_from(("day", "week", "month", "year", "ever"))
    shared = st.sampled_from((False, False, True))
    limit = st.one_of(
        st.builds(Limit, period, times=st.sampled_from((1, 2)), shared=shared),
        st.builds(Limit, period, points=st.sampled_from((10, 150)), shared=shared),
    )
    return Terms(
        when,
        draw(st.sampled_from((0, 0, 1, -1))),
        tuple(draw(st.lists(limit, max_size=2, unique_by=lambda one: (one.period, bool(one.times))))),
        draw(_pending()) if draw(st.booleans()) else None,
        draw(_expiry()) if draw(st.booleans()) else None,
    )


@st.composite
def _rule(draw: st.DrawFn, rule_id: str, *, carries: bool, tiers: bool) -> Rule:
    kind: Spend | Visit | Item | Activity = draw(
        st.one_of(
            _spend(),
            _spend(carries=carries),
            st.builds(Visit, st.sampled_from((1, 20)), st.sampled_from((0, 1_000)), st.sampled_from(tuple(BASES))),
            st.builds(Item, st.sampled_from((2, 15)), st.sampled_from((1, 2)), _lines()),
            st.builds(Activity, st.sampled_from((5, 60)), st.sampled_from(ACTIVITIES)),
        )
    )
    terms = draw(_terms(tiers=tiers, tenders=not isinstance(kind, Activity)))
    return Rule(rule_id, kind, terms, draw(st.sampled_from((False, False, True))))


@st.composite
def _promotion(draw: st.DrawFn, promotion_id: str, tiers: bool) -> Promotion:
    effect = draw(st.sampled_from(("plus", "times", "fixed")))
    number = draw(st.sampled_from({"plus": (3, 50), "times": (0, 500, 1_333, 3_000), "fixed": (0, 7, 200)}[effect]))
    return Promotion(promotion_id, effect, number, draw(_lines()), draw(_terms(tiers=tiers)))


def _cap(cap_id: str) -> st.SearchStrategy[Cap]:
    return st.builds(
        Cap,
        st.just(cap_id),
        st.sampled_from(("sale", "balance", "day", "week", "month", "year", "ever")),
        st.sampled_from((5, 90, 1_000)),
        st.booleans(),
    )


# -- as it is published


def definition(rules: Rules, name: str, start: int = 0) -> p.Program:
    """A program as it is published, from an instant on."""
    program = p.Program(
        name=name,
        starts_at=stamp(start) if start else None,
        currency="EUR",
        time_zone=rules.zone,
        default_region="DE",
        hold_timeout=Duration(seconds=rules.hold_seconds),
        expiry=expiry_policy(rules.expiry),
        combination=e.Combination.Value(f"COMBINATION_{rules.combination.upper()}"),
        promotion_stacking=e.Stacking.Value(f"STACKING_{rules.stacking.upper()}"),
        stores=[p.Store(store_id=store, time_zone=zone) for store, zone in rules.stores],
    )
    write_ladder(program, rules.ladder)
    if rules.pending.kind != "none":
        program.pending.CopyFrom(_pending_policy(rules.pending))
    for rule in rules.earning:
        message = program.earning_rules.add(rule_id=rule.rule_id, stop=rule.stop)
        _write_terms(message, rule.terms)
        _write_kind(message, rule.kind)
    for promotion in rules.promotions:
        _write_promotion(program.promotions.add(promotion_id=promotion.promotion_id), promotion)
    for cap in rules.caps:
        _write_cap(program.caps.add(cap_id=cap.cap_id, points=cap.points), cap)
    for prize in rules.prizes:
        reward = program.rewards.add(reward_id=prize.reward_id)
        if prize.cashback:
            reward.cashback.points, reward.cashback.value_minor = prize.cost, prize.value
        else:
            reward.cost_points = prize.cost
            reward.order_discount.amount_minor = prize.value
            reward.order_discount.percent_hundredths = prize.percent_hundredths
            reward.order_discount.maximum_minor = prize.most
    returns = program.returns
    returns.claw_back = p.ClawBack.CLAW_BACK_NEGATIVE if rules.may_owe else p.ClawBack.CLAW_BACK_CLAMP
    if rules.grace_days:
        returns.restore_expired = p.RestoreExpired.RESTORE_EXPIRED_GRACE
        returns.grace_days = rules.grace_days
    if not rules.returns_wait:
        returns.unknown_sale = p.UnknownSale.UNKNOWN_SALE_REFUSE
    return program


def _write_kind(message: e.EarningRule, kind: Spend | Visit | Item | Activity) -> None:
    match kind:
        case Spend():
            spend = message.spend
            spend.points, spend.per_minor, spend.minimum_minor = kind.points, kind.per, kind.minimum
            spend.rounding, spend.basis = ROUNDINGS[kind.rounding], BASES[kind.basis]
            spend.carry_over = kind.carries
            _write_lines(spend, kind.lines)
        case Visit():
            visit = message.visit
            visit.points, visit.minimum_minor, visit.basis = kind.points, kind.minimum, BASES[kind.basis]
        case Item():
            message.item.points, message.item.per_units = kind.points, kind.per
            _write_lines(message.item, kind.lines)
        case Activity():
            message.activity.points, message.activity.activity = kind.points, kind.name


def _write_promotion(message: e.Promotion, promotion: Promotion) -> None:
    match promotion.effect:
        case "plus":
            message.addition_points = promotion.number
        case "times":
            message.multiplier_thousandths = promotion.number
        case _:
            message.fixed_points = promotion.number
    _write_lines(message, promotion.lines)
    _write_terms(message, promotion.terms)


def _write_cap(message: e.Cap, cap: Cap) -> None:
    match cap.over:
        case "sale":
            message.per_sale = True
        case "balance":
            message.balance = True
        case _:
            message.period = _period(cap.over)
    if cap.rejects:
        message.excess = e.Excess.EXCESS_REJECT


def _write_terms(message: e.EarningRule | e.Promotion, terms: Terms) -> None:
    message.priority = terms.priority
    for limit in terms.limits:
        scope = e.LimitScope.LIMIT_SCOPE_PROGRAM if limit.shared else e.LimitScope.LIMIT_SCOPE_UNSPECIFIED
        message.limits.add(period=_period(limit.period), scope=scope, times=limit.times, points=limit.points)
    if terms.pending is not None:
        message.pending.CopyFrom(_pending_policy(terms.pending))
    if terms.expiry is not None:
        message.expiry.CopyFrom(expiry_policy(terms.expiry))
    when = terms.when
    if when == When():
        return
    message.conditions.stores.extend(sorted(when.stores))
    message.conditions.channels.extend(Channel.Value(f"CHANNEL_{name}") for name in sorted(when.channels))
    message.conditions.tenders.extend(TenderKind.Value(f"TENDER_KIND_{name}") for name in sorted(when.tenders))
    message.conditions.tiers.extend(sorted(when.tiers))
    message.conditions.expression = when.expression
    for window in when.windows:
        recurrence = {
            "once": "",
            "day": "FREQ=DAILY",
            "week": "FREQ=WEEKLY;BYDAY=" + ",".join(WEEKDAYS[day] for day in sorted(window.days)),
        }[window.every]
        message.conditions.windows.add(
            starts_at=window.starts.isoformat(), duration=Duration(seconds=window.hours * 3600), recurrence=recurrence
        )


def _write_lines(message: e.SpendRule | e.ItemRule | e.Promotion, lines: Lines) -> None:
    if lines.only or lines.expression:
        _filter(message.only, lines.only)
        message.only.expression = lines.expression
    if lines.excluding:
        _filter(message.excluding, lines.excluding)


def _filter(lines: e.LineFilter, tags: frozenset[str]) -> None:
    for tag in sorted(tags):
        name, value = tag.split(":")
        entry = LineKind.Value(f"LINE_KIND_{value}") if name == "kinds" else value
        getattr(lines, name).append(entry)


def _period(name: str) -> e.Period.ValueType:
    return e.Period.Value(f"PERIOD_{name.upper()}")


def _pending_policy(pending: Pending) -> x.PendingPolicy:
    match pending.kind:
        case "days":
            return x.PendingPolicy(days=pending.number)
        case "until":
            return x.PendingPolicy(until=stamp(pending.number))
        case "event":
            return x.PendingPolicy(until_event=x.PendingUntilEvent())
        case _:
            return x.PendingPolicy()


def stamp(instant: int) -> Timestamp:
    """An instant as messages hold it."""
    timestamp = Timestamp()
    timestamp.FromMicroseconds(instant)
    return timestamp


def expiry_policy(expiry: Expiry) -> x.ExpiryPolicy:
    """An expiry policy as it is published."""
    period = x.CalendarPeriod()
    match expiry.kind:
        case "never":
            return x.ExpiryPolicy(never=x.NeverExpiry())
        case "days" | "months" | "years":
            setattr(period, expiry.kind, expiry.number)
            return x.ExpiryPolicy(rolling=x.RollingExpiry(period=period))
        case "inactivity":
            setattr(period, expiry.unit, expiry.number)
            return x.ExpiryPolicy(inactivity=x.InactivityExpiry(period=period))
        case "date":
            return x.ExpiryPolicy(fixed_date=x.FixedDateExpiry(month=expiry.number, day=expiry.day))
        case _:
            unit = x.CalendarUnit.Value(f"CALENDAR_UNIT_{expiry.kind.upper()}")
            end = x.EndOfUnitExpiry(unit=unit)
            if expiry.number:
                end.after.months = expiry.number
            return x.ExpiryPolicy(end_of_unit=end)
