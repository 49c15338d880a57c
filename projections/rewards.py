"""Rewards: the vouchers and entitlements of each member, and what is drawn of stock and of uploaded codes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.events_pb2 import (
    EntitlementExpired,
    EntitlementIssued,
    EntitlementRevoked,
    EntitlementUsed,
    PoolDrawn,
    PoolKept,
    PoolReturned,
    SaleReturned,
    TransactionReversed,
    VoucherCodesUploaded,
    VoucherExpired,
    VoucherIssued,
    VoucherRevoked,
    VoucherUse,
    VoucherUsed,
)
from loyalty.v1.reward_pb2 import EntitlementState, VoucherState

from ledger.domain.entitlement import Entitlement
from ledger.domain.instant import from_timestamp
from ledger.domain.names import last_id
from ledger.domain.voucher import Voucher
from projections.page import Event
from projections.projection import Contradiction, Projection, Step, columns
from projections.sql import statements

_AS_IT_IS: Final = -1
"""In place of a figure that an event leaves as it is."""

_Pool = tuple[str, str]
"""Its program and its key."""


class Rewards(Projection):
    """What every member has been given, and how much of it there is left to give."""

    name: ClassVar[str] = "rewards"
    sql: ClassVar[Mapping[str, bytes]] = statements("rewards.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vouchers": ("member_id", "voucher_id"),
        "entitlements": ("member_id", "entitlement_id"),
    }
    shared_tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "stocks": ("program", "pool"),
        "stock_holds": ("program", "pool", "hold_id"),
    }

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page. Raises Contradiction."""
        page = _Page()
        for event in events:
            handle = _HANDLE.get(type(event.payload))
            if handle is not None:
                handle(page, event)
        return page.steps()


class _Rights:
    """The vouchers, or the entitlements, that a page issues and changes."""

    def __init__(self, figure: int, state: int) -> None:
        """With the places of the figure that changes, and of the state, in a row."""
        self._figure, self._state = figure, state
        self.issued: dict[UUID, list[Any]] = {}
        self.changed: dict[UUID, tuple[UUID, UUID, int, int]] = {}

    def change(self, member_id: UUID, name: str, state: int, figure: int = _AS_IT_IS) -> None:
        """Gives one its new state, and its new figure where that changes."""
        right_id = last_id(name)
        row = self.issued.get(right_id)
        if row is not None:
            if row[0] != member_id:
                raise Contradiction(f"{name} is not of member {member_id}")
            row[self._state] = state
            if figure != _AS_IT_IS:
                row[self._figure] = figure
            return
        earlier = self.changed.get(right_id)
        if figure == _AS_IT_IS and earlier is not None:
            figure = earlier[2]
        self.changed[right_id] = (member_id, right_id, figure, state)

    def steps(self, issue: str, change: str) -> list[Step]:
        """The statements of those names. What was there before changes first: nothing that is new is among it."""
        steps: list[Step] = []
        if self.changed:
            steps.append(Step(change, columns(list(self.changed.values())), len(self.changed)))
        if self.issued:
            steps.append(Step(issue, columns(list(self.issued.values())), len(self.issued)))
        return steps


class _Page:
    """What a page does, as rows for the statements."""

    def __init__(self) -> None:
        self.vouchers = _Rights(figure=7, state=8)
        self.entitlements = _Rights(figure=7, state=8)
        self.drawn: dict[_Pool, int] = {}
        self.uploaded: dict[_Pool, int] = {}
        self.holds: dict[tuple[str, str, UUID], tuple[str, str, UUID, int, int]] = {}
        self.ended: list[tuple[str, str, UUID]] = []

    def end_hold(self, pool: _Pool, hold: str) -> None:
        """Drops what a hold drew, before the page or in it."""
        key = (*pool, last_id(hold))
        if self.holds.pop(key, None) is None:
            self.ended.append(key)

    def steps(self) -> list[Step]:
        """The statements."""
        steps = self.vouchers.steps("issue_vouchers", "change_vouchers")
        steps += self.entitlements.steps("entitle", "change_entitlements")
        for name, figures in (("draw", self.drawn), ("upload", self.uploaded)):
            if figures:
                rows = [(*pool, figure) for pool, figure in figures.items()]
                steps.append(Step(name, columns(rows), len(rows)))
        if self.ended:
            steps.append(Step("end_holds", columns(self.ended), len(self.ended)))
        if self.holds:
            steps.append(Step("hold", columns(list(self.holds.values())), len(self.holds)))
        return steps


# -- vouchers and entitlements


def _voucher_issued(page: _Page, event: Event) -> None:
    voucher = Voucher.of(event.payload.voucher)
    voucher_id = last_id(voucher.name)
    page.vouchers.issued[voucher_id] = [
        event.stream_id,
        voucher_id,
        event.position,
        voucher.reward.reward_id,
        voucher.reward.SerializeToString(deterministic=True),
        voucher.starts_at,
        voucher.expires_at,
        voucher.left_minor,
        voucher.state,
    ]


def _voucher_used(page: _Page, event: Event) -> None:
    _use(page, event, [event.payload.use])


def _undone(page: _Page, event: Event) -> None:
    _use(page, event, event.payload.undo.vouchers)


def _use(page: _Page, event: Event, uses: Iterable[VoucherUse]) -> None:
    for use in uses:
        page.vouchers.change(event.stream_id, use.voucher, use.state, use.left_minor)


def _voucher_revoked(page: _Page, event: Event) -> None:
    page.vouchers.change(event.stream_id, event.payload.voucher, VoucherState.VOUCHER_STATE_REVOKED)


def _voucher_expired(page: _Page, event: Event) -> None:
    page.vouchers.change(event.stream_id, event.payload.voucher, VoucherState.VOUCHER_STATE_EXPIRED)


def _entitlement_issued(page: _Page, event: Event) -> None:
    entitlement = Entitlement.of(event.payload.entitlement)
    entitlement_id = last_id(entitlement.name)
    page.entitlements.issued[entitlement_id] = [
        event.stream_id,
        entitlement_id,
        event.position,
        entitlement.reward.reward_id,
        entitlement.reward.SerializeToString(deterministic=True),
        entitlement.starts_at,
        entitlement.expires_at,
        entitlement.used_times,
        entitlement.state,
        entitlement.sale,
        entitlement.line_id,
        entitlement.sku,
    ]


def _entitlement_used(page: _Page, event: Event) -> None:
    after = event.payload.entitlement
    page.entitlements.change(event.stream_id, after.name, after.state, after.used_times)


def _entitlement_revoked(page: _Page, event: Event) -> None:
    state = EntitlementState.ENTITLEMENT_STATE_REVOKED
    page.entitlements.change(event.stream_id, event.payload.entitlement, state)


def _entitlement_expired(page: _Page, event: Event) -> None:
    state = EntitlementState.ENTITLEMENT_STATE_EXPIRED
    page.entitlements.change(event.stream_id, event.payload.entitlement, state)


# -- pools


def _pool_of(event: Event) -> _Pool | None:
    """The pool of an event, where it is one of stock or codes; limits are none, and have a period or a longer key."""
    key: str = event.payload.pool
    if not key.startswith("codes/") and not (key.startswith("reward/") and key.endswith("/stock")):
        return None
    return event.payload.program, key


def _pool_drawn(page: _Page, event: Event) -> None:
    pool = _pool_of(event)
    if pool is None:
        return
    drawn: PoolDrawn = event.payload
    page.drawn[pool] = drawn.drawn
    if drawn.hold:
        hold = (*pool, last_id(drawn.hold))
        page.holds[hold] = (*hold, drawn.amount, from_timestamp(drawn.expires_at))


def _pool_returned(page: _Page, event: Event) -> None:
    pool = _pool_of(event)
    if pool is None:
        return
    page.drawn[pool] = event.payload.drawn
    if event.payload.hold:
        page.end_hold(pool, event.payload.hold)


def _pool_kept(page: _Page, event: Event) -> None:
    pool = _pool_of(event)
    if pool is not None:
        page.end_hold(pool, event.payload.hold)


def _codes_uploaded(page: _Page, event: Event) -> None:
    page.uploaded[event.payload.request.program, event.payload.pool] = event.payload.uploaded


_HANDLE: Final[Mapping[type[Message], Callable[[_Page, Event], None]]] = {
    VoucherIssued: _voucher_issued,
    VoucherUsed: _voucher_used,
    VoucherRevoked: _voucher_revoked,
    VoucherExpired: _voucher_expired,
    SaleReturned: _undone,
    TransactionReversed: _undone,
    EntitlementIssued: _entitlement_issued,
    EntitlementUsed: _entitlement_used,
    EntitlementRevoked: _entitlement_revoked,
    EntitlementExpired: _entitlement_expired,
    PoolDrawn: _pool_drawn,
    PoolReturned: _pool_returned,
    PoolKept: _pool_kept,
    VoucherCodesUploaded: _codes_uploaded,
}
