"""The profile store: the only place that holds personal data."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from loyalty.v1.member_pb2 import Identifier, Profile
from loyalty.v1.profile_pb2 import FoundMember, PersonalData
from psycopg.rows import TupleRow, tuple_row

from ledger.domain.instant import set_timestamp
from ledger.domain.member_profile import etag_of
from ledger.domain.names import member_name
from ledger.store.datastore import LedgerDatastore
from ledger.store.name_key import fold

ENDING_SHOWN: Final = 4
"""Characters of an identifier that whoever searches is shown."""

_LAST: Final = "\U0010ffff"
"""Behind every character of a name or identifier."""

PEOPLE: Final = """
SELECT m.member_id, m.version, m.given_name, m.family_name, m.language_code,
       (SELECT json_agg(json_build_array(type, value) ORDER BY type, value)
        FROM profile.identifiers WHERE member_id = m.member_id),
       (SELECT json_agg(json_build_array(attribute, type, value, version, source, source_at) ORDER BY attribute)
        FROM profile.attributes WHERE member_id = m.member_id AND value IS NOT NULL)
FROM profile.members m WHERE m.member_id = ANY (%(members)b::uuid[])
"""
"""The statement of all that is known of some people, for `personal_data`; no row of whom was erased."""

_FOUND: Final = """
SELECT m.member_id, m.given_name, m.family_name, m.language_code,
       (SELECT json_agg(json_build_array(type, value) ORDER BY type, value)
        FROM profile.identifiers WHERE member_id = m.member_id)
FROM ({found}) AS found JOIN profile.members m USING (member_id)
ORDER BY m.given_key, m.member_id
"""

_BY_NAME: Final = """
SELECT member_id FROM (
    (SELECT member_id, given_key AS key FROM profile.members
     WHERE program = %(program)b AND given_key <> '' AND given_key >= %(from)b AND given_key < %(until)b
     ORDER BY given_key LIMIT %(limit)b)
    UNION ALL
    (SELECT member_id, family_key FROM profile.members
     WHERE program = %(program)b AND family_key <> '' AND family_key >= %(from)b AND family_key < %(until)b
     ORDER BY family_key LIMIT %(limit)b)
) AS named
GROUP BY member_id ORDER BY min(key), member_id LIMIT %(limit)b
"""

_BY_ENDING: Final = """
SELECT member_id FROM (
    SELECT member_id FROM profile.identifiers
    WHERE program = %(program)b AND reverse(value) COLLATE "C" >= %(from)b AND reverse(value) COLLATE "C" < %(until)b
    ORDER BY reverse(value) COLLATE "C" LIMIT %(limit)b * 8
) AS ending
GROUP BY member_id ORDER BY member_id LIMIT %(limit)b
"""

_BY_KEY: Final = """
SELECT member_id FROM profile.identifiers
WHERE program = %(program)b AND type = %(type)b::int AND value = %(value)b
"""

_SEARCHES: Final = {
    name: _FOUND.replace("{found}", found).encode()
    for name, found in (("by_name", _BY_NAME), ("by_ending", _BY_ENDING), ("by_key", _BY_KEY))
}


class Person(NamedTuple):
    """What a till may know of a member."""

    masked_name: str
    language_code: str


class Profiles:
    """Reads the profile store. Every call blocks on the database."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def member_by(self, key: tuple[str, int, str]) -> UUID | None:
        """The member with a normalised identifier (program, type, value)."""
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            row = cursor.execute(
                "SELECT member_id FROM profile.identifiers WHERE program = %s AND type = %s AND value = %s",
                key,
            ).fetchone()
        return row[0] if row is not None else None

    def feedback_texts(self, requests: Sequence[UUID]) -> dict[UUID, str]:
        """What members wrote, by the request id of the feedback, as far as it is still there."""
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            rows = cursor.execute(
                "SELECT request_id, feedback_text FROM profile.feedback_texts WHERE request_id = ANY (%s)",
                (list(requests),),
            )
            return dict(rows.fetchall())

    def get(self, member_id: UUID) -> Person | None:
        """What a till may know of a member; None when the person was erased or never known."""
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            row = cursor.execute(
                "SELECT given_name, family_name, language_code FROM profile.members WHERE member_id = %s",
                (member_id,),
            ).fetchone()
        if row is None:
            return None
        return Person(" ".join(mask(name) for name in row[:2] if name), row[2])

    def by_name(self, program: str, prefix: str, limit: int) -> list[FoundMember]:
        """The first members, by name, whose given or family name begins so, whatever its case and accents."""
        key = fold(prefix)
        parameters = {"program": program, "from": key, "until": key + _LAST, "limit": limit}
        return self._found("by_name", parameters)

    def by_ending(self, program: str, ending: str, limit: int) -> list[FoundMember]:
        """The first members with an identifier that ends so; addresses are kept in small letters, cards as they are."""
        found: dict[str, FoundMember] = {}
        for key in dict.fromkeys((ending[::-1], ending.lower()[::-1])):
            parameters = {"program": program, "from": key, "until": key + _LAST, "limit": limit}
            found |= {one.member: one for one in self._found("by_ending", parameters)}
        return sorted(found.values(), key=lambda one: one.member)[:limit]

    def by_key(self, key: tuple[str, int, str]) -> list[FoundMember]:
        """The member with a normalised identifier (program, type, value)."""
        return self._found("by_key", dict(zip(("program", "type", "value"), key, strict=True)))

    def _found(self, question: str, parameters: Mapping[str, object]) -> list[FoundMember]:
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            rows = cursor.execute(_SEARCHES[question], parameters, prepare=True).fetchall()
        return [_found_member(row) for row in rows]


def personal_data(row: Sequence[Any]) -> tuple[PersonalData, str]:
    """All that is known of a person, and its etag, from the columns of PEOPLE."""
    _, profile_version, given_name, family_name, language_code, identifiers, attributes = row
    personal = PersonalData(
        profile=Profile(given_name=given_name, family_name=family_name, language_code=language_code),
        identifiers=[Identifier(type=kind, value=value) for kind, value in identifiers or ()],
    )
    for name, kind, value, version, source, source_at in attributes or ():
        attribute = personal.attributes.add(attribute_id=name, type=kind, value=value, version=version, source=source)
        set_timestamp(attribute.source_time, source_at)
    return personal, etag_of(profile_version)


def _found_member(row: TupleRow) -> FoundMember:
    member_id, given_name, family_name, language_code, identifiers = row
    return FoundMember(
        member=member_name(member_id),
        profile=Profile(given_name=given_name, family_name=family_name, language_code=language_code),
        masked_identifiers=[Identifier(type=kind, value=mask_all_but_end(value)) for kind, value in identifiers or ()],
    )


def mask_all_but_end(value: str) -> str:
    """An identifier with all but its last four characters hidden; all of a short one."""
    return f"***{value[-ENDING_SHOWN:]}" if len(value) > ENDING_SHOWN * 2 else "***"


def mask(name: str) -> str:
    """A name with all but its first character hidden, whatever its length."""
    return f"{name[0]}***" if name else ""
