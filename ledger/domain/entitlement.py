"""Entitlements of a member, as their account knows them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from loyalty.v1.reward_pb2 import Entitlement as EntitlementMessage
from loyalty.v1.reward_pb2 import EntitlementState, Reward

from ledger.domain.instant import FOREVER, from_timestamp, set_timestamp

CLOSED_KEPT: Final = 50
"""Entitlements of a member that cannot be used any more and that the account still knows: those closed last."""

ISSUED: Final = EntitlementState.ENTITLEMENT_STATE_ISSUED
_USED: Final = EntitlementState.ENTITLEMENT_STATE_USED


class Entitlement(NamedTuple):
    """An entitlement."""

    name: str
    reward: Reward
    starts_at: int
    """0 for at once."""
    expires_at: int
    used_times: int
    state: EntitlementState.ValueType
    sale: str
    line_id: str
    sku: str

    @classmethod
    def of(cls, message: EntitlementMessage) -> "Entitlement":
        """The entitlement that an event or a snapshot holds."""
        return cls(
            message.name,
            message.reward,
            from_timestamp(message.starts_at) if message.HasField("starts_at") else 0,
            from_timestamp(message.expires_at) if message.HasField("expires_at") else FOREVER,
            message.used_times,
            message.state,
            message.sale,
            message.line_id,
            message.sku,
        )

    def used(self) -> "Entitlement":
        """The entitlement after one more use. A seat and a warranty are used up by it, others after so many times."""
        used = self.used_times + 1
        terms = self.reward.entitlement
        times = terms.priority_service.times if terms.HasField("priority_service") else 1
        return self._replace(used_times=used, state=_USED if used == times else ISSUED)

    def write(self, message: EntitlementMessage) -> None:
        """Writes the entitlement into an event or a snapshot."""
        message.name = self.name
        message.reward.CopyFrom(self.reward)
        if self.starts_at:
            set_timestamp(message.starts_at, self.starts_at)
        if self.expires_at != FOREVER:
            set_timestamp(message.expires_at, self.expires_at)
        message.used_times = self.used_times
        message.state = self.state
        message.sale, message.line_id, message.sku = self.sale, self.line_id, self.sku


Entitlements = Mapping[str, Entitlement]
"""By name: those that are open in any order, those that are closed in the order in which they were."""


def with_entitlement(entitlements: Entitlements, entitlement: Entitlement) -> Entitlements:
    """The entitlements after one of them is new or changed. The ones before are left as they were."""
    after = dict(entitlements)
    if entitlement.state != ISSUED:
        after.pop(entitlement.name, None)  # the last to be closed is the last to be forgotten
    after[entitlement.name] = entitlement
    closed = [one.name for one in after.values() if one.state != ISSUED]
    for name in closed[:-CLOSED_KEPT]:
        del after[name]
    return after
