"""What a program says, in the model's own words."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from math import floor
from typing import Final

from tests.model.dates import AT_ONCE, FOR_EVER, Expiry, Pending
from tests.model.tiers import NO_LADDER, Ladder


@dataclass(frozen=True)
class Lines:
    """Which lines count: those with any of some tags (all, for none), less those with any of others."""

    only: frozenset[str] = frozenset()
    excluding: frozenset[str] = frozenset()
    expression: str = ""
    """Lines for which it is true count, like those with one of the tags in `only`."""

    def count(self, line: "Line") -> bool:
        """Whether a line counts."""
        counts = not self.only and not self.expression
        if self.expression:
            counts = LINE_EXPRESSIONS[self.expression](line)
        return (counts or bool(line.tags & self.only)) and not line.tags & self.excluding


@dataclass(frozen=True)
class Spend:
    """Points for money."""

    points: int
    per: int
    rounding: str = "steps"
    minimum: int = 0
    lines: Lines = Lines()
    basis: str = "after"
    carries: bool = False


@dataclass(frozen=True)
class Visit:
    """Points for coming."""

    points: int
    minimum: int = 0
    basis: str = "after"


@dataclass(frozen=True)
class Item:
    """Points for units."""

    points: int
    per: int = 1
    lines: Lines = Lines()


@dataclass(frozen=True)
class Activity:
    """Points for something else."""

    points: int
    name: str


@dataclass(frozen=True)
class Window:
    """So many hours from a local time on: once, every day, on some days of the week, or once a year."""

    starts: datetime
    hours: int
    every: str = "once"
    days: frozenset[int] = frozenset()
    """Monday is 0."""
    month: int = 0
    which: int = 0
    """Of a year: the first, second or later such day of a month."""

    def begins_on(self, day: date) -> bool:
        """Whether it begins anew on a day."""
        match self.every:
            case "once":
                return day == self.starts.date()
            case "day":
                return True
            case "week":
                return day.weekday() in self.days
            case _:
                nth = (day.day + 6) // 7
                return (day.month, nth) == (self.month, self.which) and day.weekday() in self.days


@dataclass(frozen=True)
class When:
    """Conditions; an empty one always holds."""

    stores: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    tenders: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    windows: tuple[Window, ...] = ()
    expression: str = ""


@dataclass(frozen=True)
class Limit:
    """So many times or points over a period."""

    period: str
    times: int = 0
    points: int = 0
    shared: bool = False
    """Counted over all members."""


@dataclass(frozen=True)
class Terms:
    """What rules and promotions have in common."""

    when: When = When()
    priority: int = 0
    limits: tuple[Limit, ...] = ()
    pending: Pending | None = None
    expiry: Expiry | None = None


@dataclass(frozen=True)
class Rule:
    """A way to earn."""

    rule_id: str
    kind: Spend | Visit | Item | Activity
    terms: Terms = Terms()
    stop: bool = False


@dataclass(frozen=True)
class Promotion:
    """plus (points), times (thousandths) or fixed (points)."""

    promotion_id: str
    effect: str
    number: int
    lines: Lines = Lines()
    terms: Terms = Terms()


@dataclass(frozen=True)
class Cap:
    """Points over a sale, the balance or a period."""

    cap_id: str
    over: str
    points: int
    rejects: bool = False


@dataclass(frozen=True)
class Prize:
    """A reward: cashback (a step's value and price), or something off the order."""

    reward_id: str
    cost: int
    value: int = 0
    percent_hundredths: int = 0
    most: int = 0
    cashback: bool = False


@dataclass(frozen=True)
class Rules:
    """A program."""

    zone: str = "UTC"
    stores: tuple[tuple[str, str], ...] = ()
    """Each store's zone, empty for the program's; no stores for any store."""
    earning: tuple[Rule, ...] = ()
    combination: str = "sum"
    promotions: tuple[Promotion, ...] = ()
    stacking: str = "all"
    caps: tuple[Cap, ...] = ()
    pending: Pending = AT_ONCE
    expiry: Expiry = FOR_EVER
    ladder: Ladder = NO_LADDER
    prizes: tuple[Prize, ...] = ()
    hold_seconds: int = 1800
    may_owe: bool = False
    grace_days: int = 0
    returns_wait: bool = True

    def __deepcopy__(self, _memo: object) -> "Rules":
        """Nothing in it ever changes."""
        return self

    @property
    def all_promotions(self) -> list[Promotion]:
        """The promotions, those that the multipliers of tiers are among them."""
        return [
            *self.promotions,
            *(
                Promotion(tier, "times", number, terms=Terms(When(tiers=frozenset([tier]))))
                for tier, _, number in self.ladder.tiers
                if number
            ),
        ]

    def store_zone(self, store: str) -> str:
        """The zone of a store's clock."""
        return dict(self.stores).get(store, "") or self.zone


@dataclass
class Line:
    """A line as it is sent."""

    line_id: str
    price: int
    discount: int = 0
    quantity: int = 1
    tags: frozenset[str] = frozenset()
    tax: int = 0


LINE_EXPRESSIONS: Final[dict[str, Callable[[Line], bool]]] = {
    "line.quantity > 1": lambda line: line.quantity > 1,
    "line.price_minor - line.discount_minor >= 1000": lambda line: line.price - line.discount >= 1_000,
    '"red" in line.labels || line.kind == "delivery"': lambda line: bool(
        line.tags & frozenset(("labels:red", "kinds:DELIVERY"))
    ),
}
"""Conditions on lines in CEL, with what they mean."""


@dataclass(frozen=True)
class Place:
    """Where and how something happened."""

    store: str = "s-1"
    channel: str = "STORE"
    tenders: frozenset[str] = frozenset()
    attributes: tuple[tuple[str, str], ...] = ()


HERE = Place()
"""A till in a store, paid by nothing that anybody named."""


@dataclass
class Award:
    """What one rule or promotion gave."""

    owner: str
    points: int
    basis: int
    by_line: dict[str, int] = field(default_factory=dict)
    """What of each line counted: money, units, or for a promotion points."""
    terms: Terms = Terms()
    taken_back: str = "amount"
    minimum: int = 0
    reduced: int = 0
    """Points that limits and caps took off."""
    lot: int = 0


def worth(prize: Prize, total: int) -> int:
    """What a discount takes off an order."""
    value = prize.value or floor(Fraction(total * prize.percent_hundredths, 10_000))
    if prize.most:
        value = min(value, prize.most)
    return min(value, total)
