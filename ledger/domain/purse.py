"""A purse: the points of an account in their lots, those set aside, and those owed."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from loyalty.v1.account_pb2 import Allocation, Balance
from loyalty.v1.events_pb2 import Undo
from loyalty.v1.reward_pb2 import Reward, Use

from ledger.domain.instant import FOREVER, set_timestamp
from ledger.domain.lot import Lot, points_of
from ledger.domain.refusal import InvariantBroken
from ledger.domain.rounding import INT64_MAX, Overflow

TOTALS: Final = ("issued", "redeemed", "restored", "expired", "clawed_back", "adjusted", "reinstated")
"""What a purse sums up of all that ever moved."""


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
        return points_of(self.allocations)


class Purse:
    """Lots with points left, holds, debt, and the totals of all that ever moved."""

    __slots__ = (
        "activity_expires_at",
        "holds",
        "lot_points",
        "lots",
        "next_lot",
        "owed",
        "pending_until",
        *TOTALS,
    )

    def __init__(self) -> None:
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
        self.issued = self.redeemed = self.restored = 0
        self.expired = self.clawed_back = self.adjusted = self.reinstated = 0

    # -- what can be asked

    @property
    def held(self) -> int:
        """Points that holds keep."""
        return points_of(self.holds.values())

    @property
    def balance(self) -> int:
        """All points, pending and held ones included, less what is owed."""
        return self.lot_points + self.held - self.owed

    def available(self, at: int) -> int:
        """Points that can be spent at an instant; negative when points are owed.

        Holds whose time ran out by then count as given back, whether or not that was recorded.
        """
        lots = self.lots_at(at)
        if lots is self.lots and at >= self.pending_until and (not lots or lots[0].expires_at > at):
            return self.lot_points - self.owed
        return points_of(lot for lot in lots if lot.activates_at <= at < lot.expires_at) - self.owed

    def write_balance(self, balance: Balance, at: int) -> None:
        """Writes the balance at an instant."""
        balance.available_points = self.available(at)
        if at < self.pending_until:
            balance.pending_points = points_of(lot for lot in self.lots_at(at) if lot.activates_at > at)
        if self.holds:
            balance.held_points = points_of(hold for hold in self.holds.values() if hold.expires_at > at)
        set_timestamp(balance.as_of, at)
        expiry, points = FOREVER, 0
        for lot in self.lots_at(at):
            if lot.expires_at > at and lot.activates_at <= at:
                if lot.expires_at > expiry or lot.expires_at == FOREVER:
                    break
                expiry = lot.expires_at
                points += lot.points
        if points:
            balance.next_expiry.points = points
            set_timestamp(balance.next_expiry.expires_at, expiry)

    def lots_at(self, at: int) -> list[Lot]:
        """The lots with what is back from holds whose time ran out by then, expired ones included."""
        if self.holds:
            due = [hold for hold in self.holds.values() if hold.expires_at <= at]
            if due:
                settled = Purse()
                settled.lots, settled.lot_points = self.lots.copy(), self.lot_points
                settled.activity_expires_at = self.activity_expires_at
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
        came = max(self.issued, self.restored, self.reinstated, abs(self.adjusted))
        if max(came, self.redeemed, self.expired, self.clawed_back) > INT64_MAX:
            raise Overflow

    def check(self) -> None:
        """Raises InvariantBroken unless the points add up (promise 5)."""
        in_lots = points_of(self.lots)
        if in_lots != self.lot_points:
            raise InvariantBroken(f"{in_lots} points are in lots that should have {self.lot_points}")
        self.check_flow()

    def check_flow(self) -> None:
        """Raises InvariantBroken unless what came, less what went, is what is there."""
        flow = self.issued + self.restored + self.adjusted + self.reinstated
        flow -= self.redeemed + self.expired + self.clawed_back
        if flow != self.balance:
            raise InvariantBroken(
                f"{flow} points flowed in, {self.lot_points} are in lots, {self.held} held, {self.owed} owed"
            )

    # -- how points move

    def repay(self, points: int) -> None:
        """Takes points off the debt. Raises InvariantBroken where less is owed."""
        if points > self.owed:
            raise InvariantBroken(f"{points} points repaid where {self.owed} were owed")
        self.owed -= points

    def add(self, lot: Lot) -> None:
        """Puts points into their lot, opening it again where it was spent."""
        if self.lot_points + lot.points > INT64_MAX:
            raise InvariantBroken("an account cannot hold more than 2^63 - 1 points")
        if lot.follows_activity and lot.expires_at < self.activity_expires_at:
            lot = lot._replace(expires_at=self.activity_expires_at)
        at = self._find(lot)
        if at is None:
            insort(self.lots, lot)
        else:
            there = self.lots[at]
            self.lots[at] = lot._replace(points=there.points + lot.points, expiry=lot.expiry or there.expiry)
        self.lot_points += lot.points
        self.pending_until = max(self.pending_until, lot.activates_at)

    def _find(self, lot: Lot) -> int | None:
        at = bisect_left(self.lots, lot[:3])
        return at if at < len(self.lots) and self.lots[at][:3] == lot[:3] else None

    def give_back(self, allocations: Iterable[Allocation]) -> None:
        """Puts points back into the lots that they came from."""
        for allocation in allocations:
            self.add(Lot.of(allocation))

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

    def undo(self, undo: Undo) -> None:
        """Moves what a return or reversal moves."""
        self.take_out(undo.moved)
        self.give_back(undo.moved_back)
        self.give_back(undo.restored)
        self.give_back(undo.revived)
        if undo.repaid_points:
            self.repay(undo.repaid_points)
        self.restored += points_of(undo.restored) + points_of(undo.revived) + undo.repaid_points
        self.take_out(undo.clawed_back)
        self.owed += undo.owed_points
        self.reinstated -= undo.expired_points
        self.clawed_back += points_of(undo.clawed_back) + undo.owed_points - undo.expired_points

    def drop_hold(self, hold_id: str) -> None:
        """Closes a hold, given by its id or name. Raises InvariantBroken where it is not open."""
        if self.holds.pop(hold_id.rpartition("/")[2], None) is None:
            raise InvariantBroken(f"hold {hold_id} is not open")

    def follow_activity(self, expires_at: int) -> None:
        """Moves the expiry of the lots that follow activity; never to an earlier instant."""
        if expires_at <= self.activity_expires_at:
            return
        self.activity_expires_at = expires_at
        lots, self.lots, self.lot_points = self.lots, [], 0
        for lot in lots:
            self.add(lot)  # which moves those that follow activity
