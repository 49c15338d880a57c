"""When an event took effect: its deadline, or the till's clock, or the server's where the till sent none."""

from typing import Any, Final

from loyalty.v1.events_pb2 import (
    EntitlementExpired,
    ExpiryNotified,
    PointsExpired,
    PoolReturned,
    RewardReleased,
    TierChanged,
    VoucherExpired,
)

from ledger.domain.instant import from_timestamp

_AT_A_DEADLINE: Final = frozenset(
    {RewardReleased, PointsExpired, PoolReturned, VoucherExpired, EntitlementExpired, TierChanged, ExpiryNotified}
)


def effective_at(payload: Any, recorded_at: int) -> int:
    """The instant at which an event that was recorded at another took effect, in microseconds."""
    if type(payload) in _AT_A_DEADLINE and payload.HasField("effective_at"):
        return from_timestamp(payload.effective_at)
    origin = payload.origin
    return from_timestamp(origin.occurred_at) if origin.HasField("occurred_at") else recorded_at
