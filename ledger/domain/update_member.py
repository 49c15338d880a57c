"""Changing what is known of a person: names, language, identifiers and attributes.

Later sources win: what a later one has set stays. Without a time of its source an update is the latest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from loyalty.v1.attribute_pb2 import AttributeDefinition
from loyalty.v1.commands_pb2 import UpdateMemberRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import MemberUpdated

from ledger.domain.attribute import canonical
from ledger.domain.case import Case
from ledger.domain.member_profile import AttributeState, MemberProfile, ProfileChange
from ledger.domain.refusal import InvariantBroken, Rejected

IDENTIFIERS_MAX: Final = 50
"""Identifiers of a member."""


class NothingChanged(Exception):
    """A dated update that says what is so already: it is not recorded."""

    def __init__(self, profile: MemberProfile, kept: Sequence[str]) -> None:
        super().__init__()
        self.profile = profile
        """As it was, with the later time of its source."""
        self.kept = kept
        """What a later source has set otherwise."""


def update_member(case: Case[UpdateMemberRequest]) -> None:
    """Decides an update of a member's profile. Raises Rejected, and NothingChanged."""
    before, change = case.profile, case.change
    if change is None:
        raise InvariantBroken("an update has nothing to change")
    if before is None:
        raise Rejected(ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND)
    if case.request.etag and case.request.etag != before.etag:
        raise Rejected(ErrorReason.ERROR_REASON_ETAG_MISMATCH, etag=before.etag)
    update = _Update(case, before, change)
    update.take_identifiers()
    update.take_names()
    update.take_attributes(case.program.attributes)
    event = update.event
    if not event.fields and not event.attributes and change.source_at is not None:
        raise NothingChanged(update.after, list(event.kept))
    case.profile = replace(update.after, version=before.version + 1)
    event.profile_version = case.profile.version
    case.record(event, main=True)


class _Update:
    """One update, as far as it has come."""

    def __init__(self, case: Case[UpdateMemberRequest], before: MemberProfile, change: ProfileChange) -> None:
        self.after = before
        self.event = MemberUpdated(origin=case.origin, request=case.request, program_version=case.program.version)
        self._member = case.account.account_id
        self._program = case.account.program
        self._owner = case.owner_of
        self._change = change
        self._at = case.at

    def take_identifiers(self) -> None:
        """Adds those that the member does not have and removes those that the member has, unless a later source has."""
        named = (*self._change.add, *self._change.remove)
        if any(key[0] != self._program for key in named):
            raise _invalid("add_identifiers", "must be of the member's program")
        heeded = self.after.heeding(self._change)
        keys = (*heeded.add, *heeded.remove)
        new = [key for key in heeded.add if self._owner(key) is None]
        if any(self._owner(key) not in (None, self._member) for key in heeded.add):
            raise Rejected(ErrorReason.ERROR_REASON_IDENTIFIER_TAKEN)
        if any(self._owner(key) != self._member for key in heeded.remove):
            raise Rejected(ErrorReason.ERROR_REASON_IDENTIFIER_NOT_FOUND)
        number = self.after.identifiers + len(new) - len(heeded.remove)
        if new and number > IDENTIFIERS_MAX:
            raise _invalid("add_identifiers", f"must leave the member with at most {IDENTIFIERS_MAX} identifiers")
        if len(keys) < len(named):
            self.event.kept.append("identifiers")
        if new or heeded.remove:
            self.event.fields.append("identifiers")
        if keys:
            before = self.after.identifier_times
            times = {key: self._source_at(before.get(key, 0)) for key in keys}
            self.after = replace(self.after, identifiers=number, identifier_times={**before, **times})

    def take_names(self) -> None:
        """Sets names and language, unless a later source has."""
        names = self._change.names
        if not names:
            return
        if self._change.is_older_than(self.after.source_at):
            self.event.kept.extend(names)
            return
        self.event.fields.extend(name for name, value in names.items() if self.after.names[name] != value)
        source_at = self._source_at(self.after.source_at)
        self.after = replace(self.after, names={**self.after.names, **names}, source_at=source_at)

    def take_attributes(self, definitions: Mapping[str, AttributeDefinition]) -> None:
        """Sets and removes attributes, each unless a later source has."""
        known = dict(self.after.attributes)
        for name, text in self._change.attributes.items():
            value = _value(definitions, name, text)
            before = known.get(name)
            if before is not None and self._change.is_older_than(before.source_at):
                self.event.kept.append(name)
                continue
            if before is None and value is None:
                continue
            kind = definitions[name].type
            is_same = before is not None and (before.value, before.type) == (value, kind)
            version = before.version if before is not None else 0
            if not is_same:
                version += 1
                self.event.attributes.add(attribute_id=name, version=version)
            source_at = self._source_at(before.source_at if before is not None else 0)
            source = before.source if is_same and before is not None else self._change.source
            known[name] = AttributeState(kind, value, version, source, source_at)
        self.after = replace(self.after, attributes=known)

    def _source_at(self, before: int) -> int:
        """When the source had what is set now: never earlier than before."""
        return max(before, self._at) if self._change.source_at is None else self._change.source_at


def _value(definitions: Mapping[str, AttributeDefinition], name: str, text: str | None) -> str | None:
    """The value in its stored form. Raises Rejected."""
    definition = definitions.get(name)
    path = f"attributes[{name!r}]"
    if definition is None:
        raise _invalid(path, "is no attribute of the program")
    if text is None:
        return None
    try:
        return canonical(definition, text)
    except ValueError as error:
        raise _invalid(path, str(error)) from None


def _invalid(field: str, description: str) -> Rejected:
    return Rejected(ErrorReason.ERROR_REASON_INVALID_FIELD, field=field, description=description)
