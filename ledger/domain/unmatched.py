"""Unmatched: the rules and promotions that gave nothing for a sale or activity, and why.

Events hold outcomes, so that is not in them. It is worked out again from the stored sale and the program version that
decided; what the member's limits and points were at that moment is inferred from what was given.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from loyalty.v1.account_pb2 import Award
from loyalty.v1.earning_pb2 import Combination, Stacking
from loyalty.v1.events_pb2 import ActivityRecorded, SaleRecorded

from ledger.domain.account import Account
from ledger.domain.basket import Basket
from ledger.domain.earn import by_line_of
from ledger.domain.instant import from_timestamp
from ledger.domain.pool import Pools
from ledger.domain.program import Program
from ledger.domain.rules.facts import Facts
from ledger.domain.rules.promotion import Promotion
from ledger.domain.rules.rule import Rule
from ledger.domain.rules.tally import Tally
from ledger.domain.rules.terms import Terms
from ledger.domain.rules.unmet import Unmet


class Unmatched(NamedTuple):
    """A rule or promotion that gave nothing."""

    owner: str
    why: Unmet
    better: str = ""
    """The one that was given instead of it."""


def unmatched(program: Program, event: SaleRecorded | ActivityRecorded, tier: str) -> list[Unmatched]:
    """What gave nothing, in the order in which it was looked at; `tier` is the member's before the event.

    Promotions that tiers' multipliers are, and what the event itself tells of, are left out.
    """
    facts, basket = _facts(program, event, tier)
    told = {award.rule for award in event.awards} | {failure.rule for failure in event.failures}
    told.update(message.tier_id for message in program.definition.tiers)
    return [one for one in _of_all(program, event, facts, basket) if one.owner not in told]


def _of_all(
    program: Program, event: SaleRecorded | ActivityRecorded, facts: Facts, basket: Basket
) -> Iterator[Unmatched]:
    rules = program.activities.get(facts.activity, ()) if facts.basket is None else program.sale_rules
    given = _before_caps(program, event.awards)
    of_rules = [award for award in given if award.rule in {rule.terms.owner for rule in rules}]
    yield from _rules(program, rules, of_rules, facts, basket)
    yield from _promotions(program, of_rules, given, facts, basket)
    for activity, others in program.activities.items():
        if activity != facts.activity:
            yield from (Unmatched(rule.terms.owner, Unmet.OCCASION) for rule in others)
    if facts.basket is None:
        yield from (Unmatched(rule.terms.owner, Unmet.OCCASION) for rule in program.sale_rules)


def _facts(program: Program, event: SaleRecorded | ActivityRecorded, tier: str) -> tuple[Facts, Basket]:
    """What the rules looked at then, but for the member's points and limits."""
    account = Account(UUID(int=0))
    account.tier = tier
    origin = event.origin
    basket = Basket([], [])
    attributes = event.request.attributes if isinstance(event, ActivityRecorded) else event.request.sale.attributes
    if isinstance(event, SaleRecorded):
        basket = Basket.of(event.request.sale)
        net = list(event.line_net_minor)
        rewards = [before - after for before, after in zip(basket.net, net, strict=True)]
        if any(rewards):
            basket.take(rewards, on_order=True)
    facts = Facts(
        account,
        origin,
        from_timestamp(origin.occurred_at),
        program.zone_of(origin.store),
        names=program.expression_names,
        basket=basket if isinstance(event, SaleRecorded) else None,
        activity=event.request.activity if isinstance(event, ActivityRecorded) else "",
        attributes=attributes,
    )
    return facts, basket


def _before_caps(program: Program, awards: Iterable[Award]) -> list[Award]:
    """Awards as they were when they were combined: limits were applied, caps were not yet."""
    caps = {cap.cap_id for cap in program.definition.caps}
    found: list[Award] = []
    for award in awards:
        before = Award()
        before.CopyFrom(award)
        before.points += sum(reduction.points for reduction in award.reductions if reduction.limit in caps)
        found.append(before)
    return found


class _Contest:
    """Which award left out others."""

    def __init__(self, awards: Sequence[Award], *, only_first: bool, only_best: bool) -> None:
        self._given = {award.rule: award.points for award in awards}
        self._only_first = only_first
        self._best = max(awards, key=lambda award: award.points, default=None) if only_best else None
        self._ended_by = ""

    def is_given(self, owner: str, *, stops: bool) -> bool:
        """Whether that one was given; then those behind it may be left out."""
        points = self._given.get(owner)
        if points and (stops or self._only_first) and not self._ended_by:
            self._ended_by = owner
        return points is not None

    def lost(self, terms: Terms, points: int, *, stops: bool = False) -> Unmatched:
        """Why one that would have given so many points by itself was left out."""
        if self._ended_by:
            return Unmatched(terms.owner, Unmet.STOPPED, self._ended_by)
        is_sure = not terms.limits and not _asks_for_points(terms)
        if self._best is not None and points <= self._best.points:
            if stops and is_sure:
                self._ended_by = terms.owner
            return Unmatched(terms.owner, Unmet.WORSE, self._best.rule)
        if is_sure or (terms.limits and _asks_for_points(terms)):
            return Unmatched(terms.owner, Unmet.UNKNOWN)
        return Unmatched(terms.owner, Unmet.LIMIT if terms.limits else Unmet.EXPRESSION)


def _rules(
    program: Program, rules: Sequence[Rule], awards: Sequence[Award], facts: Facts, basket: Basket
) -> Iterator[Unmatched]:
    contest = _Contest(
        awards,
        only_first=program.combination == Combination.COMBINATION_FIRST,
        only_best=program.combination == Combination.COMBINATION_BEST,
    )
    tally = Tally({}, Pools("", {}), facts.at, program.zone)
    for rule in rules:
        owner = rule.terms.owner
        if contest.is_given(owner, stops=rule.stop):
            continue
        if why := _unmet(rule.terms, facts):
            yield Unmatched(owner, why)
            continue
        asked = rule.ask(facts, basket, tally)
        if asked is None or not asked.award.points:
            yield Unmatched(owner, rule.lacks(facts, basket))
        else:
            yield contest.lost(rule.terms, asked.award.points, stops=rule.stop)


def _promotions(
    program: Program, of_rules: Sequence[Award], awards: Sequence[Award], facts: Facts, basket: Basket
) -> Iterator[Unmatched]:
    promotions = program.promotions
    owners = {promotion.terms.owner for promotion in promotions}
    contest = _Contest(
        [award for award in awards if award.rule in owners],
        only_first=program.stacking == Stacking.STACKING_FIRST,
        only_best=program.stacking == Stacking.STACKING_BEST,
    )
    base = sum(award.points for award in of_rules)
    by_line = by_line_of(basket, of_rules)
    for promotion in promotions:
        if not contest.is_given(promotion.terms.owner, stops=False):
            yield _promotion(promotion, contest, base, by_line, facts, basket)


def _promotion(
    promotion: Promotion, contest: _Contest, base: int, by_line: Sequence[int], facts: Facts, basket: Basket
) -> Unmatched:
    terms = promotion.terms
    if why := _unmet(terms, facts) or (Unmet.NO_BASE if base <= 0 else None):
        return Unmatched(terms.owner, why)
    award = promotion.ask(facts, basket, base, by_line)
    if award is None:
        return Unmatched(terms.owner, promotion.lacks(facts, basket, by_line))
    return contest.lost(terms, award.points)


def _unmet(terms: Terms, facts: Facts) -> Unmet | None:
    """The condition that did not hold; None where all did, or where it looks at what the member had then."""
    why = terms.conditions.unmet(facts) if terms.conditions is not None else None
    return None if why is Unmet.EXPRESSION and _asks_for_points(terms) else why


def _asks_for_points(terms: Terms) -> bool:
    return terms.conditions is not None and "member" in terms.conditions.names
