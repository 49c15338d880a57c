"""The ladder: the tiers of a program, who is in which, and what is ahead of them."""

from bisect import bisect_right
from typing import NamedTuple
from zoneinfo import ZoneInfo

from loyalty.v1 import tier_pb2 as pb
from loyalty.v1.account_pb2 import TierProgress
from loyalty.v1.program_pb2 import Program as Definition

from ledger.domain.instant import FOREVER, set_timestamp
from ledger.domain.standing import Scheduled, Standing
from ledger.domain.tier_periods import ForEver, later, tier_period


class Rung(NamedTuple):
    """A tier and what it rests on."""

    tier: str
    standing: Standing
    reason: pb.TierChangeReason.ValueType = pb.TIER_CHANGE_REASON_UNSPECIFIED
    """Why it is another tier than before."""


class Ladder:
    """The tiers of one version of a program, compiled."""

    def __init__(self, definition: Definition, zone: ZoneInfo) -> None:
        policy = definition.tier_policy
        self.basis = policy.basis or pb.TIER_BASIS_POINTS
        self.tiers = [tier.tier_id for tier in definition.tiers]
        self.benefits = {tier.tier_id: tuple(tier.benefits) for tier in definition.tiers}
        """What members in each tier enjoy, in words."""
        self._places = {tier: place for place, tier in enumerate(self.tiers)}
        self._thresholds = [tier.threshold for tier in definition.tiers]
        self._period = tier_period(policy, zone)
        self._is_timeless = isinstance(self._period, ForEver)
        self._falls = policy.downgrade != pb.DOWNGRADE_NEVER
        self._step = 1 if policy.downgrade == pb.DOWNGRADE_ONE_STEP else len(self.tiers)
        self._grace = policy.grace if policy.HasField("grace") else None
        self._zone = zone

    @property
    def lowest(self) -> str:
        """The first tier's id; empty without tiers."""
        return self.tiers[0] if self.tiers else ""

    # -- what can be asked

    def at(self, tier: str, standing: Standing, at: int) -> tuple[str, Standing]:
        """Tier and standing at an instant, with what has come by then, whether or not that was recorded."""
        if self._is_timeless and not standing.ahead and standing.basis == self.basis:
            return tier, standing
        due = [one for one in standing.ahead if one.at <= at]
        if standing.basis != self.basis:  # what was counted in other units does not count
            standing = standing._replace(basis=self.basis, amounts=(), counting_since=0)
        if not self._is_timeless:
            standing = self._period.rolled(standing, at)
        if due:
            tier = due[-1].tier
            standing = standing._replace(ahead=tuple(one for one in standing.ahead if one.at > at))
        return tier, standing

    def amount(self, tier: str, standing: Standing, at: int) -> int:
        """What counts at an instant."""
        return self._period.current(self.at(tier, standing, at)[1], at)

    def holding(self, standing: Standing, at: int) -> int:
        """What the tier rests on, of a standing at that instant."""
        return self._period.holding(standing, at)

    def write_progress(self, progress: TierProgress, tier: str, standing: Standing, at: int) -> None:
        """Writes where a member stands at an instant: what is needed to keep the tier and to reach the next."""
        tier, standing = self.at(tier, standing, at)
        amount = self._period.current(standing, at)
        progress.tier = tier
        progress.qualifying_amount = amount
        place = self._places.get(tier)
        if place is None:
            return
        if place + 1 < len(self.tiers):
            progress.next_tier = self.tiers[place + 1]
            progress.amount_to_next = max(self._thresholds[place + 1] - amount, 0)
        if not self._falls:
            return
        review = FOREVER if self._is_timeless else self._period.review_at(standing, at)
        if review != FOREVER:
            set_timestamp(progress.review_at, review)
        if standing.ahead:
            keep_until = standing.ahead[0].at
            set_timestamp(progress.keep_until, keep_until)
            if review == FOREVER:  # what will be left by then
                amount = self._period.holding(self._period.rolled(standing, keep_until), keep_until)
        is_at_stake = review != FOREVER or bool(standing.ahead)
        if is_at_stake and place > self._floor(standing):
            progress.amount_to_keep = max(self._thresholds[place] - amount, 0)

    # -- what events do

    def count(self, before: Rung, at: int, amount: int, period: int | None = None) -> tuple[int, Rung, Rung]:
        """Counts something that happened at an instant: the period, and the rung as counted and as it leads to.

        A period that is given is where what comes back, or is there again, was counted; without one what comes back is
        taken from the newest. Raises Overflow.
        """
        if self._is_timeless and amount > 0 and not before.standing.ahead and before.standing.basis == self.basis:
            more = Rung(before.tier, before.standing.plus(0, amount))
            if self._holds(more):
                return 0, more, more
        now = max(at, before.standing.as_of)
        tier, standing = self.at(before.tier, before.standing, now)
        standing = self._period.begun(standing, now)
        was_below = self._is_below(tier, standing, now)
        if period is None and amount > 0:
            period = self._period.period_of(standing, at)
            counted = standing.plus(period or 0, amount)
        else:
            counted = self._with(standing, period, amount)
        counted = self._period.rolled(counted, now)
        if not self._is_timeless:
            counted = counted._replace(as_of=now)
        reason = pb.TIER_CHANGE_REASON_EARNED if amount > 0 else pb.TIER_CHANGE_REASON_RETURNED
        rung = self.judge(Rung(tier, counted), now, reason, was_below=was_below)
        return period or 0, Rung(before.tier, counted if rung.tier != before.tier else rung.standing), rung

    def _holds(self, rung: Rung) -> bool:
        """Whether what counts for ever gives exactly the tier; the usual case, for which no more need be looked at."""
        place = self._places.get(rung.tier, -1)
        return place == bisect_right(self._thresholds, rung.standing.total) - 1

    def pin(self, before: Rung, at: int, floor: str) -> tuple[Rung, Rung]:
        """Sets the floor, empty for none: the rung with it, and the one that it leads to."""
        now = max(at, before.standing.as_of)
        tier, standing = self.at(before.tier, before.standing, now)
        was_below = self._is_below(tier, standing, now)
        pinned = standing._replace(floor=floor)
        reason = pb.TIER_CHANGE_REASON_FLOOR
        rung = self.judge(Rung(tier, pinned), now, reason, was_below=was_below)
        return Rung(tier, pinned if rung.tier != tier else rung.standing), rung

    def judge(self, rung: Rung, now: int, reason: pb.TierChangeReason.ValueType, *, was_below: bool) -> Rung:
        """The rung that a standing leads to at an instant, with the changes ahead.

        A tier that is not reached is lost after the grace. Where that is running already (`was_below`), it goes on.
        """
        tier, standing, _ = rung
        if not self.tiers:
            return Rung("", standing._replace(ahead=()), pb.TIER_CHANGE_REASON_PROGRAM)
        place = self._places.get(tier, -1)
        reached = max(self._reached(standing, now), self._floor(standing))
        if reached > place:
            if place < 0:
                reason = pb.TIER_CHANGE_REASON_PROGRAM
            standing = self._period.changed(standing, now)
            ahead = self._schedule(standing, reached, now, None)
            return Rung(self.tiers[reached], standing._replace(ahead=ahead), reason)
        due = None
        if reached < place:
            due = self._lost_at(standing, now, reason, was_below=was_below)
        ahead = self._schedule(standing, place, now, due)
        if ahead and ahead[0].at <= now:
            standing = self._period.changed(standing._replace(ahead=()), now)
            return Rung(ahead[0].tier, standing._replace(ahead=ahead[1:]), ahead[0].reason)
        return Rung(tier, standing if ahead == standing.ahead else standing._replace(ahead=ahead))

    def _lost_at(
        self, standing: Standing, now: int, reason: pb.TierChangeReason.ValueType, *, was_below: bool
    ) -> Scheduled:
        """When, and why, a tier is lost that is not reached. Its tier is not known yet."""
        if not was_below:
            return Scheduled(self._after_grace(now), "", reason)
        if standing.ahead:
            return standing.ahead[0]
        # The program asks for more than it did: the next review is the first to know.
        review = self._period.review_at(standing, now)
        lost_at = self._after_grace(now if review == FOREVER else review)
        return Scheduled(lost_at, "", pb.TIER_CHANGE_REASON_PROGRAM)

    def _schedule(self, standing: Standing, place: int, at: int, due: Scheduled | None) -> tuple[Scheduled, ...]:
        """The changes ahead of somebody in a tier if nothing else counts, the first one where it is known."""
        ahead: list[Scheduled] = []
        floor = self._floor(standing)
        if not self._falls or place <= floor or (self._is_timeless and due is None):
            return ()
        standing = standing._replace(ahead=())
        while place > floor:
            if due is None:
                falls_at = self._period.falls_at(standing, at, self._thresholds[place])
                due = Scheduled(self._after_grace(falls_at), "", self._period.reason)
            at = due.at
            if at == FOREVER:
                break
            standing = self._period.rolled(standing, at)
            reached = max(self._reached(standing, at), floor)
            place = max(reached, place - self._step)
            ahead.append(Scheduled(at, self.tiers[place], due.reason))
            standing = self._period.changed(standing, at)
            due = None
            if place > reached:
                next_at = self._after_grace(self._period.next_step_at(standing, at))
                due = Scheduled(next_at, "", self._period.reason)
        return tuple(ahead)

    def _is_below(self, tier: str, standing: Standing, at: int) -> bool:
        return max(self._reached(standing, at), self._floor(standing)) < self._places.get(tier, -1)

    def _reached(self, standing: Standing, at: int) -> int:
        """The place of the highest tier whose threshold is reached, thresholds inclusive."""
        return max(bisect_right(self._thresholds, self._period.holding(standing, at)) - 1, 0)

    def _floor(self, standing: Standing) -> int:
        return self._places.get(standing.floor, 0)

    def _after_grace(self, at: int) -> int:
        return at if self._grace is None or at == FOREVER else later(at, self._grace, self._zone)

    def _with(self, standing: Standing, period: int | None, amount: int) -> Standing:
        """With what comes back, or is there again; in a period that is not kept any more it changes nothing."""
        if period is None:
            return standing.less_newest(-amount)
        return standing.plus(period, amount) if any(known == period for known, _ in standing.amounts) else standing
