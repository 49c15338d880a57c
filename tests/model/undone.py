"""What undoing an activity, or the settling of pending points, does to a purse."""

from fractions import Fraction

from tests.model.purse import Figures, Purse
from tests.model.sold import Done, Settled, claims, let_go


def undo_activity(purse: Purse, done: Done, at: int, figures: Figures) -> None:
    """Takes back what an activity gave; what was cancelled no longer counts since then."""
    wanted: dict[int, int] = {}
    for award in done.awards:
        wanted[award.lot] = wanted.get(award.lot, 0) + award.points
    points = sum(wanted.values())
    purse.give_and_take([], claims(dict.fromkeys(wanted, 0), wanted, points), at, figures)
    if purse.rules.ladder.policy.basis == "points":
        purse.status.count(at, figures.void - points, done.counted)
    let_go(done.given, {award.owner: award.points for award in done.awards}, figures.shortfall, Fraction(1))


def undo_settlement(purse: Purse, done: Settled, at: int, figures: Figures) -> None:
    """Makes pending what was activated, or has again what was cancelled, which counts again where it did."""
    revived = purse.unsettle(done.parts, at, figures, activated=done.activated)
    if purse.rules.ladder.policy.basis == "points":
        purse.status.count(at, revived, done.counted)
