"""Where a member stands on the ladder of tiers, by the words of tier.proto.

Time goes from one morning on which something is forgotten, reviewed or lost to the next; what is ahead is found by
letting time go on.
"""

from copy import copy
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from tests.model.dates import NEVER, day_of, first_instant, months_later


@dataclass(frozen=True)
class Span:
    """So many days, months or years."""

    unit: str
    number: int

    def after(self, day: date) -> date:
        """The day so long after another."""
        if self.unit == "days":
            return day + timedelta(days=self.number)
        return months_later(day, self.number * (12 if self.unit == "years" else 1))

    def passed(self, instant: int, zone: str) -> int:
        """When it has passed, counted from the beginning of the first whole day."""
        return first_instant(self.after(day_of(instant - 1, zone) + timedelta(days=1)), zone)


@dataclass(frozen=True)
class Policy:
    """What counts (points, spend, visits), over what time, and what becomes of a tier that is not reached any more."""

    basis: str = "points"
    counts: str = "ever"
    """ever, rolling, since (the last change or review), or by month, quarter or year."""
    over: Span | None = None
    """The rolling period, or after what time the review comes."""
    downgrade: str = "match"
    """match, step or never."""
    grace: Span | None = None


POINTS_FOR_EVER: Final = Policy()


@dataclass(frozen=True)
class Ladder:
    """The tiers of a program: ids, thresholds and multipliers in thousandths (0 for none)."""

    tiers: tuple[tuple[str, int, int], ...] = ()
    policy: Policy = POINTS_FOR_EVER


NO_LADDER: Final = Ladder()


@dataclass
class Shown:
    """What is said of a member's tier."""

    tier: str = ""
    qualifying: int = 0
    next_tier: str = ""
    to_next: int = 0
    to_keep: int = 0
    review_at: int = 0
    keep_until: int = 0


@dataclass
class Status:
    """Where a member stands, and what that rests on."""

    ladder: Ladder
    zone: str
    place: int = 0
    floor: int = 0
    counted: dict[Any, int] = field(default_factory=dict)
    """What counts, by day, first day of a calendar period or number of the change or review before; by 0 for ever."""
    seen: int = 0
    """The latest instant at which something was counted or time took a tier, where time matters; pins are no facts."""
    loses: tuple[int, str] | None = None
    """When a tier that is not reached is lost, and why."""
    since: int = 0
    kept: int = 0
    """Which count the tier was reached or kept with."""
    present: int = 1
    """Which count goes on since the last change or review."""
    history: list[tuple[int, str, str]] = field(default_factory=list)
    """When which tier came, and why."""

    def fork(self) -> "Status":
        """A copy to try things with."""
        other = copy(self)
        other.counted, other.history = dict(self.counted), list(self.history)
        return other

    @property
    def tier(self) -> str:
        """The tier's id."""
        return self.ladder.tiers[self.place][0] if self.ladder.tiers else ""

    # -- what happens

    def count(self, at: int, amount: int, key: Any = None) -> Any:
        """Counts something, or less than nothing for what comes back; returns where it was counted.

        What comes back, or is there again, names where it was counted; where that is past it does not matter.
        """
        if not amount:
            return None
        policy = self.ladder.policy
        now = max(at, self.seen)
        self._run(now)
        if policy.counts == "since":
            self.since = self.since or now
        below = self._reached() < self.place
        if amount > 0 and key is None:
            key = self._key(at)
            self.counted[key] = self.counted.get(key, 0) + amount
        elif amount > 0:
            if key in self.counted:
                self.counted[key] += amount
        else:
            for one in [key] if key is not None else sorted(self.counted, reverse=True):
                less = min(self.counted.get(one, 0), -amount)
                amount += less
                if one in self.counted:
                    self.counted[one] -= less
        self._forget(now)
        if policy.counts != "ever":
            self.seen = now
        self._judge(now, "EARNED" if amount > 0 else "RETURNED", below)
        return key

    def pin(self, at: int, tier: str) -> None:
        """Sets the floor; empty for none."""
        now = max(at, self.seen)
        self._run(now)
        below = self._reached() < self.place
        self.floor = [name for name, *_ in self.ladder.tiers].index(tier) if tier else 0
        self._judge(now, "FLOOR", below)

    def pass_time(self, to: int) -> None:
        """Records the changes that came; what was merely forgotten meanwhile is not recorded."""
        news = self.at(to).history[len(self.history) :]
        if news:
            self._run(news[-1][0])

    # -- what can be asked

    def at(self, instant: int) -> "Status":
        """Where the member stands then, recorded or not, if nothing else happens."""
        other = self.fork()
        other._run(instant)
        return other

    def shown(self, at: int) -> Shown:
        """What a receipt says."""
        now, tiers, policy = self.at(at), self.ladder.tiers, self.ladder.policy
        found = Shown(now.tier, now._current(at))
        if not tiers:
            return found
        for tier, threshold, _ in tiers[now.place + 1 : now.place + 2]:
            found.next_tier, found.to_next = tier, max(threshold - found.qualifying, 0)
        if policy.downgrade == "never":
            return found
        if policy.counts in ("month", "quarter", "year"):
            found.review_at = self._ends(self._key(at))
        elif policy.counts == "since" and policy.over and now.since:
            found.review_at = policy.over.passed(now.since, self.zone)
        lower = now._until_lower()
        if lower is not None:
            found.keep_until = lower.history[-1][0]
        if now.place > now.floor:
            threshold = tiers[now.place][1]
            if found.review_at:
                found.to_keep = max(threshold - found.qualifying, 0)
            elif lower is not None:
                found.to_keep = max(threshold - lower._holding(), 0)
        return found

    def _until_lower(self) -> "Status | None":
        """As soon as the tier is lost; None if it never is."""
        other = self.fork()
        while other.place == self.place:
            morning = other._morning()
            if morning == NEVER or self.place <= self.floor:
                return None
            other._run(morning)
        return other

    # -- counting

    def _key(self, at: int) -> Any:
        """Where something that happened then is counted. Before the first change there is one count only."""
        day = day_of(at, self.zone)
        match self.ladder.policy.counts:
            case "ever":
                return 0
            case "rolling":
                return day
            case "since":
                return self.present if at >= self.since or self.present == 1 else self.kept
            case unit:
                length = {"month": 1, "quarter": 3, "year": 12}[unit]
                while day.day != 1 or (day.month - 1) % length:
                    day -= timedelta(days=1)
                return day

    def _ends(self, first: date, periods: int = 1) -> int:
        """When so many calendar periods from a first day on have ended."""
        length = {"month": 1, "quarter": 3, "year": 12}[self.ladder.policy.counts]
        return first_instant(months_later(first, length * periods), self.zone)

    def _gone(self, key: Any) -> int:
        """When something that was counted counts no longer."""
        policy = self.ladder.policy
        match policy.counts:
            case "rolling" if policy.over:
                return first_instant(policy.over.after(key) + timedelta(days=1), self.zone)
            case "month" | "quarter" | "year":
                return self._ends(key, 2)
            case _:
                return NEVER

    def _forget(self, at: int) -> None:
        """Leaves behind what counts no longer."""
        self.counted = {key: amount for key, amount in self.counted.items() if self._gone(key) > at}

    def _current(self, at: int) -> int:
        """What counts now."""
        match self.ladder.policy.counts:
            case "since":
                return self.counted.get(self.present, 0)
            case "ever" | "rolling":
                return sum(self.counted.values())
            case _:
                return self.counted.get(self._key(at), 0)

    def _holding(self) -> int:
        """What the tier rests on: the best that has not ended, or all of it."""
        if self.ladder.policy.counts in ("ever", "rolling"):
            return sum(self.counted.values())
        return max(self.counted.values(), default=0)

    def _reached(self) -> int:
        places = [place for place, (_, threshold, _) in enumerate(self.ladder.tiers) if threshold <= self._holding()]
        return max(self.floor, *places) if places else 0

    # -- time

    def _review(self) -> int:
        """When counting begins anew by itself."""
        over = self.ladder.policy.over
        if self.ladder.policy.counts != "since" or over is None or not self.since:
            return NEVER
        return over.passed(self.since, self.zone)

    def _morning(self) -> int:
        """The next instant at which time alone does something."""
        lost = self.loses[0] if self.loses else NEVER
        return min(lost, self._review(), *map(self._gone, self.counted)) if self.counted else min(lost, self._review())

    def _run(self, to: int) -> None:
        """Lets time pass."""
        while (at := self._morning()) <= to:
            told = len(self.history)
            self._forget(at)
            if self._review() == at:
                self._begin_anew(self.present, at)
            if self.loses and self.loses[0] == at:
                self._fall(at, self.loses[1])
            elif self._reached() < self.place and not self.loses:
                self._let_go(at, self._by_time())
            if self.seen and len(self.history) > told:
                self.seen = max(self.seen, at)

    def _begin_anew(self, kept: int, at: int) -> None:
        self.counted = {kept: self.counted.get(kept, 0)}
        self.kept, self.present, self.since = kept, self.present + 1, at

    def _changed(self, at: int) -> None:
        """After a change, counting begins anew where it does; what the tier was reached with is kept."""
        if self.ladder.policy.counts == "since":
            counts = (self.present, self.kept)
            self._begin_anew(max(counts, key=lambda key: self.counted.get(key, 0)), at)

    # -- changes of tier

    def _judge(self, now: int, reason: str, below: bool) -> None:
        """The tier that is reached comes at once; one that is not is let go, unless it was (below) before."""
        reached = self._reached()
        if reached > self.place:
            self.place, self.loses = reached, None
            self._changed(now)
            self.history.append((now, self.tier, reason))
        elif reached == self.place:
            self.loses = None
        elif not below:
            self._let_go(now, reason)

    def _let_go(self, at: int, reason: str) -> None:
        """A tier is not reached any more: it is lost, or will be after the grace."""
        if self.ladder.policy.downgrade == "never":
            return
        lost_at = self._after_grace(at)
        if lost_at <= at:
            self._fall(at, reason)
        else:
            self.loses = lost_at, reason

    def _after_grace(self, at: int) -> int:
        grace = self.ladder.policy.grace
        return grace.passed(at, self.zone) if grace and at < NEVER else at

    def _fall(self, at: int, reason: str) -> None:
        step = 1 if self.ladder.policy.downgrade == "step" else len(self.ladder.tiers)
        reached = self._reached()
        self.place, self.loses = max(reached, self.place - step), None
        self._changed(at)
        self.history.append((at, self.tier, reason))
        if self.place > reached:
            self.loses = self._after_grace(self._next_step(at)), self._by_time()

    def _by_time(self) -> str:
        return "LAPSED" if self.ladder.policy.counts == "rolling" else "REVIEWED"

    def _next_step(self, at: int) -> int:
        """When the next step follows: at the next review, or with a rolling window a period later."""
        policy = self.ladder.policy
        if policy.counts in ("rolling", "since"):
            return policy.over.passed(at, self.zone) if policy.over else NEVER
        return self._ends(self._key(at))
