"""What is compared: each figure under the name of whose it is, of the model and of the ledger alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from tests.model.purse import Figures
from tests.model.tiers import Shown

NOWHERE: Final = "nothing"
"""How a figure is shown that one side does not have."""


class Issued(NamedTuple):
    """A lot as it was issued. Instants are microseconds since 1970; 0 is at once."""

    points: int
    active: int
    gone: int


@dataclass
class Sheet:
    """All figures of one side."""

    issued: dict[str, int] = field(default_factory=dict)
    available: dict[str, int] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    expiring: dict[str, int] = field(default_factory=dict)
    """Points by household and expiry."""
    lots: dict[str, Issued] = field(default_factory=dict)
    receipts: dict[str, Figures] = field(default_factory=dict)
    """What the till was answered for each basket: points by rule, balance and tier."""
    tiers: dict[str, Shown] = field(default_factory=dict)

    def take_over(self, other: "Sheet") -> None:
        """Adds the figures of other households."""
        for each in fields(self):
            getattr(self, each.name).update(getattr(other, each.name))


class Difference(NamedTuple):
    """A figure that is not the same on both sides."""

    who: str
    figure: str
    in_model: str
    in_ledger: str

    def __str__(self) -> str:
        return f"{self.who}: {self.figure}: {self.in_model} in the model, {self.in_ledger} in the ledger"


class Total(NamedTuple):
    """The sum of the points of a figure, or how many there are, and how many differ."""

    figure: str
    in_model: int
    in_ledger: int
    differences: int


@dataclass(frozen=True)
class Comparison:
    """The model and the ledger."""

    totals: list[Total]
    differences: list[Difference]


TITLES: Final = {
    "issued": "points issued",
    "available": "points available",
    "pending": "points pending",
    "expiring": "points by expiry",
    "lots": "lots issued",
    "receipts": "receipts",
    "tiers": "tiers",
}


def compare(model: Sheet, ledger: Sheet) -> Comparison:
    """Each figure of each household, lot and receipt."""
    found = Comparison([], [])
    for name, title in TITLES.items():
        in_model, in_ledger = getattr(model, name), getattr(ledger, name)
        differences = [
            Difference(who, title, *_shown(in_model.get(who), in_ledger.get(who)))
            for who in sorted(in_model.keys() | in_ledger.keys())
            if in_model.get(who) != in_ledger.get(who)
        ]
        found.totals.append(Total(title, _total(in_model), _total(in_ledger), len(differences)))
        found.differences.extend(differences)
    return found


def _total(figures: Mapping[str, Any]) -> int:
    return sum(figure if isinstance(figure, int) else 1 for figure in figures.values())


def _shown(*sides: Any) -> tuple[str, str]:
    """Both sides; of many figures in one only those that differ."""
    one, other = (_named(side) for side in sides)
    if one and other:
        names = [name for name in one if one[name] != other[name]]
        return _text({name: one[name] for name in names}), _text({name: other[name] for name in names})
    return _text(one or sides[0]), _text(other or sides[1])


def _named(side: Any) -> dict[str, Any]:
    if isinstance(side, Issued):
        return side._asdict()
    return dict(vars(side)) if isinstance(side, Figures | Shown) else {}


def _text(side: Any) -> str:
    if side is None:
        return NOWHERE
    return ", ".join(f"{name} {value}" for name, value in side.items()) if isinstance(side, dict) else f"{side:,}"
