"""What the ledger answered, as the figures of the model."""

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Receipt, TierProgress
from loyalty.v1.program_service_pb2 import ExtendExpiryResponse, SettlePendingResponse

from tests.model.purse import Figures, No
from tests.model.tiers import Shown


def figures(answer: Message) -> Figures | None:
    """The figures of a response; None for a reversal that waits."""
    return None if getattr(answer, "blocked", False) else on_receipt(answer)


def on_receipt(answer: Message) -> Figures:
    """The figures of a response with a receipt, or of the event that it is made of."""
    receipt: Receipt = answer.receipt  # type: ignore[attr-defined]  # every response to a command on an account has it
    balance = receipt.balance
    return Figures(
        earned=receipt.earned_points,
        spent=receipt.spent_points,
        clawed_back=receipt.clawed_back_points,
        restored=receipt.restored_points,
        shortfall=receipt.shortfall_points,
        reward=receipt.reward_minor,
        payable=receipt.payable_minor,
        available=balance.available_points,
        pending=balance.pending_points,
        held=balance.held_points,
        next_points=balance.next_expiry.points,
        next_at=balance.next_expiry.expires_at.ToMicroseconds(),
        tier=shown(receipt.tier),
        awards=tuple(
            sorted(
                (award.rule, award.points, sum(less.points for less in award.reductions))
                for award in getattr(answer, "awards", ())
                if award.points
            )
        ),
        settled=answer.points if isinstance(answer, SettlePendingResponse | ExtendExpiryResponse) else 0,
    )


def shown(progress: TierProgress) -> Shown:
    """What is said of a tier, as the model has it."""
    return Shown(
        tier=progress.tier,
        qualifying=progress.qualifying_amount,
        next_tier=progress.next_tier,
        to_next=progress.amount_to_next,
        to_keep=progress.amount_to_keep,
        review_at=progress.review_at.ToMicroseconds(),
        keep_until=progress.keep_until.ToMicroseconds(),
    )


def is_no(answer: object, no: No) -> bool:
    """Whether an answer is the refusal that the model expects."""
    return getattr(answer, "reason", None) == no.reason
