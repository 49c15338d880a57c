"""Random programs and commands, for the ledger and for the model alike."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import earning_pb2 as e
from loyalty.v1 import expiry_pb2 as x
from loyalty.v1 import program_pb2 as p
from loyalty.v1.account_pb2 import Receipt
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.sale_pb2 import LineKind, ReturnLine, Sale, SaleDiscount, SaleLine

from tests.model.reference import US, Expiry, Figures, Line, No, Prize, Rule, Rules, World
from tests.shop import instant, new_id

STARTS: Final = tuple(
    int(instant(text).ToMicroseconds())
    for text in (
        "2023-01-30T12:00",
        "2023-12-31T18:29:59",  # one second before New Year in India
        "2024-02-28T23:59:59.999999",
        "2024-03-30T22:59:59",  # the night before the clocks change in Berlin
        "2024-10-26T21:45",
        "2023-06-15T06:30",
    )
)

STEPS: Final = tuple(
    int(seconds * US)
    for seconds in (0, 0, 0, 1, 600, 1799, 1800, 3600, 86_399, 86_400, 5 * 86_400, 31 * 86_400, 200 * 86_400)
)
LATE: Final = tuple(-int(seconds * US) for seconds in (1, 1800, 7200, 3 * 86_400))

TAGS: Final = ("skus:A-1", "labels:red", "categories:food", "brands:acme", "kinds:DELIVERY")

CASHBACK: Final = "cash"


# -- programs


def rules() -> st.SearchStrategy[Rules]:
    """Programs with every kind of expiry, rounding, filter and return policy."""
    some_tags = st.frozensets(st.sampled_from(TAGS), max_size=2)
    earning = st.builds(
        Rule,
        points=st.sampled_from((1, 3, 4, 7)),
        per=st.sampled_from((100, 30, 999)),
        rounding=st.sampled_from(("steps", "floor", "half_up", "ceiling")),
        minimum=st.sampled_from((0, 0, 5_000)),
        only=some_tags,
        excluding=st.one_of(st.just(frozenset()), some_tags),
        before_discount=st.booleans(),
    ).filter(lambda rule: not rule.only or not rule.only <= rule.excluding)
    expiry = st.one_of(
        st.sampled_from(("never", "never")).map(Expiry),
        st.builds(Expiry, st.just("days"), st.sampled_from((1, 30, 365))),
        st.builds(Expiry, st.sampled_from(("months", "month")), st.sampled_from((1, 12))),
        st.builds(Expiry, st.sampled_from(("month", "quarter", "year"))),
        st.just(Expiry("years", 1)),
        st.builds(Expiry, st.just("date"), st.sampled_from((2, 3, 12)), st.sampled_from((29, 31))).filter(
            lambda one: (one.number, one.day) != (2, 31)
        ),
        st.builds(Expiry, st.just("inactivity"), st.sampled_from((1, 30))),
    )
    prizes = st.tuples(
        st.builds(
            Prize, st.just(CASHBACK), st.sampled_from((1, 10, 25)), st.sampled_from((1, 100)), cashback=st.just(True)
        ),
        st.builds(Prize, st.just("percent"), st.just(50), percent_hundredths=st.sampled_from((1_000, 3_333, 10_000))),
        st.builds(
            Prize, st.just("amount"), st.just(30), value=st.sampled_from((999, 5_000)), most=st.sampled_from((0, 700))
        ),
    )
    return st.builds(
        Rules,
        zone=st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kolkata", "America/Los_Angeles")),
        earning=st.lists(earning, min_size=1, max_size=2).map(tuple),
        pending_days=st.sampled_from((0, 0, 1, 10)),
        expiry=expiry,
        tiers=st.sampled_from(((), (("bronze", 0), ("silver", 100), ("gold", 400)))),
        prizes=prizes,
        hold_seconds=st.sampled_from((60, 1800, 40 * 86_400)).filter(lambda s: s <= 30 * 86_400),
        may_owe=st.booleans(),
        grace_days=st.sampled_from((0, 0, 7)),
        returns_wait=st.sampled_from((True, True, False)),
    )


def definition(rules: Rules, name: str) -> p.Program:
    """A program as it is published."""
    program = p.Program(
        name=name,
        currency="EUR",
        time_zone=rules.zone,
        default_region="DE",
        pending=x.PendingPolicy(days=rules.pending_days) if rules.pending_days else None,
        hold_timeout=Duration(seconds=rules.hold_seconds),
        expiry=_expiry(rules.expiry),
    )
    for number, rule in enumerate(rules.earning):
        spend = program.earning_rules.add(rule_id=f"r{number}").spend
        spend.points, spend.per_minor, spend.minimum_minor = rule.points, rule.per, rule.minimum
        spend.rounding = {
            "steps": e.Rounding.ROUNDING_WHOLE_STEPS,
            "floor": e.Rounding.ROUNDING_FLOOR,
            "half_up": e.Rounding.ROUNDING_HALF_UP,
            "ceiling": e.Rounding.ROUNDING_CEILING,
        }[rule.rounding]
        if rule.before_discount:
            spend.basis = e.Basis.BASIS_BEFORE_DISCOUNT
        if rule.only:
            _filter(spend.only, rule.only)
        if rule.excluding:
            _filter(spend.excluding, rule.excluding)
    for tier, threshold in rules.tiers:
        program.tiers.add(tier_id=tier, threshold=threshold)
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


def _filter(lines: e.LineFilter, tags: frozenset[str]) -> None:
    for tag in sorted(tags):
        name, value = tag.split(":")
        entry = LineKind.Value(f"LINE_KIND_{value}") if name == "kinds" else value
        getattr(lines, name).append(entry)


def _expiry(expiry: Expiry) -> x.ExpiryPolicy:
    period = x.CalendarPeriod()
    match expiry.kind:
        case "never":
            return x.ExpiryPolicy(never=x.NeverExpiry())
        case "days" | "months" | "years":
            setattr(period, expiry.kind, expiry.number)
            return x.ExpiryPolicy(rolling=x.RollingExpiry(period=period))
        case "inactivity":
            period.days = expiry.number
            return x.ExpiryPolicy(inactivity=x.InactivityExpiry(period=period))
        case "date":
            return x.ExpiryPolicy(fixed_date=x.FixedDateExpiry(month=expiry.number, day=expiry.day))
        case _:
            unit = x.CalendarUnit.Value(f"CALENDAR_UNIT_{expiry.kind.upper()}")
            end = x.EndOfUnitExpiry(unit=unit)
            if expiry.number:
                end.after.months = expiry.number
            return x.ExpiryPolicy(end_of_unit=end)


# -- commands


@dataclass(frozen=True)
class Step:
    """What all steps have: how much time passed, whose account, and whether it joins the batch before it."""

    later: int
    who: int
    joins: bool


@dataclass(frozen=True)
class SaleStep(Step):
    """A sale, perhaps with order discount, holds and points; perhaps one that others spoke of before."""

    lines: tuple[Line, ...]
    discount: int
    holds: int
    pay: int | None
    awaited: bool


@dataclass(frozen=True)
class ReturnStep(Step):
    """A return of a sale, known or not."""

    which: int
    named: bool
    lines: tuple[tuple[int, int | None, int | None], ...]


@dataclass(frozen=True)
class ReserveStep(Step):
    """A reservation."""

    reward: int
    quantity: int


@dataclass(frozen=True)
class HoldStep(Step):
    """A commit or release of a hold."""

    which: int
    release: bool


@dataclass(frozen=True)
class AdjustStep(Step):
    """Points by hand."""

    points: int


@dataclass(frozen=True)
class ReverseStep(Step):
    """A reversal of any earlier command, or of one that is yet to come."""

    which: int


@dataclass(frozen=True)
class RetryStep(Step):
    """Any earlier command once more, to the same or the other server."""

    which: int


@dataclass(frozen=True)
class CrashStep(Step):
    """A server loses all that it has in memory; perhaps the snapshots are lost too."""

    server: int
    snapshots: bool


AnyStep = SaleStep | ReturnStep | ReserveStep | HoldStep | AdjustStep | ReverseStep | RetryStep | CrashStep


@st.composite
def a_line(draw: st.DrawFn) -> Line:
    """A sale line. Its id is its number."""
    price = draw(st.sampled_from((0, 1, 99, 100, 1_000, 4_999, 12_345)))
    discount = draw(st.sampled_from((0, 0, price // 3, price)))
    quantity = draw(st.sampled_from((1, 1, 2, 3)))
    return Line("", price, discount, quantity, draw(st.frozensets(st.sampled_from(TAGS), max_size=2)))


def steps(*, late: bool = True) -> st.SearchStrategy[list[AnyStep]]:
    """Commands in any order."""
    later = st.sampled_from((*STEPS, *STEPS, *LATE) if late else STEPS)
    common: dict[str, Any] = {"later": later, "who": st.sampled_from((0, 0, 0, 1)), "joins": st.booleans()}
    nth = st.integers(0, 5)
    amount = st.one_of(st.none(), st.sampled_from((1, 50, 999, 5_000)))
    quantity = st.one_of(st.none(), st.integers(1, 2))
    sale = st.builds(
        SaleStep,
        **common,
        lines=st.lists(a_line(), min_size=1, max_size=3).map(tuple),
        discount=st.sampled_from((0, 0, 1, 500, 20_000)),
        holds=st.sampled_from((0, 0, 1, 2)),
        pay=st.sampled_from((None, None, 0, 50, 7)),
        awaited=st.booleans(),
    )
    returned = st.builds(
        ReturnStep,
        **common,
        which=nth,
        named=st.booleans(),
        lines=st.lists(st.tuples(st.integers(1, 3), quantity, amount), max_size=2).map(tuple),
    )
    return st.lists(
        st.one_of(
            sale,
            sale,
            returned,
            st.builds(ReserveStep, **common, reward=st.integers(0, 2), quantity=st.integers(1, 3)),
            st.builds(HoldStep, **common, which=nth, release=st.booleans()),
            st.builds(AdjustStep, **common, points=st.sampled_from((200, 60, 1, -1, -150))),
            st.builds(ReverseStep, **common, which=st.integers(0, 8)),
            st.builds(RetryStep, **common, which=st.integers(0, 8)),
            st.builds(CrashStep, **common, server=st.integers(0, 1), snapshots=st.booleans()),
        ),
        min_size=4,
        max_size=24,
    )


@dataclass
class Planned:
    """A command, for the ledger as a message and for the model as a call."""

    request: Any
    at: int
    act: Callable[[World], Figures | None]


@dataclass
class Planner:
    """Makes messages and calls of steps, with the ids that earlier ones have."""

    members: list[str]
    at: int
    sales: list[str] = field(default_factory=list)
    awaited: list[str] = field(default_factory=list)
    """Ids that returns and reversals spoke of, of sales that are yet to come."""
    holds: list[tuple[str, str]] = field(default_factory=list)
    done: list[Planned] = field(default_factory=list)

    def plan(self, step: AnyStep) -> Planned | None:
        """The command of a step; None where a step is none, or refers to nothing yet."""
        at = self.at + step.later
        self.at = max(self.at, at)
        member = self.members[step.who]
        planned: Planned | None
        match step:
            case SaleStep():
                planned = self._sale(step, member, at)
            case ReturnStep():
                planned = self._return(step, member, at)
            case ReserveStep():
                planned = self._reserve(step, member, at)
            case HoldStep():
                planned = self._hold(step, at)
            case AdjustStep():
                request = c.AdjustPointsRequest(
                    request_id=new_id(), origin=origin(at), member=member, points=step.points, reason="test"
                )
                planned = Planned(request, at, lambda world: world.adjust(request.request_id, member, at, step.points))
            case ReverseStep():
                planned = self._reverse(step, at)
            case _:
                return None
        if planned is not None:
            self.done.append(planned)
        return planned

    def _sale(self, step: SaleStep, member: str, at: int) -> Planned:
        request_id = self.awaited.pop(0) if step.awaited and self.awaited else new_id()
        lines = [
            Line(str(number), line.price, line.discount, line.quantity, line.tags)
            for number, line in enumerate(step.lines, 1)
        ]
        holds = list(dict.fromkeys(hold for hold, owner in self.holds[-step.holds :] if owner == member))
        holds = holds if step.holds else []
        request = c.RecordSaleRequest(
            request_id=request_id,
            origin=origin(at),
            member=member,
            sale=Sale(lines=[sale_line(line) for line in lines]),
            holds=[f"{member}/holds/{hold}" for hold in holds],
        )
        discount = min(step.discount, sum(line.price - line.discount for line in lines))
        if discount:
            request.sale.discounts.append(SaleDiscount(amount_minor=discount))
        if step.pay is not None:
            request.points_payment.reward_id = CASHBACK
            request.points_payment.points = step.pay
        self.sales.append(request_id)
        return Planned(
            request,
            at,
            lambda world: world.sale(request_id, member, at, lines, discount=discount, holds=holds, pay=step.pay),
        )

    def _return(self, step: ReturnStep, member: str, at: int) -> Planned:
        sale = self._known(self.sales, step.which) or self._future()
        request = c.ReturnSaleRequest(request_id=new_id(), origin=origin(at), transaction=f"transactions/{sale}")
        if step.named:
            request.member = member
        lines = [(str(number), quantity, amount) for number, quantity, amount in step.lines]
        for line_id, quantity, amount in lines:
            line = ReturnLine(line_id=line_id)
            if quantity is not None:
                line.quantity = quantity
            if amount is not None:
                line.amount_minor = amount
            request.lines.append(line)
        who = member if step.named else None
        return Planned(request, at, lambda world: world.give_back(request.request_id, who, at, sale, lines))

    def _reserve(self, step: ReserveStep, member: str, at: int) -> Planned:
        reward = (CASHBACK, "percent", "amount")[step.reward]
        request = c.ReserveRewardRequest(
            request_id=new_id(), origin=origin(at), member=member, reward_id=reward, quantity=step.quantity
        )
        self.holds.append((request.request_id, member))
        return Planned(
            request,
            at,
            lambda world: world.reserve(request.request_id, member, at, reward, step.quantity),
        )

    def _hold(self, step: HoldStep, at: int) -> Planned | None:
        if not self.holds:
            return None
        hold, member = self.holds[-1 - step.which % len(self.holds)]
        kind = c.ReleaseRewardRequest if step.release else c.CommitRewardRequest
        request = kind(request_id=new_id(), origin=origin(at), hold=f"{member}/holds/{hold}")
        act = World.release if step.release else World.commit
        return Planned(request, at, lambda world: act(world, request.request_id, member, at, hold))

    def _reverse(self, step: ReverseStep, at: int) -> Planned:
        target = self._known([one.request.request_id for one in self.done], step.which) or self._future()
        request = c.ReverseTransactionRequest(request_id=new_id(), origin=origin(at), original_request_id=target)
        return Planned(request, at, lambda world: world.reverse(request.request_id, at, target))

    def _known(self, ids: list[str], which: int) -> str | None:
        """One of the last ids; None for one that is yet to come."""
        return ids[-which] if 0 < which <= len(ids) else None

    def _future(self) -> str:
        self.awaited.append(new_id())
        return self.awaited[-1]


def origin(at: int) -> Origin:
    """Where a command comes from."""
    stamp = Timestamp()
    stamp.FromMicroseconds(at)
    return Origin(store="s-1", terminal="t-1", channel=Channel.CHANNEL_STORE, occurred_at=stamp)


def sale_line(line: Line) -> SaleLine:
    """A line as it is sent."""
    message = SaleLine(price_minor=line.price, discount_minor=line.discount, quantity=line.quantity)
    for tag in sorted(line.tags):
        name, value = tag.split(":")
        match name:
            case "kinds":
                message.kind = LineKind.Value(f"LINE_KIND_{value}")
            case "labels":
                message.labels.append(value)
            case "skus":
                message.sku = value
            case "categories":
                message.category = value
            case _:
                message.brand = value
    return message


# -- answers


def figures(answer: Message) -> Figures | None:
    """The figures of a response, as the model has them; None for a reversal that waits."""
    if getattr(answer, "blocked", False):
        return None
    receipt: Receipt = answer.receipt  # type: ignore[attr-defined]  # every response to a command on an account has it
    balance, tier = receipt.balance, receipt.tier
    return Figures(
        earned=receipt.earned_points,
        spent=receipt.spent_points,
        clawed_back=receipt.clawed_back_points,
        restored=receipt.restored_points,
        shortfall=receipt.shortfall_points,
        reward=receipt.reward_minor,
        payable=receipt.payable_minor,
        available=balance.available_points,
        pending=balance.pending_points,
        held=balance.held_points,
        next_points=balance.next_expiry.points,
        next_at=balance.next_expiry.expires_at.ToMicroseconds(),
        tier=tier.tier,
        qualifying=tier.qualifying_amount,
        to_next=tier.amount_to_next,
        to_keep=tier.amount_to_keep,
    )


def is_no(answer: object, no: No) -> bool:
    """Whether an answer is the refusal that the model expects."""
    return getattr(answer, "reason", None) == no.reason
