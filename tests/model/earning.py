"""What rules and promotions give for one sale or activity, by the words of earning.proto."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor

from tests.model.dates import day_of, local, same_period
from tests.model.scheme import (
    Activity,
    Award,
    Item,
    Limit,
    Line,
    Lines,
    Place,
    Promotion,
    Rule,
    Rules,
    Spend,
    Visit,
    When,
    Window,
)


@dataclass
class Given:
    """Points that something gave; of a remainder the amount that a sale added to it."""

    kind: str
    """award, cap (of all awards of a sale or activity together) or carry."""
    owner: str
    day: date
    points: int
    gone: int = 0
    """What was taken back of it since."""


@dataclass
class Diary:
    """What a member was ever given: the counters of limits and caps are sums over it."""

    given: list[Given] = field(default_factory=list)

    def times(self, owner: str, period: str, day: date) -> int:
        """How often something gave points in the period around a day."""
        return sum(1 for one in self._of("award", owner, period, day) if one.gone < one.points)

    def points(self, owner: str, period: str, day: date) -> int:
        """How many points something gave in the period around a day."""
        return sum(one.points - one.gone for one in self._of("award", owner, period, day))

    def capped(self, cap: str, period: str, day: date) -> int:
        """How many points of the period around a day a cap has counted."""
        return sum(one.points - one.gone for one in self._of("cap", cap, period, day))

    def carried(self, owner: str) -> int:
        """What is left of earlier sales."""
        return sum(one.points - one.gone for one in self.given if (one.kind, one.owner) == ("carry", owner))

    def _of(self, kind: str, owner: str, period: str, day: date) -> list[Given]:
        return [
            one for one in self.given if (one.kind, one.owner) == (kind, owner) and same_period(period, one.day, day)
        ]


@dataclass
class Occasion:
    """A sale or activity, with all that rules look at."""

    rules: Rules
    diary: Diary
    at: int
    place: Place
    tier: str
    balance: int
    lines: list[Line] = field(default_factory=list)
    net: list[int] = field(default_factory=list)
    activity: str = ""
    qualifying: int = 0
    everybody: Diary = field(default_factory=Diary)
    """What all members together were ever given."""

    @property
    def day(self) -> date:
        """The program's day."""
        return day_of(self.at, self.rules.zone)

    @property
    def clock(self) -> datetime:
        """The store's clock."""
        return local(self.at, self.rules.store_zone(self.place.store))

    def amounts(self, basis: str) -> dict[str, int]:
        """What each line comes to on a basis."""
        found = {}
        for line, net in zip(self.lines, self.net, strict=True):
            price = net if basis.startswith("after") else line.price
            if basis == "line":
                price -= line.discount
            if basis.endswith("without_tax") and line.price:
                price -= floor(Fraction(line.tax * price, line.price))
            found[line.line_id] = price
        return found


EXPRESSIONS: dict[str, Callable[[Occasion], bool]] = {
    "": lambda _: True,
    "sale.total_minor >= 2000": lambda occasion: sum(occasion.net) >= 2_000,
    "sale.total_minor >= 5000": lambda occasion: sum(occasion.net) >= 5_000,
    "clock.hour < 12": lambda occasion: occasion.clock.hour < 12,
    'attributes["color"] == "red"': lambda occasion: dict(occasion.place.attributes).get("color") == "red",
    '!("color" in attributes)': lambda occasion: "color" not in dict(occasion.place.attributes),
    "member.qualifying_amount < 100": lambda occasion: occasion.qualifying < 100,
    "lines.exists(l, l.quantity > 1)": lambda occasion: any(line.quantity > 1 for line in occasion.lines),
}
"""Conditions in CEL, with what they mean."""


def shared(amount: int, weights: Sequence[int]) -> list[int]:
    """An amount in proportion to weights, rounded so that each running sum is the exact one, rounded down."""
    total = sum(weights)
    sums = [floor(Fraction(amount * sum(weights[: n + 1]), total)) if total else 0 for n in range(len(weights))]
    return [after - before for before, after in zip([0, *sums], sums, strict=False)]


def earned(occasion: Occasion) -> list[Award]:
    """All awards, as they are in the end; the diary is kept."""
    awards = _by_rules(occasion)
    awards += _by_promotions(occasion, awards)
    for cap in occasion.rules.caps:
        room = cap.points
        if cap.over == "balance":
            room = max(cap.points - occasion.balance, 0)
        elif cap.over != "sale":
            room = max(cap.points - occasion.diary.capped(cap.cap_id, cap.over, occasion.day), 0)
        asked = sum(award.points for award in awards)
        if asked > room:
            _cut(awards, asked if cap.rejects else asked - room)
    for award in awards:
        if award.points > 0:
            given = Given("award", award.owner, occasion.day, award.points)
            occasion.diary.given.append(given)
            occasion.everybody.given.append(given)
    total = sum(award.points for award in awards)
    occasion.diary.given += [Given("cap", cap.cap_id, occasion.day, total) for cap in occasion.rules.caps]
    return [award for award in awards if award.points]


def _cut(awards: list[Award], excess: int) -> None:
    """Takes points off awards, the last first."""
    for award in awards[::-1]:
        if award.points > 0:
            less = min(award.points, excess)
            award.points -= less
            award.reduced += less
            excess -= less


def _by_rules(occasion: Occasion) -> list[Award]:
    """The rules in order, combined."""
    rules = occasion.rules
    candidates: list[Award] = []
    for rule in sorted(rules.earning, key=lambda rule: (-rule.terms.priority, rule.rule_id)):
        award = _ask(rule, occasion) if holds(rule.terms.when, occasion) else None
        if award is None:
            continue
        _limit(award, rule.terms.limits, occasion)
        candidates.append(award)
        if rule.stop and award.points:
            break
    giving = [award for award in candidates if award.points]
    if rules.combination == "best":
        most = max((award.points for award in giving), default=0)
        return [award for award in giving if award.points == most][:1]
    return giving[:1] if rules.combination == "first" else giving


def _ask(rule: Rule, occasion: Occasion) -> Award | None:
    """What a rule gives by itself; None for nothing."""
    match rule.kind:
        case Spend() as spend if not occasion.activity:
            award = _spend(rule, spend, occasion)
        case Visit(points, minimum, basis) if not occasion.activity:
            amounts = occasion.amounts(basis)
            total = sum(amounts.values())
            points = points if total >= minimum else 0
            award = Award(rule.rule_id, points, total, amounts, rule.terms, "whole", minimum)
        case Item(points, per, lines) if not occasion.activity:
            units = {line.line_id: line.quantity for line in occasion.lines if lines.count(line)}
            steps = floor(Fraction(sum(units.values()), per))
            award = Award(rule.rule_id, points * steps, sum(units.values()), units, rule.terms, "units")
        case Activity(points, name) if occasion.activity == name:
            award = Award(rule.rule_id, points, 0, {}, rule.terms)
        case _:
            return None
    return award if award.points else None


def _spend(rule: Rule, spend: Spend, occasion: Occasion) -> Award:
    amounts = occasion.amounts(spend.basis)
    if sum(amounts.values()) < spend.minimum:
        return Award(rule.rule_id, 0, 0)
    counted = {line.line_id: amounts[line.line_id] for line in occasion.lines if spend.lines.count(line)}
    amount = sum(counted.values())
    if spend.carries:
        before = occasion.diary.carried(rule.rule_id)
        amount += before
        after = amount - spend.per * max(floor(Fraction(amount, spend.per)), 0)
        occasion.diary.given.append(Given("carry", rule.rule_id, occasion.day, after - before))
        amount = max(amount, 0)
    return Award(rule.rule_id, rounded(spend, amount), amount, counted, rule.terms)


def rounded(rule: Spend, amount: int) -> int:
    """The points of an amount."""
    exact = Fraction(amount * rule.points, rule.per)
    match rule.rounding:
        case "steps":
            return floor(Fraction(amount, rule.per)) * rule.points
        case "floor":
            return floor(exact)
        case "half_up":
            return floor(exact + Fraction(1, 2))
        case _:
            return ceil(exact)


def _limit(award: Award, limits: Sequence[Limit], occasion: Occasion) -> None:
    """Takes off what limits do not leave."""
    for limit in limits:
        if award.points <= 0:
            return
        diary, day = occasion.everybody if limit.shared else occasion.diary, occasion.day
        if limit.times:
            room = award.points if diary.times(award.owner, limit.period, day) < limit.times else 0
        else:
            room = max(limit.points - diary.points(award.owner, limit.period, day), 0)
        less = max(award.points - room, 0)
        award.points -= less
        award.reduced += less


def _by_promotions(occasion: Occasion, base: list[Award]) -> list[Award]:
    """What promotions give on top of what the rules gave, stacked."""
    total = sum(award.points for award in base)
    if total <= 0:
        return []
    by_line = {line.line_id: 0 for line in occasion.lines}
    for award in base:
        for line_id, part in zip(award.by_line, shared(award.points, list(award.by_line.values())), strict=True):
            by_line[line_id] += part
    found: list[Award] = []
    for promotion in sorted(occasion.rules.all_promotions, key=_newest_first):
        if holds(promotion.terms.when, occasion):
            bonus = _promote(promotion, occasion, total, by_line)
            if bonus is not None:
                _limit(bonus, promotion.terms.limits, occasion)
                found.append(bonus)
    return _stacked(occasion.rules.stacking, found, total)


def _stacked(stacking: str, found: list[Award], total: int) -> list[Award]:
    """All promotions, the best or the first; together they never take more than what the rules gave."""
    if stacking == "first":
        return [award for award in found if award.points][:1]
    if stacking == "best":
        most = max((award.points for award in found), default=0)
        return [award for award in found if award.points == most][:1]
    too_much = max(-total - sum(award.points for award in found), 0)
    for award in found[::-1]:
        if award.points < 0:
            less = min(too_much, -award.points)
            award.points += less
            too_much -= less
    return found


def _newest_first(promotion: Promotion) -> tuple[int, timedelta, str]:
    starts = [window.starts for window in promotion.terms.when.windows]
    age = datetime(3000, 1, 1) - min(starts) if starts else timedelta.max  # noqa: DTZ001 - a local clock
    return -promotion.terms.priority, age, promotion.promotion_id


def _promote(promotion: Promotion, occasion: Occasion, total: int, by_line: dict[str, int]) -> Award | None:
    """What a promotion gives by itself."""
    parts = {line.line_id: by_line[line.line_id] for line in occasion.lines if promotion.lines.count(line)}
    on_all = promotion.lines == Lines()
    worked_on = total if on_all else sum(parts.values())
    if not worked_on:
        return None
    match promotion.effect:
        case "plus":
            points = promotion.number
        case "times":
            points = floor(Fraction(worked_on * promotion.number, 1_000)) - worked_on
        case _:
            points = promotion.number - worked_on
    return Award(promotion.promotion_id, points, worked_on, parts, promotion.terms, "base") if points else None


def holds(when: When, occasion: Occasion) -> bool:
    """Whether all conditions that are given hold."""
    place = occasion.place
    return all(
        (
            not when.stores or place.store in when.stores,
            not when.channels or place.channel in when.channels,
            not when.tenders or (not occasion.activity and bool(place.tenders & when.tenders)),
            not when.tiers or occasion.tier in when.tiers,
            not when.windows or any(is_open(window, occasion.clock) for window in when.windows),
            EXPRESSIONS[when.expression](occasion),
        )
    )


def is_open(window: Window, clock: datetime) -> bool:
    """Whether one of a window's occurrences lasts then, looked for on each day on which that one may have begun."""
    lasts = timedelta(hours=window.hours)
    day = max(window.starts.date(), (clock - lasts).date())
    while day <= clock.date():
        start = datetime.combine(day, window.starts.time())
        if window.begins_on(day) and start <= clock < start + lasts:
            return True
        day += timedelta(days=1)
    return False
