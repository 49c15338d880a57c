"""A lot: points that were earned together, and what is left of them."""

from typing import NamedTuple

from loyalty.v1.account_pb2 import Allocation
from loyalty.v1.account_pb2 import Lot as LotMessage
from loyalty.v1.expiry_pb2 import ExpiryPolicy

from ledger.domain.instant import FOREVER, from_timestamp, set_timestamp


class Lot(NamedTuple):
    """Points left of what was earned together.

    The order of the fields makes the order of tuples the order of spending: soonest-expiring first, then oldest.
    """

    expires_at: int
    number: int
    activates_at: int
    """0 for at once; FOREVER while somebody has to say so."""
    points: int
    follows_activity: bool
    expiry: ExpiryPolicy | None = None
    """The policy that pending points were issued under; None where they never expire."""

    @classmethod
    def of(cls, message: LotMessage | Allocation) -> "Lot":
        """The lot that an event issued or moved points of."""
        return cls(
            from_timestamp(message.expires_at) if message.HasField("expires_at") else FOREVER,
            message.number if isinstance(message, LotMessage) else message.lot,
            activates_at(message),
            message.points,
            message.follows_activity,
            message.expiry if message.HasField("expiry") else None,
        )

    def write(self, message: LotMessage) -> None:
        """Writes the lot into an event or snapshot."""
        message.number = self.number
        if self.expiry is not None:
            message.expiry.CopyFrom(self.expiry)
        self._write_dates(message)

    def allocation(self, points: int) -> Allocation:
        """A movement of some of the lot's points."""
        allocation = Allocation(lot=self.number)
        self._replace(points=points)._write_dates(allocation)
        return allocation

    def pending_allocation(self, points: int) -> Allocation:
        """A movement of some of the lot's points that may be pending again: with the policy that they are under."""
        allocation = self.allocation(points)
        if self.expiry is not None:
            allocation.expiry.CopyFrom(self.expiry)
        return allocation

    def _write_dates(self, message: LotMessage | Allocation) -> None:
        message.points = self.points
        if self.activates_at == FOREVER:
            message.waits = True
        elif self.activates_at:
            set_timestamp(message.activates_at, self.activates_at)
        if self.expires_at != FOREVER:
            set_timestamp(message.expires_at, self.expires_at)
        if self.follows_activity:
            message.follows_activity = True


def activates_at(message: LotMessage | Allocation) -> int:
    """When the points of a lot can be spent: 0 for at once, FOREVER while somebody has to say so."""
    if message.waits:
        return FOREVER
    return from_timestamp(message.activates_at) if message.HasField("activates_at") else 0
