"""What the parts of a program are called."""

from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.earning_pb2 import EarningRule, Promotion
from loyalty.v1.program_pb2 import Program

from ledger.api.explain_limits import describe_limits


class Names:
    """What the rules, promotions, tiers, rewards, stores, limits and caps of a program are called."""

    def __init__(self, definition: Program) -> None:
        self.definition = definition
        self.rules: dict[str, EarningRule | Promotion] = {rule.rule_id: rule for rule in definition.earning_rules}
        self.rules.update({promotion.promotion_id: promotion for promotion in definition.promotions})
        self.tiers = {tier.tier_id: tier.display_name for tier in definition.tiers}
        self.rewards = {reward.reward_id: reward.display_name for reward in definition.rewards}
        self.stores = {store.store_id: store.display_name for store in definition.stores}
        self.limits = describe_limits(definition)

    def of(self, rule_id: str) -> LocalizedText:
        """The name of a rule, a promotion or the reward that points are of."""
        if rule_id.startswith("reward/"):
            return self.reward(rule_id.removeprefix("reward/"))
        rule = self.rules.get(rule_id)
        return named(rule.display_name if rule is not None else LocalizedText(), rule_id)

    def tier(self, tier_id: str) -> LocalizedText:
        """A tier's name."""
        return named(self.tiers.get(tier_id, LocalizedText()), tier_id)

    def store(self, store_id: str) -> LocalizedText:
        """A store's name."""
        return named(self.stores.get(store_id, LocalizedText()), store_id)

    def reward(self, reward_id: str) -> LocalizedText:
        """A reward's name."""
        return named(self.rewards.get(reward_id, LocalizedText()), reward_id)

    @staticmethod
    def id_of(message: EarningRule | Promotion) -> str:
        """A rule's or promotion's id."""
        return message.rule_id if isinstance(message, EarningRule) else message.promotion_id


def named(text: LocalizedText, name: str) -> LocalizedText:
    """What something is called; an id stands in for a name that is not given."""
    return LocalizedText(en=text.en or name, hi=text.hi or name)
