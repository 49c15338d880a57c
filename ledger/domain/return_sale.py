"""Returning lines of a sale: their points are taken back and what the sale spent on them is given back."""

from collections.abc import Iterable

from loyalty.v1.account_pb2 import Award
from loyalty.v1.commands_pb2 import ReturnSaleRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    ReturnAwaited,
    ReturnedLine,
    SaleRecorded,
    SaleReturned,
    TierChangeReason,
    Undo,
)
from loyalty.v1.sale_pb2 import ReturnLine

from ledger.domain.account import AWAITED_RETURNS_MAX
from ledger.domain.case import Case, RequestT
from ledger.domain.earn import change_tier
from ledger.domain.names import transaction_name
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.sale_reference import sale_reference
from ledger.domain.transaction import Transaction
from ledger.domain.undo import part_of, undo, write_undo


class ReturnState:
    """How much of each line of a sale has come back, by quantity and by net amount."""

    def __init__(self, sale: SaleRecorded, returns: Iterable[SaleReturned]) -> None:
        self.sale = sale
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

    def due(self) -> tuple[int, int]:
        """Points that should be taken back, and given back, for all that has come back so far.

        Each award in proportion to the part of its basis that came back, fractions dropped; when all came back,
        all of it. So partial returns add up to exactly what was earned, and the last takes the remainder.
        """
        claw_back = sum(self._part_of_award(award) for award in self.sale.awards)
        spent = self.sale.receipt.spent_points
        if self.is_complete:
            return claw_back, spent
        total = sum(net for _, net in self.sold.values())
        return claw_back, spent * self.returned_minor // total if total else 0

    def _part_of_award(self, award: Award) -> int:
        if self.is_complete:
            return award.points
        if award.lines:
            basis = sum(self._part_of_line(line.line_id, line.basis_minor) for line in award.lines)
        else:
            basis = self.returned_minor
        return award.points * basis // award.basis_minor if award.basis_minor else 0

    def _part_of_line(self, line_id: str, basis: int) -> int:
        quantity, net = self.sold[line_id]
        quantity_back, amount_back = self.back[line_id]
        if net:
            return basis * amount_back // net
        return basis * quantity_back // quantity if quantity else 0


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
    event = _decide(case, case.request, main, sale)
    case.record(event, main=True, transaction_id=sale.transaction_id)
    change_tier(case, TierChangeReason.TIER_CHANGE_REASON_RETURNED)
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
            event = _decide(case, request, sale, file)
        except Refused:
            continue
        case.record(event, transaction_id=case.request_id)
        file.follow_ups.append((None, event))
        change_tier(case, TierChangeReason.TIER_CHANGE_REASON_RETURNED)
        write_undo(sale.receipt, event.undo)


def _decide(case: Case[RequestT], request: ReturnSaleRequest, main: SaleRecorded, sale: Transaction) -> SaleReturned:
    state = ReturnState(main, sale.returns())
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
    after = state.due()
    return SaleReturned(
        origin=case.origin,
        request=request,
        program_version=case.program.version,
        sale=sale.name,
        lines=lines,
        undo=undo_sale(case, main, sale, before, after),
        returned_minor=sum(line.amount_minor for line in lines),
    )


def undo_sale(
    case: Case[RequestT],
    main: SaleRecorded,
    sale: Transaction,
    before: tuple[int, int],
    after: tuple[int, int],
) -> Undo:
    """Moves a sale from one state of return to a later one: (claw back, give back) that was due and that is due."""
    claw_back = after[0] - before[0]
    result = undo(
        case,
        claw_back=claw_back,
        own_lot=main.lot.number,
        restore=part_of(sale.spent(), before[1], after[1] - before[1]),
    )
    result.qualifying_points = claw_back
    return result
