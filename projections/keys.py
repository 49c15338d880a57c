"""Keys: the columns by which commands find events, worked out from the events themselves."""

from typing import Any
from uuid import UUID

from loyalty.v1.events_pb2 import (
    CommandBlocked,
    CommandRefused,
    FeedbackRecorded,
    SaleRecorded,
    SaleReturned,
    TransactionReversed,
)

from ledger.domain.names import last_id
from ledger.domain.sale_reference import sale_reference


def wrong_key(
    payload: Any, program: str, request_id: UUID | None, transaction_id: UUID | None, reference: str | None
) -> str | None:
    """Which of the keys of a stored event is not what its event says; None where all of them are.

    `program` is the member's. The transaction of what followed from another command is only known for returns and
    reversals: those are what could be done twice without it.
    """
    if (None if request_id is None else str(request_id)) != _request_id(payload, request_id):
        return "request_id"
    if isinstance(payload, SaleReturned) and transaction_id != last_id(payload.sale):
        return "transaction_id"
    if isinstance(payload, TransactionReversed) and transaction_id != last_id(payload.reversed):
        return "transaction_id"
    if isinstance(payload, FeedbackRecorded) and payload.request.transaction:
        about = last_id(payload.request.transaction)
        return None if transaction_id == about and reference is None else "transaction_id"
    expected = None
    if isinstance(payload, SaleRecorded) and payload.origin.HasField("till"):
        expected = sale_reference(program, payload.origin)
    return "sale_reference" if reference != expected else None


def _request_id(payload: Any, stored: UUID | None) -> str | None:
    """The request id that an event stands for; None for what only followed from a command, or from time."""
    kind = type(payload)
    if kind is CommandBlocked:  # stored under the id of the command that never came: only the key has it
        return None if stored is None else str(stored)
    if kind is CommandRefused:
        request = getattr(payload, payload.WhichOneof("request") or "record_sale")
        return str(request.request_id)
    if "request" not in payload.DESCRIPTOR.fields_by_name or not payload.HasField("request"):
        return None
    if kind is SaleReturned and stored is None:  # it had waited, and its command has that event
        return None
    return str(payload.request.request_id) or None  # an activity that feedback is has no command of its own
