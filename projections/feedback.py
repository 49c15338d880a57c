"""Feedback: what members thought of sales, products, rewards and visits. The texts are in the profile store."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from loyalty.v1.events_pb2 import FeedbackRecorded

from ledger.domain.effect import effective_at
from ledger.domain.names import last_id
from projections.page import Event
from projections.projection import Projection, Step, columns
from projections.sql import statements

_NONE: Final = -1
"""In place of a figure that was not given."""


class Feedback(Projection):
    """One row for each feedback."""

    name: ClassVar[str] = "feedback"
    sql: ClassVar[Mapping[str, bytes]] = statements("feedback.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"feedback": ("member_id", "position")}

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page."""
        rows = [_row(event) for event in events if isinstance(event.payload, FeedbackRecorded)]
        return [Step("say", columns(rows), len(rows))] if rows else []


def _row(event: Event) -> tuple[Any, ...]:
    said: FeedbackRecorded = event.payload
    request = said.request
    return (
        event.stream_id,
        event.position,
        last_id(request.request_id),
        said.program,
        effective_at(said, event.recorded_at),
        said.day,
        said.subject,
        last_id(request.transaction) if request.transaction else None,
        said.store,
        request.sku,
        said.reward_id,
        said.tier,
        said.origin.channel,
        request.rating if request.HasField("rating") else _NONE,
        request.nps if request.HasField("nps") else _NONE,
        int(said.has_text),
        request.language_code,
    )
