"""A program, compiled: everything that deciding a command needs, looked up once per version."""

from bisect import bisect_right
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from loyalty.v1.account_pb2 import TierProgress
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.program_pb2 import ClawBack, RestoreExpired, Reward, UnknownSale
from loyalty.v1.program_pb2 import Program as Definition

from ledger.domain.expiry import expires_at
from ledger.domain.instant import FOREVER, HOUR, MINUTE, SECOND, local_date, start_of_day
from ledger.domain.refusal import Rejected
from ledger.domain.rules.spend import Spend

DEFAULT_HOLD_TIMEOUT: Final = 30 * MINUTE

HOURS_REMEMBERED_MAX: Final = 10_000
"""Hours whose expiry a program remembers: more than a year of sales."""


class Program:
    """One published version of a program. Immutable."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.name = definition.name
        self.version = definition.version
        self.currency = definition.currency
        self.zone = ZoneInfo(definition.time_zone)
        self.rules = [Spend(rule.rule_id, rule.spend) for rule in definition.earning_rules]
        self.never_expires = definition.expiry.WhichOneof("policy") in (None, "never")
        self.follows_activity = definition.expiry.WhichOneof("policy") == "inactivity"
        self.hold_timeout = (
            definition.hold_timeout.seconds * SECOND + definition.hold_timeout.nanos // 1_000
            if definition.HasField("hold_timeout")
            else DEFAULT_HOLD_TIMEOUT
        )
        returns = definition.returns
        self.may_owe = returns.claw_back == ClawBack.CLAW_BACK_NEGATIVE
        self.returns_wait = returns.unknown_sale != UnknownSale.UNKNOWN_SALE_REFUSE
        self._grace_days = returns.grace_days if returns.restore_expired == RestoreExpired.RESTORE_EXPIRED_GRACE else 0
        self._thresholds = [tier.threshold_points for tier in definition.tiers]
        self._tier_ids = [tier.tier_id for tier in definition.tiers]
        self._rewards = {reward.reward_id: reward for reward in definition.rewards}
        self.stores = frozenset(store.store_id for store in definition.stores)
        """The stores that may send commands; none means any."""
        self._expiry_by_hour: dict[int, int] = {}

    def reward(self, reward_id: str) -> Reward:
        """The reward of that id.

        Raises Rejected when the catalogue has none.
        """
        reward = self._rewards.get(reward_id)
        if reward is None:
            raise Rejected(ErrorReason.ERROR_REASON_REWARD_NOT_FOUND, reward_id=reward_id)
        return reward

    def tier_for(self, qualifying_points: int) -> str:
        """The id of the highest tier whose threshold is reached, thresholds inclusive; empty without tiers."""
        reached = bisect_right(self._thresholds, qualifying_points)
        return self._tier_ids[max(reached - 1, 0)] if self._tier_ids else ""

    def write_progress(self, progress: TierProgress, tier: str, qualifying_points: int) -> None:
        """Writes where a member with these points stands: what is needed to keep the tier and to reach the next."""
        progress.tier = tier
        progress.qualifying_points = qualifying_points
        if tier not in self._tier_ids:
            return
        at = self._tier_ids.index(tier)
        progress.points_to_keep = max(self._thresholds[at] - qualifying_points, 0)
        if at + 1 < len(self._tier_ids):
            progress.next_tier = self._tier_ids[at + 1]
            progress.points_to_next = max(self._thresholds[at + 1] - qualifying_points, 0)

    def activates_at(self, earned_at: int) -> int:
        """When points earned at an instant become active: at once (0), or at the start of a later day."""
        days = self.definition.pending_days
        return self._start_of_day_after(earned_at, days) if days else 0

    def expires_at(self, active_from: int) -> int:
        """The first instant at which points that are active from an instant on are gone.

        All policies count whole local days, so an hour whose first and last instant have the same answer has no other
        in between, and is remembered: the calendar costs more than the rest of a sale. In some zones (Asia/Kolkata)
        the day begins in the middle of an hour.
        """
        if self.never_expires:
            return FOREVER
        hour = active_from // HOUR
        known = self._expiry_by_hour.get(hour)
        if known is not None:
            return known
        policy, zone = self.definition.expiry, self.zone
        first = expires_at(policy, hour * HOUR, zone)
        if first != expires_at(policy, (hour + 1) * HOUR - 1, zone):
            return expires_at(policy, active_from, zone)
        if len(self._expiry_by_hour) >= HOURS_REMEMBERED_MAX:
            self._expiry_by_hour.clear()
        self._expiry_by_hour[hour] = first
        return first

    def restored_expires_at(self, at: int, expiry: int) -> int:
        """The expiry of spent points that a return gives back at an instant: their old one, or the grace's end."""
        if expiry > at or not self._grace_days:
            return expiry
        return self._start_of_day_after(at, self._grace_days + 1)

    def _start_of_day_after(self, at: int, days: int) -> int:
        """The start of a later local day. Counted on the calendar, since some days have 23 or 25 hours."""
        return start_of_day(local_date(at, self.zone) + timedelta(days=days), self.zone)
