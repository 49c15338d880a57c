"""A program as it is published (YAML or JSON of loyalty.v1.Program), in the model's words.

Read from the text itself, by the words of the protos. What the model does not know is refused, never left out: each
field has to be taken from its section before the section ends.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ruamel.yaml import YAML

from tests.model.dates import AT_ONCE, FOR_EVER, US, Expiry, Pending
from tests.model.earning import EXPRESSIONS
from tests.model.scheme import (
    LINE_EXPRESSIONS,
    Activity,
    Cap,
    Item,
    Limit,
    Lines,
    Prize,
    Promotion,
    Rule,
    Rules,
    Spend,
    Terms,
    Visit,
    When,
    Window,
)
from tests.model.tiers import Ladder, Policy, Span

FOR_PEOPLE: Final = (
    *("name", "version", "etag", "display_name", "currency", "default_region", "duplicate_enrolment"),
    *("expiry_notice_days", "consents", "retention"),
)
"""What of a program moves no points."""

BASES: Final = {
    "BASIS_UNSPECIFIED": "after",
    "BASIS_AFTER_DISCOUNT": "after",
    "BASIS_BEFORE_DISCOUNT": "before",
    "BASIS_AFTER_DISCOUNT_WITHOUT_TAX": "after_without_tax",
    "BASIS_BEFORE_DISCOUNT_WITHOUT_TAX": "before_without_tax",
    "BASIS_AFTER_LINE_DISCOUNT": "line",
}
ROUNDINGS: Final = {
    "ROUNDING_UNSPECIFIED": "steps",
    "ROUNDING_WHOLE_STEPS": "steps",
    "ROUNDING_FLOOR": "floor",
    "ROUNDING_HALF_UP": "half_up",
    "ROUNDING_CEILING": "ceiling",
}
COMBINATIONS: Final = {
    "COMBINATION_UNSPECIFIED": "sum",
    "COMBINATION_SUM": "sum",
    "COMBINATION_BEST": "best",
    "COMBINATION_FIRST": "first",
}
STACKINGS: Final = {
    "STACKING_UNSPECIFIED": "all",
    "STACKING_ALL": "all",
    "STACKING_BEST": "best",
    "STACKING_FIRST": "first",
}
PERIODS: Final = {f"PERIOD_{name.upper()}": name for name in ("day", "week", "month", "year", "ever")}
UNITS: Final = {f"CALENDAR_UNIT_{name.upper()}": name for name in ("month", "quarter", "year")}
TIER_BASES: Final = {
    "TIER_BASIS_UNSPECIFIED": "points",
    "TIER_BASIS_POINTS": "points",
    "TIER_BASIS_SPEND": "spend",
    "TIER_BASIS_VISITS": "visits",
}
DOWNGRADES: Final = {
    "DOWNGRADE_UNSPECIFIED": "match",
    "DOWNGRADE_TO_MATCH": "match",
    "DOWNGRADE_ONE_STEP": "step",
    "DOWNGRADE_NEVER": "never",
}
IS_SHARED: Final = {"LIMIT_SCOPE_UNSPECIFIED": False, "LIMIT_SCOPE_MEMBER": False, "LIMIT_SCOPE_PROGRAM": True}
REJECTS: Final = {"EXCESS_UNSPECIFIED": False, "EXCESS_CUT": False, "EXCESS_REJECT": True}
MAY_OWE: Final = {"CLAW_BACK_UNSPECIFIED": False, "CLAW_BACK_CLAMP": False, "CLAW_BACK_NEGATIVE": True}
HAS_GRACE: Final = {
    "RESTORE_EXPIRED_UNSPECIFIED": False,
    "RESTORE_EXPIRED_FORFEIT": False,
    "RESTORE_EXPIRED_GRACE": True,
}
WAITS: Final = {"UNKNOWN_SALE_UNSPECIFIED": True, "UNKNOWN_SALE_WAIT": True, "UNKNOWN_SALE_REFUSE": False}
WEEKDAYS: Final = {name: number for number, name in enumerate(("MO", "TU", "WE", "TH", "FR", "SA", "SU"))}


class NotKnown(Exception):
    """The program says something that the model has no word for. The message is where, and what."""


class Section:
    """A message of the program. It ends when all that it says has been taken."""

    def __init__(self, path: str, fields: Mapping[str, Any]) -> None:
        self._path = path
        self._left = dict(fields)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._left:
            raise NotKnown(f"{self._path}: {', '.join(sorted(self._left))}")

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def ignore(self, *names: str) -> None:
        """Leaves out what moves no points."""
        for name in names:
            self._left.pop(name, None)

    def text(self, name: str) -> str:
        """A text; empty where it is absent."""
        return str(self._left.pop(name, ""))

    def number(self, name: str) -> int:
        """A number, which JSON has as a text where it may be long; 0 where it is absent."""
        return int(self._left.pop(name, 0))

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        return bool(self._left.pop(name, False))

    def choice(self, name: str, words: Mapping[str, Any], absent: str = "") -> Any:
        """The model's word for a value of an enum."""
        value = str(self._left.pop(name, absent))
        if value not in words:
            raise NotKnown(f"{self._path}.{name}: {value}")
        return words[value]

    def names(self, name: str, prefix: str = "") -> frozenset[str]:
        """Some texts, without what the values of an enum begin with."""
        return frozenset(str(value).removeprefix(prefix) for value in self._left.pop(name, ()))

    def section(self, name: str) -> "Section":
        """A message in it; an empty one where it is absent."""
        return Section(f"{self._path}.{name}", self._left.pop(name, {}))

    def sections(self, name: str) -> "Iterable[Section]":
        """The messages of a list in it."""
        for number, fields in enumerate(self._left.pop(name, ())):
            yield Section(f"{self._path}.{name}[{number}]", fields)

    def moment(self, name: str) -> datetime:
        """A time, which YAML may have understood as one already."""
        value = self._left.pop(name)
        return value if isinstance(value, datetime) else datetime.fromisoformat(value)

    def seconds(self, name: str, absent: int) -> int:
        """A duration in whole seconds."""
        return int(str(self._left.pop(name, f"{absent}s")).removesuffix("s"))


def read(file: Path) -> Rules:
    """The rules in a file. Raises NotKnown where the model would not do what it says."""
    return rules_of(YAML(typ="safe", pure=True).load(file.read_text("utf-8")))


def rules_of(program: Mapping[str, Any]) -> Rules:
    """The rules that a program says, as its JSON has them."""
    with Section("program", program) as section:
        section.ignore(*FOR_PEOPLE)
        with section.section("returns") as returns:
            may_owe = returns.choice("claw_back", MAY_OWE, "CLAW_BACK_UNSPECIFIED")
            has_grace = returns.choice("restore_expired", HAS_GRACE, "RESTORE_EXPIRED_UNSPECIFIED")
            grace_days = returns.number("grace_days")
            waits = returns.choice("unknown_sale", WAITS, "UNKNOWN_SALE_UNSPECIFIED")
        return Rules(
            zone=section.text("time_zone"),
            stores=tuple(_store(store) for store in section.sections("stores")),
            earning=tuple(_rule(rule) for rule in section.sections("earning_rules")),
            combination=section.choice("combination", COMBINATIONS, "COMBINATION_UNSPECIFIED"),
            promotions=tuple(_promotion(promotion) for promotion in section.sections("promotions")),
            stacking=section.choice("promotion_stacking", STACKINGS, "STACKING_UNSPECIFIED"),
            caps=tuple(_cap(cap) for cap in section.sections("caps")),
            pending=_pending(section) or AT_ONCE,
            expiry=_expiry(section) or FOR_EVER,
            ladder=Ladder(tuple(_tier(tier) for tier in section.sections("tiers")), _tier_policy(section)),
            prizes=tuple(_prize(reward) for reward in section.sections("rewards")),
            hold_seconds=section.seconds("hold_timeout", 1800),
            may_owe=may_owe,
            grace_days=grace_days if has_grace else 0,
            returns_wait=waits,
        )


def _store(section: Section) -> tuple[str, str]:
    with section:
        section.ignore("display_name")
        return section.text("store_id"), section.text("time_zone")


def _tier(section: Section) -> tuple[str, int, int]:
    with section:
        section.ignore("display_name", "benefits")
        return section.text("tier_id"), section.number("threshold"), section.number("multiplier_thousandths")


def _tier_policy(parent: Section) -> Policy:
    with parent.section("tier_policy") as section:
        counts, over = _counted(section)
        return Policy(
            section.choice("basis", TIER_BASES, "TIER_BASIS_UNSPECIFIED"),
            counts,
            over,
            section.choice("downgrade", DOWNGRADES, "DOWNGRADE_UNSPECIFIED"),
            _span(section, "grace"),
        )


def _counted(section: Section) -> tuple[str, Span | None]:
    """Over what time is counted."""
    section.ignore("for_ever")
    if "rolling" in section:
        with section.section("rolling") as rolling:
            return "rolling", _span(rolling, "period")
    if "since_change" in section:
        with section.section("since_change") as since:
            return "since", _span(since, "review_after")
    if "calendar" in section:
        with section.section("calendar") as calendar:
            return calendar.choice("unit", UNITS), None
    return "ever", None


def _span(parent: Section, name: str) -> Span | None:
    return Span(*_length(parent.section(name))) if name in parent else None


def _rule(section: Section) -> Rule:
    with section:
        section.ignore("display_name")
        return Rule(section.text("rule_id"), _kind(section), _terms(section), section.flag("stop"))


def _kind(section: Section) -> Spend | Visit | Item | Activity:
    for name, read_kind in (("spend", _spend), ("visit", _visit), ("item", _item)):
        if name in section:
            with section.section(name) as kind:
                return read_kind(kind)
    with section.section("activity") as activity:
        return Activity(activity.number("points"), activity.text("activity"))


def _spend(section: Section) -> Spend:
    return Spend(
        points=section.number("points"),
        per=section.number("per_minor"),
        rounding=section.choice("rounding", ROUNDINGS, "ROUNDING_UNSPECIFIED"),
        minimum=section.number("minimum_minor"),
        lines=_lines(section),
        basis=section.choice("basis", BASES, "BASIS_UNSPECIFIED"),
        carries=section.flag("carry_over"),
    )


def _visit(section: Section) -> Visit:
    basis = section.choice("basis", BASES, "BASIS_UNSPECIFIED")
    return Visit(section.number("points"), section.number("minimum_minor"), basis)


def _item(section: Section) -> Item:
    return Item(section.number("points"), section.number("per_units") or 1, _lines(section))


def _promotion(section: Section) -> Promotion:
    with section:
        section.ignore("display_name")
        effects = {"addition_points": "plus", "multiplier_thousandths": "times", "fixed_points": "fixed"}
        field = next((field for field in effects if field in section), "")
        return Promotion(
            section.text("promotion_id"), effects[field], section.number(field), _lines(section), _terms(section)
        )


def _cap(section: Section) -> Cap:
    with section:
        over = next((over for over in ("per_sale", "balance") if section.flag(over)), "")
        over = over.removeprefix("per_") or section.choice("period", PERIODS)
        rejects = section.choice("excess", REJECTS, "EXCESS_UNSPECIFIED")
        return Cap(section.text("cap_id"), over, section.number("points"), rejects)


def _prize(section: Section) -> Prize:
    with section:
        section.ignore("display_name")
        reward_id, cost = section.text("reward_id"), section.number("cost_points")
        if "cashback" in section:
            with section.section("cashback") as cashback:
                return Prize(reward_id, cashback.number("points"), cashback.number("value_minor"), cashback=True)
        with section.section("order_discount") as discount:
            return Prize(
                reward_id,
                cost,
                value=discount.number("amount_minor"),
                percent_hundredths=discount.number("percent_hundredths"),
                most=discount.number("maximum_minor"),
            )


def _lines(section: Section) -> Lines:
    with section.section("only") as only, section.section("excluding") as excluding:
        expression = only.text("expression")
        if expression and expression not in LINE_EXPRESSIONS:
            raise NotKnown(f"the expression {expression}")
        return Lines(_tags(only), _tags(excluding), expression)


def _tags(section: Section) -> frozenset[str]:
    """What names lines, list by list."""
    kinds = {f"kinds:{kind}" for kind in section.names("kinds", "LINE_KIND_")}
    lists = ("skus", "labels", "categories", "brands")
    return frozenset({f"{name}:{value}" for name in lists for value in section.names(name)} | kinds)


def _terms(section: Section) -> Terms:
    return Terms(
        _when(section.section("conditions")),
        section.number("priority"),
        tuple(_limit(limit) for limit in section.sections("limits")),
        _pending(section),
        _expiry(section),
    )


def _limit(section: Section) -> Limit:
    with section:
        return Limit(
            section.choice("period", PERIODS),
            section.number("times"),
            section.number("points"),
            section.choice("scope", IS_SHARED, "LIMIT_SCOPE_UNSPECIFIED"),
        )


def _when(section: Section) -> When:
    with section:
        expression = section.text("expression")
        if expression not in EXPRESSIONS:
            raise NotKnown(f"the expression {expression}")
        return When(
            stores=section.names("stores"),
            channels=section.names("channels", "CHANNEL_"),
            tenders=section.names("tenders", "TENDER_KIND_"),
            tiers=section.names("tiers"),
            windows=tuple(_window(window) for window in section.sections("windows")),
            expression=expression,
        )


def _window(section: Section) -> Window:
    with section:
        starts, recurrence = section.moment("starts_at"), section.text("recurrence")
        hours, rest = divmod(section.seconds("duration", 0), 3600)
        window = Window(starts, hours, **_recurrence(recurrence))
        if rest or not window.begins_on(starts.date()):
            raise NotKnown(f"a window of parts of hours, or whose first time is none of its own: {starts} {recurrence}")
        return window


def _recurrence(text: str) -> dict[str, Any]:
    """When a window comes again."""
    match [tuple(part.split("=")) for part in text.split(";")] if text else []:
        case []:
            return {}
        case [("FREQ", "DAILY")]:
            return {"every": "day"}
        case [("FREQ", "WEEKLY"), ("BYDAY", days)]:
            return {"every": "week", "days": frozenset(WEEKDAYS[day] for day in days.split(","))}
        case [("FREQ", "YEARLY"), ("BYMONTH", month), ("BYDAY", day)] if day[0] in "1234" and month.isdigit():
            on = frozenset((WEEKDAYS[day[1:]],))
            return {"every": "year", "days": on, "month": int(month), "which": int(day[0])}
        case _:
            raise NotKnown(f"the recurrence {text}")


def _pending(parent: Section) -> Pending | None:
    """When points become active; None where it does not say."""
    if "pending" not in parent:
        return None
    with parent.section("pending") as section:
        if "until_event" in section:
            section.ignore("until_event")
            return Pending("event")
        if "until" in section:
            until = section.moment("until")
            return Pending("until", round((until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() * US))
        days = section.number("days")
        return Pending("days", days) if days else AT_ONCE


def _expiry(parent: Section) -> Expiry | None:
    """When points expire; None where it does not say."""
    if "expiry" not in parent:
        return None
    with parent.section("expiry") as section:
        if "rolling" in section:
            with section.section("rolling") as rolling:
                return Expiry(*_length(rolling.section("period")))
        if "inactivity" in section:
            with section.section("inactivity") as inactivity:
                unit, number = _length(inactivity.section("period"))
                return Expiry("inactivity", number, unit=unit)
        if "end_of_unit" in section:
            with section.section("end_of_unit") as end:
                unit = end.choice("unit", UNITS)
                with end.section("after") as after:
                    return Expiry(unit, after.number("months"))
        if "fixed_date" in section:
            with section.section("fixed_date") as date:
                return Expiry("date", date.number("month"), date.number("day"))
        section.ignore("never")
        return FOR_EVER


def _length(section: Section) -> tuple[str, int]:
    """A period in one unit."""
    with section:
        return next((unit, section.number(unit)) for unit in ("days", "months", "years") if unit in section)
