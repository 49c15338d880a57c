"""When an event took effect: as it says itself, or at the till's clock, or the server's where the till sent none."""

from typing import Any, Final

from loyalty.v1.events_pb2 import (
    ConsentGiven,
    ConsentWithdrawn,
    EntitlementExpired,
    ExpiryNotified,
    MemberErased,
    PointsExpired,
    PoolReturned,
    RewardReleased,
    TierChanged,
    VoucherExpired,
)

from ledger.domain.instant import from_timestamp

_SAYING_WHEN: Final = frozenset(
    {
        RewardReleased,
        PointsExpired,
        PoolReturned,
        VoucherExpired,
        EntitlementExpired,
        TierChanged,
        ExpiryNotified,
        ConsentGiven,
        ConsentWithdrawn,
        MemberErased,
    }
)


def effective_at(payload: Any, recorded_at: int) -> int:
    """The instant at which an event that was recorded at another took effect, in microseconds."""
    if type(payload) in _SAYING_WHEN and payload.HasField("effective_at"):
        return from_timestamp(payload.effective_at)
    origin = payload.origin
    return from_timestamp(origin.occurred_at) if origin.HasField("occurred_at") else recorded_at
