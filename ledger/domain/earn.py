"""Earning: what the rules and promotions of a program give for a sale or activity, and the lots that it becomes."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import Combination, Stacking
from loyalty.v1.events_pb2 import ActivityRecorded, SaleRecorded
from loyalty.v1.expiry_pb2 import ExpiryPolicy

from ledger.domain.account import Account
from ledger.domain.basket import Basket
from ledger.domain.case import Case, RequestT
from ledger.domain.lot import Lot
from ledger.domain.pool import Pools
from ledger.domain.program import Program
from ledger.domain.rounding import share_out
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.limit import reduce
from ledger.domain.rules.rule import Asked, Rule
from ledger.domain.rules.tally import Tally
from ledger.domain.rules.terms import Terms
from ledger.domain.validity import Validity

# An enum looks a name up each time that it is asked for one.
_FIRST: Final = Combination.COMBINATION_FIRST
_BEST: Final = Combination.COMBINATION_BEST
_FIRST_ONLY: Final = Stacking.STACKING_FIRST
_BEST_ONLY: Final = Stacking.STACKING_BEST

_Dates = tuple[int, int, bool, bytes]
"""Activation, expiry, whether that follows activity, and the policy of points that are pending."""


class Earned(NamedTuple):
    """What was earned."""

    awards: list[tuple[Award, Validity]]
    tally: Tally
    facts: Facts

    @property
    def points(self) -> int:
        """All of it."""
        return sum(award.points for award, _ in self.awards)


def earn(program: Program, facts: Facts, basket: Basket, rules: Iterable[Rule], pools: Pools) -> Earned:
    """What some rules, then the promotions, give. Raises Overflow.

    Limits are looked at rule by rule before the rules are combined, and counted for those that give points in the end.
    """
    tally = Tally(facts.account.counters, pools, facts.at, program.zone)
    awards = [(asked.award, rule.terms) for rule, asked in _chosen(program, facts, basket, rules, tally)]
    if program.has_promotions:
        base = sum(award.points for award, _ in awards)
        if base > 0:
            awards += _promoted(program, facts, basket, awards, base, tally)
    if program.caps:
        balance = facts.account.balance
        for cap in program.caps:
            cap.apply([award for award, _ in awards], balance, tally)
    for award, terms in awards:
        for limit in terms.limits:
            if award.points > 0:
                limit.count(award.points, tally)
    earned = Earned(
        [(award, terms.validity) for award, terms in awards if award.points or award.reductions], tally, facts
    )
    for cap in program.caps:
        cap.count(earned.points, tally)
    return earned


def _chosen(
    program: Program, facts: Facts, basket: Basket, rules: Iterable[Rule], tally: Tally
) -> list[tuple[Rule, Asked]]:
    """What the rules give, combined as the program says."""
    chosen: list[tuple[Rule, Asked]] = []
    for rule in rules:
        terms = rule.terms
        if terms.conditions is not None and terms.conditions.unmet(facts):
            continue
        asked = rule.ask(facts, basket, tally)
        if asked is None:
            continue
        if terms.limits:
            reduce(asked.award, terms.limits, tally)
        chosen.append((rule, asked))
        if asked.award.points and (rule.stop or program.combination == _FIRST):
            break
    if chosen and program.combination == _BEST:
        chosen = [max(chosen, key=lambda one: one[1].award.points)]
    elif program.combination == _FIRST:
        chosen = chosen[-1:]
    for rule, asked in chosen:
        if asked.carried is not None:
            tally.set(f"{rule.terms.owner}/carry", asked.carried)
    return chosen


def _promoted(
    program: Program,
    facts: Facts,
    basket: Basket,
    awards: Sequence[tuple[Award, Terms]],
    base: int,
    tally: Tally,
) -> list[tuple[Award, Terms]]:
    """What the promotions give on top, stacked as the program says."""
    by_line: list[int] | None = None
    promoted: list[tuple[Award, Terms]] = []
    for promotion in program.promotions_for(facts):
        terms = promotion.terms
        if terms.conditions is not None and terms.conditions.unmet(facts):
            continue
        by_line = by_line or by_line_of(basket, [award for award, _ in awards])
        award = promotion.ask(facts, basket, base, by_line)
        if award is None:
            continue
        reduce(award, terms.limits, tally)
        promoted.append((award, terms))
        if award.points and program.stacking == _FIRST_ONLY:
            return promoted[-1:]
    if promoted and program.stacking == _BEST_ONLY:
        return [max(promoted, key=lambda one: one[0].points)]
    # Together they never take more than what the rules gave.
    below = -min(base + sum(award.points for award, _ in promoted), 0)
    for award, _ in reversed(promoted):
        less = min(below, max(-award.points, 0))
        award.points += less
        below -= less
    return promoted


def by_line_of(basket: Basket, awards: Iterable[Award]) -> list[int]:
    """The points that each line earned, in order: each award shared out by what it counted of each line."""
    at_of = {line.line_id: at for at, line in enumerate(basket.lines)}
    points = [0] * len(basket.lines)
    for award in awards:
        if award.lines:
            weights = [line.basis for line in award.lines]
            places = [at_of[line.line_id] for line in award.lines]
        else:
            weights, places = basket.net, list(range(len(points)))
        for at, part in zip(places, share_out(award.points, weights), strict=True):
            points[at] += part
    return points


def issue(event: SaleRecorded | ActivityRecorded, account: Account, earned: Earned) -> None:
    """Writes what was earned into its event: awards, lots and what it takes of limits.

    Points of the same activation and expiry go into one lot, pending ones only where their policy is the same too. What
    the member owes is repaid first, from the lots in order; what a promotion takes away is taken from them too.
    """
    lots: dict[_Dates, int] = {}
    taken = 0
    for award, validity in earned.awards:
        if award.points > 0:
            key = _dates(validity, earned.facts.at)
            lots[key] = lots.get(key, 0) + award.points
            award.lot = account.next_lot + list(lots).index(key)
        else:
            taken -= award.points
        event.awards.append(award)
    event.repaid_points = min(account.owed, sum(lots.values()) - taken)
    off = taken + event.repaid_points
    for number, ((activates_at, expires_at, follows, policy), points) in enumerate(lots.items(), account.next_lot):
        less = min(points, off)
        off -= less
        expiry = ExpiryPolicy.FromString(policy) if policy else None
        Lot(expires_at, number, activates_at, points - less, follows, expiry).write(event.lots.add())
    event.uses.extend(earned.tally.uses())
    event.failures.extend(earned.facts.failures)


def new_lot(case: Case[RequestT], points: int) -> tuple[Lot, int]:
    """The active lot for points given by hand, and how many of them repay what is owed instead of going into it."""
    repaid = min(points, case.account.owed)
    validity = case.program.validity
    lot = Lot(validity.expires_at(case.at), case.account.next_lot, 0, points - repaid, validity.follows_activity)
    return lot, repaid


def _dates(validity: Validity, at: int) -> _Dates:
    activates_at = validity.activates_at(at)
    expires_at = validity.expires_at(activates_at or at)
    return activates_at, expires_at, validity.follows_activity, validity.policy if activates_at else b""
