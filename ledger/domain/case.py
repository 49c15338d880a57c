"""A case: one command with the state it is decided on, and the events that decide it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Receipt
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.account import Account, AccountEvent
from ledger.domain.instant import FOREVER
from ledger.domain.member_profile import Key, MemberProfile, ProfileChange
from ledger.domain.new_event import NewEvent
from ledger.domain.pool import PoolEvent, Pools
from ledger.domain.program import Program
from ledger.domain.rules.tally import Tally
from ledger.domain.transaction import Transaction
from ledger.domain.voucher import NewCode

RequestT = TypeVar("RequestT", bound=Message)


@dataclass(slots=True)
class Case(Generic[RequestT]):
    """What a decision may look at, and where it puts its events. `account` is the command's own copy."""

    request: RequestT
    """The checked command, with the member in place of an identifier and without its origin."""
    origin: Origin
    request_id: UUID
    at: int
    """When it happened: the till's clock, or the server's where the till sent none."""
    program: Program
    account: Account
    transactions: Mapping[UUID, Transaction]
    """The files of the transactions that the command names."""
    target: Transaction | None = None
    """The file of the sale or transaction that a return or reversal is about; None where it is not known."""
    sale_reference: str | None = None
    """The key of the till's receipt, for a sale that has one."""
    pools: Pools = field(default_factory=lambda: Pools("", {}))
    """What all members together draw from."""
    secret: bytes = b""
    """Random bytes that the codes of new vouchers are made from, with the request id: other commands have the same."""
    has_text: bool = False
    """Whether feedback has a text, which is in no event."""
    profile: MemberProfile | None = None
    """The member as a person, where the command or an expression of the program needs it; an update replaces it."""
    segments: Sequence[str] | None = None
    """The segments that the member is in, where an expression of the program needs them."""
    change: ProfileChange | None = None
    """What an update of the profile is to change."""
    owner_of: Callable[[Key], UUID | None] = lambda _: None
    """Who has an identifier that the command names."""
    received_at: int = FOREVER
    """When the server had it."""
    events: list[NewEvent] = field(default_factory=list)
    codes: list[NewCode] = field(default_factory=list)
    """The codes of new vouchers, which no event holds."""

    @property
    def decided_at(self) -> int:
        """When a member decided about their data: not later than the server had it, however fast a clock is."""
        return min(self.at, self.received_at)

    def tally(self) -> Tally:
        """What is used of limits and stock as the case stands."""
        return Tally(self.account.counters, self.pools, self.at, self.program.zone)

    def record(
        self,
        event: AccountEvent,
        *,
        main: bool = False,
        transaction_id: UUID | None = None,
        sale_reference: str | None = None,
    ) -> None:
        """Adds an event and applies it to the account."""
        self.account.apply(event)
        self.events.append(
            NewEvent(
                self.account.account_id,
                self.account.version,
                event,
                self.request_id if main else None,
                transaction_id,
                sale_reference,
            )
        )

    def record_pool(self, event: PoolEvent, transaction_id: UUID) -> None:
        """Adds an event of a pool and applies it."""
        pool = self.pools.apply(event.pool, event)
        self.events.append(NewEvent(pool.stream_id, pool.version, event, None, transaction_id, None))

    def write_receipt(self, receipt: Receipt) -> None:
        """Completes the receipt of a main event with where the command leaves the account."""
        self.program.write_receipt(receipt, self.account, self.at)
