"""What undoing an activity, or the settling of pending points, does to a purse."""

from fractions import Fraction

from tests.model.purse import Figures, Purse
from tests.model.sold import Done, Settled, let_go


def undo_activity(purse: Purse, done: Done, at: int, figures: Figures) -> None:
    """Takes back what an activity gave, less what was cancelled."""
    wanted: dict[int, int] = {}
    for award in done.awards:
        wanted[award.lot] = wanted.get(award.lot, 0) + award.points
    for lot, points in wanted.items():
        purse.absorbed[lot] = purse.cancelled.get(lot, 0)
        wanted[lot] = points - purse.absorbed[lot]
    purse.give_and_take([], wanted, at, figures)
    if purse.rules.ladder.policy.basis == "points":
        purse.status.count(at, -sum(wanted.values()), done.counted)
    let_go(done.given, {award.owner: award.points for award in done.awards}, figures.shortfall, Fraction(1))


def undo_settlement(purse: Purse, done: Settled, at: int, figures: Figures) -> None:
    """Makes pending what was activated, or has again what was cancelled, which counts again where it did."""
    revived = purse.unsettle(done.parts, at, figures, activated=done.activated)
    if purse.rules.ladder.policy.basis == "points":
        purse.status.count(at, revived, done.counted)
