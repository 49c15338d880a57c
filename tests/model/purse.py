"""One account of the model: lots, what is owed, and what moves them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tests.model.dates import NEVER, Expiry, active_from, day_of, first_instant, gone_at
from tests.model.earning import Diary
from tests.model.scheme import Award, Rules
from tests.model.tiers import Shown, Status


class No(Exception):
    """A refusal with its reason; recorded unless the command could not be decided at all."""

    def __init__(self, reason: str, *, recorded: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.recorded = recorded


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
    tier: Shown = field(default_factory=Shown)
    awards: tuple[tuple[str, int, int], ...] = ()
    """Rule or promotion, points, and points that limits and caps took off; of those that gave any."""
    settled: int = 0
    """Points that became active or were cancelled."""


@dataclass
class Part:
    """Points of one lot that moved."""

    number: int
    active: int
    gone: int
    expiry: Expiry
    """By which its end is counted, should it become active earlier."""
    points: int
    is_extended: bool = False
    """Whether somebody gave it a date of its own."""

    @property
    def follows(self) -> bool:
        """Whether its end moves with the member's activity."""
        return self.expiry.kind == "inactivity" and not self.is_extended

    def some(self, points: int) -> "Part":
        """Some of its points."""
        return replace(self, points=points)


@dataclass
class Purse:
    """One account."""

    rules: Rules
    lots: list[Part] = field(default_factory=list)
    owed: int = 0
    lot_number: int = 1
    activity: int = 0
    diary: Diary = field(default_factory=Diary)
    cancelled: dict[int, int] = field(default_factory=dict)
    """Pending points of each lot that somebody cancelled."""
    absorbed: dict[int, int] = field(default_factory=dict)
    """Of them, those that returns would have taken since."""
    expired: int = 0
    """Points that expired and were not given back by hand."""
    flow: int = 0
    """Points that came in less points that went out, for good."""
    status: Status = field(init=False)

    def __post_init__(self) -> None:
        """Everybody begins in the first tier."""
        self.status = Status(self.rules.ladder, self.rules.zone)

    def sort(self) -> None:
        """Soonest-expiring first, then oldest."""
        self.lots = sorted((lot for lot in self.lots if lot.points), key=lambda lot: (lot.gone, lot.number, lot.active))

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
        self.lots.append(replace(part, gone=gone))

    def spend(self, points: int, at: int) -> list[Part]:
        """Points out of the lots that are active."""
        if points > self.available(at):
            raise No("INSUFFICIENT_POINTS")
        parts = []
        for lot in self.active(at):
            taken = min(points, lot.points)
            points -= taken
            if taken:
                parts.append(lot.some(taken))
                lot.points -= taken
        self.sort()
        return parts

    def issue(self, awards: Sequence[Award], at: int) -> None:
        """A lot for each activation and expiry, less what promotions take away and what is owed."""
        lots: dict[tuple[int, int, Expiry], Part] = {}
        for award in awards:
            if award.points < 0:
                continue
            pending = award.terms.pending or self.rules.pending
            expiry = award.terms.expiry or self.rules.expiry
            active = active_from(pending, at, self.rules.zone)
            gone = end(expiry, active or at, self.rules.zone)
            # Active points with one end are alike, whatever counted it; pending ones may become active sooner.
            key = (active, gone, expiry if active or expiry.kind == "inactivity" else Expiry("alike"))
            lot = lots.setdefault(key, Part(self.lot_number + len(lots), active, gone, expiry, 0))
            lot.points += award.points
            award.lot = lot.number
        total = sum(award.points for award in awards)
        repaid = min(total, self.owed)
        off = sum(lot.points for lot in lots.values()) - total + repaid
        self.owed -= repaid
        self.flow += total
        self.lot_number += len(lots)
        for lot in lots.values():
            less = min(off, lot.points)
            off -= less
            if lot.points > less:
                self.put(lot.some(lot.points - less))

    def extend(self, number: int, until: int, at: int) -> int:
        """Lets one lot (0 for all) that ends earlier end then; returns how many points that are."""
        ending = [lot for lot in self.lots if lot.gone < until and number in (0, lot.number)]
        if not ending or until <= at:
            raise No("NOTHING_TO_EXTEND")
        self.lots = [lot for lot in self.lots if lot not in ending]
        for lot in ending:
            self.put(replace(lot, gone=until, is_extended=True))
        self.sort()
        return sum(lot.points for lot in ending)

    def reinstate(self, points: int, until: int | None, at: int) -> None:
        """Gives back what expired and was not given back yet."""
        if points > self.expired:
            raise No("NOT_EXPIRED")
        if until is not None and until <= at:
            raise No("NOTHING_TO_EXTEND")
        self.expired -= points
        self.add(points, at, until)

    def add(self, points: int, at: int, until: int | None = None) -> int:
        """Points by hand, active at once, less what they repay; returns the lot's number, 0 where there is none."""
        repaid = min(points, self.owed)
        self.owed -= repaid
        self.flow += points
        if points == repaid:
            return 0
        gone = gone_at(self.rules.expiry, at, self.rules.zone) if until is None else until
        number = self.lot_number
        self.lot_number += 1
        self.put(Part(number, 0, gone, self.rules.expiry, points - repaid, until is not None))
        return number

    def settle(self, numbers: set[int], at: int, *, activate: bool) -> list[Part]:
        """Makes pending points active or cancels them; returns what they were."""
        waiting = [lot for lot in self.lots if lot.number in numbers and lot.active > at]
        if not waiting:
            raise No("NOTHING_PENDING")
        self.lots = [lot for lot in self.lots if lot not in waiting]
        for lot in waiting:
            if activate:
                self.put(Part(lot.number, 0, end(lot.expiry, at, self.rules.zone), lot.expiry, lot.points))
            else:
                self.cancelled[lot.number] = self.cancelled.get(lot.number, 0) + lot.points
                self.flow -= lot.points
        self.sort()
        return waiting

    def unsettle(self, parts: list[Part], at: int, figures: Figures, *, activated: bool) -> int:
        """Takes that back: what is not spent is pending again, what was cancelled is there again; returns how much."""
        revived = 0
        for part in parts[::-1]:
            if activated:
                now = [lot for lot in self.lots if (lot.number, lot.active) == (part.number, 0)]
                points = take(sorted(now, key=lambda lot: -lot.gone), part.points)
            else:
                left = self.cancelled[part.number] - self.absorbed.get(part.number, 0)
                points = min(part.points, max(left, 0))
                self.cancelled[part.number] -= points
                self.flow += points
                revived += points
                figures.restored += points
            if points:
                self.put(replace(part, gone=self.good_until(part.gone, at), points=points))
        self.sort()
        return revived

    def good_until(self, gone: int, at: int) -> int:
        """The end of points that come back: their old one, or after their end that of the program's grace."""
        if gone > at or not self.rules.grace_days:
            return gone
        return first_instant(day_of(at, self.rules.zone) + timedelta(days=self.rules.grace_days + 1), self.rules.zone)

    def be_active(self, at: int) -> None:
        """A sale or redemption moves the expiry of lots that follow activity."""
        if self.rules.expiry.kind != "inactivity":
            return
        self.activity = max(self.activity, gone_at(self.rules.expiry, at, self.rules.zone))
        for lot in self.lots:
            if lot.follows:
                lot.gone = max(lot.gone, self.activity)
        self.sort()

    def give_and_take(self, give: Iterable[Part], claims: dict[int, int], at: int, figures: Figures) -> None:
        """Gives spent points back, then takes earned ones, by the lot that they were issued in."""
        for part in give:
            repaid = min(self.owed, part.points)
            self.owed -= repaid
            figures.restored += part.points
            self.flow += part.points
            if part.points > repaid:
                self.put(replace(part, gone=self.good_until(part.gone, at), points=part.points - repaid))
        self.sort()
        missing = 0
        for number, points in claims.items():
            missing += points - take([lot for lot in self.lots if lot.number == number], points)
        missing -= take(self.active(at), missing)
        self.sort()
        taken = sum(claims.values())
        if self.rules.may_owe:
            self.owed += missing
            missing = 0
        figures.clawed_back += taken - missing
        figures.shortfall += missing
        self.flow -= taken - missing


def end(expiry: Expiry, active: int, zone: str) -> int:
    """When points are gone; those that wait for a word do not run out meanwhile."""
    return gone_at(expiry, active, zone) if active < NEVER else NEVER


def take(lots: Sequence[Part], points: int) -> int:
    """Takes up to so many points out of some lots; returns how many."""
    left = points
    for lot in lots:
        taken = min(lot.points, left)
        lot.points -= taken
        left -= taken
    return points - left


def latest_first(parts: list[Part], skip: int, points: int) -> list[Part]:
    """That many points of what was spent, the last spent first, behind those given back before."""
    result = []
    for part in parts[::-1]:
        skipped = min(skip, part.points)
        skip -= skipped
        taken = min(part.points - skipped, points)
        points -= taken
        if taken:
            result.append(part.some(taken))
    return result
