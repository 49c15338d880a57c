"""When an event took effect: its deadline, or the till's clock, or the server's where the till sent none."""

from typing import Final

from loyalty.v1.events_pb2 import (
    EntitlementExpired,
    PointsExpired,
    PoolReturned,
    RewardReleased,
    TierChanged,
    VoucherExpired,
)

from ledger.domain.instant import from_timestamp
from projections.page import Event

_AT_A_DEADLINE: Final = frozenset(
    {RewardReleased, PointsExpired, PoolReturned, VoucherExpired, EntitlementExpired, TierChanged}
)


def effective_at(event: Event) -> int:
    """The instant at which an event took effect, in microseconds."""
    payload = event.payload
    if type(payload) in _AT_A_DEADLINE and payload.HasField("effective_at"):
        return from_timestamp(payload.effective_at)
    origin = payload.origin
    if origin.HasField("occurred_at"):
        return from_timestamp(origin.occurred_at)
    return event.recorded_at
