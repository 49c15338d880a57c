"""What earning rules, promotions, limits and caps must be to be published."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from loyalty.v1.attribute_pb2 import AttributeDefinition
from loyalty.v1.earning_pb2 import (
    Basis,
    Cap,
    Combination,
    Conditions,
    EarningRule,
    Excess,
    ItemRule,
    Limit,
    LimitScope,
    LineFilter,
    Period,
    Promotion,
    Rounding,
    SpendRule,
    Stacking,
    VisitRule,
    Window,
)
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import ExtendedWarranty, FreeItems, LineDiscount
from loyalty.v1.sale_pb2 import LineKind, TenderKind

from ledger.domain.publish_expiry import check_expiry, check_pending
from ledger.domain.publish_fields import (
    ID_FORM,
    NAME_CHARACTERS_MAX,
    Problems,
    check_count,
    check_enum,
    check_ids,
    check_positive,
    check_text,
    has_control,
    is_id,
)
from ledger.domain.rules.expression import Expression
from ledger.domain.rules.recurrence import WindowError
from ledger.domain.rules.window import Window as CompiledWindow

RULES_MAX: Final = 1_000
"""Earning rules of a program, and promotions."""

LIMITS_MAX: Final = 10
"""Limits of one rule or promotion."""

CAPS_MAX: Final = 20
"""Caps of a program."""

WINDOWS_MAX: Final = 50
"""Windows of one rule or promotion."""

PLACES_MAX: Final = 10_000
"""Stores that one rule or promotion names."""

FILTER_ENTRIES_MAX: Final = 10_000
"""Entries of all lists of one line filter together."""

MULTIPLIER_THOUSANDTHS_MAX: Final = 1_000_000
"""A thousand times."""

ONCE: Final = 1_000
"""The multiplier that changes nothing, in thousandths."""

_LISTS: Final = ("skus", "labels", "categories", "brands", "kinds")
_KINDS: Final = frozenset(LineKind.values()) - {LineKind.LINE_KIND_UNSPECIFIED}
_PERIODS: Final = frozenset(Period.values()) - {Period.PERIOD_UNSPECIFIED}


HasLines = SpendRule | ItemRule | Promotion | LineDiscount | FreeItems | ExtendedWarranty
"""What is for some lines and not for others."""


def check_earning(definition: Program, found: Problems) -> None:
    """How points are earned."""
    rules, promotions = definition.earning_rules, definition.promotions
    check_count(rules, RULES_MAX, "earning_rules", found)
    check_count(promotions, RULES_MAX, "promotions", found)
    ids = [rule.rule_id for rule in rules]
    check_ids(ids, "earning_rules", "rule_id", found)
    check_ids([promotion.promotion_id for promotion in promotions], "promotions", "promotion_id", found)
    taken = set(ids)
    for index, promotion in enumerate(promotions[:RULES_MAX]):
        if promotion.promotion_id in taken:
            found.append((f"promotions[{index}].promotion_id", "must not be the id of a rule"))
        _promotion(promotion, definition, f"promotions[{index}]", found)
    for index, rule in enumerate(rules[:RULES_MAX]):
        _rule(rule, definition, f"earning_rules[{index}]", found)
    check_enum(definition.combination, Combination.values(), "combination", found)
    check_enum(definition.promotion_stacking, Stacking.values(), "promotion_stacking", found)
    check_count(definition.caps, CAPS_MAX, "caps", found)
    check_ids([cap.cap_id for cap in definition.caps], "caps", "cap_id", found)
    for index, cap in enumerate(definition.caps[:CAPS_MAX]):
        _cap(cap, f"caps[{index}]", found)


def _rule(rule: EarningRule, definition: Program, path: str, found: Problems) -> None:
    check_text(rule.display_name, f"{path}.display_name", found)
    match rule.WhichOneof("rule"):
        case "spend":
            _spend(rule.spend, definition, f"{path}.spend", found)
        case "visit":
            _visit(rule.visit, f"{path}.visit", found)
        case "item":
            _item(rule.item, f"{path}.item", found)
        case "activity":
            check_positive(rule.activity.points, f"{path}.activity.points", found)
            if not is_id(rule.activity.activity):
                found.append((f"{path}.activity.activity", f"must be {ID_FORM}"))
            if rule.conditions.tenders:
                found.append((f"{path}.conditions.tenders", "never holds for an activity: leave it out"))
        case None:
            found.append((f"{path}.spend", "is missing: say how the rule gives points"))
    _terms(rule, definition, path, found)


def _spend(rule: SpendRule, definition: Program, path: str, found: Problems) -> None:
    check_positive(rule.points, f"{path}.points", found)
    check_positive(rule.per_minor, f"{path}.per_minor", found)
    check_enum(rule.rounding, Rounding.values(), f"{path}.rounding", found)
    check_enum(rule.basis, Basis.values(), f"{path}.basis", found)
    _minimum(rule.minimum_minor, path, found)
    check_lines(rule, path, found)
    if rule.carry_over:
        if rule.rounding not in (Rounding.ROUNDING_UNSPECIFIED, Rounding.ROUNDING_WHOLE_STEPS):
            found.append(
                (f"{path}.carry_over", "needs ROUNDING_WHOLE_STEPS: other roundings leave nothing below a step")
            )
        if definition.combination not in (Combination.COMBINATION_UNSPECIFIED, Combination.COMBINATION_SUM):
            found.append(
                (f"{path}.carry_over", "needs COMBINATION_SUM, so that what was carried over cannot be passed by")
            )


def _visit(rule: VisitRule, path: str, found: Problems) -> None:
    check_positive(rule.points, f"{path}.points", found)
    _minimum(rule.minimum_minor, path, found)
    check_enum(rule.basis, Basis.values(), f"{path}.basis", found)


def _item(rule: ItemRule, path: str, found: Problems) -> None:
    check_positive(rule.points, f"{path}.points", found)
    if rule.per_units < 0:
        found.append((f"{path}.per_units", "must be 1 or more, or 0 for 1"))
    check_lines(rule, path, found)


def _promotion(promotion: Promotion, definition: Program, path: str, found: Problems) -> None:
    check_text(promotion.display_name, f"{path}.display_name", found)
    match promotion.WhichOneof("effect"):
        case "addition_points":
            check_positive(promotion.addition_points, f"{path}.addition_points", found)
        case "multiplier_thousandths":
            factor = promotion.multiplier_thousandths
            if not 0 <= factor <= MULTIPLIER_THOUSANDTHS_MAX or factor == ONCE:
                allowed = f"must be from 0 to {MULTIPLIER_THOUSANDTHS_MAX}, and not 1000, which changes nothing"
                found.append((f"{path}.multiplier_thousandths", allowed))
        case "fixed_points":
            if promotion.fixed_points < 0:
                found.append((f"{path}.fixed_points", "must be 0 or more"))
        case None:
            found.append((path, "does nothing: give addition_points, multiplier_thousandths or fixed_points"))
    check_lines(promotion, path, found)
    _terms(promotion, definition, path, found)


def _minimum(minimum: int, path: str, found: Problems) -> None:
    if minimum < 0:
        found.append((f"{path}.minimum_minor", "must be 0 or more"))


# -- terms


def _terms(terms: EarningRule | Promotion, definition: Program, path: str, found: Problems) -> None:
    """What rules and promotions have in common."""
    if terms.HasField("conditions"):
        check_conditions(terms.conditions, definition, f"{path}.conditions", found)
    check_limits(terms.limits, f"{path}.limits", found)
    if terms.HasField("pending"):
        check_pending(terms.pending, f"{path}.pending", found)
    if terms.HasField("expiry"):
        check_expiry(terms.expiry, f"{path}.expiry", found)
        if terms.expiry.HasField("inactivity"):
            found.append((f"{path}.expiry.inactivity", "is only for a whole program"))


def check_limits(limits: Sequence[Limit], path: str, found: Problems) -> None:
    """How often or how much of something, at most."""
    check_count(limits, LIMITS_MAX, path, found)
    seen: set[tuple[int, int, bool]] = set()
    for index, limit in enumerate(limits[:LIMITS_MAX]):
        _limit(limit, f"{path}[{index}]", found)
        key = (limit.period, limit.scope or LimitScope.LIMIT_SCOPE_MEMBER, bool(limit.times))
        if key in seen:
            found.append((f"{path}[{index}]", "limits the same as one before it: keep the lower one"))
        seen.add(key)


def _limit(limit: Limit, path: str, found: Problems) -> None:
    check_enum(limit.period, _PERIODS, f"{path}.period", found)
    check_enum(limit.scope, LimitScope.values(), f"{path}.scope", found)
    if (limit.times > 0) == (limit.points > 0) or limit.times < 0 or limit.points < 0:
        found.append((path, "must have exactly one of times and points, more than 0"))


def _cap(cap: Cap, path: str, found: Problems) -> None:
    match cap.WhichOneof("over"):
        case "period":
            check_enum(cap.period, _PERIODS, f"{path}.period", found)
        case "per_sale" | "balance" as over:
            if not getattr(cap, over):
                found.append((f"{path}.{over}", "must be true, or left out"))
        case None:
            found.append((path, "must say over what: period, per_sale or balance"))
    check_positive(cap.points, f"{path}.points", found)
    check_enum(cap.excess, Excess.values(), f"{path}.excess", found)


def check_conditions(conditions: Conditions, definition: Program, path: str, found: Problems) -> None:
    """When and where something is in force."""
    check_count(conditions.stores, PLACES_MAX, f"{path}.stores", found)
    known = {store.store_id for store in definition.stores}
    for index, store in enumerate(conditions.stores[:PLACES_MAX]):
        _entry(store, f"{path}.stores[{index}]", found)
        if known and store not in known:
            found.append((f"{path}.stores[{index}]", "is no store of the program"))
    _enums(conditions.channels, Channel.values(), f"{path}.channels", found)
    _enums(conditions.tenders, TenderKind.values(), f"{path}.tenders", found)
    tiers = {tier.tier_id for tier in definition.tiers}
    for index, tier in enumerate(conditions.tiers):
        if tier not in tiers:
            found.append((f"{path}.tiers[{index}]", "is no tier of the program"))
    check_count(conditions.windows, WINDOWS_MAX, f"{path}.windows", found)
    for index, window in enumerate(conditions.windows[:WINDOWS_MAX]):
        _window(window, f"{path}.windows[{index}]", found)
    if conditions.expression:
        attributes = {attribute.attribute_id: attribute for attribute in definition.attributes}
        _expression(conditions.expression, attributes, f"{path}.expression", found)


def _window(window: Window, path: str, found: Problems) -> None:
    if has_control(window.recurrence):
        found.append((f"{path}.recurrence", "must have no control characters"))
    try:
        CompiledWindow(window).check()
    except WindowError as error:
        found.append((f"{path}.{error.field}", str(error)))
    except OverflowError:
        found.append((f"{path}.duration", "must end before the year 10000"))


def _expression(
    text: str,
    attributes: Mapping[str, AttributeDefinition],
    path: str,
    found: Problems,
    *,
    of_line: bool = False,
) -> None:
    try:
        Expression(text, of_line=of_line).check(attributes)
    except ValueError as error:
        found.append((path, " ".join(str(error).split())))


def _enums(values: Sequence[int], known: Iterable[int], path: str, found: Problems) -> None:
    allowed = frozenset(known) - {0}
    for index, value in enumerate(values):
        check_enum(value, allowed, f"{path}[{index}]", found)


# -- lines


def check_lines(message: HasLines, path: str, found: Problems) -> None:
    """Which lines something is for."""
    only, excluding = (
        message.only,
        LineFilter() if isinstance(message, FreeItems | ExtendedWarranty) else message.excluding,
    )
    if message.HasField("only"):
        _filter(only, f"{path}.only", found)
        if not only.expression and not any(getattr(only, name) for name in _LISTS):
            found.append((f"{path}.only", "names nothing, so it never applies: leave it out"))
        elif not only.expression and _swallows(excluding, only):
            found.append((f"{path}.excluding", "excludes all that `only` names, so it never applies"))
    elif set(excluding.kinds) >= _KINDS:
        found.append((f"{path}.excluding.kinds", "excludes every kind of line, so it never applies"))
    if not isinstance(message, FreeItems | ExtendedWarranty) and message.HasField("excluding"):
        _filter(excluding, f"{path}.excluding", found)


def _swallows(excluding: LineFilter, only: LineFilter) -> bool:
    """Whether every line that one filter names is named by the other too."""
    return set(excluding.kinds) >= _KINDS or all(
        set(getattr(excluding, name)).issuperset(getattr(only, name)) for name in _LISTS
    )


def _filter(lines: LineFilter, path: str, found: Problems) -> None:
    total = sum(len(getattr(lines, name)) for name in _LISTS)
    if total > FILTER_ENTRIES_MAX:
        found.append((path, f"must have at most {FILTER_ENTRIES_MAX} entries; it has {total}"))
        return
    for index, kind in enumerate(lines.kinds):
        if kind not in _KINDS:
            found.append((f"{path}.kinds[{index}]", "must be a kind of line; name PRODUCT for goods"))
    for name in ("skus", "labels", "categories", "brands"):
        for index, entry in enumerate(getattr(lines, name)):
            _entry(entry, f"{path}.{name}[{index}]", found)
    if lines.expression:
        _expression(lines.expression, {}, f"{path}.expression", found, of_line=True)


def _entry(entry: str, path: str, found: Problems) -> None:
    if not 1 <= len(entry) <= NAME_CHARACTERS_MAX or has_control(entry):
        found.append((path, f"must be 1 to {NAME_CHARACTERS_MAX} characters without control characters"))
