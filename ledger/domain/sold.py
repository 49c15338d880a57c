"""A recorded sale, what has come back of it, and what that takes of what it gave."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from loyalty.v1.account_pb2 import Award, AwardLine, TakenBack
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import ActivityRecorded, ReturnedLine, SaleRecorded, SaleReturned
from loyalty.v1.sale_pb2 import ReturnLine

from ledger.domain.lot import points_of
from ledger.domain.names import REWARD_KEY
from ledger.domain.refusal import Refused
from ledger.domain.rounding import share_out
from ledger.domain.transaction import issues

_WITH_BASE: Final = TakenBack.TAKEN_BACK_WITH_BASE


class Due(NamedTuple):
    """What should be taken back, and given back, for all that has come back so far."""

    parts: Sequence[int]
    """Points of each award; less than 0 where a promotion had taken points away."""
    claw_back: Mapping[int, int]
    """Points to take back, by the lot that they went into."""
    spent: int = 0
    """Spent points to give back."""
    returned_minor: int = 0
    """What was paid for all that came back."""
    visits: int = 0
    """1 when nothing is left of the sale."""
    whole: Fraction = Fraction(0)
    """How much of it came back, as a part of 1."""

    @classmethod
    def of(cls, awards: Sequence[Award], parts: Sequence[int], whole: Fraction = Fraction(1)) -> "Due":
        """What parts of awards come to."""
        due: dict[int, int] = {}
        for award, points in zip(awards, parts, strict=True):
            due[award.lot] = due.get(award.lot, 0) + points
        return cls(parts, due, whole=whole)


NOTHING_DUE: Final = Due((), {})


def due_of_activity(activity: ActivityRecorded) -> Due:
    """What should be taken back when an activity is undone."""
    return Due.of(activity.awards, [award.points for award in activity.awards])


def sold_lot(sale: SaleRecorded) -> int | None:
    """The lot with which the money of a sale is in the books; 0 for what was owed, None where it gave no points."""
    for lot in sale.lots:
        if lot.points:
            return lot.number
    return 0 if sale.repaid_points else None


class Sold:
    """A recorded sale: how much of each line has come back, by quantity and by net amount."""

    def __init__(self, sale: SaleRecorded, returns: Iterable[SaleReturned]) -> None:
        self.sale = sale
        lines = sale.request.sale.lines
        self.sold = {
            line.line_id: (line.quantity if line.HasField("quantity") else 1, net)
            for line, net in zip(lines, sale.line_net_minor, strict=True)
        }
        self.total_minor = sum(net for _, net in self.sold.values())
        self.back = dict.fromkeys(self.sold, (0, 0))
        self._base_back: Mapping[str, Fraction] | None = None
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

    def due(self) -> Due:
        """What all that has come back comes to.

        Each award as it says itself, fractions dropped; when all came back, all of it. So partial returns add up to
        exactly what was earned, and the last takes the remainder.
        """
        spent = points_of(redemption for redemption in self.sale.redemptions if not issues(redemption))
        if self.is_complete:
            parts = [award.points for award in self.sale.awards]
            due = Due.of(self.sale.awards, parts)
            return due._replace(spent=spent, returned_minor=self.returned_minor, visits=1)
        self._base_back = None
        parts = [self._part_of(award) for award in self.sale.awards]
        whole = Fraction(self.returned_minor, self.total_minor) if self.total_minor else Fraction(0)
        due = Due.of(self.sale.awards, parts, whole)
        return due._replace(spent=int(spent * whole), returned_minor=self.returned_minor)

    def _part_of(self, award: Award) -> int:
        match award.taken_back:
            case TakenBack.TAKEN_BACK_WITH_BASE:
                return award.points * (base := self._base_part(award)).numerator // base.denominator
            case TakenBack.TAKEN_BACK_BELOW_MINIMUM:
                left = award.basis - self._amount_back(award)
                return award.points if left < award.minimum_minor else 0
            case TakenBack.TAKEN_BACK_BY_UNITS:
                back, counted = sum(self._units_back(line) for line in award.lines), award.basis
            case _:
                # What an earlier sale left over is no part of this one.
                counted = sum(line.basis for line in award.lines) if award.lines else self.total_minor
                back = self._amount_back(award)
        return award.points * back // counted if counted else 0

    def _amount_back(self, award: Award) -> int:
        """What of an award's basis has come back."""
        if not award.lines:
            return self.returned_minor
        return sum(self._part_of_line(line.line_id, line.basis) for line in award.lines)

    def _units_back(self, line: AwardLine) -> int:
        return min(self.back[line.line_id][0], line.basis)

    def _part_of_line(self, line_id: str, basis: int) -> int:
        part = self._line_part(line_id)
        return basis * part.numerator // part.denominator

    def _line_part(self, line_id: str) -> Fraction:
        """How much of a line has come back, as a part of 1: in money, or in units where it cost nothing."""
        quantity, net = self.sold[line_id]
        quantity_back, amount_back = self.back[line_id]
        if net:
            return Fraction(amount_back, net)
        return Fraction(quantity_back, quantity) if quantity else Fraction(0)

    # -- promotions

    def _base_part(self, promotion: Award) -> Fraction:
        """How much of the points that a promotion worked on is taken back, as a part of 1."""
        rules = [
            award
            for award in self.sale.awards
            if award.taken_back != _WITH_BASE and not award.rule.startswith(REWARD_KEY)
        ]
        counted = sum(line.basis for line in promotion.lines)
        if not counted:
            points = points_of(rules)
            return Fraction(sum(self._part_of(award) for award in rules), points) if points else Fraction(0)
        if self._base_back is None:
            self._base_back = self._base_by_line(rules)
        return sum((line.basis * self._base_back[line.line_id] for line in promotion.lines), Fraction(0)) / counted

    def _base_by_line(self, rules: Iterable[Award]) -> Mapping[str, Fraction]:
        """How much of the points of each line is taken back, as a part of 1."""
        points = dict.fromkeys(self.sold, 0)
        taken = dict.fromkeys(self.sold, Fraction(0))
        for award in rules:
            for line_id, share, part in self._shares(award):
                points[line_id] += share
                taken[line_id] += share * part
        return {line: taken[line] / points[line] if points[line] else self._line_part(line) for line in self.sold}

    def _shares(self, award: Award) -> Iterator[tuple[str, int, Fraction]]:
        """An award's points by line, each with how much of them is taken back."""
        weights = {line.line_id: line.basis for line in award.lines} or {
            line_id: net for line_id, (_, net) in self.sold.items()
        }
        is_gone = award.taken_back == TakenBack.TAKEN_BACK_BELOW_MINIMUM and bool(self._part_of(award))
        for (line_id, weight), share in zip(
            weights.items(), share_out(award.points, list(weights.values())), strict=True
        ):
            if award.taken_back == TakenBack.TAKEN_BACK_BELOW_MINIMUM:
                part = Fraction(is_gone)
            elif award.taken_back == TakenBack.TAKEN_BACK_BY_UNITS:
                part = Fraction(min(self.back[line_id][0], weight), weight) if weight else Fraction(0)
            else:
                part = self._line_part(line_id)
            yield line_id, share, part
