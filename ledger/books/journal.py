"""Journal: balanced entries for a general ledger, by day, vintage and what happened.

Every document has two lines, a debit and a credit of the same points and the same money. Its number is made of what it
is of, so that a day that is exported again has the same documents. Money is the change of what the vintage is worth,
rounded once, so that the account `liability` always comes to the liability itself.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

from ledger.books.line import Line
from ledger.books.roll_forward import worth

ACCOUNTS: Final = {
    "issued": "issued",
    "restored": "restored",
    "reinstated": "reinstated",
    "adjusted": "adjusted",
    "redeemed": "redeemed",
    "expired": "breakage",
    "clawed_back": "clawed_back",
}
"""The account opposite to `liability`, by what happened. What comes in credits the liability."""

LIABILITY: Final = "liability"


class Entry(NamedTuple):
    """A line of a journal; one of debit and credit is 0."""

    document: str
    day: date
    account: str
    vintage: str
    debit_points: int
    credit_points: int
    debit_minor: int
    credit_minor: int


def journal(
    program: str, lines: Iterable[Line], minor_per_thousand_points: int, start: date = date.min, until: date = date.max
) -> Iterator[Entry]:
    """The entries of days from `start` up to, not including, `until`; the lines are of booked days, in order."""
    held: dict[str, int] = {}
    for line in lines:
        if line.period >= until:
            return
        points = held.get(line.vintage, 0)
        for kind, account in ACCOUNTS.items():
            moved: int = getattr(line, kind)
            if not moved:
                continue
            minor = worth(points + moved, minor_per_thousand_points) - worth(points, minor_per_thousand_points)
            points += moved
            if line.period >= start:
                name = f"{program.removeprefix('programs/')}-{line.period:%Y%m%d}-{line.vintage or 'owed'}-{kind}"
                yield from _document(name, line, account, moved, minor)
        held[line.vintage] = points


def _document(name: str, line: Line, account: str, points: int, minor: int) -> Iterator[Entry]:
    """Both lines; more points held are a debit of what they came from and a credit of the liability."""
    debit, credit = (account, LIABILITY) if points > 0 else (LIABILITY, account)
    yield Entry(name, line.period, debit, line.vintage, abs(points), 0, abs(minor), 0)
    yield Entry(name, line.period, credit, line.vintage, 0, abs(points), 0, abs(minor))
