"""An account: a member's purse, tier, vouchers and entitlements, and how each event changes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    CommandRefused,
    Counter,
    EntitlementExpired,
    EntitlementIssued,
    EntitlementRevoked,
    EntitlementUsed,
    ExpiryExtended,
    ExpiryNotified,
    MemberEnrolled,
    MemberUpdated,
    PendingSettled,
    PointsAdjusted,
    PointsExpired,
    PointsRedeemed,
    PointsReinstated,
    ReturnAwaited,
    RewardGranted,
    RewardReleased,
    RewardReserved,
    SaleRecorded,
    SaleReturned,
    TierChanged,
    TierFloorSet,
    TransactionReversed,
    Undo,
    VoucherExpired,
    VoucherIssued,
    VoucherRevoked,
    VoucherUse,
    VoucherUsed,
)
from loyalty.v1.reward_pb2 import EntitlementState, Use, VoucherState
from loyalty.v1.snapshot_pb2 import AccountSnapshot, AwaitedReturn

from ledger.domain.entitlement import Entitlement, Entitlements, with_entitlement
from ledger.domain.gone import NOTHING_GONE, with_gone
from ledger.domain.instant import from_timestamp, set_timestamp
from ledger.domain.lot import Lot, points_of
from ledger.domain.person import UNKNOWN, Person, PersonEvent
from ledger.domain.purse import TOTALS, Hold, Purse
from ledger.domain.refusal import InvariantBroken
from ledger.domain.rules.tally import Counters, with_counters, with_uses
from ledger.domain.standing import NO_STANDING, Standing
from ledger.domain.voucher import Voucher, Vouchers, with_voucher

AccountEvent = (
    MemberEnrolled
    | SaleRecorded
    | PointsRedeemed
    | RewardReserved
    | RewardReleased
    | SaleReturned
    | ReturnAwaited
    | TransactionReversed
    | PointsExpired
    | TierChanged
    | PointsAdjusted
    | CommandRefused
    | ActivityRecorded
    | PendingSettled
    | VoucherIssued
    | VoucherUsed
    | VoucherRevoked
    | VoucherExpired
    | EntitlementIssued
    | EntitlementUsed
    | EntitlementRevoked
    | EntitlementExpired
    | ExpiryNotified
    | ExpiryExtended
    | PointsReinstated
    | TierFloorSet
    | RewardGranted
    | PersonEvent
    | MemberUpdated
)


AWAITED_RETURNS_MAX: Final = 100
"""Returns that may wait for their sales in one account; further ones are refused."""


class Account(Purse):
    """The state of an account after some of its events.

    Between commands an account is a value: a command works on a copy, which replaces it when the command's events are
    on disk. The parts (lots, holds) are immutable, so a copy is cheap.
    """

    __slots__ = (
        "account_id",
        "awaited",
        "cancelled_by_lot",
        "counters",
        "entitlements",
        "expired_by_lot",
        "notified_until",
        "person",
        "program",
        "standing",
        "tier",
        "version",
        "vouchers",
    )

    def __init__(self, account_id: UUID) -> None:
        super().__init__()
        self.account_id = account_id
        self.version = 0
        self.program = ""
        self.tier = ""
        self.standing = NO_STANDING
        self.person = UNKNOWN
        self.awaited: tuple[AwaitedReturn, ...] = ()
        self.counters: Counters = {}
        """Never changed in place."""
        self.vouchers: Vouchers = {}
        self.entitlements: Entitlements = {}
        """Never changed in place, as little as vouchers are."""
        self.cancelled_by_lot = self.expired_by_lot = NOTHING_GONE
        self.notified_until = 0
        """The last expiry that notice was given of."""

    def copy(self) -> "Account":
        """An account that can be changed without changing this one."""
        # Spelled out because every command pays for it.
        other = object.__new__(Account)
        other.account_id = self.account_id
        other.version = self.version
        other.program = self.program
        other.tier = self.tier
        other.standing = self.standing
        other.person = self.person
        other.owed = self.owed
        other.next_lot = self.next_lot
        other.lot_points = self.lot_points
        other.pending_until = self.pending_until
        other.activity_expires_at = self.activity_expires_at
        other.awaited = self.awaited
        other.counters = self.counters
        other.vouchers = self.vouchers
        other.entitlements = self.entitlements
        other.cancelled_by_lot = self.cancelled_by_lot
        other.expired_by_lot = self.expired_by_lot
        other.issued = self.issued
        other.redeemed = self.redeemed
        other.restored = self.restored
        other.expired = self.expired
        other.clawed_back = self.clawed_back
        other.adjusted = self.adjusted
        other.reinstated = self.reinstated
        other.notified_until = self.notified_until
        other.lots = self.lots.copy()
        other.holds = self.holds.copy()
        return other

    # -- what can be asked

    def awaits(self, request_id: UUID) -> bool:
        """Whether the return of that request id still waits for its sale."""
        return any(awaited.request_id == str(request_id) for awaited in self.awaited)

    # -- how events change it

    def apply(self, event: AccountEvent) -> None:
        """Changes the state by one event.

        Raises InvariantBroken when the event contradicts the state.
        """
        _APPLY[type(event)](self, event)
        self.version += 1

    def check_next(self, version: int) -> None:
        """Raises InvariantBroken unless an event of that version is the next one."""
        if version != self.version + 1:
            raise InvariantBroken(f"account {self.account_id}: event {version} where {self.version + 1} is next")

    def _member_enrolled(self, event: MemberEnrolled) -> None:
        self.program = event.program
        self.tier = event.tier

    def _member_updated(self, event: MemberUpdated) -> None:
        """What is known of the person is no part of the account; the event counts in its version."""

    def _sale_recorded(self, event: SaleRecorded) -> None:
        self._issue(event)
        if event.HasField("activity_expires_at"):
            self.follow_activity(from_timestamp(event.activity_expires_at))

    def _activity_recorded(self, event: ActivityRecorded) -> None:
        self._issue(event)

    def _pending_settled(self, event: PendingSettled) -> None:
        self.take_out(event.taken)
        self.give_back(event.activated)
        if not event.activated:
            self.cancelled_by_lot = with_gone(self.cancelled_by_lot, event.taken)
            self.clawed_back += points_of(event.taken)
        self._qualify(event)

    def _expiry_notified(self, event: ExpiryNotified) -> None:
        self.notified_until = from_timestamp(event.expires_at)

    def _expiry_extended(self, event: ExpiryExtended) -> None:
        self.take_out(event.taken)
        self.give_back(event.extended)

    def _points_reinstated(self, event: PointsReinstated) -> None:
        self.reinstated += event.request.points
        self._add_lot(event)

    def _points_redeemed(self, event: PointsRedeemed) -> None:
        hold = event.redemption.hold
        if hold:
            self.drop_hold(hold)
        else:
            self.take_out(event.allocations)
            self._use(event.uses)
        self.redeemed += event.redemption.points
        self._issue_by_reward(event)
        if event.HasField("activity_expires_at"):
            self.follow_activity(from_timestamp(event.activity_expires_at))

    def _reward_granted(self, event: RewardGranted) -> None:
        self._use(event.uses)
        self._issue_by_reward(event)

    def _reward_reserved(self, event: RewardReserved) -> None:
        self.take_out(event.allocations)
        hold_id = event.request.request_id
        self.holds[hold_id] = Hold(
            hold_id,
            from_timestamp(event.expires_at),
            event.reward,
            event.quantity,
            tuple(event.allocations),
            tuple(event.uses),
        )
        self._use(event.uses)

    def _reward_released(self, event: RewardReleased) -> None:
        self.drop_hold(event.hold.rpartition("/")[2])
        self.give_back(event.allocations)
        self._use(event.uses, -1)

    def _sale_returned(self, event: SaleReturned) -> None:
        self._undo(event.undo)
        self._drop_awaited(event.request.request_id)

    def _return_awaited(self, event: ReturnAwaited) -> None:
        request_id = str(UUID(event.request.request_id))
        self.awaited += (AwaitedReturn(request_id=request_id, request=event.request, origin=event.origin),)

    def _transaction_reversed(self, event: TransactionReversed) -> None:
        self._undo(event.undo)
        self._drop_awaited(event.reversed.rpartition("/")[2])

    def _points_expired(self, event: PointsExpired) -> None:
        self.take_out(event.allocations)
        self.expired += points_of(event.allocations)
        self.expired_by_lot = with_gone(self.expired_by_lot, event.allocations)

    def _tier_changed(self, event: TierChanged) -> None:
        self.tier = event.to_tier
        self.standing = Standing.of(event.standing)

    def _tier_floor_set(self, event: TierFloorSet) -> None:
        self.standing = Standing.of(event.standing)

    def _points_adjusted(self, event: PointsAdjusted) -> None:
        self.adjusted += event.request.points
        if event.allocations:
            self.take_out(event.allocations)
        self._add_lot(event)

    def _issue_by_reward(self, event: PointsRedeemed | RewardGranted) -> None:
        points = event.redemption.issued_points
        if points:
            self.issued += points
            self._add_lot(event)

    def _add_lot(self, event: PointsAdjusted | PointsReinstated | PointsRedeemed | RewardGranted) -> None:
        if event.repaid_points:
            self.repay(event.repaid_points)
        if event.HasField("lot"):
            self.add(Lot.of(event.lot))
            self.next_lot = event.lot.number + 1

    def _voucher_issued(self, event: VoucherIssued) -> None:
        self.vouchers = with_voucher(self.vouchers, Voucher.of(event.voucher))

    def _voucher_used(self, event: VoucherUsed) -> None:
        self._use_voucher(event.use)

    def _voucher_revoked(self, event: VoucherRevoked) -> None:
        self._close_voucher(event.voucher, VoucherState.VOUCHER_STATE_REVOKED)

    def _voucher_expired(self, event: VoucherExpired) -> None:
        self._close_voucher(event.voucher, VoucherState.VOUCHER_STATE_EXPIRED)

    def _use_voucher(self, use: VoucherUse) -> None:
        voucher = self._voucher(use.voucher)._replace(left_minor=use.left_minor, state=use.state)
        self.vouchers = with_voucher(self.vouchers, voucher)

    def _close_voucher(self, name: str, state: VoucherState.ValueType) -> None:
        self.vouchers = with_voucher(self.vouchers, self._voucher(name)._replace(state=state))

    def _voucher(self, name: str) -> Voucher:
        voucher = self.vouchers.get(name)
        if voucher is None:
            raise InvariantBroken(f"{name} is not known")
        return voucher

    def _entitlement_changed(self, event: EntitlementIssued | EntitlementUsed) -> None:
        self.entitlements = with_entitlement(self.entitlements, Entitlement.of(event.entitlement))

    def _entitlement_closed(self, event: EntitlementRevoked | EntitlementExpired) -> None:
        states = EntitlementState
        revoked = isinstance(event, EntitlementRevoked)
        state = states.ENTITLEMENT_STATE_REVOKED if revoked else states.ENTITLEMENT_STATE_EXPIRED
        entitlement = self.entitlements.get(event.entitlement)
        if entitlement is None:
            raise InvariantBroken(f"{event.entitlement} is not known")
        self.entitlements = with_entitlement(self.entitlements, entitlement._replace(state=state))

    def _use(self, uses: Sequence[Use], sign: int = 1) -> None:
        """Counts what was taken of the member's own limits, or given back."""
        if uses:
            self.counters = with_uses(self.counters, uses, sign)

    def _personal(self, event: PersonEvent) -> None:
        self.person = self.person.after(event)

    def _command_refused(self, event: CommandRefused) -> None:
        """A refusal changes nothing but the account's version."""

    def _issue(self, event: SaleRecorded | ActivityRecorded) -> None:
        issued = repaid = event.repaid_points
        if repaid:
            self.repay(repaid)
        for message in event.lots:
            lot = Lot.of(message)
            if lot.number != self.next_lot:
                raise InvariantBroken(f"lot {lot.number} was issued where {self.next_lot} was due")
            self.next_lot += 1
            issued += lot.points
            if lot.points:
                self.add(lot)
        self.issued += issued
        self._qualify(event)
        self._use(event.uses)

    def _undo(self, undo: Undo) -> None:
        self.undo(undo)
        if undo.revived or undo.absorbed:
            self.cancelled_by_lot = with_gone(self.cancelled_by_lot, [*undo.revived, *undo.absorbed], -1)
        if undo.already_expired:
            self.expired_by_lot = with_gone(self.expired_by_lot, undo.already_expired, -1)
        self._qualify(undo)
        self._use(undo.uses, -1)
        for message in undo.remembered:
            self.vouchers = with_voucher(self.vouchers, Voucher.of(message))
        for use in undo.vouchers:
            self._use_voucher(use)

    def _qualify(self, event: SaleRecorded | ActivityRecorded | PendingSettled | Undo) -> None:
        if event.HasField("qualification"):
            self.standing = Standing.after(event.qualification)

    def _drop_awaited(self, request_id: str) -> None:
        if self.awaited:
            self.awaited = tuple(a for a in self.awaited if a.request_id != request_id)

    # -- snapshots

    def to_snapshot(self) -> AccountSnapshot:
        """The state as a message."""
        snapshot = AccountSnapshot(
            program=self.program,
            version=self.version,
            tier=self.tier,
            owed_points=self.owed,
            next_lot=self.next_lot,
            activity_expires_at_us=self.activity_expires_at,
            notified_until_us=self.notified_until,
            totals={name: getattr(self, name) for name in TOTALS},
            cancelled_points=self.cancelled_by_lot,
            expired_points=self.expired_by_lot,
        )
        self.standing.write(snapshot.standing)
        self.person.write(snapshot)
        for lot in self.lots:
            lot.write(snapshot.lots.add())
        for hold in self.holds.values():
            message = snapshot.holds.add(
                hold=hold.hold_id,
                reward=hold.reward,
                quantity=hold.quantity,
                allocations=hold.allocations,
                uses=hold.uses,
            )
            set_timestamp(message.expires_at, hold.expires_at)
        snapshot.awaited_returns.extend(self.awaited)
        for key in sorted(self.counters):
            snapshot.counters.extend(
                Counter(key=key, period=period, value=value) for period, value in self.counters[key]
            )
        for voucher in self.vouchers.values():
            voucher.write(snapshot.vouchers.add())
        for entitlement in self.entitlements.values():
            entitlement.write(snapshot.entitlements.add())
        return snapshot

    @classmethod
    def from_snapshot(cls, account_id: UUID, snapshot: AccountSnapshot) -> "Account":
        """The state that a message holds."""
        account = cls(account_id)
        account.program = snapshot.program
        account.version = snapshot.version
        account.tier = snapshot.tier
        account.standing = Standing.of(snapshot.standing)
        account.person = Person.of(snapshot)
        account.owed = snapshot.owed_points
        account.next_lot = snapshot.next_lot
        account.activity_expires_at = snapshot.activity_expires_at_us
        for lot in snapshot.lots:
            account.add(Lot.of(lot))
        account.holds = {
            hold.hold: Hold(
                hold.hold,
                from_timestamp(hold.expires_at),
                hold.reward,
                hold.quantity,
                tuple(hold.allocations),
                tuple(hold.uses),
            )
            for hold in snapshot.holds
        }
        account.awaited = tuple(snapshot.awaited_returns)
        account.notified_until = snapshot.notified_until_us
        account.counters = with_counters({}, snapshot.counters)
        account.vouchers = {message.name: Voucher.of(message) for message in snapshot.vouchers}
        account.entitlements = {message.name: Entitlement.of(message) for message in snapshot.entitlements}
        account.cancelled_by_lot = dict(snapshot.cancelled_points)
        account.expired_by_lot = dict(snapshot.expired_points)
        for name in TOTALS:
            setattr(account, name, snapshot.totals[name])
        account.check()
        return account


_APPLY: Final[Mapping[type[Message], Callable[[Account, Any], None]]] = {
    MemberEnrolled: Account._member_enrolled,
    SaleRecorded: Account._sale_recorded,
    PointsRedeemed: Account._points_redeemed,
    RewardReserved: Account._reward_reserved,
    RewardReleased: Account._reward_released,
    SaleReturned: Account._sale_returned,
    ReturnAwaited: Account._return_awaited,
    TransactionReversed: Account._transaction_reversed,
    PointsExpired: Account._points_expired,
    TierChanged: Account._tier_changed,
    PointsAdjusted: Account._points_adjusted,
    CommandRefused: Account._command_refused,
    ActivityRecorded: Account._activity_recorded,
    PendingSettled: Account._pending_settled,
    VoucherIssued: Account._voucher_issued,
    VoucherUsed: Account._voucher_used,
    VoucherRevoked: Account._voucher_revoked,
    VoucherExpired: Account._voucher_expired,
    EntitlementIssued: Account._entitlement_changed,
    EntitlementUsed: Account._entitlement_changed,
    EntitlementRevoked: Account._entitlement_closed,
    EntitlementExpired: Account._entitlement_closed,
    ExpiryNotified: Account._expiry_notified,
    ExpiryExtended: Account._expiry_extended,
    PointsReinstated: Account._points_reinstated,
    TierFloorSet: Account._tier_floor_set,
    RewardGranted: Account._reward_granted,
    **dict.fromkeys(get_args(PersonEvent), Account._personal),
    MemberUpdated: Account._member_updated,
}
