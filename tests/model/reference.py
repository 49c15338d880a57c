"""The ledger's rules once more: slow, plain, and without a line of the ledger's own code.

Amounts are minor units and points whole numbers, worked out with exact fractions; instants are microseconds since 1970.
Written from the contracts (protos) and the design, so that a mistake in the ledger is not repeated here.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo

US = 1_000_000
NEVER = 2**63 - 1


class No(Exception):
    """A refusal with its reason; recorded unless the command could not be decided at all."""

    def __init__(self, reason: str, *, recorded: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.recorded = recorded


# -- what a program says


@dataclass(frozen=True)
class Rule:
    """Points for money."""

    points: int
    per: int
    rounding: str = "steps"
    minimum: int = 0
    only: frozenset[str] = frozenset()
    excluding: frozenset[str] = frozenset()
    before_discount: bool = False


@dataclass(frozen=True)
class Expiry:
    """never, days, months, years, month, quarter, year (with months before), date (month, day) or inactivity (days)."""

    kind: str = "never"
    number: int = 0
    day: int = 0


@dataclass(frozen=True)
class Prize:
    """A reward: cashback (a step's value and price), or something off the order."""

    reward_id: str
    cost: int
    value: int = 0
    percent_hundredths: int = 0
    most: int = 0
    cashback: bool = False


@dataclass(frozen=True)
class Rules:
    """A program."""

    zone: str = "UTC"
    earning: tuple[Rule, ...] = ()
    pending_days: int = 0
    expiry: Expiry = Expiry()
    tiers: tuple[tuple[str, int], ...] = ()
    prizes: tuple[Prize, ...] = ()
    hold_seconds: int = 1800
    may_owe: bool = False
    grace_days: int = 0
    returns_wait: bool = True


# -- calendar


def day_of(instant: int, zone: str) -> date:
    """The local day."""
    whole, micros = divmod(instant, US)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=micros).astimezone(ZoneInfo(zone)).date()


def first_instant(day: date, zone: str) -> int:
    """The first second of a local day, found by looking."""
    low = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) - 40 * 3600
    high = low + 80 * 3600
    while high - low > 1:
        middle = (low + high) // 2
        if day_of(middle * US, zone) < day:
            low = middle
        else:
            high = middle
    return high * US


def months_later(day: date, months: int) -> date:
    """The same day of a later month, or the last one that exists."""
    year, month = day.year, day.month
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    for number in range(day.day, 0, -1):
        try:
            return date(year, month, number)
        except ValueError:
            continue
    raise AssertionError("each month has a first day")


def gone_at(expiry: Expiry, start: int, zone: str) -> int:
    """The first instant at which points that are active from `start` on are gone."""
    day = day_of(start, zone)
    match expiry.kind:
        case "never":
            return NEVER
        case "days" | "inactivity":
            last = day + timedelta(days=expiry.number)
        case "months":
            last = months_later(day, expiry.number)
        case "years":
            last = months_later(day, 12 * expiry.number)
        case "month" | "quarter" | "year":
            last = months_later(day, expiry.number)
            length = {"month": 1, "quarter": 3, "year": 12}[expiry.kind]
            while (last + timedelta(days=1)).day != 1 or (last + timedelta(days=1)).month % length != 1 % length:
                last += timedelta(days=1)
        case "date":
            last = day
            while True:
                wanted = months_later(date(last.year, expiry.number, 1), 0)
                clamped = min(expiry.day, (months_later(wanted, 1) - timedelta(days=1)).day)
                if (last.month, last.day) == (expiry.number, clamped):
                    break
                last += timedelta(days=1)
        case _:
            raise AssertionError(expiry.kind)
    return first_instant(last + timedelta(days=1), zone)


# -- what a sale is


@dataclass
class Line:
    """A line as it is sent."""

    line_id: str
    price: int
    discount: int = 0
    quantity: int = 1
    tags: frozenset[str] = frozenset()


def shared(amount: int, weights: Sequence[int]) -> list[int]:
    """An amount in proportion to weights, rounded so that each running sum is the exact one, rounded down."""
    total = sum(weights)
    sums = [floor(Fraction(amount * sum(weights[: n + 1]), total)) if total else 0 for n in range(len(weights))]
    return [after - before for before, after in zip([0, *sums], sums, strict=False)]


def rounded(rule: Rule, amount: int) -> int:
    """The points of an amount."""
    exact = Fraction(amount * rule.points, rule.per)
    match rule.rounding:
        case "steps":
            return floor(Fraction(amount, rule.per)) * rule.points
        case "floor":
            return floor(exact)
        case "half_up":
            return floor(exact + Fraction(1, 2))
        case _:
            return ceil(exact)


@dataclass
class Given:
    """What one rule gave: the points, the basis, and the basis of each counted line where that is not simply all."""

    points: int
    basis: int
    lines: dict[str, int] | None


@dataclass
class Part:
    """Points of one lot that moved."""

    number: int
    active: int
    gone: int
    follows: bool
    points: int


@dataclass
class Sold:
    """A recorded sale, and what came back of it."""

    account: str
    lines: dict[str, tuple[int, int]]
    given: list[Given]
    lot: int
    spent: list[Part]
    spent_points: int
    back: dict[str, tuple[int, int]] = field(default_factory=dict)
    reversed: bool = False

    @property
    def complete(self) -> bool:
        """Whether something came back and nothing is left."""
        return self.back == self.lines

    def due(self) -> tuple[int, int]:
        """(points to take back, points to give back) for all that came back."""
        if not any(part != (0, 0) for part in self.back.values()) and not self.complete:
            return 0, 0
        if self.complete:
            return sum(given.points for given in self.given), self.spent_points
        money = sum(amount for _, amount in self.back.values())
        total = sum(net for _, net in self.lines.values())
        take = 0
        for given in self.given:
            basis = money
            if given.lines is not None:
                basis = 0
                for line_id, amount in given.lines.items():
                    (quantity, net), (quantity_back, net_back) = self.lines[line_id], self.back[line_id]
                    share = Fraction(net_back, net) if net else Fraction(quantity_back, quantity or 1)
                    basis += floor(amount * share)
            take += floor(Fraction(given.points * basis, given.basis)) if given.basis else 0
        give = floor(Fraction(self.spent_points * money, total)) if total else 0
        return take, give


@dataclass
class Reserved:
    """A hold, open or ended."""

    account: str
    prize: Prize
    quantity: int
    parts: list[Part]
    ends: int
    state: str = "OPEN"

    @property
    def points(self) -> int:
        """Points set aside."""
        return sum(part.points for part in self.parts)


@dataclass
class Figures:
    """What a receipt shows."""

    earned: int = 0
    spent: int = 0
    clawed_back: int = 0
    restored: int = 0
    shortfall: int = 0
    reward: int = 0
    payable: int = 0
    available: int = 0
    pending: int = 0
    held: int = 0
    next_points: int = 0
    next_at: int = 0
    tier: str = ""
    qualifying: int = 0
    to_next: int = 0
    to_keep: int = 0


@dataclass
class Purse:
    """One account."""

    rules: Rules
    lots: list[Part] = field(default_factory=list)
    owed: int = 0
    qualifying: int = 0
    lot_number: int = 1
    activity: int = 0
    flow: int = 0
    """Points that came in less points that went out, for good."""

    def sort(self) -> None:
        """Soonest-expiring first, then oldest."""
        self.lots = sorted((lot for lot in self.lots if lot.points), key=lambda lot: (lot.gone, lot.active, lot.number))

    def active(self, at: int) -> list[Part]:
        """Lots that can be spent, in the order of spending."""
        self.sort()
        return [lot for lot in self.lots if lot.active <= at < lot.gone]

    def available(self, at: int) -> int:
        """Points that can be spent; negative when points are owed."""
        return sum(lot.points for lot in self.active(at)) - self.owed

    def put(self, part: Part) -> None:
        """Points into a lot."""
        gone = max(part.gone, self.activity) if part.follows else part.gone
        for lot in self.lots:
            if (lot.number, lot.active, lot.gone) == (part.number, part.active, gone):
                lot.points += part.points
                return
        self.lots.append(Part(part.number, part.active, gone, part.follows, part.points))

    def spend(self, points: int, at: int) -> list[Part]:
        """Points out of the lots that are active."""
        if points > self.available(at):
            raise No("INSUFFICIENT_POINTS")
        parts = []
        for lot in self.active(at):
            taken = min(points, lot.points)
            points -= taken
            if taken:
                parts.append(Part(lot.number, lot.active, lot.gone, lot.follows, taken))
                lot.points -= taken
        self.sort()
        return parts

    def earn(self, points: int, at: int, *, pending: bool) -> int:
        """A new lot, less what it repays; returns the lot's number."""
        repaid = min(points, self.owed)
        self.owed -= repaid
        self.flow += points
        days = self.rules.pending_days if pending else 0
        active = 0
        if days:
            active = first_instant(day_of(at, self.rules.zone) + timedelta(days=days), self.rules.zone)
        gone = gone_at(self.rules.expiry, active or at, self.rules.zone)
        number = self.lot_number
        if points > repaid or pending:
            self.lot_number += 1
        if points > repaid:
            self.put(Part(number, active, gone, self.rules.expiry.kind == "inactivity", points - repaid))
        return number

    def be_active(self, at: int) -> None:
        """A sale or redemption moves the expiry of lots that follow activity."""
        if self.rules.expiry.kind != "inactivity":
            return
        self.activity = max(self.activity, gone_at(self.rules.expiry, at, self.rules.zone))
        for lot in self.lots:
            if lot.follows:
                lot.gone = max(lot.gone, self.activity)
        self.sort()

    def give_and_take(self, give: Iterable[Part], take: int, own: int, at: int, figures: Figures) -> None:
        """Gives spent points back, then takes earned ones."""
        for part in give:
            repaid = min(self.owed, part.points)
            self.owed -= repaid
            figures.restored += part.points
            self.flow += part.points
            if part.points > repaid:
                gone = part.gone
                if gone <= at and self.rules.grace_days:
                    days = timedelta(days=self.rules.grace_days + 1)
                    gone = first_instant(day_of(at, self.rules.zone) + days, self.rules.zone)
                self.put(Part(part.number, part.active, gone, part.follows, part.points - repaid))
        self.sort()
        missing = take
        for lot in [lot for lot in self.lots if lot.number == own] + [
            lot for lot in self.active(at) if lot.number != own
        ]:
            taken = min(missing, lot.points)
            lot.points -= taken
            missing -= taken
        self.sort()
        self.qualifying = max(0, self.qualifying - take)
        if self.rules.may_owe:
            self.owed += missing
            missing = 0
        figures.clawed_back += take - missing
        figures.shortfall += missing
        self.flow -= take - missing


def latest_first(parts: list[Part], skip: int, points: int) -> list[Part]:
    """That many points of what was spent, the last spent first, behind those given back before."""
    result = []
    for part in parts[::-1]:
        skipped = min(skip, part.points)
        skip -= skipped
        taken = min(part.points - skipped, points)
        points -= taken
        if taken:
            result.append(Part(part.number, part.active, part.gone, part.follows, taken))
    return result


@dataclass
class Wait:
    """A return that waits for its sale."""

    request_id: str
    account: str
    sale: str
    lines: list[tuple[str, int | None, int | None]]


class World:
    """All accounts of one program, and all that ever happened."""

    def __init__(self, rules: Rules, accounts: Iterable[str]) -> None:
        self.rules = rules
        self.purses = {account: Purse(rules) for account in accounts}
        self.done: dict[str, Any] = {}
        """What each request id came to: Sold, Reserved, Adjusted, Committed, Wait, or a text for anything else."""
        self.owner: dict[str, str] = {}
        self.reversed: set[str] = set()
        self.blocked: set[str] = set()
        self.waits: list[Wait] = []

    def carry_out(
        self, request_id: str, at: int, act: Callable[["World"], Figures | None]
    ) -> "tuple[World, Figures | No | None]":
        """The world after a command and what it answers; a refusal leaves nothing but the time that passed."""
        trial = deepcopy(self)
        try:
            return trial, act(trial)
        except No as no:
            if no.recorded:
                self.owner[request_id] = trial.owner[request_id]
                self.pass_time(self.owner[request_id], at)
            return self, no

    # -- commands: each returns the receipt's figures, or raises No

    def sale(
        self,
        request_id: str,
        account: str,
        at: int,
        lines: list[Line],
        *,
        discount: int = 0,
        holds: Sequence[str] = (),
        pay: int | None = None,
    ) -> Figures:
        """A sale."""
        self._not_blocked(request_id)
        self.owner[request_id] = account
        self.pass_time(account, at)
        purse, figures = self.purses[account], Figures()
        net = [line.price - line.discount for line in lines]

        def off(amount: int) -> int:
            amount = min(amount, sum(net))
            for index, part in enumerate(shared(amount, list(net))):
                net[index] -= part
            return amount

        if discount:
            off(discount)
        spent: list[Part] = []
        paid = self._use_holds(account, at, holds, net, off, spent, figures)
        payable = sum(net) - paid
        if pay is not None:
            payable -= self._pay(purse, at, pay, payable, spent, figures)
        given = [found for rule in self.rules.earning if (found := award(rule, lines, net))]
        figures.earned = sum(one.points for one in given)
        figures.payable = payable
        lot = 0
        if figures.earned:
            lot = purse.earn(figures.earned, at, pending=True)
            purse.qualifying += figures.earned
        purse.be_active(at)
        sold = Sold(
            account,
            {line.line_id: (line.quantity, amount) for line, amount in zip(lines, net, strict=True)},
            given,
            lot,
            spent,
            figures.spent,
        )
        sold.back = {line.line_id: (0, 0) for line in lines}
        self.done[request_id] = sold
        self._apply_waits(request_id, sold, at, figures)
        return self._shown(account, at, figures)

    def _use_holds(
        self,
        account: str,
        at: int,
        holds: Sequence[str],
        net: list[int],
        off: Callable[[int], int],
        spent: list[Part],
        figures: Figures,
    ) -> int:
        """Discounts first, then cashback; returns what cashback paid."""
        purse, paid = self.purses[account], 0
        used = [self._open(name, account) for name in holds]
        for hold in sorted(used, key=lambda hold: hold.prize.cashback):
            if hold.prize.cashback:
                value = hold.prize.value * hold.quantity
                if value > sum(net) - paid:
                    raise No("REWARD_NOT_APPLICABLE")
                paid += value
            else:
                value = sum(off(worth(hold.prize, sum(net))) for _ in range(hold.quantity))
            hold.state = "COMMITTED"
            spent += hold.parts
            figures.reward += value
            figures.spent += hold.points
            purse.flow -= hold.points
            purse.be_active(at)
        return paid

    def _pay(self, purse: Purse, at: int, pay: int, payable: int, spent: list[Part], figures: Figures) -> int:
        """Pays with points; returns what they paid."""
        step = next(prize for prize in self.rules.prizes if prize.cashback)
        if pay % step.cost:
            raise No("REWARD_NOT_APPLICABLE")
        wanted = pay or max(purse.available(at), 0)
        steps = min(wanted // step.cost, payable // step.value)
        if not steps:
            return 0
        spent += purse.spend(steps * step.cost, at)
        figures.reward += steps * step.value
        figures.spent += steps * step.cost
        purse.flow -= steps * step.cost
        purse.be_active(at)
        return steps * step.value

    def _apply_waits(self, request_id: str, sold: Sold, at: int, figures: Figures) -> None:
        """Returns that came before their sale."""
        for wait in list(self.waits):
            if wait.sale == request_id and wait.account == sold.account:
                try:
                    self._return(sold, wait.lines, at, figures)
                except No:
                    continue
                self.waits.remove(wait)

    def give_back(
        self,
        request_id: str,
        account: str | None,
        at: int,
        sale: str,
        lines: list[tuple[str, int | None, int | None]],
    ) -> Figures | None:
        """A return; None when it waits."""
        self._not_blocked(request_id)
        account = account or self.owner.get(sale)
        if account is None:
            raise No("TRANSACTION_NOT_FOUND", recorded=False)
        sold = self.done.get(sale)
        if sold is not None and not isinstance(sold, Sold):
            raise No("TRANSACTION_NOT_FOUND", recorded=False)
        if sold is None and (sale in self.blocked or sale in self.owner):
            raise No("TRANSACTION_NOT_FOUND", recorded=False)
        self.pass_time(account, at)
        self.owner[request_id] = account
        if sold is None:
            if not self.rules.returns_wait:
                raise No("SALE_NOT_FOUND")
            wait = Wait(request_id, account, sale, lines)
            self.waits.append(wait)
            self.done[request_id] = wait
            return self._shown(account, at, Figures())
        if sold.account != account:
            raise No("SALE_OF_OTHER_MEMBER")
        if sold.reversed:
            raise No("ALREADY_REVERSED")
        figures = Figures()
        self._return(sold, lines, at, figures)
        self.done[request_id] = "return"
        return self._shown(account, at, figures)

    def _return(self, sold: Sold, asked: list[tuple[str, int | None, int | None]], at: int, figures: Figures) -> None:
        if sold.complete:
            raise No("RETURN_EXCEEDS_SALE")
        before, back = sold.due(), dict(sold.back)
        try:
            for line_id, quantity, amount in asked or [(line_id, None, None) for line_id in sold.lines]:
                self._return_line(sold, line_id, quantity, amount, all_lines=not asked)
        except No:
            sold.back = back
            raise
        after = sold.due()
        self.purses[sold.account].give_and_take(
            latest_first(sold.spent, before[1], after[1] - before[1]), after[0] - before[0], sold.lot, at, figures
        )

    @staticmethod
    def _return_line(sold: Sold, line_id: str, quantity: int | None, amount: int | None, *, all_lines: bool) -> None:
        if line_id not in sold.lines:
            raise No("LINE_NOT_FOUND")
        (bought, net), (had, had_net) = sold.lines[line_id], sold.back[line_id]
        left, left_net = bought - had, net - had_net
        if all_lines:
            sold.back[line_id] = sold.lines[line_id]
            return
        if quantity is None:
            quantity = left if amount is None else 0
        if amount is None:
            upto = net if quantity >= left else floor(Fraction(net * (had + quantity), bought))
            amount = min(max(upto - had_net, 0), left_net)
        if quantity > left or amount > left_net or (quantity, amount) == (0, 0):
            raise No("RETURN_EXCEEDS_SALE")
        sold.back[line_id] = (had + quantity, had_net + amount)

    def reserve(self, request_id: str, account: str, at: int, reward_id: str, quantity: int) -> Figures:
        """A hold."""
        self._not_blocked(request_id)
        prize = next((prize for prize in self.rules.prizes if prize.reward_id == reward_id), None)
        if prize is None:
            raise No("REWARD_NOT_FOUND", recorded=False)
        self.pass_time(account, at)
        self.owner[request_id] = account
        parts = self.purses[account].spend(prize.cost * quantity, at)
        ends = at + self.rules.hold_seconds * US
        self.done[request_id] = Reserved(account, prize, quantity, parts, ends)
        return self._shown(account, at, Figures())

    def commit(self, request_id: str, account: str, at: int, hold_id: str) -> Figures:
        """Redeems a hold."""
        self._not_blocked(request_id)
        self._known_hold(hold_id, account)
        self.pass_time(account, at)
        self.owner[request_id] = account
        hold = self._open(hold_id, account)
        hold.state = "COMMITTED"
        purse = self.purses[account]
        purse.flow -= hold.points
        purse.be_active(at)
        self.done[request_id] = list(hold.parts)
        return self._shown(account, at, Figures(spent=hold.points))

    def release(self, request_id: str, account: str, at: int, hold_id: str) -> Figures:
        """Gives a hold's points back."""
        self._not_blocked(request_id)
        self._known_hold(hold_id, account)
        self.pass_time(account, at)
        self.owner[request_id] = account
        self._end(self._open(hold_id, account), "RELEASED")
        self.done[request_id] = "release"
        return self._shown(account, at, Figures())

    def adjust(self, request_id: str, account: str, at: int, points: int) -> Figures:
        """Points by hand."""
        self._not_blocked(request_id)
        self.pass_time(account, at)
        self.owner[request_id] = account
        purse = self.purses[account]
        if points > 0:
            owed = purse.owed
            lot = purse.earn(points, at, pending=False)
            self.done[request_id] = (points, lot if points > owed else 0, [])
        else:
            parts = purse.spend(-points, at)
            purse.flow += points
            self.done[request_id] = (0, 0, parts)
        return self._shown(account, at, Figures())

    def reverse(self, request_id: str, at: int, target: str) -> Figures | None:
        """Undoes a command; None when it is not known and therefore blocked."""
        self._not_blocked(request_id)
        if target in self.blocked:
            raise No("ALREADY_REVERSED", recorded=False)
        if self.done.get(target) == "block":
            raise No("NOT_REVERSIBLE", recorded=False)
        if target not in self.owner:
            self.blocked.add(target)
            self.done[request_id] = "block"
            return None
        account = self.owner[target]
        self.pass_time(account, at)
        self.owner[request_id] = account
        if target in self.reversed:
            raise No("ALREADY_REVERSED")
        figures = Figures()
        self._undo(self.purses[account], self.done.get(target), at, figures)
        self.reversed.add(target)
        self.done[request_id] = "reversal"
        return self._shown(account, at, figures)

    def _undo(self, purse: Purse, done: Any, at: int, figures: Figures) -> None:
        match done:
            case Sold():
                before = done.due()
                done.back = dict(done.lines)
                after = done.due()
                parts = latest_first(done.spent, before[1], after[1] - before[1])
                purse.give_and_take(parts, after[0] - before[0], done.lot, at, figures)
                done.reversed = True
            case list():
                purse.give_and_take(done, 0, 0, at, figures)
            case Reserved():
                if done.state == "COMMITTED":
                    raise No("HOLD_COMMITTED")
                if done.state == "OPEN":
                    self._end(done, "RELEASED")
            case (take, lot, parts):
                qualifying = purse.qualifying
                purse.give_and_take(parts, take, lot, at, figures)
                purse.qualifying = qualifying
            case Wait() if done in self.waits:
                self.waits.remove(done)
            case None:
                pass  # it was refused: nothing to undo
            case _:
                raise No("NOT_REVERSIBLE")

    # -- time

    def pass_time(self, account: str, at: int) -> None:
        """Lets holds and points run out."""
        purse = self.purses[account]
        for hold in self.done.values():
            if isinstance(hold, Reserved) and hold.account == account and hold.state == "OPEN" and hold.ends <= at:
                self._end(hold, "EXPIRED")
        purse.flow -= sum(lot.points for lot in purse.lots if lot.gone <= at)
        purse.lots = [lot for lot in purse.lots if lot.gone > at]

    # -- helpers

    def _not_blocked(self, request_id: str) -> None:
        if request_id in self.blocked:
            raise No("REVERSED_BEFORE_ARRIVAL", recorded=False)

    def _known_hold(self, hold_id: str, account: str) -> Reserved:
        hold = self.done.get(hold_id)
        if not isinstance(hold, Reserved) or hold.account != account:
            raise No("HOLD_NOT_FOUND", recorded=False)
        return hold

    def _open(self, hold_id: str, account: str) -> Reserved:
        hold = self._known_hold(hold_id, account)
        if hold.state != "OPEN":
            raise No(f"HOLD_{hold.state}")
        return hold

    def _end(self, hold: Reserved, state: str) -> None:
        hold.state = state
        for part in hold.parts:
            self.purses[hold.account].put(part)
        self.purses[hold.account].sort()

    def _shown(self, account: str, at: int, figures: Figures) -> Figures:
        purse = self.purses[account]
        figures.available = purse.available(at)
        figures.pending = sum(lot.points for lot in purse.lots if lot.active > at)
        figures.held = sum(
            hold.points
            for hold in self.done.values()
            if isinstance(hold, Reserved) and hold.account == account and hold.state == "OPEN"
        )
        dated = [lot for lot in purse.active(at) if lot.gone != NEVER]
        if dated:
            figures.next_at = min(lot.gone for lot in dated)
            figures.next_points = sum(lot.points for lot in dated if lot.gone == figures.next_at)
        figures.qualifying = purse.qualifying
        for index, (tier, threshold) in enumerate(self.rules.tiers):
            if threshold <= purse.qualifying:
                figures.tier = tier
                following = self.rules.tiers[index + 1 : index + 2]
                figures.to_next = following[0][1] - purse.qualifying if following else 0
        total = sum(lot.points for lot in purse.lots) + figures.held - purse.owed
        if total != purse.flow:
            raise AssertionError(f"the model loses points: {purse.flow} came in, {total} are there")
        return figures


def award(rule: Rule, lines: list[Line], net: list[int]) -> Given | None:
    """What a rule gives for lines."""
    basis = [line.price if rule.before_discount else amount for line, amount in zip(lines, net, strict=True)]
    if sum(basis) < rule.minimum:
        return None
    counted = {
        line.line_id: amount
        for line, amount in zip(lines, basis, strict=True)
        if (not rule.only or line.tags & rule.only) and not line.tags & rule.excluding
    }
    points = rounded(rule, sum(counted.values()))
    if not points:
        return None
    simple = len(counted) == len(lines) and not rule.before_discount
    return Given(points, sum(counted.values()), None if simple else counted)


def worth(prize: Prize, total: int) -> int:
    """What a discount takes off an order."""
    value = prize.value or floor(Fraction(total * prize.percent_hundredths, 10_000))
    if prize.most:
        value = min(value, prize.most)
    return min(value, total)
