"""Recording an activity: what the rules give for something other than a sale."""

from typing import Any
from uuid import UUID

from loyalty.v1.commands_pb2 import RecordActivityRequest
from loyalty.v1.events_pb2 import ActivityRecorded

from ledger.domain.basket import Basket
from ledger.domain.case import Case
from ledger.domain.draw import draw
from ledger.domain.earn import earn, issue
from ledger.domain.qualify import amount_of, change_tier, qualify
from ledger.domain.rules.facts import Facts

_NO_BASKET = Basket([], [])


def record_activity(case: Case[RecordActivityRequest]) -> None:
    """Decides an activity. One that no rule rewards is recorded too: conditions of other systems may ask for it."""
    award_activity(case, case.request)


def award_activity(
    case: Case[Any], request: RecordActivityRequest, transaction_id: UUID | None = None
) -> ActivityRecorded:
    """Records what the rules give for an activity: as the command's main event, or behind that of `transaction_id`."""
    program = case.program
    facts = Facts(
        case.account,
        case.origin,
        case.at,
        program.zone_of(case.origin.store),
        names=program.expression_names,
        activity=request.activity,
        attributes=request.attributes,
    )
    facts.ladder = program.ladder
    facts.profile, facts.segments = case.profile, case.segments
    earned = earn(program, facts, _NO_BASKET, program.rules_for_activity(request.activity), case.pools)
    points = earned.points
    case.account.check_room(points)
    event = ActivityRecorded(origin=case.origin, request=request, program_version=program.version)
    issue(event, case.account, earned)
    event.receipt.earned_points = points
    rung = qualify(case, event, amount_of(case, points=points))
    case.record(event, main=transaction_id is None, transaction_id=transaction_id)
    draw(case, event.uses)
    change_tier(case, rung)
    case.write_receipt(event.receipt)
    return event
