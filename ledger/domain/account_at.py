"""An account as of an effective time: what came of those events that took effect by then."""

from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from loyalty.v1.account_pb2 import Allocation
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    EntitlementExpired,
    EntitlementRevoked,
    EntitlementUsed,
    PointsRedeemed,
    RewardReleased,
    SaleRecorded,
    Undo,
    VoucherUse,
)
from loyalty.v1.reward_pb2 import EntitlementState, Use, VoucherState

from ledger.domain.account import Account, AccountEvent
from ledger.domain.entitlement import with_entitlement
from ledger.domain.lot import Lot
from ledger.domain.purse import Purse
from ledger.domain.voucher import with_voucher


class AccountAt(Account):
    """An account of some of its events, applied in the order of the log.

    Where others of its events are left out, because they took effect later, an event may find less than it was decided
    on. So lots and debts are plain sums here, and what changes a voucher or entitlement counts as a change and not as
    what it left. Of all its events it is the account.
    """

    __slots__ = ("_parts", "_undone")

    def __init__(self, account_id: UUID) -> None:
        super().__init__(account_id)
        self._parts: dict[tuple[int, int, int, bool], Lot] = {}
        """What there is of each lot by expiry, number, activation and whether it follows activity; also less than 0."""
        self._undone: Undo | None = None
        """What is being undone."""

    @classmethod
    def of(cls, account: Account) -> "AccountAt":
        """An account that goes on from another one, and leaves that as it is."""
        other = cls(account.account_id)
        for name in (*Purse.__slots__, *Account.__slots__):
            setattr(other, name, getattr(account, name))
        other.lots, other.holds = [], account.holds.copy()
        if isinstance(account, AccountAt):
            other._parts = account._parts.copy()
            return other
        other.lot_points = 0
        for lot in account.lots:
            other.add(lot)
        return other

    def apply(self, event: AccountEvent) -> None:
        """Changes the state by one event."""
        match event:
            case SaleRecorded() | ActivityRecorded() if event.lots:
                self.next_lot = event.lots[0].number
            case PointsRedeemed() if event.redemption.hold and not self._holds(event.redemption.hold):
                self.take_out(event.allocations)
            case RewardReleased() if not self._holds(event.hold):
                self.take_out(event.allocations)  # since nothing was set aside, nothing comes back
            case EntitlementUsed():
                self._use_entitlement(event.entitlement.name)
                return
            case EntitlementRevoked() | EntitlementExpired() if not self._is_usable(event.entitlement):
                return
            case _:
                pass
        super().apply(event)

    def lots_at(self, at: int) -> list[Lot]:
        """The lots that have not expired, with what is back from holds whose time ran out, in the order of spending.

        What was taken from a lot counts against it whatever dates the lot had then. One with less than 0 points was
        spent, by the clocks, before it was issued.
        """
        parts = [self._present(lot) for lot in self._parts.values()]
        for hold in self.holds.values():
            if hold.expires_at <= at:
                parts += [self._present(Lot.of(allocation)) for allocation in hold.allocations]
        return _together(lot for lot in parts if lot.expires_at > at)

    # -- how points move

    def add(self, lot: Lot) -> None:
        """Counts points into their lot."""
        key = (lot.expires_at, lot.number, lot.activates_at, lot.follows_activity)
        there = self._parts.get(key)
        if there is None:
            self._parts[key] = lot
        elif there.points + lot.points:
            self._parts[key] = lot._replace(points=there.points + lot.points)
        else:
            del self._parts[key]
        self.lot_points += lot.points
        self.pending_until = max(self.pending_until, lot.activates_at)

    def take_out(self, allocations: Sequence[Allocation]) -> None:
        """Counts points out of their lots."""
        for allocation in allocations:
            lot = Lot.of(allocation)
            self.add(lot._replace(points=-lot.points))

    def repay(self, points: int) -> None:
        """Takes points off the debt."""
        self.owed -= points

    def drop_hold(self, hold_id: str) -> None:
        """Closes a hold, if it is open."""
        self.holds.pop(hold_id.rpartition("/")[2], None)

    def follow_activity(self, expires_at: int) -> None:
        """Moves the expiry of the lots that follow activity."""
        self.activity_expires_at = max(self.activity_expires_at, expires_at)

    # -- vouchers and entitlements

    def _undo(self, undo: Undo) -> None:
        self._undone = undo
        super()._undo(undo)
        self._undone = None

    def _use_voucher(self, use: VoucherUse) -> None:
        undone = self._undone
        voucher = self.vouchers.get(use.voucher)
        if voucher is None or (undone is not None and any(one.name == use.voucher for one in undone.remembered)):
            return  # not issued by then, or remembered as it is now
        left, state = use.left_minor, use.state
        if voucher.reward.voucher.HasField("value_minor"):
            left = voucher.left_minor + (use.value_minor if undone is not None else -use.value_minor)
            state = VoucherState.VOUCHER_STATE_ISSUED if left else VoucherState.VOUCHER_STATE_USED
        self.vouchers = with_voucher(self.vouchers, voucher._replace(left_minor=left, state=state))

    def _close_voucher(self, name: str, state: VoucherState.ValueType) -> None:
        voucher = self.vouchers.get(name)
        if voucher is not None and voucher.state == VoucherState.VOUCHER_STATE_ISSUED:
            super()._close_voucher(name, state)  # otherwise it was used by then, and came back later only to be closed

    def _use_entitlement(self, name: str) -> None:
        entitlement = self.entitlements.get(name)
        if entitlement is not None:
            self.entitlements = with_entitlement(self.entitlements, entitlement.used())

    def _is_usable(self, name: str) -> bool:
        entitlement = self.entitlements.get(name)
        return entitlement is not None and entitlement.state == EntitlementState.ENTITLEMENT_STATE_ISSUED

    # -- limits

    def _use(self, uses: Sequence[Use], sign: int = 1) -> None:
        """What was taken of limits decides nothing any more."""

    def _present(self, lot: Lot) -> Lot:
        """A lot with the expiry that it has by now."""
        if lot.follows_activity and lot.expires_at < self.activity_expires_at:
            return lot._replace(expires_at=self.activity_expires_at)
        return lot

    def _holds(self, name: str) -> bool:
        return name.rpartition("/")[2] in self.holds


def _together(parts: Iterable[Lot]) -> list[Lot]:
    """Lots in the order of spending. Where more was taken from a part of one than was there, the others have less."""
    merged: dict[tuple[int, int, int], Lot] = {}
    for lot in parts:
        key = lot[:3]
        there = merged.get(key)
        merged[key] = lot if there is None else there._replace(points=there.points + lot.points)
    lots = sorted(merged.values(), key=lambda lot: lot[:3])
    short = {lot.number: lot for lot in lots if lot.points < 0}
    if not short:
        return [lot for lot in lots if lot.points]
    missing = Counter[int]()
    for lot in lots:
        missing[lot.number] += max(-lot.points, 0)
    left: list[Lot] = []
    for lot in lots:
        if lot.points > 0:
            part = min(lot.points, missing[lot.number])
            missing[lot.number] -= part
            left += [lot._replace(points=lot.points - part)] if lot.points > part else []
    left += [lot._replace(points=-missing[number]) for number, lot in short.items() if missing[number]]
    return sorted(left, key=lambda lot: lot[:3])
