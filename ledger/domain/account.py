"""An account: a member's lots, holds and tier, and how each event changes them."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Allocation, Balance
from loyalty.v1.commands_pb2 import ReturnSaleRequest
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
    PendingSettled,
    PointsAdjusted,
    PointsExpired,
    PointsRedeemed,
    PointsReinstated,
    ReturnAwaited,
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
from loyalty.v1.reward_pb2 import EntitlementState, Reward, Use, VoucherState
from loyalty.v1.snapshot_pb2 import AccountSnapshot

from ledger.domain.entitlement import Entitlement, Entitlements, with_entitlement
from ledger.domain.instant import FOREVER, from_timestamp, set_timestamp
from ledger.domain.lot import Lot
from ledger.domain.refusal import InvariantBroken
from ledger.domain.rounding import INT64_MAX, Overflow
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
)


AWAITED_RETURNS_MAX: Final = 100
"""Returns that may wait for their sales in one account; further ones are refused."""


class Hold(NamedTuple):
    """Points set aside for a reward, with the reward as it was then."""

    hold_id: str
    expires_at: int
    reward: Reward
    quantity: int
    allocations: tuple[Allocation, ...]
    uses: tuple[Use, ...] = ()
    """What it took of limits and stock."""

    @property
    def points(self) -> int:
        """Points set aside."""
        return sum(allocation.points for allocation in self.allocations)


class Awaited(NamedTuple):
    """A return that waits for its sale."""

    request_id: UUID
    request: ReturnSaleRequest


class Account:
    """The state of an account after some of its events.

    Between commands an account is a value: a command works on a copy, which replaces it when the command's events are
    on disk. The parts (lots, holds) are immutable, so a copy is cheap.
    """

    __slots__ = (
        "account_id",
        "activity_expires_at",
        "adjusted",
        "awaited",
        "cancelled",
        "clawed_back",
        "counters",
        "entitlements",
        "expired",
        "holds",
        "issued",
        "lot_points",
        "lots",
        "next_lot",
        "notified_until",
        "owed",
        "pending_until",
        "program",
        "redeemed",
        "reinstated",
        "restored",
        "standing",
        "tier",
        "version",
        "vouchers",
    )

    def __init__(self, account_id: UUID) -> None:
        self.account_id = account_id
        self.version = 0
        self.program = ""
        self.tier = ""
        self.standing = NO_STANDING
        self.owed = 0
        self.next_lot = 1
        self.lots: list[Lot] = []
        """In the order in which they are spent; only those with points left."""
        self.lot_points = 0
        """The sum of the lots, kept so that the usual command need not add them up."""
        self.pending_until = 0
        """From this instant on all lots are active."""
        self.activity_expires_at = 0
        """The expiry of the lots that follow activity; 0 before the first such activity."""
        self.holds: dict[str, Hold] = {}
        self.awaited: tuple[Awaited, ...] = ()
        self.counters: Counters = {}
        """Never changed in place."""
        self.vouchers: Vouchers = {}
        self.entitlements: Entitlements = {}
        """Never changed in place, as little as vouchers are."""
        self.cancelled: Mapping[int, int] = {}
        """Pending points that were cancelled, by lot, so that no return takes them again. Never changed in place."""
        self.issued = self.redeemed = self.restored = 0
        self.expired = self.clawed_back = self.adjusted = self.reinstated = 0
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
        other.owed = self.owed
        other.next_lot = self.next_lot
        other.lot_points = self.lot_points
        other.pending_until = self.pending_until
        other.activity_expires_at = self.activity_expires_at
        other.awaited = self.awaited
        other.counters = self.counters
        other.vouchers = self.vouchers
        other.entitlements = self.entitlements
        other.cancelled = self.cancelled
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

    @property
    def balance(self) -> int:
        """All points, pending and held ones included, less what is owed."""
        return self.lot_points + sum(hold.points for hold in self.holds.values()) - self.owed

    def available(self, at: int) -> int:
        """Points that can be spent at an instant; negative when points are owed.

        Holds whose time ran out by then count as given back, whether or not that was recorded.
        """
        lots = self._lots_at(at)
        if lots is self.lots and at >= self.pending_until and (not lots or lots[0].expires_at > at):
            return self.lot_points - self.owed
        return sum(lot.points for lot in lots if lot.activates_at <= at < lot.expires_at) - self.owed

    def write_balance(self, balance: Balance, at: int) -> None:
        """Writes the balance at an instant."""
        balance.available_points = self.available(at)
        if at < self.pending_until:
            balance.pending_points = sum(lot.points for lot in self._lots_at(at) if lot.activates_at > at)
        if self.holds:
            balance.held_points = sum(h.points for h in self.holds.values() if h.expires_at > at)
        set_timestamp(balance.as_of, at)
        expiry, points = FOREVER, 0
        for lot in self._lots_at(at):
            if lot.expires_at > at and lot.activates_at <= at:
                if lot.expires_at > expiry or lot.expires_at == FOREVER:
                    break
                expiry = lot.expires_at
                points += lot.points
        if points:
            balance.next_expiry.points = points
            set_timestamp(balance.next_expiry.expires_at, expiry)

    def _lots_at(self, at: int) -> list[Lot]:
        """The lots with what is back from holds whose time ran out by then."""
        if self.holds:
            due = [hold for hold in self.holds.values() if hold.expires_at <= at]
            if due:
                settled = self.copy()
                for hold in due:
                    settled.give_back(hold.allocations)
                return settled.lots
        return self.lots

    def take(self, points: int, at: int) -> list[Allocation]:
        """Where that many points would come from, soonest-expiring first; fewer when fewer are active."""
        allocations: list[Allocation] = []
        for lot in self.lots:
            if points == 0:
                break
            if lot.activates_at <= at < lot.expires_at:
                part = min(lot.points, points)
                allocations.append(lot.allocation(part))
                points -= part
        return allocations

    def check_room(self, points: int) -> None:
        """Raises Overflow when all that ever came in would not fit into 64 bits with these points.

        What went out again makes no room: totals and what counts towards tiers remember it.
        """
        if self.issued + max(self.adjusted, 0) + points > INT64_MAX:
            raise Overflow

    def check_totals(self) -> None:
        """Raises Overflow when the points of any kind of movement do not fit into 64 bits any more."""
        totals = (self.issued, self.redeemed, self.restored, self.clawed_back, abs(self.adjusted))
        if max(totals) > INT64_MAX:
            raise Overflow

    def awaits(self, request_id: UUID) -> bool:
        """Whether the return of that request id still waits for its sale."""
        return any(awaited.request_id == request_id for awaited in self.awaited)

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

    def _sale_recorded(self, event: SaleRecorded) -> None:
        self._issue(event)
        if event.HasField("activity_expires_at"):
            self._follow_activity(from_timestamp(event.activity_expires_at))

    def _activity_recorded(self, event: ActivityRecorded) -> None:
        self._issue(event)

    def _pending_settled(self, event: PendingSettled) -> None:
        self.take_out(event.taken)
        self.give_back(event.activated)
        if not event.activated:
            cancelled = dict(self.cancelled)
            for allocation in event.taken:
                cancelled[allocation.lot] = cancelled.get(allocation.lot, 0) + allocation.points
            self.cancelled = cancelled
            points = sum(allocation.points for allocation in event.taken)
            self.clawed_back += points
        self._qualify(event)

    def _expiry_notified(self, event: ExpiryNotified) -> None:
        self.notified_until = from_timestamp(event.expires_at)

    def _expiry_extended(self, event: ExpiryExtended) -> None:
        self.take_out(event.taken)
        self.give_back(event.extended)

    def _points_reinstated(self, event: PointsReinstated) -> None:
        self.reinstated += event.request.points
        self._add_by_hand(event)

    def _points_redeemed(self, event: PointsRedeemed) -> None:
        hold = event.redemption.hold
        if hold:
            self._drop_hold(hold)
        else:
            self.take_out(event.allocations)
            self._use(event.uses)
        self.redeemed += event.redemption.points
        if event.HasField("activity_expires_at"):
            self._follow_activity(from_timestamp(event.activity_expires_at))

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
        self._drop_hold(event.hold.rpartition("/")[2])
        self.give_back(event.allocations)
        self._use(event.uses, -1)

    def _sale_returned(self, event: SaleReturned) -> None:
        self._undo(event.undo)
        self._drop_awaited(event.request.request_id)

    def _return_awaited(self, event: ReturnAwaited) -> None:
        self.awaited += (Awaited(UUID(event.request.request_id), event.request),)

    def _transaction_reversed(self, event: TransactionReversed) -> None:
        self._undo(event.undo)
        self._drop_awaited(event.reversed.rpartition("/")[2])

    def _points_expired(self, event: PointsExpired) -> None:
        self.take_out(event.allocations)
        self.expired += sum(allocation.points for allocation in event.allocations)

    def _tier_changed(self, event: TierChanged) -> None:
        self.tier = event.to_tier
        self.standing = Standing.of(event.standing)

    def _tier_floor_set(self, event: TierFloorSet) -> None:
        self.standing = Standing.of(event.standing)

    def _points_adjusted(self, event: PointsAdjusted) -> None:
        self.adjusted += event.request.points
        if event.allocations:
            self.take_out(event.allocations)
        self._add_by_hand(event)

    def _add_by_hand(self, event: PointsAdjusted | PointsReinstated) -> None:
        if event.repaid_points:
            self._repay(event.repaid_points)
        if event.HasField("lot"):
            self._add(Lot.of(event.lot))
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

    def _command_refused(self, event: CommandRefused) -> None:
        """A refusal changes nothing but the account's version."""

    def _issue(self, event: SaleRecorded | ActivityRecorded) -> None:
        issued = repaid = event.repaid_points
        if repaid:
            self._repay(repaid)
        for message in event.lots:
            lot = Lot.of(message)
            if lot.number != self.next_lot:
                raise InvariantBroken(f"lot {lot.number} was issued where {self.next_lot} was due")
            self.next_lot += 1
            issued += lot.points
            if lot.points:
                self._add(lot)
        self.issued += issued
        self._qualify(event)
        if event.counters:
            self.counters = with_counters(self.counters, event.counters)

    def _undo(self, undo: Undo) -> None:
        restored = sum(allocation.points for allocation in undo.restored)
        self.give_back(undo.restored)
        if undo.repaid_points:
            self._repay(undo.repaid_points)
        self.restored += restored + undo.repaid_points
        taken = sum(allocation.points for allocation in undo.clawed_back)
        self.take_out(undo.clawed_back)
        self.owed += undo.owed_points
        self.clawed_back += taken + undo.owed_points
        self._qualify(undo)
        self._use(undo.uses, -1)
        for use in undo.vouchers:
            self._use_voucher(use)

    def _qualify(self, event: SaleRecorded | ActivityRecorded | PendingSettled | Undo) -> None:
        if event.HasField("qualification"):
            self.standing = Standing.after(event.qualification)

    def _repay(self, points: int) -> None:
        if points > self.owed:
            raise InvariantBroken(f"{points} points repaid where {self.owed} were owed")
        self.owed -= points

    def _add(self, lot: Lot) -> None:
        """Puts points into their lot, opening it again where it was spent."""
        if self.lot_points + lot.points > INT64_MAX:
            raise InvariantBroken("an account cannot hold more than 2^63 - 1 points")
        if lot.follows_activity and lot.expires_at < self.activity_expires_at:
            lot = lot._replace(expires_at=self.activity_expires_at)
        at = self._find(lot)
        if at is None:
            insort(self.lots, lot)
        else:
            self.lots[at] = lot._replace(points=self.lots[at].points + lot.points)
        self.lot_points += lot.points
        self.pending_until = max(self.pending_until, lot.activates_at)

    def _find(self, lot: Lot) -> int | None:
        at = bisect_left(self.lots, lot[:3])
        return at if at < len(self.lots) and self.lots[at][:3] == lot[:3] else None

    def give_back(self, allocations: Iterable[Allocation]) -> None:
        """Puts points back into the lots that they came from."""
        for allocation in allocations:
            self._add(Lot.of(allocation))

    def take_out(self, allocations: Sequence[Allocation]) -> None:
        """Takes points out of their lots. Raises InvariantBroken where they are not there."""
        for allocation in allocations:
            wanted = Lot.of(allocation)
            at = self._find(wanted)
            left = self.lots[at].points - wanted.points if at is not None else -1
            if at is None or left < 0 or wanted.points < 1:
                raise InvariantBroken(f"lot {wanted.number} does not hold {wanted.points} points")
            if left:
                self.lots[at] = self.lots[at]._replace(points=left)
            else:
                del self.lots[at]
            self.lot_points -= wanted.points

    def _drop_hold(self, hold_id: str) -> None:
        if self.holds.pop(hold_id.rpartition("/")[2], None) is None:
            raise InvariantBroken(f"hold {hold_id} is not open")

    def _drop_awaited(self, request_id: str) -> None:
        if self.awaited:
            self.awaited = tuple(a for a in self.awaited if str(a.request_id) != request_id)

    def _follow_activity(self, expires_at: int) -> None:
        """Moves the expiry of the lots that follow activity; never to an earlier instant."""
        if expires_at <= self.activity_expires_at:
            return
        self.activity_expires_at = expires_at
        lots, self.lots, self.lot_points = self.lots, [], 0
        for lot in lots:
            self._add(lot)  # which moves those that follow activity

    def check(self) -> None:
        """Raises InvariantBroken unless the points add up (promise 5)."""
        held = sum(hold.points for hold in self.holds.values())
        flow = self.issued + self.restored + self.adjusted + self.reinstated
        flow -= self.redeemed + self.expired + self.clawed_back
        in_lots = sum(lot.points for lot in self.lots)
        if in_lots != self.lot_points or flow != in_lots + held - self.owed:
            raise InvariantBroken(
                f"account {self.account_id}: {flow} points flowed in, "
                f"{in_lots} are in lots, {held} held, {self.owed} owed"
            )

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
            totals={name: getattr(self, name) for name in _TOTALS},
            cancelled_points=self.cancelled,
        )
        self.standing.write(snapshot.standing)
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
        for awaited in self.awaited:
            snapshot.awaited_returns.add(request_id=str(awaited.request_id), request=awaited.request)
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
        account.owed = snapshot.owed_points
        account.next_lot = snapshot.next_lot
        account.activity_expires_at = snapshot.activity_expires_at_us
        for lot in snapshot.lots:
            account._add(Lot.of(lot))
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
        account.awaited = tuple(
            Awaited(UUID(awaited.request_id), awaited.request) for awaited in snapshot.awaited_returns
        )
        account.notified_until = snapshot.notified_until_us
        account.counters = with_counters({}, snapshot.counters)
        account.vouchers = {message.name: Voucher.of(message) for message in snapshot.vouchers}
        account.entitlements = {message.name: Entitlement.of(message) for message in snapshot.entitlements}
        account.cancelled = dict(snapshot.cancelled_points)
        for name in _TOTALS:
            setattr(account, name, snapshot.totals[name])
        account.check()
        return account


_TOTALS: Final = ("issued", "redeemed", "restored", "expired", "clawed_back", "adjusted", "reinstated")

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
}
