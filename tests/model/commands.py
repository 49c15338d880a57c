"""Random commands, for the ledger and for the model alike."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hypothesis import strategies as st
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.sale_pb2 import LineKind, ReturnLine, Sale, SaleDiscount, SaleLine, Tender, TenderKind

from tests.model.dates import US
from tests.model.ladders import TIER_IDS
from tests.model.programs import ACTIVITIES, CASHBACK, CHANNELS, STORES, TAGS, TENDERS, stamp
from tests.model.purse import Figures
from tests.model.reference import World
from tests.model.scheme import HERE, Line, Place
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
    place: Place


@dataclass(frozen=True)
class ActivityStep(Step):
    """Something other than a sale."""

    name: str
    place: Place


@dataclass(frozen=True)
class SettleStep(Step):
    """Pending points become active or are cancelled: of a lot, or (0) of a sale or activity."""

    lot: int
    which: int
    activate: bool


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
class PinStep(Step):
    """A tier pinned by hand, or (0) let go."""

    tier: int


@dataclass(frozen=True)
class ExtendStep(Step):
    """Points that expire later: of one lot or (0) all, so long from now."""

    lot: int
    by: int


@dataclass(frozen=True)
class ReinstateStep(Step):
    """Expired points that come back, until so long from now or as the program says."""

    points: int
    by: int | None


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


@dataclass(frozen=True)
class PublishStep(Step):
    """The next version of the program, which begins so much later, or (None) at once."""

    version: int
    starts: int | None


AnyStep = (
    SaleStep
    | ActivityStep
    | SettleStep
    | ReturnStep
    | ReserveStep
    | HoldStep
    | AdjustStep
    | PinStep
    | ExtendStep
    | ReinstateStep
    | ReverseStep
    | RetryStep
    | CrashStep
    | PublishStep
)


@st.composite
def a_line(draw: st.DrawFn) -> Line:
    """A sale line. Its id is its number."""
    price = draw(st.sampled_from((0, 1, 99, 100, 1_000, 4_999, 12_345)))
    discount = draw(st.sampled_from((0, 0, price // 3, price)))
    quantity = draw(st.sampled_from((1, 1, 2, 3)))
    tax = draw(st.sampled_from((0, price // 6)))
    return Line("", price, discount, quantity, draw(st.frozensets(st.sampled_from(TAGS), max_size=2)), tax)


def places() -> st.SearchStrategy[Place]:
    """Stores, channels and means of payment."""
    return st.builds(
        Place,
        st.sampled_from((STORES[0], *STORES)),
        st.sampled_from((CHANNELS[0], *CHANNELS)),
        st.frozensets(st.sampled_from(TENDERS), max_size=2),
        st.sampled_from(((), (), (("color", "red"),), (("color", "blue"),))),
    )


def steps(*, late: bool = True, versions: int = 0) -> st.SearchStrategy[list[AnyStep]]:
    """Commands in any order, among them the publication of some further versions of the program."""
    later = st.sampled_from((*STEPS, *STEPS, *LATE) if late else STEPS)
    common: dict[str, Any] = {"later": later, "who": st.sampled_from((0, 0, 0, 1)), "joins": st.booleans()}
    nth = st.integers(0, 5)
    by = st.sampled_from((-1, 0, 1, 86_400 * US, 40 * 86_400 * US))
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
        place=places(),
    )
    returned = st.builds(
        ReturnStep,
        **common,
        which=nth,
        named=st.booleans(),
        lines=st.lists(st.tuples(st.integers(1, 3), quantity, amount), max_size=2).map(tuple),
    )
    starts = st.sampled_from((None, 0, 1, 600 * US, 86_400 * US, 31 * 86_400 * US))
    publish = st.builds(PublishStep, **common, version=st.integers(1, max(versions, 1)), starts=starts)
    return st.lists(
        st.one_of(
            *([publish, publish] if versions else []),
            sale,
            sale,
            returned,
            st.builds(ActivityStep, **common, name=st.sampled_from(ACTIVITIES), place=places()),
            st.builds(SettleStep, **common, lot=st.sampled_from((0, 0, 1, 2)), which=nth, activate=st.booleans()),
            st.builds(ReserveStep, **common, reward=st.integers(0, 2), quantity=st.integers(1, 3)),
            st.builds(HoldStep, **common, which=nth, release=st.booleans()),
            st.builds(AdjustStep, **common, points=st.sampled_from((200, 60, 1, -1, -150))),
            st.builds(PinStep, **common, tier=st.sampled_from((0, 0, 1, 2))),
            st.builds(ExtendStep, **common, lot=st.sampled_from((0, 1, 2)), by=by),
            st.builds(ReinstateStep, **common, points=st.sampled_from((1, 30, 200)), by=st.one_of(st.none(), by)),
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
    earning: list[str] = field(default_factory=list)
    """Ids of sales and activities."""
    holds: list[tuple[str, str]] = field(default_factory=list)
    done: list[Planned] = field(default_factory=list)

    def plan(self, step: AnyStep) -> Planned | None:
        """The command of a step; None where a step is none, or refers to nothing yet."""
        at = self.at + step.later
        self.at = max(self.at, at)
        member = self.members[step.who]
        plan = PLANS.get(type(step))
        planned = plan(self, step, member, at) if plan is not None else None
        if planned is not None:
            self.done.append(planned)
        return planned

    def _sale(self, step: SaleStep, member: str, at: int) -> Planned:
        request_id = self.awaited.pop(0) if step.awaited and self.awaited else new_id()
        lines = [replace(line, line_id=str(number)) for number, line in enumerate(step.lines, 1)]
        holds = list(dict.fromkeys(hold for hold, owner in self.holds[-step.holds :] if owner == member))
        holds = holds if step.holds else []
        request = c.RecordSaleRequest(
            request_id=request_id,
            origin=origin(at, step.place),
            member=member,
            sale=Sale(
                lines=[sale_line(line) for line in lines],
                tenders=_tenders(step.place),
                attributes=dict(step.place.attributes),
            ),
            holds=[f"{member}/holds/{hold}" for hold in holds],
        )
        discount = min(step.discount, sum(line.price - line.discount for line in lines))
        if discount:
            request.sale.discounts.append(SaleDiscount(amount_minor=discount))
        if step.pay is not None:
            request.points_payment.reward_id = CASHBACK
            request.points_payment.points = step.pay
        self.sales.append(request_id)
        self.earning.append(request_id)

        def act(world: World) -> Figures:
            return world.sale(
                request_id, member, at, lines, discount=discount, holds=holds, pay=step.pay, place=step.place
            )

        return Planned(request, at, act)

    def _activity(self, step: ActivityStep, member: str, at: int) -> Planned:
        request = c.RecordActivityRequest(
            request_id=new_id(),
            origin=origin(at, step.place),
            member=member,
            activity=step.name,
            attributes=dict(step.place.attributes),
        )
        self.earning.append(request.request_id)
        return Planned(request, at, lambda world: world.activity(request.request_id, member, at, step.name, step.place))

    def _settle(self, step: SettleStep, member: str, at: int) -> Planned | None:
        target = "" if step.lot else self._known(self.earning, step.which)
        if target is None:
            return None
        request = c.SettlePendingRequest(
            request_id=new_id(),
            origin=origin(at),
            member=member,
            lot=step.lot,
            transaction=target and f"transactions/{target}",
            fate=c.PendingFate.PENDING_FATE_ACTIVATE if step.activate else c.PendingFate.PENDING_FATE_CANCEL,
        )

        def act(world: World) -> Figures:
            return world.settle(request.request_id, member, at, step.lot, target, activate=step.activate)

        return Planned(request, at, act)

    def _adjust(self, step: AdjustStep, member: str, at: int) -> Planned:
        request = c.AdjustPointsRequest(
            request_id=new_id(), origin=origin(at), member=member, points=step.points, reason="test"
        )
        return Planned(request, at, lambda world: world.adjust(request.request_id, member, at, step.points))

    def _pin(self, step: PinStep, member: str, at: int) -> Planned:
        tier = ("", *TIER_IDS[1:])[step.tier]
        request = c.SetTierFloorRequest(request_id=new_id(), origin=origin(at), member=member, tier=tier, reason="test")
        return Planned(request, at, lambda world: world.pin(request.request_id, member, at, tier))

    def _extend(self, step: ExtendStep, member: str, at: int) -> Planned:
        until = at + step.by
        request = c.ExtendExpiryRequest(
            request_id=new_id(),
            origin=origin(at),
            member=member,
            lot=step.lot,
            expires_at=stamp(until),
            reason="test",
        )
        return Planned(request, at, lambda world: world.extend(request.request_id, member, at, step.lot, until))

    def _reinstate(self, step: ReinstateStep, member: str, at: int) -> Planned:
        until = at + step.by if step.by is not None else None
        request = c.ReinstatePointsRequest(
            request_id=new_id(),
            origin=origin(at),
            member=member,
            points=step.points,
            expires_at=stamp(until) if until is not None else None,
            reason="test",
        )
        return Planned(request, at, lambda world: world.reinstate(request.request_id, member, at, step.points, until))

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

    def _hold(self, step: HoldStep, _member: str, at: int) -> Planned | None:
        if not self.holds:
            return None
        hold, member = self.holds[-1 - step.which % len(self.holds)]
        kind = c.ReleaseRewardRequest if step.release else c.CommitRewardRequest
        request = kind(request_id=new_id(), origin=origin(at), hold=f"{member}/holds/{hold}")
        act = World.release if step.release else World.commit
        return Planned(request, at, lambda world: act(world, request.request_id, member, at, hold))

    def _reverse(self, step: ReverseStep, _member: str, at: int) -> Planned:
        target = self._known([one.request.request_id for one in self.done], step.which) or self._future()
        request = c.ReverseTransactionRequest(request_id=new_id(), origin=origin(at), original_request_id=target)
        return Planned(request, at, lambda world: world.reverse(request.request_id, at, target))

    def _known(self, ids: list[str], which: int) -> str | None:
        """One of the last ids; None for one that is yet to come."""
        return ids[-which] if 0 < which <= len(ids) else None

    def _future(self) -> str:
        self.awaited.append(new_id())
        return self.awaited[-1]


PLANS: Final[dict[type[Step], Callable[[Planner, Any, str, int], Planned | None]]] = {
    SaleStep: Planner._sale,
    ActivityStep: Planner._activity,
    SettleStep: Planner._settle,
    ReturnStep: Planner._return,
    ReserveStep: Planner._reserve,
    HoldStep: Planner._hold,
    AdjustStep: Planner._adjust,
    PinStep: Planner._pin,
    ExtendStep: Planner._extend,
    ReinstateStep: Planner._reinstate,
    ReverseStep: Planner._reverse,
}


def _tenders(place: Place) -> list[Tender]:
    return [Tender(kind=TenderKind.Value(f"TENDER_KIND_{name}"), amount_minor=1) for name in sorted(place.tenders)]


def origin(at: int, place: Place = HERE) -> Origin:
    """Where a command comes from."""
    return Origin(
        store=place.store, terminal="t-1", channel=Channel.Value(f"CHANNEL_{place.channel}"), occurred_at=stamp(at)
    )


def sale_line(line: Line) -> SaleLine:
    """A line as it is sent."""
    message = SaleLine(price_minor=line.price, discount_minor=line.discount, quantity=line.quantity, tax_minor=line.tax)
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
