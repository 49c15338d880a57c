"""What a program must be to be published. Everything that is wrong is named at once."""

import re
from calendar import monthrange
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final
from zoneinfo import available_timezones

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.program_pb2 import (
    Basis,
    CalendarPeriod,
    CalendarUnit,
    Cashback,
    ClawBack,
    DuplicateEnrolment,
    EarningRule,
    ExpiryPolicy,
    LineFilter,
    OrderDiscount,
    Program,
    RestoreExpired,
    ReturnPolicy,
    Reward,
    Rounding,
    SpendRule,
    Store,
    Tier,
    UnknownSale,
)
from loyalty.v1.sale_pb2 import LineKind
from phonenumbers import SUPPORTED_REGIONS

from ledger.domain.currency import MINOR_DIGITS

RULES_MAX: Final = 1_000
"""Earning rules of a program."""

TIERS_MAX: Final = 50
"""Tiers of a program."""

REWARDS_MAX: Final = 10_000
"""Rewards of a program."""

STORES_MAX: Final = 100_000
"""Stores of a program."""

FILTER_ENTRIES_MAX: Final = 10_000
"""Entries of all lists of one line filter together."""

NAME_CHARACTERS_MAX: Final = 100
"""Length of a display name in one language, and of an entry in a line filter."""

STORE_ID_CHARACTERS_MAX: Final = 64
"""Length of a store's id."""

PERIOD_YEARS_MAX: Final = 100
"""The longest period until expiry, and that many years in months and days."""

PENDING_DAYS_MAX: Final = 3_650
"""Days until earned points become active."""

GRACE_DAYS_MAX: Final = 3_650
"""Days that restored points are valid at least."""

HOLD_TIMEOUT_MAX_S: Final = 30 * 86_400
"""Seconds that a reservation holds."""

WHOLE_PERCENT: Final = 10_000
"""All of an order, in hundredths of a percent."""

Problems = list[tuple[str, str]]

_NAME: Final = re.compile("programs/[a-z0-9-]{1,63}").fullmatch
_ID: Final = re.compile("[a-z0-9-]{1,63}").fullmatch
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]").search
_FILTER_LISTS: Final = ("skus", "labels", "categories", "brands", "kinds")
_KINDS: Final = frozenset(LineKind.values()) - {LineKind.LINE_KIND_UNSPECIFIED}
_ID_FORM: Final = "1 to 63 lower-case letters, digits and dashes"


def problems(definition: Program) -> Problems:
    """What is wrong with a program: (field path, what is allowed instead) for each problem.

    Its version and etag are the server's business and are not looked at.
    """
    found: Problems = []
    if not _NAME(definition.name):
        found.append(("name", f"must be programs/ and then {_ID_FORM}"))
    _text(definition.display_name, "display_name", found)
    if definition.currency not in MINOR_DIGITS:
        found.append(("currency", "must be the ISO 4217 code of a currency in use, such as INR"))
    if definition.time_zone not in _zones():
        found.append(("time_zone", "must be an IANA time zone, such as Asia/Kolkata"))
    if definition.default_region not in SUPPORTED_REGIONS:
        found.append(("default_region", "must be an ISO 3166-1 region of two capital letters, such as IN"))
    _rules(definition.earning_rules, found)
    if not 0 <= definition.pending_days <= PENDING_DAYS_MAX:
        found.append(("pending_days", f"must be from 0 to {PENDING_DAYS_MAX}"))
    _expiry(definition.expiry, found)
    _tiers(definition.tiers, found)
    _rewards(definition.rewards, found)
    if definition.HasField("hold_timeout"):
        timeout = definition.hold_timeout
        seconds = timeout.seconds + timeout.nanos / 1_000_000_000
        if not 1 <= seconds <= HOLD_TIMEOUT_MAX_S:
            found.append(("hold_timeout", "must be from 1 second to 30 days; absent for 30 minutes"))
    _returns(definition.returns, found)
    _enum(definition.duplicate_enrolment, DuplicateEnrolment.values(), "duplicate_enrolment", found)
    _stores(definition.stores, found)
    return found


# -- earning


def _rules(rules: Sequence[EarningRule], found: Problems) -> None:
    _count(rules, RULES_MAX, "earning_rules", found)
    _ids([rule.rule_id for rule in rules], "earning_rules", "rule_id", found)
    for index, rule in enumerate(rules[:RULES_MAX]):
        path = f"earning_rules[{index}]"
        _text(rule.display_name, f"{path}.display_name", found)
        if rule.WhichOneof("rule") is None:
            found.append((f"{path}.spend", "is missing: say how the rule gives points"))
        else:
            _spend(rule.spend, f"{path}.spend", found)


def _spend(rule: SpendRule, path: str, found: Problems) -> None:
    _positive(rule.points, f"{path}.points", found)
    _positive(rule.per_minor, f"{path}.per_minor", found)
    _enum(rule.rounding, Rounding.values(), f"{path}.rounding", found)
    _enum(rule.basis, Basis.values(), f"{path}.basis", found)
    if rule.minimum_minor < 0:
        found.append((f"{path}.minimum_minor", "must be 0 or more"))
    if rule.HasField("only"):
        _filter(rule.only, f"{path}.only", found)
        if not any(getattr(rule.only, name) for name in _FILTER_LISTS):
            found.append((f"{path}.only", "names nothing, so the rule never applies: leave it out"))
        elif _swallows(rule.excluding, rule.only):
            found.append((f"{path}.excluding", "excludes all that `only` names, so the rule never applies"))
    elif set(rule.excluding.kinds) >= _KINDS:
        found.append((f"{path}.excluding.kinds", "excludes every kind of line, so the rule never applies"))
    if rule.HasField("excluding"):
        _filter(rule.excluding, f"{path}.excluding", found)


def _swallows(excluding: LineFilter, only: LineFilter) -> bool:
    """Whether every line that one filter names is named by the other too."""
    return set(excluding.kinds) >= _KINDS or all(
        set(getattr(excluding, name)).issuperset(getattr(only, name)) for name in _FILTER_LISTS
    )


def _filter(lines: LineFilter, path: str, found: Problems) -> None:
    total = sum(len(getattr(lines, name)) for name in _FILTER_LISTS)
    if total > FILTER_ENTRIES_MAX:
        found.append((path, f"must have at most {FILTER_ENTRIES_MAX} entries; it has {total}"))
        return
    for index, kind in enumerate(lines.kinds):
        if kind not in _KINDS:
            found.append((f"{path}.kinds[{index}]", "must be a kind of line; name PRODUCT for goods"))
    for name in ("skus", "labels", "categories", "brands"):
        for index, entry in enumerate(getattr(lines, name)):
            if not 1 <= len(entry) <= NAME_CHARACTERS_MAX or _CONTROL(entry):
                found.append(
                    (
                        f"{path}.{name}[{index}]",
                        f"must be 1 to {NAME_CHARACTERS_MAX} characters without control characters",
                    )
                )


# -- expiry


def _expiry(policy: ExpiryPolicy, found: Problems) -> None:
    match policy.WhichOneof("policy"):
        case "rolling":
            _period(policy.rolling.period, "expiry.rolling.period", found)
        case "inactivity":
            _period(policy.inactivity.period, "expiry.inactivity.period", found)
        case "end_of_unit":
            end = policy.end_of_unit
            units = frozenset(CalendarUnit.values()) - {CalendarUnit.CALENDAR_UNIT_UNSPECIFIED}
            _enum(end.unit, units, "expiry.end_of_unit.unit", found)
            if end.HasField("after"):
                _period(end.after, "expiry.end_of_unit.after", found)
        case "fixed_date":
            _fixed_date(policy.fixed_date.month, policy.fixed_date.day, found)
        case None | "never":
            pass


def _period(period: CalendarPeriod, path: str, found: Problems) -> None:
    limits = {
        "days": PERIOD_YEARS_MAX * 365,
        "months": PERIOD_YEARS_MAX * 12,
        "years": PERIOD_YEARS_MAX,
    }
    given = {name: getattr(period, name) for name in limits if getattr(period, name)}
    if len(given) != 1:
        found.append((path, "must have exactly one of days, months and years"))
    for name, length in given.items():
        if not 1 <= length <= limits[name]:
            found.append((f"{path}.{name}", f"must be from 1 to {limits[name]}"))


def _fixed_date(month: int, day: int, found: Problems) -> None:
    leap_year = 2024
    if month not in range(1, 13):
        found.append(("expiry.fixed_date.month", "must be from 1 to 12"))
    elif not 1 <= day <= monthrange(leap_year, month)[1]:
        last = monthrange(leap_year, month)[1]
        found.append(("expiry.fixed_date.day", f"must be from 1 to {last} in that month"))


# -- what points lead to


def _tiers(tiers: Sequence[Tier], found: Problems) -> None:
    _count(tiers, TIERS_MAX, "tiers", found)
    _ids([tier.tier_id for tier in tiers], "tiers", "tier_id", found)
    for index, tier in enumerate(tiers[:TIERS_MAX]):
        path = f"tiers[{index}]"
        _text(tier.display_name, f"{path}.display_name", found)
        if index == 0:
            if tier.threshold_points != 0:
                found.append((f"{path}.threshold_points", "must be 0: everybody is in some tier"))
        elif tier.threshold_points <= tiers[index - 1].threshold_points:
            found.append(
                (
                    f"{path}.threshold_points",
                    "must be more than the tier's before, or one of the two can never be reached",
                )
            )


def _rewards(rewards: Sequence[Reward], found: Problems) -> None:
    _count(rewards, REWARDS_MAX, "rewards", found)
    _ids([reward.reward_id for reward in rewards], "rewards", "reward_id", found)
    for index, reward in enumerate(rewards[:REWARDS_MAX]):
        path = f"rewards[{index}]"
        _text(reward.display_name, f"{path}.display_name", found)
        match reward.WhichOneof("kind"):
            case "order_discount":
                _positive(reward.cost_points, f"{path}.cost_points", found)
                _order_discount(reward.order_discount, f"{path}.order_discount", found)
            case "cashback":
                if reward.cost_points:
                    found.append((f"{path}.cost_points", "must be 0 for cashback: its steps are its price"))
                _cashback(reward.cashback, f"{path}.cashback", found)
            case None:
                found.append((path, "is of no kind: give order_discount or cashback"))


def _order_discount(discount: OrderDiscount, path: str, found: Problems) -> None:
    percent, amount = discount.percent_hundredths, discount.amount_minor
    if bool(percent) == bool(amount):
        found.append((path, "must have either percent_hundredths or amount_minor"))
    if not 0 <= percent <= WHOLE_PERCENT:
        found.append((f"{path}.percent_hundredths", f"must be from 1 to {WHOLE_PERCENT}"))
    if amount < 0:
        found.append((f"{path}.amount_minor", "must be more than 0"))
    if discount.maximum_minor < 0:
        found.append((f"{path}.maximum_minor", "must be more than 0, or 0 for no maximum"))


def _cashback(cashback: Cashback, path: str, found: Problems) -> None:
    _positive(cashback.points, f"{path}.points", found)
    _positive(cashback.value_minor, f"{path}.value_minor", found)


def _returns(policy: ReturnPolicy, found: Problems) -> None:
    _enum(policy.claw_back, ClawBack.values(), "returns.claw_back", found)
    _enum(policy.restore_expired, RestoreExpired.values(), "returns.restore_expired", found)
    _enum(policy.unknown_sale, UnknownSale.values(), "returns.unknown_sale", found)
    if policy.restore_expired == RestoreExpired.RESTORE_EXPIRED_GRACE:
        if not 1 <= policy.grace_days <= GRACE_DAYS_MAX:
            found.append(
                (
                    "returns.grace_days",
                    f"must be from 1 to {GRACE_DAYS_MAX} with RESTORE_EXPIRED_GRACE",
                )
            )
    elif policy.grace_days:
        found.append(("returns.grace_days", "must be 0 without RESTORE_EXPIRED_GRACE"))


def _stores(stores: Sequence[Store], found: Problems) -> None:
    _count(stores, STORES_MAX, "stores", found)
    seen: set[str] = set()
    for index, store in enumerate(stores[:STORES_MAX]):
        path = f"stores[{index}]"
        store_id = store.store_id
        if not 1 <= len(store_id) <= STORE_ID_CHARACTERS_MAX or _CONTROL(store_id):
            found.append((f"{path}.store_id", f"must be 1 to {STORE_ID_CHARACTERS_MAX} printable characters"))
        elif store_id in seen:
            found.append((f"{path}.store_id", "must be unique in the program"))
        seen.add(store_id)
        _text(store.display_name, f"{path}.display_name", found)


# -- single fields


def _text(text: LocalizedText, path: str, found: Problems) -> None:
    """A name may be left out, but not in one language only: both members and cashiers read it."""
    if not text.en and not text.hi:
        return
    for language, value in (("en", text.en), ("hi", text.hi)):
        if not value.strip():
            found.append((f"{path}.{language}", "is required when the other language is given"))
        elif len(value) > NAME_CHARACTERS_MAX or _CONTROL(value):
            found.append(
                (
                    f"{path}.{language}",
                    f"must be at most {NAME_CHARACTERS_MAX} characters without control characters",
                )
            )


def _count(entries: Sequence[Message], most: int, path: str, found: Problems) -> None:
    if len(entries) > most:
        found.append((path, f"must be at most {most}; there are {len(entries)}"))


def _ids(ids: Sequence[str], path: str, field: str, found: Problems) -> None:
    seen: set[str] = set()
    for index, value in enumerate(ids):
        if not _ID(value):
            found.append((f"{path}[{index}].{field}", f"must be {_ID_FORM}"))
        elif value in seen:
            found.append((f"{path}[{index}].{field}", "must be unique in the program"))
        seen.add(value)


def _enum(value: int, known: Iterable[int], path: str, found: Problems) -> None:
    if value not in known:
        found.append((path, "must be one of the values of its enum that this server knows"))


def _positive(value: int, path: str, found: Problems) -> None:
    if value < 1:
        found.append((path, "must be more than 0"))


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"Factory", "localtime"}
