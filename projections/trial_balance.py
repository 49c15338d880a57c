"""Trial balance: the postings of all events, by member and by program."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final
from uuid import UUID

from loyalty.v1.events_pb2 import MemberEnrolled

from projections.page import Event
from projections.postings import ACCOUNTS, postings
from projections.projection import Projection, Step, columns
from projections.sql import statements

_PLACE: Final = {account: place for place, account in enumerate(ACCOUNTS)}


class TrialBalance(Projection):
    """Double entry over all programs."""

    name: ClassVar[str] = "trial_balance"
    sql: ClassVar[Mapping[str, bytes]] = statements("trial_balance.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "member_points": ("member_id",),
    }
    shared_tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"program_totals": ("program",)}

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page."""
        enrolled: list[tuple[UUID, str]] = []
        booked: dict[UUID, list[int]] = {}
        for event in events:
            payload = event.payload
            for account, points in postings(payload).items():
                row = booked.get(event.stream_id)
                if row is None:
                    row = booked[event.stream_id] = [0] * len(ACCOUNTS)
                row[_PLACE[account]] += points
            if isinstance(payload, MemberEnrolled):
                enrolled.append((event.stream_id, payload.program))
        steps: list[Step] = []
        if enrolled:
            steps.append(Step("enrol", columns(enrolled), len(enrolled)))
        if booked:
            parameters = [list(booked), *columns(list(booked.values()))]
            steps.append(Step("book", parameters, len(booked)))
        return steps
