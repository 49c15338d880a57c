"""What the limits and caps of a program allow, in words."""

from collections.abc import Mapping
from typing import Final

from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.earning_pb2 import Cap, LimitScope, Period
from loyalty.v1.earning_pb2 import Limit as LimitMessage
from loyalty.v1.program_pb2 import Program

from ledger.api.texts import indian, plain
from ledger.domain.rules.limit import Limit

PERIODS: Final[Mapping[int, tuple[str, str]]] = {
    Period.PERIOD_UNSPECIFIED: ("", ""),
    Period.PERIOD_DAY: (" a day", "हर दिन "),
    Period.PERIOD_WEEK: (" a week", "हर हफ़्ते "),
    Period.PERIOD_MONTH: (" a month", "हर महीने "),
    Period.PERIOD_YEAR: (" a year", "हर साल "),
    Period.PERIOD_EVER: (" in all", "कुल "),
}


def describe_limits(definition: Program) -> dict[str, LocalizedText]:
    """What each limit and cap allows, by the key that reductions name it by."""
    described = {cap.cap_id: _cap(cap) for cap in definition.caps}
    for rule in definition.earning_rules:
        described.update({Limit(rule.rule_id, limit).key: _limit(limit) for limit in rule.limits})
    for promotion in definition.promotions:
        described.update({Limit(promotion.promotion_id, limit).key: _limit(limit) for limit in promotion.limits})
    return described


def _limit(limit: LimitMessage) -> LocalizedText:
    english, hindi = PERIODS.get(limit.period, ("", ""))
    if limit.times:
        text = LocalizedText(en=f"{_times(limit.times)}{english}", hi=f"{hindi}{indian(limit.times)} बार")
    else:
        text = _points(limit.points, english, hindi)
    if limit.scope == LimitScope.LIMIT_SCOPE_PROGRAM:
        text.en += " for all members together"
        text.hi = f"सभी सदस्यों के लिए मिलाकर {text.hi}"
    return text


def _cap(cap: Cap) -> LocalizedText:
    match cap.WhichOneof("over"):
        case "per_sale":
            return _points(cap.points, " at a time", "एक बार में ")
        case "balance":
            return LocalizedText(en=f"a balance of {plain(cap.points)} points", hi=f"{indian(cap.points)} पॉइंट का बैलेंस")
        case _:
            return _points(cap.points, *PERIODS.get(cap.period, ("", "")))


def _points(points: int, english: str, hindi: str) -> LocalizedText:
    plural = "" if points == 1 else "s"
    return LocalizedText(en=f"{plain(points)} point{plural}{english}", hi=f"{hindi}{indian(points)} पॉइंट")


def _times(times: int) -> str:
    return "once" if times == 1 else f"{plain(times)} times"
