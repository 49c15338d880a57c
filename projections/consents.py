"""Consents: every decision of members about the use of their data, and who was erased."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from loyalty.v1.consent_pb2 import Consent
from loyalty.v1.events_pb2 import ConsentGiven, ConsentWithdrawn, MemberErased

from ledger.domain.effect import effective_at
from ledger.domain.instant import FOREVER, from_timestamp
from projections.page import Event
from projections.projection import Projection, Step, columns
from projections.sql import statements


class Consents(Projection):
    """What members decided. What holds at an instant follows from it: see views.consents_at."""

    name: ClassVar[str] = "consents"
    sql: ClassVar[Mapping[str, bytes]] = statements("consents.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "consents": ("member_id", "position"),
        "erased_members": ("member_id",),
    }

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page."""
        decided: list[tuple[Any, ...]] = []
        erased: list[tuple[UUID, int, int, int]] = []
        for event in events:
            match event.payload:
                case ConsentGiven():
                    consent = event.payload.consent
                    expires_at = from_timestamp(consent.expires_at) if consent.HasField("expires_at") else FOREVER
                    decided.append(_row(event, consent, expires_at, given=True))
                case ConsentWithdrawn():
                    withdrawn = Consent(purpose=event.payload.purpose, channel=event.payload.channel)
                    decided.append(_row(event, withdrawn, FOREVER, given=False))
                case MemberErased():
                    at = effective_at(event.payload, event.recorded_at)
                    erased.append((event.stream_id, event.position, at, event.payload.request.reason))
                case _:
                    pass
        steps = [Step("decide", columns(decided), len(decided))] if decided else []
        return steps + ([Step("erase", columns(erased), len(erased))] if erased else [])


def _row(event: Event, consent: Consent, expires_at: int, *, given: bool) -> tuple[Any, ...]:
    origin = event.payload.origin
    return (
        event.stream_id,
        event.position,
        consent.purpose,
        consent.channel,
        int(given),
        consent.text_id,
        consent.text_version,
        consent.language_code,
        effective_at(event.payload, event.recorded_at),
        expires_at,
        event.command_id,
        origin.store,
        origin.channel,
        origin.operator,
        origin.credential,
    )
