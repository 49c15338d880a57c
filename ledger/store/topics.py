"""Topics: the short names under which events are stored, and the bytes they are stored as.

A topic is "name/version". A version, once released, is read for ever; a change of meaning gets a new version.
"""

from typing import Final
from uuid import UUID

from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent
from google.protobuf.message import DecodeError, Message
from loyalty.v1 import events_pb2

from ledger.domain.account import AccountEvent
from ledger.domain.new_event import NewEvent

TOPICS: Final[dict[type[Message], str]] = {
    events_pb2.MemberEnrolled: "enrolled/1",
    events_pb2.SaleRecorded: "sale/1",
    events_pb2.PointsRedeemed: "redeemed/1",
    events_pb2.RewardReserved: "reserved/1",
    events_pb2.RewardReleased: "released/1",
    events_pb2.SaleReturned: "returned/1",
    events_pb2.ReturnAwaited: "return-awaited/1",
    events_pb2.TransactionReversed: "reversed/1",
    events_pb2.ReversalAwaited: "reversal-awaited/1",
    events_pb2.CommandBlocked: "blocked/1",
    events_pb2.PointsExpired: "expired/1",
    events_pb2.TierChanged: "tier/1",
    events_pb2.PointsAdjusted: "adjusted/1",
    events_pb2.CommandRefused: "refused/1",
    events_pb2.ProgramPublished: "program/1",
    events_pb2.ActivityRecorded: "activity/1",
    events_pb2.PendingSettled: "pending-settled/1",
    events_pb2.PoolDrawn: "pool-drawn/1",
    events_pb2.PoolReturned: "pool-returned/1",
    events_pb2.PoolKept: "pool-kept/1",
    events_pb2.VoucherCodesUploaded: "voucher-codes/1",
    events_pb2.VoucherIssued: "voucher-issued/1",
    events_pb2.VoucherUsed: "voucher-used/1",
    events_pb2.VoucherRevoked: "voucher-revoked/1",
    events_pb2.VoucherExpired: "voucher-expired/1",
    events_pb2.EntitlementIssued: "entitlement-issued/1",
    events_pb2.EntitlementUsed: "entitlement-used/1",
    events_pb2.EntitlementRevoked: "entitlement-revoked/1",
    events_pb2.EntitlementExpired: "entitlement-expired/1",
    events_pb2.ExpiryNotified: "expiry-notified/1",
    events_pb2.ExpiryExtended: "expiry-extended/1",
    events_pb2.PointsReinstated: "reinstated/1",
    events_pb2.TierFloorSet: "tier-floor/1",
    events_pb2.RewardGranted: "granted/1",
    events_pb2.AuditRecorded: "audit/1",
    events_pb2.ConsentsRecorded: "consents/1",
    events_pb2.ConsentGiven: "consent-given/1",
    events_pb2.ConsentWithdrawn: "consent-withdrawn/1",
    events_pb2.MemberErased: "erased/1",
    events_pb2.FeedbackRecorded: "feedback/1",
    events_pb2.SegmentSaved: "segment/1",
    events_pb2.SegmentDeleted: "segment-deleted/1",
    events_pb2.SegmentListed: "segment-listed/1",
    events_pb2.SegmentMembersChanged: "segment-members/1",
    events_pb2.MemberUpdated: "member-updated/1",
}

NOT_SET: Final = "it is in the archive: set LOYALTY_ARCHIVE to the archive's folder"

TOPICS_OF_ACCOUNTS: Final = frozenset(topic for kind, topic in TOPICS.items() if issubclass(kind, AccountEvent))
"""Those of events in the streams of accounts."""

TYPES: Final = {topic: event_type for event_type, topic in TOPICS.items()}


class Archived(MapperDeserialisationError):
    """An event whose state is in the archive and cannot be read there. The message says what to do."""


State = bytes | Archived | None
"""A stored state; what keeps it from being read, or None, where it is in the archive: see ledger.store.archive."""


def decode(topic: str, state: State) -> Message:
    """The event that was stored.

    Raises MapperDeserialisationError when the topic is unknown or the bytes are damaged, and Archived.
    """
    event_type = TYPES.get(topic)
    if event_type is None:
        raise MapperDeserialisationError(f"unknown topic {topic!r}: a newer release wrote this")
    try:
        return event_type.FromString(state)  # type: ignore[arg-type]  # what is no bytes is dealt with below, at no cost
    except DecodeError as error:
        raise MapperDeserialisationError(f"the bytes of a {topic!r} event are damaged") from error
    except TypeError:
        raise state if isinstance(state, Archived) else Archived(NOT_SET) from None


class ProtobufMapper(Mapper[UUID]):
    """The library's mapper, with protobuf bytes in place of transcoded JSON. It does not encrypt or compress."""

    def __init__(self) -> None:
        """Needs none of the library's transcoder, compressor and cipher."""

    def to_stored_event(self, domain_event: NewEvent) -> StoredEvent:  # type: ignore[override]  # our events are messages in a NewEvent, not library aggregates' events
        """The row of a new event."""
        payload = domain_event.payload
        return StoredEvent(
            domain_event.stream_id,
            domain_event.version,
            TOPICS[type(payload)],
            payload.SerializeToString(),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Message:  # type: ignore[override]  # as above
        """The event of a row."""
        return decode(stored_event.topic, stored_event.state)
