"""What a batch of commands writes to the profile store, in the transaction that appends its events."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import psycopg
from google.protobuf.message import Message
from loyalty.v1.commands_pb2 import EnrollMemberRequest, UpdateMemberRequest
from loyalty.v1.member_pb2 import Profile
from psycopg import Cursor
from psycopg.rows import TupleRow

from ledger.domain.member_profile import AttributeState, Key, MemberProfile
from ledger.store.name_key import name_keys


class ProfileMoved(psycopg.errors.UniqueViolation):
    """Somebody else changed a profile since it was read: nothing of the batch is written."""


class NewPerson(NamedTuple):
    """A person who was enrolled."""

    request_id: UUID
    member_id: UUID
    program: str
    identifiers: Sequence[Key]
    profile: Profile
    request: EnrollMemberRequest


class Update(NamedTuple):
    """A change of what is known of a person."""

    request_id: UUID
    member_id: UUID
    before: MemberProfile
    after: MemberProfile
    added: Sequence[Key]
    removed: Sequence[Key]
    request: UpdateMemberRequest | None
    """The command as it came; None where nothing was recorded."""


class NewText(NamedTuple):
    """What a member wrote."""

    request_id: UUID
    member_id: UUID
    text: str
    language_code: str
    recorded_at: int


class PersonalWrites:
    """All that a batch writes about persons."""

    def __init__(self) -> None:
        self._people: list[NewPerson] = []
        self._updates: list[Update] = []
        self._texts: list[NewText] = []
        self._erased: set[UUID] = set()
        self._owners: dict[Key, UUID | None] = {}
        """Who has each identifier in the end; None for nobody."""
        self._freed: set[Key] = set()

    def __bool__(self) -> bool:
        return bool(self._people or self._updates or self._texts or self._erased)

    def enrol(self, person: NewPerson) -> None:
        """Adds a person."""
        self._people.append(person)
        self._owners.update(dict.fromkeys(person.identifiers, person.member_id))

    def update(self, update: Update) -> None:
        """Adds a change. Changes of one member follow each other."""
        self._updates.append(update)
        self._freed.update(update.removed)
        self._owners.update(dict.fromkeys(update.removed))
        self._owners.update(dict.fromkeys(update.added, update.member_id))

    def write_down(self, text: NewText) -> None:
        """Adds what a member wrote."""
        self._texts.append(text)

    def erase(self, member_id: UUID) -> None:
        """Erases a person. What the batch was to write about them is not written at all."""
        self._erased.add(member_id)
        self._people = [one for one in self._people if one.member_id != member_id]
        self._updates = [one for one in self._updates if one.member_id != member_id]
        self._texts = [one for one in self._texts if one.member_id != member_id]
        self._owners = {key: owner for key, owner in self._owners.items() if owner != member_id}

    def write(self, cursor: Cursor[TupleRow], now: int) -> None:
        """Writes it. First who is erased goes: an identifier of theirs may be a new member's by now.

        Raises psycopg.errors.UniqueViolation when an identifier has been taken, or a profile changed, meanwhile.
        """
        if self._erased:
            _erase(cursor, self._erased)
        if self._people:
            _write_people(cursor, self._people)
        if self._updates:
            changes = _changes(self._updates)
            _write_names(cursor, [change for change in changes if change.is_of_member])
            _write_attributes(cursor, changes, now)
            _write_times(cursor, changes)
            sent = [(update.request_id, update.member_id, update.request) for update in self._updates if update.request]
            _write_requests(cursor, "profile.updates", sent)
        if self._freed:
            _free(cursor, self._freed)
        _write_identifiers(cursor, [(key, owner) for key, owner in self._owners.items() if owner is not None])
        if self._texts:
            _write_texts(cursor, self._texts)


class _Change(NamedTuple):
    member_id: UUID
    before: MemberProfile
    after: MemberProfile

    @property
    def is_of_member(self) -> bool:
        """Whether the row of the member is written, or at least locked, and not only those of attributes.

        While it is, nobody else removes or adds an identifier of theirs, nor erases them.
        """
        after, before = self.after, self.before
        return (after.version, after.source_at) != (before.version, before.source_at) or bool(self.times)

    @property
    def times(self) -> dict[Key, int]:
        """Identifiers of which a source said whether they are the member's, and when."""
        before = self.before.identifier_times
        return {key: at for key, at in self.after.identifier_times.items() if at != before.get(key, 0)}


def _changes(updates: Iterable[Update]) -> list[_Change]:
    """One change for each member, from before the first update to after the last, in the order of their ids.

    All servers write in that order, so that none waits for another that waits for it.
    """
    changes: dict[UUID, _Change] = {}
    for update in updates:
        before = changes.get(update.member_id, update).before
        changes[update.member_id] = _Change(update.member_id, before, update.after)
    return [changes[member_id] for member_id in sorted(changes)]


def _erase(cursor: Cursor[TupleRow], members: Iterable[UUID]) -> None:
    """With its row in profile.members, a person loses those in every table of the profile store."""
    cursor.execute("DELETE FROM profile.members WHERE member_id = ANY (%b::uuid[])", (sorted(members),))


def _write_texts(cursor: Cursor[TupleRow], texts: Sequence[NewText]) -> None:
    """Writes the texts of those who are known."""
    cursor.execute(
        "INSERT INTO profile.feedback_texts SELECT t.* FROM"
        " unnest(%b::uuid[], %b::uuid[], %b::text[], %b::text[], %b::bigint[])"
        " AS t (request_id, member_id, feedback_text, language_code, recorded_at)"
        " JOIN profile.members USING (member_id)",
        tuple(map(list, zip(*texts, strict=True))),
    )


def _write_people(cursor: Cursor[TupleRow], people: Sequence[NewPerson]) -> None:
    keys = [name_keys(person.profile.given_name, person.profile.family_name) for person in people]
    cursor.execute(
        "INSERT INTO profile.members"
        " (member_id, program, given_name, family_name, language_code, given_key, family_key)"
        " SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[])",
        (
            [person.member_id for person in people],
            [person.program for person in people],
            [person.profile.given_name for person in people],
            [person.profile.family_name for person in people],
            [person.profile.language_code or "en" for person in people],
            [given for given, _ in keys],
            [family for _, family in keys],
        ),
    )
    sent = [(person.request_id, person.member_id, person.request) for person in people]
    _write_requests(cursor, "profile.enrollments", sent)


def _write_requests(cursor: Cursor[TupleRow], table: str, sent: Sequence[tuple[UUID, UUID, Message]]) -> None:
    if sent:
        cursor.execute(
            f"INSERT INTO {table} SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::bytea[])".encode(),
            (
                [request_id for request_id, _, _ in sent],
                [member_id for _, member_id, _ in sent],
                [request.SerializeToString() for _, _, request in sent],
            ),
        )


def _write_identifiers(cursor: Cursor[TupleRow], owned: Sequence[tuple[Key, UUID]]) -> None:
    if owned:
        # A violated key would be in PostgreSQL's log, with the identifier.
        cursor.execute(
            "INSERT INTO profile.identifiers SELECT * FROM unnest(%b::text[], %b::int[], %b::text[], %b::uuid[])"
            " ON CONFLICT DO NOTHING",
            (
                [key[0] for key, _ in owned],
                [key[1] for key, _ in owned],
                [key[2] for key, _ in owned],
                [owner for _, owner in owned],
            ),
        )
        if cursor.rowcount != len(owned):
            raise psycopg.errors.UniqueViolation("an identifier has been taken meanwhile")


def _free(cursor: Cursor[TupleRow], keys: Iterable[Key]) -> None:
    programs, types, values = zip(*sorted(keys), strict=True)
    cursor.execute(
        "DELETE FROM profile.identifiers i USING unnest(%b::text[], %b::int[], %b::text[]) AS k (program, type, value)"
        " WHERE (i.program, i.type, i.value) = (k.program, k.type, k.value)",
        (list(programs), list(types), list(values)),
    )


def _write_names(cursor: Cursor[TupleRow], changes: Sequence[_Change]) -> None:
    """Writes names, language and the version, which counts every change of what is known of the person."""
    if not changes:
        return
    keys = [name_keys(change.after.names["given_name"], change.after.names["family_name"]) for change in changes]
    cursor.execute(
        """
        UPDATE profile.members m
        SET given_name = n.given_name, family_name = n.family_name, language_code = n.language_code,
            given_key = n.given_key, family_key = n.family_key, version = n.version, source_at = n.source_at
        FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[],
                    %b::bigint[])
            AS n (member_id, expected, given_name, family_name, language_code, given_key, family_key, version,
                  source_at)
        WHERE m.member_id = n.member_id AND m.version = n.expected AND m.source_at <= n.source_at
        """,
        (
            [change.member_id for change in changes],
            [change.before.version for change in changes],
            [change.after.names["given_name"] for change in changes],
            [change.after.names["family_name"] for change in changes],
            [change.after.names["language_code"] for change in changes],
            [given for given, _ in keys],
            [family for _, family in keys],
            [change.after.version for change in changes],
            [change.after.source_at for change in changes],
        ),
    )
    _check_all(cursor, len(changes))


class _Set(NamedTuple):
    """An attribute of a member, and the version that it replaces."""

    member_id: UUID
    name: str
    expected: int
    state: AttributeState


def _write_attributes(cursor: Cursor[TupleRow], changes: Sequence[_Change], now: int) -> None:
    changed = [
        _Set(change.member_id, name, before.version if before is not None else 0, state)
        for change in changes
        for name, state in sorted(change.after.attributes.items())
        if state is not (before := change.before.attributes.get(name))
    ]
    new = [one for one in changed if not one.expected]
    old = [one for one in changed if one.expected]
    if new:
        cursor.execute(
            "INSERT INTO profile.attributes (member_id, attribute, type, value, version, source, source_at, updated_at)"
            " SELECT *, %b::bigint FROM unnest(%b::uuid[], %b::text[], %b::int[], %b::text[], %b::bigint[], %b::text[],"
            " %b::bigint[])",
            (now, *_columns(new)),
        )
    if old:
        cursor.execute(
            """
            UPDATE profile.attributes a
            SET type = n.type, value = n.value, version = n.version, source = n.source, source_at = n.source_at,
                updated_at = CASE WHEN a.version = n.version THEN a.updated_at ELSE %b::bigint END
            FROM unnest(%b::uuid[], %b::text[], %b::int[], %b::text[], %b::bigint[], %b::text[], %b::bigint[],
                        %b::bigint[])
                AS n (member_id, attribute, type, value, version, source, source_at, expected)
            WHERE a.member_id = n.member_id AND a.attribute = n.attribute AND a.version = n.expected
              AND a.source_at <= n.source_at
            """,
            (now, *_columns(old), [one.expected for one in old]),
        )
        _check_all(cursor, len(old))


def _write_times(cursor: Cursor[TupleRow], changes: Sequence[_Change]) -> None:
    """Writes when sources said whether members have identifiers, unless a later one has said so meanwhile."""
    times = [(change.member_id, *key[1:], at) for change in changes for key, at in sorted(change.times.items())]
    if times:
        cursor.execute(
            "INSERT INTO profile.identifier_times AS t (member_id, type, value, source_at)"
            " SELECT * FROM unnest(%b::uuid[], %b::int[], %b::text[], %b::bigint[])"
            " ON CONFLICT (member_id, type, value) DO UPDATE SET source_at = excluded.source_at"
            " WHERE t.source_at <= excluded.source_at",
            tuple(map(list, zip(*times, strict=True))),
        )
        _check_all(cursor, len(times))


def _columns(changed: Sequence[_Set]) -> tuple[list[object], ...]:
    return (
        [one.member_id for one in changed],
        [one.name for one in changed],
        [one.state.type for one in changed],
        [one.state.value for one in changed],
        [one.state.version for one in changed],
        [one.state.source for one in changed],
        [one.state.source_at for one in changed],
    )


def _check_all(cursor: Cursor[TupleRow], expected: int) -> None:
    """Raises ProfileMoved unless every row was still as it had been read."""
    if cursor.rowcount != expected:
        raise ProfileMoved(f"{expected - cursor.rowcount} rows of profiles have changed since they were read")
