"""Returning lines of a sale: their points are taken back and what the sale spent on them is given back."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from loyalty.v1.account_pb2 import Allocation, Award, AwardLine, TakenBack
from loyalty.v1.commands_pb2 import ReturnSaleRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    PointsRedeemed,
    ReturnAwaited,
    ReturnedLine,
    SaleRecorded,
    SaleReturned,
    Undo,
    VoucherUse,
)
from loyalty.v1.sale_pb2 import ReturnLine

from ledger.domain.account import AWAITED_RETURNS_MAX
from ledger.domain.case import Case, RequestT
from ledger.domain.entitle import take_back, unused_of_line
from ledger.domain.ladder import Rung
from ledger.domain.names import transaction_name
from ledger.domain.qualify import amount_of, change_tier, qualify
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.sale_reference import sale_reference
from ledger.domain.transaction import Transaction, issues
from ledger.domain.undo import claimed, part_of, restored_vouchers, undo, write_undo

_NO_POINTS: Final[Mapping[int, int]] = {}


class ReturnState:
    """How much of each line of a sale has come back, by quantity and by net amount."""

    def __init__(self, sale: SaleRecorded, returns: Iterable[SaleReturned], cancelled: Mapping[int, int]) -> None:
        """`cancelled` are the member's pending points that are gone already, by lot."""
        self.sale = sale
        self._cancelled = cancelled
        lines = sale.request.sale.lines
        self.sold = {
            line.line_id: (line.quantity if line.HasField("quantity") else 1, net)
            for line, net in zip(lines, sale.line_net_minor, strict=True)
        }
        self.back = dict.fromkeys(self.sold, (0, 0))
        self._is_begun = False
        for returned in returns:
            self.add(returned.lines)

    def add(self, lines: Iterable[ReturnedLine]) -> None:
        """Counts lines as returned."""
        self._is_begun = True
        for line in lines:
            quantity, amount = self.back[line.line_id]
            self.back[line.line_id] = (quantity + line.quantity, amount + line.amount_minor)

    @property
    def is_complete(self) -> bool:
        """True when something came back and nothing is left; a sale of nothing but free items can come back too."""
        return self._is_begun and self.back == self.sold

    @property
    def returned_minor(self) -> int:
        """The net amount that has come back."""
        return sum(amount for _, amount in self.back.values())

    def rest(self) -> list[ReturnedLine]:
        """All that has not come back."""
        return [
            ReturnedLine(line_id=line_id, quantity=quantity - back[0], amount_minor=net - back[1])
            for line_id, (quantity, net) in self.sold.items()
            if (back := self.back[line_id]) != (quantity, net)
        ]

    def resolve(self, asked: ReturnLine) -> ReturnedLine:
        """What a request's line means in units and money.

        Without a quantity, all that is left of the line; with one, its share of the line's net amount, worked out
        cumulatively so that the last unit takes the remainder. An amount alone is money back without goods.
        """
        if asked.line_id not in self.sold:
            raise Refused(ErrorReason.ERROR_REASON_LINE_NOT_FOUND, line_id=asked.line_id)
        quantity_sold, net = self.sold[asked.line_id]
        quantity_back, amount_back = self.back[asked.line_id]
        left_quantity, left_amount = quantity_sold - quantity_back, net - amount_back
        if asked.HasField("quantity"):
            quantity = asked.quantity
        else:
            quantity = 0 if asked.HasField("amount_minor") else left_quantity
        if asked.HasField("amount_minor"):
            amount = asked.amount_minor
        elif quantity >= left_quantity:
            amount = left_amount
        else:
            due = net * (quantity_back + quantity) // quantity_sold
            amount = min(max(due - amount_back, 0), left_amount)
        if quantity > left_quantity or amount > left_amount or (quantity, amount) == (0, 0):
            raise Refused(
                ErrorReason.ERROR_REASON_RETURN_EXCEEDS_SALE,
                line_id=asked.line_id,
                left_quantity=left_quantity,
                left_minor=left_amount,
            )
        return ReturnedLine(line_id=asked.line_id, quantity=quantity, amount_minor=amount)

    def due(self) -> "Due":
        """What should be taken back, and given back, for all that has come back so far.

        Each award as it says itself, fractions dropped; when all came back, all of it. So partial returns add up to
        exactly what was earned, and the last takes the remainder. Pending points that were cancelled are gone already.
        """
        claw_back: dict[int, int] = {}
        issued: dict[int, int] = {}
        for award in self.sale.awards:
            points = award.points if self.is_complete else self._part_of(award)
            claw_back[award.lot] = claw_back.get(award.lot, 0) + points
            issued[award.lot] = issued.get(award.lot, 0) + award.points
        for lot in self._cancelled.keys() & claw_back.keys():
            claw_back[lot] = min(claw_back[lot], issued[lot] - self._cancelled[lot])
        spent = sum(redemption.points for redemption in self.sale.redemptions if not issues(redemption))
        if not self.is_complete:
            total = sum(net for _, net in self.sold.values())
            spent = spent * self.returned_minor // total if total else 0
        return Due(claw_back, spent, self.returned_minor, int(self.is_complete))

    def _part_of(self, award: Award) -> int:
        if award.taken_back == TakenBack.TAKEN_BACK_BELOW_MINIMUM:
            left = award.basis - self._amount_back(award)
            return award.points if left < award.minimum_minor else 0
        if award.taken_back == TakenBack.TAKEN_BACK_BY_UNITS:
            back = sum(self._units_back(line) for line in award.lines)
        else:
            back = self._amount_back(award)
        return award.points * back // award.basis if award.basis else 0

    def _amount_back(self, award: Award) -> int:
        """What of an award's basis has come back."""
        if not award.lines:
            return self.returned_minor
        return sum(self._part_of_line(line.line_id, line.basis) for line in award.lines)

    def _units_back(self, line: AwardLine) -> int:
        return min(self.back[line.line_id][0], line.basis)

    def _part_of_line(self, line_id: str, basis: int) -> int:
        quantity, net = self.sold[line_id]
        quantity_back, amount_back = self.back[line_id]
        if net:
            return basis * amount_back // net
        return basis * quantity_back // quantity if quantity else 0


class Due(NamedTuple):
    """What a sale's returns come to."""

    claw_back: Mapping[int, int]
    """Points to take back, by the lot that they went into; less than 0 where a promotion had taken points away."""
    spent: int
    """Spent points to give back."""
    returned_minor: int
    """What was paid for all that came back."""
    visits: int
    """1 when nothing is left of the sale."""


def return_sale(case: Case[ReturnSaleRequest]) -> None:
    """Decides a return. Without its sale it waits, or is refused, as the program says."""
    sale = case.target
    if sale is None:
        if not case.program.returns_wait or len(case.account.awaited) >= AWAITED_RETURNS_MAX:
            raise Refused(ErrorReason.ERROR_REASON_SALE_NOT_FOUND)
        waiting = ReturnAwaited(origin=case.origin, request=case.request, program_version=case.program.version)
        case.record(waiting, main=True)
        case.write_receipt(waiting.receipt)
        return
    main = sale.main
    if not isinstance(main, SaleRecorded):
        raise Rejected(ErrorReason.ERROR_REASON_TRANSACTION_NOT_FOUND, transaction=sale.name)
    if sale.account_id != case.account.account_id:
        raise Refused(ErrorReason.ERROR_REASON_SALE_OF_OTHER_MEMBER, transaction=sale.name)
    if sale.reversed_by:
        raise Refused(ErrorReason.ERROR_REASON_ALREADY_REVERSED, reversal=sale.reversed_by)
    event, rung = _decide(case, case.request, main, sale)
    case.record(event, main=True, transaction_id=sale.transaction_id)
    change_tier(case, rung)
    write_undo(event.receipt, event.undo)
    case.write_receipt(event.receipt)


def apply_awaited(case: Case[RequestT], sale: SaleRecorded) -> None:
    """Applies the returns that waited for a sale which has just been recorded, in the order in which they arrived.

    One that asks for more than was sold stays waiting: it was answered already, so a person has to look at it.
    """
    file = Transaction(case.request_id, case.account.account_id, sale)
    file.follow_ups += [(None, new.payload) for new in case.events if new.payload is not sale]
    for awaited in case.account.awaited:
        request = awaited.request
        if request.WhichOneof("sale") == "transaction":
            mine = request.transaction == transaction_name(case.request_id)
        else:
            mine = sale_reference(case.program.name, request.till) == case.sale_reference
        if not mine:
            continue
        try:
            event, rung = _decide(case, request, sale, file)
        except Refused:
            continue
        case.record(event, transaction_id=case.request_id)
        file.follow_ups.append((None, event))
        change_tier(case, rung)
        write_undo(sale.receipt, event.undo)


def _decide(
    case: Case[RequestT], request: ReturnSaleRequest, main: SaleRecorded, sale: Transaction
) -> tuple[SaleReturned, Rung]:
    state = ReturnState(main, sale.returns(), case.account.cancelled)
    if state.is_complete:
        raise Refused(ErrorReason.ERROR_REASON_RETURN_EXCEEDS_SALE, left_quantity=0, left_minor=0, line_id="")
    before = state.due()
    lines: list[ReturnedLine] = []
    for asked in request.lines:
        lines.append(state.resolve(asked))
        state.add(lines[-1:])
    if not request.lines:
        lines = state.rest()
        state.add(lines)
    warranties = _warranties(case, state, sale)
    also = [allocation for one in warranties for allocation in one.allocations]
    event = SaleReturned(
        origin=case.origin,
        request=request,
        program_version=case.program.version,
        sale=sale.name,
        lines=lines,
        returned_minor=sum(line.amount_minor for line in lines),
    )
    rung = undo_sale(case, event.undo, sale, before, state.due(), also)
    event.undo.vouchers.extend(_vouchers(case, state, sale))
    for one in warranties:
        take_back(case, one.redemption.entitlements, sale.transaction_id)
    return event, rung


def _vouchers(case: Case[RequestT], state: ReturnState, sale: Transaction) -> list[VoucherUse]:
    """The vouchers that are given back: once nothing of their sale is left, unless the program keeps them."""
    if not state.is_complete or case.program.keeps_vouchers:
        return []
    return restored_vouchers(case, sale.voucher_uses())


def _warranties(case: Case[RequestT], state: ReturnState, sale: Transaction) -> list[PointsRedeemed]:
    """The warranties of the sale that nobody has used and whose goods are all back now."""
    unused = {
        one.name
        for line_id, sold in state.sold.items()
        if case.account.entitlements and state.back[line_id][0] == sold[0]
        for one in unused_of_line(case, sale.name, line_id)
    }
    return [event for event in sale.issuing() if unused and unused.issuperset(event.redemption.entitlements or [""])]


def undo_sale(
    case: Case[RequestT],
    result: Undo,
    sale: Transaction,
    before: Due,
    after: Due,
    also: Iterable[Allocation] = (),
    bought: Mapping[int, int] = _NO_POINTS,
) -> Rung:
    """Moves a sale from one state of return to a later one; returns where it leads in tiers.

    `also` is given back as well, and `bought` taken back: what the sale redeemed and got for it.
    """
    taken = sum(claimed(returned.undo) for returned in sale.returns())
    wanted = max(sum(after.claw_back.values()) - taken, 0)
    undone = undo(
        case,
        claw_back={**_claims(before.claw_back, after.claw_back, wanted), **bought},
        restore=[*part_of(sale.spent(), before.spent, after.spent - before.spent), *also],
    )
    result.CopyFrom(undone)
    main: SaleRecorded = sale.main  # type: ignore[assignment]  # the callers have looked
    counted = main.qualification
    amount = amount_of(
        case,
        points=wanted,
        spent_minor=after.returned_minor - before.returned_minor,
        visits=after.visits - before.visits,
    )
    if counted.basis != case.program.ladder.basis:
        amount = 0  # the sale counted nothing, or something else
    return qualify(case, result, -amount, counted.period)


def _claims(before: Mapping[int, int], after: Mapping[int, int], points: int) -> dict[int, int]:
    """That many points by the lot to take them from: what became due of each, as far as it goes, the rest of any."""
    claims: dict[int, int] = {}
    for lot, due in after.items():
        claims[lot] = min(max(due - before.get(lot, 0), 0), points)
        points -= claims[lot]
    if points:
        claims[0] = claims.get(0, 0) + points  # no lot has this number
    return claims
