"""Why a transaction came to what it did: from its events, with the names of the program version that decided."""

from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.message import Message
from loyalty.v1 import explain_pb2 as pb
from loyalty.v1.account_pb2 import Award, LocalizedText, Lot
from loyalty.v1.earning_pb2 import EarningRule, Promotion
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    CommandBlocked,
    CommandRefused,
    Event,
    PointsRedeemed,
    ProgramPublished,
    RewardGranted,
    SaleRecorded,
    Undo,
)
from loyalty.v1.program_pb2 import Program

from ledger.api.errors import ApiError
from ledger.api.explain_names import Names, named
from ledger.api.explain_texts import explanation_texts
from ledger.api.explain_unmatched import add_unmatched

NO_LOTS: Final[Sequence[Lot]] = ()

_UNITS: Final = {
    "spend": pb.BASIS_UNIT_MONEY,
    "visit": pb.BASIS_UNIT_MONEY,
    "item": pb.BASIS_UNIT_UNITS,
}
"""What rules of each kind look at; all others at the occasion."""


def payload_of(event: Event) -> Any:
    """The event itself."""
    return getattr(event, event.WhichOneof("event") or "command_blocked")


def main_of(name: str, events: Sequence[Event]) -> Event:
    """The event among a transaction's that stands for its command."""
    for event in events:
        payload = payload_of(event)
        if event.transaction == name and (
            isinstance(payload, CommandRefused | CommandBlocked) or _has(payload, "request")
        ):
            return event
    return events[0]


def version_of(main: Event) -> int:
    """The program version that decided a command; 0 where none did."""
    payload = payload_of(main)
    if isinstance(payload, ProgramPublished):
        return payload.request.program.version
    return int(getattr(payload, "program_version", 0))


def explain(name: str, events: Sequence[Event], definition: Program) -> pb.Explanation:
    """The explanation of a transaction; `definition` is the version that decided it, empty where none did."""
    names = Names(definition)
    main = main_of(name, events)
    payload = payload_of(main)
    explanation = pb.Explanation(
        transaction=name,
        type=payload.DESCRIPTOR.name,
        member=main.subject if main.subject.startswith("members/") else "",
        program=definition.name,
        program_display_name=named(definition.display_name, definition.name),
        program_version=version_of(main),
        origin=payload.origin,
        recorded_at=main.recorded_at,
        repaid_points=getattr(payload, "repaid_points", 0),
        lots=_lots(payload),
    )
    skus = _skus(payload)
    explanation.awards.extend(_award(award, names, skus) for award in getattr(payload, "awards", ()))
    for failure in getattr(payload, "failures", ()):
        explanation.failures.add(rule=failure.rule, display_name=names.of(failure.rule), error=failure.error)
    if _has(payload, "receipt"):
        explanation.receipt.CopyFrom(payload.receipt)
        explanation.receipt.ClearField("texts")
    if isinstance(payload, CommandRefused):
        explanation.refusal.CopyFrom(_refusal(payload))
    for event in events:
        _add_consequence(explanation, event, names)
    if isinstance(payload, SaleRecorded | ActivityRecorded):
        add_unmatched(explanation, payload, events, names)
    explanation.texts.extend(explanation_texts(explanation, definition))
    return explanation


def _award(award: Award, names: Names, skus: dict[str, str]) -> pb.AwardExplanation:
    rule = names.rules.get(award.rule)
    is_promotion = isinstance(rule, Promotion)
    kind = rule.WhichOneof("rule") if isinstance(rule, EarningRule) else None
    explained = pb.AwardExplanation(
        rule=award.rule,
        display_name=names.of(award.rule),
        promotion=is_promotion,
        asked_points=award.points + sum(reduction.points for reduction in award.reductions),
        points=award.points,
        basis=award.basis,
        basis_unit=pb.BASIS_UNIT_POINTS if is_promotion else _UNITS.get(kind or "", pb.BASIS_UNIT_OCCASION),
        lot=award.lot,
    )
    for line in award.lines:
        explained.lines.add(line_id=line.line_id, sku=skus.get(line.line_id, ""), basis=line.basis)
    for reduction in award.reductions:
        allowed = names.limits.get(reduction.limit, LocalizedText(en=reduction.limit, hi=reduction.limit))
        explained.reductions.add(limit=reduction.limit, points=reduction.points, rule=allowed)
    return explained


def _add_consequence(explanation: pb.Explanation, event: Event, names: Names) -> None:
    """Adds what one of a transaction's events redeemed, took back or changed."""
    payload = payload_of(event)
    if isinstance(payload, PointsRedeemed | RewardGranted):
        explanation.redemptions.add(
            redemption=payload.redemption,
            display_name=names.reward(payload.redemption.reward_id),
            allocations=getattr(payload, "allocations", ()),
        )
    elif isinstance(payload, SaleRecorded):
        for redemption in payload.redemptions:
            if redemption.voucher:  # whatever took points has an event of its own
                explanation.redemptions.add(redemption=redemption, display_name=names.reward(redemption.reward_id))
    elif event.WhichOneof("event") == "tier_changed":
        explanation.tier_changes.add(
            from_tier=payload.from_tier,
            from_display_name=names.tier(payload.from_tier),
            to_tier=payload.to_tier,
            to_display_name=names.tier(payload.to_tier),
            qualifying_amount=payload.qualifying_amount,
            reason=payload.reason,
        )
    elif isinstance(getattr(payload, "undo", None), Undo):
        explanation.undone.add(
            transaction=event.transaction,
            reversal=event.WhichOneof("event") == "transaction_reversed",
            lines=getattr(payload, "lines", ()),
            undo=payload.undo,
        )


def _refusal(refused: CommandRefused) -> pb.RefusalExplanation:
    error = ApiError.of(refused.reason, **dict(refused.metadata))
    message = LocalizedText(en=error.cashier_text("en"), hi=error.cashier_text("hi"))
    return pb.RefusalExplanation(reason=refused.reason, metadata=refused.metadata, message=message)


def _lots(payload: Message) -> Sequence[Lot]:
    """The lots that a main event issued."""
    if _has(payload, "lot"):
        return (payload.lot,)  # type: ignore[attr-defined]  # it has the field
    lots: Sequence[Lot] = getattr(payload, "lots", NO_LOTS)
    return lots


def _skus(payload: Any) -> dict[str, str]:
    """The SKU of each line of a sale."""
    request = getattr(payload, "request", None)
    sale = getattr(request, "sale", None)
    lines = getattr(sale, "lines", ())
    return {line.line_id: line.sku for line in lines}


def _has(message: Message, field: str) -> bool:
    """Whether a message has a field of that name that holds a message, and it is set."""
    known = message.DESCRIPTOR.fields_by_name.get(field)
    return known is not None and known.message_type is not None and not known.is_repeated and message.HasField(field)
