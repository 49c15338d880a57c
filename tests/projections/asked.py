"""Histories of members who decide about their data, say what they think, and are erased."""

from uuid import UUID

from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.consent_pb2 import (
    ConsentChange,
    ConsentPurpose,
    ConsentText,
    ContactChannel,
    EraseMemberRequest,
    ErasureReason,
    RecordConsentsRequest,
)
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest, Visit
from loyalty.v1.program_pb2 import Program

from ledger.domain.instant import to_datetime
from ledger.domain.names import member_name, transaction_name
from ledger.domain.refusal import Rejected
from tests.programs import activity, limit
from tests.projections.history import DAY, History, program

PURPOSES = ("marketing", "profiling")


def asking() -> Program:
    """The usual program, which asks for two consents, one of which runs out, and gives points for feedback."""
    definition = program()
    text = ConsentText(text_id="join", version=1, text=LocalizedText(en="May we?", hi="क्या?"))
    definition.consents.extend(
        ConsentPurpose(purpose_id=purpose, texts=[text], renew_after_days=days)
        for purpose, days in zip(PURPOSES, (0, 20), strict=True)
    )
    definition.earning_rules.append(activity(7, "feedback", limits=[limit("day", times=1)]))
    return definition


def outspoken(seed: int, commands: int = 120) -> History:
    """Members who do so in any order; some tills are late."""
    history = History(asking(), seed)
    members = [history.enrol() for _ in range(4)]
    sales = {member: [history.sell(member, 9_000, 500)] for member in members}
    for _ in range(commands):
        history.at += history.random.choice([-DAY, 0, DAY // 4, DAY, 3 * DAY])
        member = history.random.choice(members)
        try:
            _speak(history, member, sales[member])
        except Rejected:
            continue
    history.run(members[0], EraseMemberRequest(member=member_name(members[0]), reason=_REASON))
    return history


_REASON = ErasureReason.ERASURE_REASON_MEMBER_REQUEST


def _speak(history: History, member: UUID, sales: list[UUID]) -> None:
    rnd, name = history.random, member_name(member)
    match rnd.randrange(6):
        case 0:
            sales.append(history.sell(member, rnd.randrange(9_000), 500))
        case 1 | 2 | 3:
            history.run(member, RecordConsentsRequest(member=name, changes=[_change(history)]))
        case 4:
            sale = rnd.choice(sales)
            said = RecordFeedbackRequest(
                member=name,
                transaction=transaction_name(sale),
                sku=rnd.choice(["", "sku-500"]),
                rating=rnd.randrange(1, 6),
            )
            history.run(member, said, target=sale)
        case _:
            day = to_datetime(history.at).date().isoformat()
            visit = Visit(store=f"store-{rnd.randrange(5)}", day=day)
            history.run(member, RecordFeedbackRequest(member=name, visit=visit, nps=rnd.randrange(11)))


def _change(history: History) -> ConsentChange:
    rnd = history.random
    change = ConsentChange(purpose=rnd.choice(PURPOSES), channel=rnd.choice(ContactChannel.values()[1:]))
    if rnd.random() < 0.6:
        change.MergeFrom(ConsentChange(given=True, text_id="join", text_version=1, language_code="hi"))
    return change
