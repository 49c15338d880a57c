"""Standing: what is kept of what a member did for their tier, and what follows from it if nothing else does."""

from bisect import bisect_left
from typing import Final, NamedTuple

from loyalty.v1 import tier_pb2 as pb

from ledger.domain.instant import from_timestamp, set_timestamp
from ledger.domain.rounding import INT64_MAX, Overflow


class Scheduled(NamedTuple):
    """A change of tier that comes if nothing else counts before it."""

    at: int
    tier: str
    reason: pb.TierChangeReason.ValueType


class Standing(NamedTuple):
    """A value; see loyalty.v1.Standing."""

    amounts: tuple[tuple[int, int], ...] = ()
    """(period, amount) in order of the periods."""
    ahead: tuple[Scheduled, ...] = ()
    floor: str = ""
    basis: pb.TierBasis.ValueType = pb.TIER_BASIS_POINTS
    as_of: int = 0
    counting_since: int = 0

    @property
    def total(self) -> int:
        """All that is kept."""
        if len(self.amounts) == 1:
            return self.amounts[0][1]
        return sum(amount for _, amount in self.amounts)

    def plus(self, period: int, amount: int) -> "Standing":
        """With more in a period, or less, down to nothing. Raises Overflow."""
        amounts = self.amounts
        if len(amounts) == 1 and amounts[0][0] == period and amount > 0:  # as always where everything counts for ever
            after = amounts[0][1] + amount
            if after > INT64_MAX:
                raise Overflow
            return Standing(((period, after),), self.ahead, self.floor, self.basis, self.as_of, self.counting_since)
        at = bisect_left(self.amounts, (period,))
        there = at < len(self.amounts) and self.amounts[at][0] == period
        after = max((self.amounts[at][1] if there else 0) + amount, 0)
        if self.total + amount > INT64_MAX:
            raise Overflow
        kept = ((period, after),) if after or there else ()
        return self._replace(amounts=self.amounts[:at] + kept + self.amounts[at + there :])

    def less_newest(self, amount: int) -> "Standing":
        """With less in the newest periods; for what comes back from nobody knows when."""
        standing = self
        for period, there in reversed(self.amounts):
            part = min(there, amount)
            standing = standing.plus(period, -part)
            amount -= part
        return standing

    @classmethod
    def of(cls, message: pb.Standing) -> "Standing":
        """The standing that a message holds."""
        if not message.basis:
            return NO_STANDING
        return cls(
            tuple(zip(message.periods, message.amounts, strict=True)),
            tuple([Scheduled(from_timestamp(one.effective_at), one.tier, one.reason) for one in message.ahead]),
            message.floor,
            message.basis,
            from_timestamp(message.as_of),
            from_timestamp(message.counting_since),
        )

    @classmethod
    def after(cls, message: pb.Qualification) -> "Standing":
        """What counting something came to."""
        if message.HasField("sum"):
            return cls(((0, message.sum),), (), "", message.basis)
        return cls.of(message.standing)

    def write_after(self, message: pb.Qualification) -> None:
        """Writes what counting something came to; in the short form where that says all, as it usually does."""
        message.basis = self.basis
        amounts = self.amounts
        if len(amounts) == 1 and amounts[0][0] == 0 and not (self.ahead or self.floor or self.as_of):
            message.sum = amounts[0][1]
        else:
            self.write(message.standing)

    def write(self, message: pb.Standing) -> None:
        """Writes the standing into a message."""
        message.basis = self.basis
        message.periods.extend([period for period, _ in self.amounts])
        message.amounts.extend([amount for _, amount in self.amounts])
        for at, tier, reason in self.ahead:
            set_timestamp(message.ahead.add(tier=tier, reason=reason).effective_at, at)
        if self.floor:
            message.floor = self.floor
        if self.as_of:
            set_timestamp(message.as_of, self.as_of)
        if self.counting_since:
            set_timestamp(message.counting_since, self.counting_since)

    def to_bytes(self) -> bytes:
        """The standing as views keep it."""
        message = pb.Standing()
        self.write(message)
        return message.SerializeToString(deterministic=True)


NO_STANDING: Final = Standing()
"""Of a member who has done nothing yet."""
