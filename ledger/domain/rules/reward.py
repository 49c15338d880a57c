"""Reward: what something of the catalogue costs, and whether a member can have it now."""

from typing import Final

from loyalty.v1.earning_pb2 import LimitScope, Period
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.reward_pb2 import Reward as RewardMessage
from loyalty.v1.reward_pb2 import Use

from ledger.domain.refusal import Refused
from ledger.domain.rounding import INT64_MAX, Overflow
from ledger.domain.rules.conditions import Conditions
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.limit import Limit
from ledger.domain.rules.tally import Tally

_EVER: Final = Period.PERIOD_EVER
_PROGRAM: Final = LimitScope.LIMIT_SCOPE_PROGRAM


def stock_key(message: RewardMessage) -> str:
    """The key of the pool that a reward's stock is kept in."""
    return f"reward/{message.reward_id}/stock"


def codes_key(code_pool: str) -> str:
    """The key of a pool of codes."""
    return f"codes/{code_pool}"


class Reward:
    """A reward, compiled."""

    def __init__(self, message: RewardMessage) -> None:
        self.message = message
        owner = f"reward/{message.reward_id}"
        self.conditions = Conditions(owner, message.conditions) if message.HasField("conditions") else None
        self._limits = [Limit(owner, limit) for limit in message.limits]
        self._tier_costs = {cost.tier: cost.cost_points for cost in message.tier_costs}
        self.codes_key = codes_key(message.voucher.code_pool) if message.voucher.code_pool else ""
        self._stock_key = stock_key(message)

    def cost(self, quantity: int, tier: str) -> int:
        """What that many cost a member of a tier: of cashback that many steps, of free items that many items.

        Always a whole multiple of the price. Raises Overflow.
        """
        message = self.message
        if message.HasField("cashback"):
            each, times = message.cashback.points, quantity
        else:
            each, times = self._tier_costs.get(tier, message.cost_points), self.times(quantity)
        if each * times > INT64_MAX:
            raise Overflow
        return each * times

    def times(self, quantity: int) -> int:
        """How many of the reward that quantity takes: free items come in packages."""
        units = self.message.free_items.units
        return -(-quantity // units) if units else quantity

    def check(self, facts: Facts) -> None:
        """Raises Refused where its conditions do not hold."""
        if self.conditions is not None and self.conditions.unmet(facts):
            raise Refused(ErrorReason.ERROR_REASON_CONDITIONS_NOT_MET, reward_id=self.message.reward_id)

    def uses(self, times: int, points: int, tally: Tally) -> list[Use]:
        """What redeeming it takes of its stock and limits. Raises Refused where one of them does not allow it."""
        uses: list[Use] = []
        if self.codes_key:
            left = max(tally.codes_left(self.codes_key), 0)
            if times > left:
                raise Refused(ErrorReason.ERROR_REASON_OUT_OF_STOCK, reward_id=self.message.reward_id, left=left)
            uses.append(tally.use(self.codes_key, _EVER, times, _PROGRAM))
        stock = self.message.stock
        if stock:
            left = max(stock - (tally.used_by_all(self._stock_key, _EVER) or 0), 0)
            if times > left:
                raise Refused(ErrorReason.ERROR_REASON_OUT_OF_STOCK, reward_id=self.message.reward_id, left=left)
            uses.append(tally.use(self._stock_key, _EVER, times, _PROGRAM))
        for limit in self._limits:
            use = limit.use(times, points, tally)
            left = limit.left(tally)
            if use.amount > left:
                raise Refused(
                    ErrorReason.ERROR_REASON_LIMIT_REACHED,
                    reward_id=self.message.reward_id,
                    limit=limit.key,
                    left=left,
                )
            if use.amount:
                uses.append(use)
        return uses
