"""What a batch knows from the profile store: the part of the book that is about people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from google.protobuf.message import Message

from ledger.domain.account import Account
from ledger.domain.member_profile import Key, MemberProfile, ProfileChange
from ledger.store.recorder import Session
from ledger.writer.command import Command, Person
from ledger.writer.missing import Missing


class Persons:
    """What a batch knows of people. A key that was looked up in vain is there with None."""

    def __init__(self) -> None:
        self.identifiers: dict[Key, UUID | None] = {}
        self.sent: dict[UUID, Message | None] = {}
        """Earlier enrolments and updates as they came, by request id; None once the person is erased."""
        self.profiles: dict[UUID, MemberProfile | None] = {}
        self.memberships: dict[UUID, Sequence[str]] = {}
        """The segments of members, where an expression asks for them."""
        self.texts: dict[UUID, str | None] = {}
        """Texts of earlier feedback, by request id; None once they are erased."""

    def knows(
        self, command: Command, accounts: Mapping[UUID, Account | None], missing: Missing, *, is_repeated: bool
    ) -> bool:
        """Whether all that a command needs is known; if not, adds to `missing` what to look up next.

        `is_repeated` says that the log has an outcome of the command.
        """
        known = True
        if command.identifier is not None and command.identifier not in self.identifiers:
            missing.identifiers.add(command.identifier)
            known = False
        if command.person is not None:
            known = self._knows_owners_of(command.person, accounts, missing) and known
        if command.change is not None:
            known = self._knows_owners(command.change, missing) and known
        if not is_repeated:
            return known
        if (command.person is not None or command.sent is not None) and command.request_id not in self.sent:
            missing.sent[command.request_id] = type(command.request)
            known = False
        if command.text and command.request_id not in self.texts:
            missing.texts.add(command.request_id)
            known = False
        return known

    def _knows_owners_of(self, person: Person, accounts: Mapping[UUID, Account | None], missing: Missing) -> bool:
        """Who has the identifiers of an enrolment, and their accounts."""
        known = True
        for key in person.identifiers:
            owner = self.identifiers.get(key)
            if key not in self.identifiers:
                missing.identifiers.add(key)
                known = False
            elif owner is not None and owner not in accounts:
                missing.streams.add(owner)
                known = False
        return known

    def _knows_owners(self, change: ProfileChange, missing: Missing) -> bool:
        """Who has the identifiers that an update adds or removes."""
        unknown = {key for key in (*change.add, *change.remove) if key not in self.identifiers}
        missing.identifiers |= unknown
        return not unknown

    def knows_profile(self, command: Command, member: UUID, missing: Missing) -> bool:
        """The profile that an update changes, looked up behind the account: no change can lie between them unseen.

        Behind the profile, for the same reason, who has the identifiers that the update names is looked up once more.
        """
        change = command.change
        if change is None:
            return True
        profile = self.profiles.get(member)
        if member in self.profiles and profile is None:
            return True
        known = profile.identifier_times if profile is not None else {}
        if keys := {key for key in (*change.add, *change.remove) if key not in known}:
            missing.identifier_times.setdefault(member, set()).update(keys)
            missing.identifiers |= keys
        if profile is None:
            missing.profiles.add(member)
        return profile is not None and not keys

    def look_up(self, session: Session, missing: Missing) -> None:
        """Looks up what is missing."""
        if missing.profiles:
            self.look_up_profiles(session, missing.profiles)
        if missing.identifiers:
            keys = list(missing.identifiers)
            found = session.identifiers(keys)
            self.identifiers.update((key, found.get(key)) for key in keys)
        if missing.sent:
            sent = session.sent(list(missing.sent))
            for request_id, kind in missing.sent.items():
                self.sent[request_id] = kind.FromString(sent[request_id]) if request_id in sent else None
        if missing.identifier_times:
            self._look_up_times(session, missing.identifier_times)
        if missing.texts:
            texts = session.feedback_texts(list(missing.texts))
            self.texts.update((key, texts.get(key)) for key in missing.texts)

    def look_up_profiles(self, session: Session, members: Iterable[UUID]) -> None:
        """Looks up profiles."""
        wanted = list(members)
        profiles = session.profiles(wanted)
        self.profiles.update((member, profiles.get(member)) for member in wanted)

    def _look_up_times(self, session: Session, wanted: Mapping[UUID, Iterable[Key]]) -> None:
        """Adds to profiles when sources last said whether the members have some identifiers."""
        found = session.identifier_times([(member, key) for member, keys in wanted.items() for key in keys])
        for member, keys in wanted.items():
            profile = self.profiles[member]
            if profile is not None:
                times = {key: found.get((member, key), 0) for key in keys}
                self.profiles[member] = replace(profile, identifier_times={**profile.identifier_times, **times})

    def enter(self, command: Command, account: Account) -> None:
        """Makes what a command decided about a person visible to the commands behind it."""
        if command.person is not None:
            self.identifiers.update(dict.fromkeys(command.person.identifiers, account.account_id))
            self.sent[command.request_id] = command.person.request
            self.profiles[account.account_id] = command.person.known
        if command.text:
            self.texts[command.request_id] = command.text
        if account.person.erased_at:
            gone = [key for key, member in self.identifiers.items() if member == account.account_id]
            self.identifiers.update(dict.fromkeys(gone))
            self.profiles[account.account_id] = None

    def enter_update(self, command: Command, member: UUID, profile: MemberProfile, change: ProfileChange) -> None:
        """Makes an update of a profile visible to the commands behind it."""
        self.profiles[member] = profile
        self.sent[command.request_id] = command.sent
        self.identifiers.update(dict.fromkeys(change.remove))
        self.identifiers.update(dict.fromkeys(change.add, member))
