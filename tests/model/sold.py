"""What is recorded in the model: a sale and what its returns come to, an activity, a hold, a return that waits."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

from tests.model.earning import Given, shared
from tests.model.purse import No, Part
from tests.model.scheme import Award, Prize


@dataclass
class Sold:
    """A recorded sale, and what came back of it."""

    account: str
    lines: dict[str, tuple[int, int]]
    """Units and net amount of each line."""
    awards: list[Award]
    spent: list[Part]
    spent_points: int
    back: dict[str, tuple[int, int]] = field(default_factory=dict)
    absorbed: dict[int, int] = field(default_factory=dict)
    """Points of each lot that would be due had nobody cancelled them."""
    given: list[Given] = field(default_factory=list)
    """The same in the diary."""
    taken: int = 0
    """Points that returns took back so far, or should have."""
    forgiven: int = 0
    """Of them, those that were not there."""
    reversed: bool = False
    counted: Any = None
    """Where it was counted towards tiers; None where it was not."""

    @property
    def complete(self) -> bool:
        """Whether something came back and nothing is left."""
        return self.back == self.lines

    @property
    def money_back(self) -> int:
        """The net amount that came back."""
        return sum(amount for _, amount in self.back.values())

    @property
    def part_back(self) -> Fraction:
        """How much of it came back, as a part of 1."""
        total = sum(net for _, net in self.lines.values())
        return Fraction(1) if self.complete else Fraction(self.money_back, total or 1)

    def part_of(self, award: Award) -> int:
        """What of an award all that came back takes with it."""
        if self.complete:
            return award.points
        match award.taken_back:
            case "whole":
                left = award.basis - sum(self._part(line_id, amount) for line_id, amount in award.by_line.items())
                return award.points if left < award.minimum else 0
            case "units":
                back = sum(min(self.back[line_id][0], units) for line_id, units in award.by_line.items())
            case "base":
                return floor(award.points * self._part_of_base(award))
            case _:
                back = sum(self._part(line_id, amount) for line_id, amount in award.by_line.items())
        counted = sum(award.by_line.values())
        return floor(Fraction(award.points * back, counted)) if counted else 0

    def _part(self, line_id: str, amount: int) -> int:
        return floor(amount * self._line_part(line_id))

    def _line_part(self, line_id: str) -> Fraction:
        (quantity, net), (quantity_back, net_back) = self.lines[line_id], self.back[line_id]
        return Fraction(net_back, net) if net else Fraction(quantity_back, quantity or 1)

    def _part_of_base(self, promotion: Award) -> Fraction:
        """What part of the points that a promotion worked on goes: line by line, in proportion to them."""
        base = [award for award in self.awards if award.taken_back != "base"]
        worked_on = sum(promotion.by_line.values())
        if not worked_on:
            points = sum(award.points for award in base)
            return Fraction(sum(self.part_of(award) for award in base), points or 1)
        gone = Fraction(0)
        for line_id, weight in promotion.by_line.items():
            points, back = 0, Fraction(0)
            for award in base:
                shares = dict(zip(award.by_line, shared(award.points, list(award.by_line.values())), strict=True))
                points += shares.get(line_id, 0)
                back += shares.get(line_id, 0) * self._part_of_line(award, line_id)
            gone += weight * (back / points if points else self._line_part(line_id))
        return gone / worked_on

    def _part_of_line(self, award: Award, line_id: str) -> Fraction:
        if award.taken_back == "whole":
            return Fraction(int(self.part_of(award) > 0))
        if award.taken_back == "units":
            units = award.by_line.get(line_id, 0)
            return Fraction(min(self.back[line_id][0], units), units or 1)
        return self._line_part(line_id)

    def due(self, cancelled: dict[int, int], absorbed: dict[int, int]) -> dict[int, int]:
        """Points to take back for all that came back, by lot. What was cancelled is gone already."""
        found: dict[int, int] = {}
        issued: dict[int, int] = {}
        for award in self.awards:
            found[award.lot] = found.get(award.lot, 0) + self.part_of(award)
            issued[award.lot] = issued.get(award.lot, 0) + award.points
        self.absorbed = {
            lot: min(points, max(absorbed.get(lot, 0), points - (issued[lot] - cancelled[lot])))
            for lot, points in found.items()
            if lot in cancelled
        }
        return {lot: points - self.absorbed.get(lot, 0) for lot, points in found.items()}

    def due_spent(self) -> int:
        """Spent points to give back for all that came back."""
        total = sum(net for _, net in self.lines.values())
        if self.complete:
            return self.spent_points
        return floor(Fraction(self.spent_points * self.money_back, total)) if total else 0

    def give_back(self, line_id: str, quantity: int | None, amount: int | None) -> None:
        """Counts a line, or a part of it, as returned."""
        if line_id not in self.lines:
            raise No("LINE_NOT_FOUND")
        (bought, net), (had, had_net) = self.lines[line_id], self.back[line_id]
        left, left_net = bought - had, net - had_net
        if quantity is None:
            quantity = left if amount is None else 0
        if amount is None:
            upto = net if quantity >= left else floor(Fraction(net * (had + quantity), bought))
            amount = min(max(upto - had_net, 0), left_net)
        if quantity > left or amount > left_net or (quantity, amount) == (0, 0):
            raise No("RETURN_EXCEEDS_SALE")
        self.back[line_id] = (had + quantity, had_net + amount)


def let_go(given: list[Given], points: dict[str, int], forgiven: int, part: Fraction) -> None:
    """Notes what is gone of what was given: these points of each award, less what is forgiven, of the last first."""
    gone = dict(points)
    for owner in reversed(points):
        less = min(max(gone[owner], 0), forgiven)
        gone[owner] -= less
        forgiven -= less
    for one in given:
        if one.kind == "carry":
            one.gone = floor(one.points * part)
        else:
            one.gone = max(one.gone, gone.get(one.owner, 0) if one.kind == "award" else sum(gone.values()))


def claims(before: dict[int, int], after: dict[int, int], points: int) -> dict[int, int]:
    """That many points by the lot to take them from: what became due of each; the rest (0) of any."""
    found = {}
    for lot, due in after.items():
        found[lot] = min(max(due - before[lot], 0), points)
        points -= found[lot]
    return {**found, 0: found.get(0, 0) + points}


@dataclass
class Reserved:
    """A hold, open or ended."""

    account: str
    prize: Prize
    quantity: int
    parts: list[Part]
    ends: int
    state: str = "OPEN"

    @property
    def points(self) -> int:
        """Points set aside."""
        return sum(part.points for part in self.parts)


@dataclass
class Done:
    """A recorded activity."""

    account: str
    awards: list[Award]
    given: list[Given]
    """The same in the diary."""
    counted: Any
    """Where it was counted towards tiers."""


@dataclass
class Settled:
    """Pending points as they were before somebody settled them."""

    parts: list[Part]
    activated: bool
    counted: Any
    """Where they were counted towards tiers, where that is known."""


@dataclass
class Wait:
    """A return that waits for its sale."""

    request_id: str
    account: str
    sale: str
    lines: list[tuple[str, int | None, int | None]]
