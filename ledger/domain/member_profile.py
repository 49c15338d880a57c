"""What the profile store holds of a member, and what an update is to change in it. None of it may get into an event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple

from ledger.domain.attribute import Value, value_of

NAMES: Final = ("given_name", "family_name", "language_code")
"""The fields of a profile. They have one source together."""

Key = tuple[str, int, str]
"""A normalised identifier: program, type, value."""


class AttributeState(NamedTuple):
    """An attribute of a member."""

    type: int
    """loyalty.v1.AttributeType"""
    value: str | None
    """In the form of its type; None where it was removed."""
    version: int
    """Counts its changes, from 1."""
    source: str
    source_at: int
    """When the source had it, in microseconds."""


@dataclass(frozen=True)
class MemberProfile:
    """A member as a person, at a version. Immutable."""

    version: int
    names: Mapping[str, str]
    """By NAMES."""
    source_at: int = 0
    """When the source of the names had them, in microseconds; 0 where none said."""
    identifiers: int = 0
    """How many identifiers the member has."""
    attributes: Mapping[str, AttributeState] = field(default_factory=dict)
    identifier_times: Mapping[Key, int] = field(default_factory=dict)
    """When a source last said whether the member has an identifier, in microseconds: of those that the commands at hand
    name; 0 where none said."""

    @property
    def etag(self) -> str:
        """What UpdateMember is refused by when the profile was changed meanwhile."""
        return etag_of(self.version)

    @cached_property
    def values(self) -> dict[str, Value]:
        """The attributes that are set, as expressions see them."""
        return {
            name: value_of(state.type, state.value)
            for name, state in self.attributes.items()
            if state.value is not None
        }

    def heeding(self, change: "ProfileChange") -> "ProfileChange":
        """A change without the identifiers of which a later source has said whether they are the member's."""

        def heeded(keys: Sequence[Key]) -> list[Key]:
            return [key for key in keys if not change.is_older_than(self.identifier_times.get(key, 0))]

        return replace(change, add=heeded(change.add), remove=heeded(change.remove))


def etag_of(version: int) -> str:
    """The etag of a version of a profile."""
    return f'"p{version}"'


@dataclass(slots=True)
class ProfileChange:
    """The personal part of an update. It goes to the profile store and nowhere else."""

    names: Mapping[str, str]
    """The new values of some of NAMES."""
    add: Sequence[Key]
    remove: Sequence[Key]
    attributes: Mapping[str, str | None]
    """What attributes are set to, as it was sent; None to remove one."""
    source: str
    source_at: int | None
    """When the source had all this; None for now."""

    def is_older_than(self, source_at: int) -> bool:
        """Whether another source has spoken later."""
        return self.source_at is not None and self.source_at < source_at
