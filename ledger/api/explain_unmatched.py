"""The rules and promotions that gave nothing, each with what it asks for."""

from collections.abc import Iterable, Mapping
from typing import Final

from loyalty.v1 import explain_pb2 as pb
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.earning_pb2 import Conditions, EarningRule, Promotion
from loyalty.v1.events_pb2 import ActivityRecorded, Event, SaleRecorded
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.sale_pb2 import TenderKind

from ledger.api.explain_names import Names
from ledger.api.texts import money
from ledger.domain.program import Program
from ledger.domain.rules.limit import Limit
from ledger.domain.rules.unmet import Unmet
from ledger.domain.unmatched import Unmatched, unmatched

UNMATCHED_MAX: Final = 50
"""Rules and promotions that are listed; of the others it is said how many they are."""

NAMED_MAX: Final = 5
"""Stores, tiers and the like that a rule asks for by name."""

CHANNELS: Final[Mapping[int, tuple[str, str]]] = {
    Channel.CHANNEL_STORE: ("store", "दुकान"),
    Channel.CHANNEL_WEB: ("web shop", "वेब शॉप"),
    Channel.CHANNEL_APP: ("app", "ऐप"),
    Channel.CHANNEL_BACK_OFFICE: ("back office", "बैक ऑफ़िस"),
}

TENDERS: Final[Mapping[int, tuple[str, str]]] = {
    TenderKind.TENDER_KIND_CASH: ("cash", "नकद"),
    TenderKind.TENDER_KIND_CARD: ("card", "कार्ड"),
    TenderKind.TENDER_KIND_GIFT_CARD: ("gift card", "गिफ़्ट कार्ड"),
    TenderKind.TENDER_KIND_VOUCHER: ("voucher", "वाउचर"),
    TenderKind.TENDER_KIND_OTHER: ("other means", "अन्य साधन"),
}


def add_unmatched(
    explanation: pb.Explanation, main: SaleRecorded | ActivityRecorded, events: Iterable[Event], names: Names
) -> None:
    """Adds what gave nothing for a sale or activity, by the program that the names are from."""
    found = unmatched(Program(names.definition), main, _tier_before(main, events))
    for one in found[:UNMATCHED_MAX]:
        _add(explanation, one, names)
    explanation.unmatched_left_out = len(found[UNMATCHED_MAX:])


def _tier_before(main: SaleRecorded | ActivityRecorded, events: Iterable[Event]) -> str:
    """The tier that the rules saw: a sale moves it only afterwards."""
    is_after = False
    for event in events:
        is_after = is_after or main in (event.sale_recorded, event.activity_recorded)
        if is_after and event.HasField("tier_changed"):
            return event.tier_changed.from_tier
    return main.receipt.tier.tier


def _add(explanation: pb.Explanation, one: Unmatched, names: Names) -> None:
    message = names.rules[one.owner]
    added = explanation.unmatched.add(
        rule=one.owner,
        display_name=names.of(one.owner),
        promotion=isinstance(message, Promotion),
        reason=pb.UnmatchedReason.Value(f"UNMATCHED_REASON_{one.why.name}"),
    )
    if one.better:
        added.better_rule = one.better
        added.better_display_name.CopyFrom(names.of(one.better))
    asks = _asks(one.why, message, names)
    if asks is not None:
        added.asks.CopyFrom(asks)


def _asks(why: Unmet, message: EarningRule | Promotion, names: Names) -> LocalizedText | None:
    match why:
        case Unmet.MINIMUM if isinstance(message, EarningRule):
            minimum = message.spend.minimum_minor or message.visit.minimum_minor
            return _text(money(minimum, names.definition.currency))
        case Unmet.LIMIT:
            return _list(names.limits[Limit(names.id_of(message), limit).key] for limit in message.limits)
        case Unmet.OCCASION if isinstance(message, EarningRule) and message.HasField("activity"):
            return LocalizedText(en=message.activity.activity, hi=message.activity.activity)
        case _:
            return _condition(why, message.conditions, names)


def _condition(why: Unmet, conditions: Conditions, names: Names) -> LocalizedText | None:
    """What a condition asks for."""
    match why:
        case Unmet.STORE:
            return _list(names.store(store) for store in conditions.stores[: NAMED_MAX + 1])
        case Unmet.CHANNEL:
            return _list(_text(CHANNELS[channel]) for channel in conditions.channels)
        case Unmet.TIER:
            return _list(names.tier(tier) for tier in conditions.tiers)
        case Unmet.TENDER:
            return _list(_text(TENDERS[tender]) for tender in conditions.tenders)
        case Unmet.EXPRESSION:
            return LocalizedText(en=conditions.expression, hi=conditions.expression)
        case _:
            return None


def _text(pair: tuple[str, str]) -> LocalizedText:
    return LocalizedText(en=pair[0], hi=pair[1])


def _list(texts: Iterable[LocalizedText]) -> LocalizedText:
    """The first of some names, in a row."""
    found = list(texts)
    more = ", …" if len(found) > NAMED_MAX else ""
    first = found[:NAMED_MAX]
    return LocalizedText(en=", ".join(text.en for text in first) + more, hi=", ".join(text.hi for text in first) + more)
