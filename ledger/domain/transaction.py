"""A transaction's file: its main event and what followed from it, as far as later commands need to know."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Allocation, Redemption
from loyalty.v1.events_pb2 import (
    EntitlementRevoked,
    PointsRedeemed,
    SaleReturned,
    TransactionReversed,
    VoucherUse,
    VoucherUsed,
)

from ledger.domain.names import transaction_name


def issues(redemption: Redemption) -> bool:
    """Whether a redemption issued vouchers, entitlements or points."""
    return bool(redemption.vouchers or redemption.entitlements or redemption.issued_points)


@dataclass(slots=True)
class Transaction:
    """One command's main event with its redemptions, returns, releases and reversal, in order."""

    transaction_id: UUID
    account_id: UUID
    main: Message
    follow_ups: list[tuple[UUID | None, Message]] = field(default_factory=list)
    """Each with the request id of its own command, where it has one."""

    @property
    def name(self) -> str:
        """Its resource name."""
        return transaction_name(self.transaction_id)

    @property
    def reversed_by(self) -> str | None:
        """The name of the reversal, if there is one."""
        for request_id, event in self.follow_ups:
            if isinstance(event, TransactionReversed) and request_id is not None:
                return transaction_name(request_id)
        return None

    def returns(self) -> Iterator[SaleReturned]:
        """What came back so far."""
        return (event for _, event in self.follow_ups if isinstance(event, SaleReturned))

    def redemptions(self) -> list[PointsRedeemed]:
        """What a sale redeemed."""
        return [event for _, event in self.follow_ups if isinstance(event, PointsRedeemed)]

    def voucher_uses(self) -> list[VoucherUse]:
        """The vouchers that a sale used and that no return has given back."""
        back = {use.voucher for returned in self.returns() for use in returned.undo.vouchers}
        uses = [event.use for _, event in self.follow_ups if isinstance(event, VoucherUsed)]
        return [use for use in uses if use.voucher not in back]

    def issuing(self) -> list[PointsRedeemed]:
        """What a sale redeemed that issued something.

        The return of the sale's goods does not undo that, but for warranties of these goods, which are left out here.
        """
        back = {event.entitlement for _, event in self.follow_ups if isinstance(event, EntitlementRevoked)}
        return [
            event
            for event in self.redemptions()
            if issues(event.redemption) and back.isdisjoint(event.redemption.entitlements)
        ]

    def spent(self) -> list[Allocation]:
        """The lots that a sale's other redemptions took points from, in the order of spending."""
        return [
            allocation
            for event in self.redemptions()
            if not issues(event.redemption)
            for allocation in event.allocations
        ]
