"""Vouchers of a member, as their account knows them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from loyalty.v1.reward_pb2 import Reward, VoucherState
from loyalty.v1.reward_pb2 import Voucher as VoucherMessage

from ledger.domain.instant import FOREVER, from_timestamp, set_timestamp

CLOSED_KEPT: Final = 50
"""Vouchers of a member that are used up, taken back or expired and that the account still knows: those closed last.

Of the others the till learns only that there is no such voucher."""

ISSUED: Final = VoucherState.VOUCHER_STATE_ISSUED


class NewCode(NamedTuple):
    """A code for a voucher. It goes to a table of its own and nowhere else."""

    code_hash: str
    code: str


class Voucher(NamedTuple):
    """A voucher."""

    name: str
    code_hash: str
    reward: Reward
    starts_at: int
    """0 for at once."""
    expires_at: int
    left_minor: int
    state: VoucherState.ValueType

    @classmethod
    def of(cls, message: VoucherMessage) -> "Voucher":
        """The voucher that an event or a snapshot holds."""
        return cls(
            message.name,
            message.code_hash,
            message.reward,
            from_timestamp(message.starts_at) if message.HasField("starts_at") else 0,
            from_timestamp(message.expires_at) if message.HasField("expires_at") else FOREVER,
            message.left_minor,
            message.state,
        )

    def write(self, message: VoucherMessage) -> None:
        """Writes the voucher into an event or a snapshot."""
        message.name = self.name
        message.code_hash = self.code_hash
        message.reward.CopyFrom(self.reward)
        if self.starts_at:
            set_timestamp(message.starts_at, self.starts_at)
        if self.expires_at != FOREVER:
            set_timestamp(message.expires_at, self.expires_at)
        message.left_minor = self.left_minor
        message.state = self.state


Vouchers = Mapping[str, Voucher]
"""By name: those that are open in any order, those that are closed in the order in which they were."""


def is_used(voucher: Voucher) -> bool:
    """Whether a voucher is used, if only in part."""
    return voucher.state == VoucherState.VOUCHER_STATE_USED or voucher.left_minor != voucher.reward.voucher.value_minor


def with_voucher(vouchers: Vouchers, voucher: Voucher) -> Vouchers:
    """The vouchers after one of them is new or changed. The ones before are left as they were."""
    after = dict(vouchers)
    if voucher.state != ISSUED:
        after.pop(voucher.name, None)  # the last to be closed is the last to be forgotten
    after[voucher.name] = voucher
    closed = [one.name for one in after.values() if one.state != ISSUED]
    for name in closed[:-CLOSED_KEPT]:
        del after[name]
    return after
