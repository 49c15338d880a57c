"""What a batch does not know yet."""

from dataclasses import dataclass, field
from uuid import UUID

from google.protobuf.message import Message

from ledger.domain.member_profile import Key


@dataclass(slots=True)
class Missing:
    """Keys that the book does not know about yet."""

    streams: set[UUID] = field(default_factory=set)
    programs: set[str] = field(default_factory=set)
    requests: set[UUID] = field(default_factory=set)
    transactions: set[UUID] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    identifiers: set[Key] = field(default_factory=set)
    sent: dict[UUID, type[Message]] = field(default_factory=dict)
    profiles: set[UUID] = field(default_factory=set)
    identifier_times: dict[UUID, set[Key]] = field(default_factory=dict)
    texts: set[UUID] = field(default_factory=set)

    def __bool__(self) -> bool:
        return any(
            (
                self.streams,
                self.programs,
                self.requests,
                self.transactions,
                self.references,
                self.identifiers,
                self.sent,
                self.profiles,
                self.identifier_times,
                self.texts,
            )
        )
