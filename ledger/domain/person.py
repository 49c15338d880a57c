"""What an account knows of the person whose it is: consents, where they said something, whether they are erased.

None of it is personal data: that is in the profile store.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final, NamedTuple

from loyalty.v1.consent_pb2 import ConsentSnapshot, ContactChannel
from loyalty.v1.events_pb2 import (
    ConsentGiven,
    ConsentsRecorded,
    ConsentWithdrawn,
    FeedbackRecorded,
    MemberErased,
)
from loyalty.v1.feedback_pb2 import RatedVisit
from loyalty.v1.snapshot_pb2 import AccountSnapshot

from ledger.domain.effect import effective_at
from ledger.domain.instant import FOREVER, from_timestamp

PersonEvent = ConsentsRecorded | ConsentGiven | ConsentWithdrawn | MemberErased | FeedbackRecorded

VISIT_DAYS_MAX: Final = 31
"""How many days ago a visit may be that a member says something about."""

_ALL: Final = ContactChannel.CONTACT_CHANNEL_ALL

Key = tuple[str, int]
"""A purpose and a way of contact."""


class Decision(NamedTuple):
    """What a member decided last about a purpose and a way of contact."""

    given: bool
    at: int
    expires_at: int
    """FOREVER for never, and for what was withdrawn."""


class Person(NamedTuple):
    """A value: each event makes another one."""

    consents: Mapping[Key, Decision] = {}
    """The decisions about all ways of contact, and the later ones about single ways."""
    rated_visits: tuple[tuple[str, str], ...] = ()
    """Stores and days (as YYYY-MM-DD) of VISIT_DAYS_MAX days up to the last one."""
    erased_at: int = 0
    """0 for a person who is not erased."""

    def after(self, event: PersonEvent) -> "Person":
        """The state after an event."""
        match event:
            case ConsentGiven():
                consent = event.consent
                expires_at = from_timestamp(consent.expires_at) if consent.HasField("expires_at") else FOREVER
                decision = Decision(True, _at(event), expires_at)
                return self._decided((consent.purpose, consent.channel), decision)
            case ConsentWithdrawn():
                decision = Decision(False, _at(event), FOREVER)
                return self._decided((event.purpose, event.channel), decision)
            case MemberErased():
                return Person(erased_at=_at(event))
            case FeedbackRecorded() if event.request.HasField("visit"):
                visit = event.request.visit
                return self._replace(rated_visits=_kept((*self.rated_visits, (visit.store, visit.day))))
            case _:
                return self

    def consents_to(self, purpose: str, channel: int, at: int) -> bool:
        """Whether the member may be contacted in a way, for a purpose, at an instant."""
        decision = self.consents.get((purpose, channel)) or self.consents.get((purpose, _ALL))
        return decision is not None and decision.given and at < decision.expires_at

    def _decided(self, key: Key, decision: Decision) -> "Person":
        """Takes over a decision unless a later one about the same is known: tills may be offline."""
        purpose, channel = key
        for known in (self.consents.get(key), self.consents.get((purpose, _ALL))):
            if known is not None and known.at > decision.at:
                return self
        consents = dict(self.consents)
        if channel == _ALL:
            # An exception that was made later stays one.
            consents = {
                other: known for other, known in consents.items() if other[0] != purpose or known.at > decision.at
            }
        consents[key] = decision
        return self._replace(consents=consents)

    def write(self, snapshot: AccountSnapshot) -> None:
        """Writes the state into an account's snapshot."""
        for (purpose, channel), decision in sorted(self.consents.items()):
            snapshot.consents.add(
                purpose=purpose,
                channel=channel,
                given=decision.given,
                at_us=decision.at,
                expires_at_us=decision.expires_at % FOREVER,
            )
        snapshot.rated_visits.extend(RatedVisit(store=store, day=day) for store, day in self.rated_visits)
        snapshot.erased_at_us = self.erased_at

    @classmethod
    def of(cls, snapshot: AccountSnapshot) -> "Person":
        """The state that a snapshot holds."""
        return cls(
            {(one.purpose, one.channel): _decision(one) for one in snapshot.consents},
            tuple((visit.store, visit.day) for visit in snapshot.rated_visits),
            snapshot.erased_at_us,
        )


UNKNOWN: Final = Person()
"""Of whom nothing is known."""


def _at(event: ConsentGiven | ConsentWithdrawn | MemberErased) -> int:
    """When a member decided. Without an instant of its own an event has its till's."""
    return effective_at(event, 0)


def _decision(message: ConsentSnapshot) -> Decision:
    return Decision(message.given, message.at_us, message.expires_at_us or FOREVER)


def _kept(visits: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The visits that a further one can still be compared with."""
    first = earliest_visit(visits)
    return tuple(visit for visit in visits if visit[1] >= first)


def earliest_visit(visits: tuple[tuple[str, str], ...]) -> str:
    """The day before which no visit is accepted any more; empty where none is known."""
    if not visits:
        return ""
    last = max(day for _, day in visits)
    return (date.fromisoformat(last) - timedelta(days=VISIT_DAYS_MAX)).isoformat()
