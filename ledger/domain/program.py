"""A program, compiled: everything that deciding a command needs, looked up once per version."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Receipt
from loyalty.v1.earning_pb2 import Conditions, EarningRule, LineFilter
from loyalty.v1.earning_pb2 import Promotion as PromotionMessage
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.program_pb2 import ClawBack, RestoreExpired, UnknownSale
from loyalty.v1.program_pb2 import Program as Definition
from loyalty.v1.tier_pb2 import Tier

from ledger.domain.account import Account
from ledger.domain.instant import MINUTE, SECOND, from_timestamp
from ledger.domain.ladder import Ladder
from ledger.domain.refusal import Rejected
from ledger.domain.rules.activity import Activity
from ledger.domain.rules.asks import asks_of
from ledger.domain.rules.cap import Cap
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.index import Index
from ledger.domain.rules.item import Item
from ledger.domain.rules.promotion import Promotion
from ledger.domain.rules.reward import Reward
from ledger.domain.rules.rule import Rule
from ledger.domain.rules.spend import Spend
from ledger.domain.rules.terms import Terms
from ledger.domain.rules.visit import Visit
from ledger.domain.validity import Validity, start_of_later_day

DEFAULT_HOLD_TIMEOUT: Final = 30 * MINUTE

RULES: Final[Mapping[str, type[Rule]]] = {"spend": Spend, "visit": Visit, "item": Item, "activity": Activity}
"""What makes a rule of each kind."""


class Program:
    """One published version of a program. Immutable."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.name = definition.name
        self.version = definition.version
        self.starts_at = from_timestamp(definition.starts_at) if definition.HasField("starts_at") else 0
        """When it begins to decide; 0 for at once."""
        self.currency = definition.currency
        self.zone = ZoneInfo(definition.time_zone)
        self.notice_days = definition.expiry_notice_days
        self.validity = Validity(definition.pending, definition.expiry, self.zone)
        self.combination = definition.combination
        self.stacking = definition.promotion_stacking
        self.caps = [Cap(cap) for cap in definition.caps]
        self._zones = {store.store_id: ZoneInfo(store.time_zone) for store in definition.stores if store.time_zone}
        self._compile_rules()
        self._compile_promotions()
        self.hold_timeout = (
            definition.hold_timeout.seconds * SECOND + definition.hold_timeout.nanos // 1_000
            if definition.HasField("hold_timeout")
            else DEFAULT_HOLD_TIMEOUT
        )
        returns = definition.returns
        self.may_owe = returns.claw_back == ClawBack.CLAW_BACK_NEGATIVE
        self.returns_wait = returns.unknown_sale != UnknownSale.UNKNOWN_SALE_REFUSE
        self._grace_days = returns.grace_days if returns.restore_expired == RestoreExpired.RESTORE_EXPIRED_GRACE else 0
        self.ladder = Ladder(definition, self.zone)
        self.keeps_vouchers = returns.keeps_vouchers
        self.own_points_pay = definition.own_points_pay
        self.discounts = definition.discounts
        self._rewards = {message.reward_id: Reward(message) for message in definition.rewards}
        self.expression_names = (
            self._rules.names | self._activity_names | self._promotions.names | _names_of(self._rewards.values())
        )
        self.attributes = {message.attribute_id: message for message in definition.attributes}
        self.asks = asks_of(definition)
        self.stores = frozenset(store.store_id for store in definition.stores)
        """The stores that may send commands; none means any."""

    def reward(self, reward_id: str) -> Reward:
        """The reward of that id.

        Raises Rejected when the catalogue has none.
        """
        reward = self._rewards.get(reward_id)
        if reward is None:
            raise Rejected(ErrorReason.ERROR_REASON_REWARD_NOT_FOUND, reward_id=reward_id)
        return reward

    def write_receipt(self, receipt: Receipt, account: Account, at: int) -> None:
        """Writes where a command leaves an account: balance and tier."""
        account.write_balance(receipt.balance, at)
        self.ladder.write_progress(receipt.tier, account.tier, account.standing, at)

    def restored_expires_at(self, at: int, expiry: int) -> int:
        """The expiry of spent points that a return gives back at an instant: their old one, or the grace's end."""
        if expiry > at or not self._grace_days:
            return expiry
        return start_of_later_day(at, self._grace_days + 1, self.zone)

    # -- earning

    def rules_for(self, facts: Facts) -> Iterable[Rule]:
        """The rules that can apply to a sale, in order."""
        return self._rules.candidates(facts)

    def rules_for_activity(self, activity: str) -> Iterable[Rule]:
        """The rules for an activity, in order."""
        return self._activity_rules.get(activity, ())

    def promotions_for(self, facts: Facts) -> Iterable[Promotion]:
        """The promotions that can apply to a sale, in order."""
        return self._promotions.candidates(facts)

    @property
    def sale_rules(self) -> Sequence[Rule]:
        """All rules for sales, in order."""
        return self._rules.all

    @property
    def activities(self) -> Mapping[str, Sequence[Rule]]:
        """All rules for activities, by activity, in order."""
        return self._activity_rules

    @property
    def promotions(self) -> Sequence[Promotion]:
        """All promotions, those of tiers with them, in order."""
        return self._promotions.all

    def zone_of(self, store: str) -> ZoneInfo:
        """The zone that a store's clock is in."""
        return self._zones.get(store, self.zone)

    def _terms(self, owner: str, message: EarningRule | PromotionMessage) -> Terms:
        validity = self.validity
        if message.HasField("pending") or message.HasField("expiry"):
            definition = self.definition
            validity = Validity(
                message.pending if message.HasField("pending") else definition.pending,
                message.expiry if message.HasField("expiry") else definition.expiry,
                self.zone,
            )
        return Terms(owner, message, validity)

    def _compile_rules(self) -> None:
        ordered = sorted(self.definition.earning_rules, key=lambda rule: (-rule.priority, rule.rule_id))
        entries: list[tuple[Rule, LineFilter | None]] = []
        activities: dict[str, list[Rule]] = {}
        for message in ordered:
            terms = self._terms(message.rule_id, message)
            kind = message.WhichOneof("rule") or "spend"
            rule = RULES[kind](message, terms)
            if kind == "activity":
                activities.setdefault(message.activity.activity, []).append(rule)
            else:
                entries.append((rule, _only(getattr(message, kind))))
        self._rules = Index(entries)
        self._activity_rules = activities
        self._activity_names = frozenset[str]().union(
            *(
                rule.terms.conditions.names
                for rules in activities.values()
                for rule in rules
                if rule.terms.conditions is not None
            )
        )

    def _compile_promotions(self) -> None:
        messages = [*self.definition.promotions, *map(_multiplier, self.definition.tiers)]
        compiled = [
            (Promotion(message, self._terms(message.promotion_id, message)), _only(message))
            for message in messages
            if message.WhichOneof("effect")
        ]
        compiled.sort(key=lambda one: one[0].terms.owner)
        compiled.sort(key=lambda one: one[0].terms.begins, reverse=True)  # the newest first; the sort is stable
        compiled.sort(key=lambda one: -one[0].terms.priority)
        self._promotions = Index(compiled)
        self.has_promotions = bool(compiled)


def _names_of(rewards: Iterable[Reward]) -> frozenset[str]:
    """The variables that conditions of rewards name."""
    return frozenset().union(*(reward.conditions.names for reward in rewards if reward.conditions is not None))


def _multiplier(tier: Tier) -> PromotionMessage:
    """The promotion that a tier's multiplier is; without an effect where it has none."""
    promotion = PromotionMessage(promotion_id=tier.tier_id, conditions=Conditions(tiers=[tier.tier_id]))
    if tier.multiplier_thousandths:
        promotion.multiplier_thousandths = tier.multiplier_thousandths
    return promotion


def _only(message: Message) -> LineFilter | None:
    """Which lines a rule or promotion needs at least one of; None where it needs none."""
    if "only" not in message.DESCRIPTOR.fields_by_name or not message.HasField("only"):
        return None
    found: LineFilter = message.only  # type: ignore[attr-defined]  # it has the field
    return found
