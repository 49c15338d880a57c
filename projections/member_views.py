"""The views of members as the API reads them: see ledger.member_views."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from loyalty.v1.profile_pb2 import ListedMember
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.instant import set_timestamp
from ledger.domain.names import member_name
from ledger.member_views import MemberProfile, MembersPage, MembersQuestion
from ledger.store.datastore import LedgerDatastore
from ledger.store.profiles import PEOPLE, personal_data
from ledger.views import ViewBehind
from projections.facts import FACTS, facts_of, named
from projections.sql import execute_raw, statements
from projections.tries import tries
from projections.views import MEMBER_COLUMNS, MEMBERS, PostgresViews

_SQL: Final = statements("member_views.sql")
_PAGE: Final = {
    False: _SQL["page"].replace(b"{segment}", b""),
    True: _SQL["page"].replace(b"{segment}", _SQL["in_segment"]),
}
_NAMES: Final = sorted(
    name for name, fact in FACTS.items() if not fact.is_personal and fact.group not in ("points", "tiers")
)
_PROFILES: Final = {
    with_person: _SQL["profiles"]
    .replace(b"{position}", _SQL["position"])
    .replace(b"{members}", MEMBERS)
    .replace(b"{facts}", facts_of(_NAMES))
    .replace(b"{people}", PEOPLE.encode() if with_person else b"SELECT NULL::uuid AS member_id")
    for with_person in (False, True)
}
_FACTS_AT: Final = 1 + MEMBER_COLUMNS
_PERSON_AT: Final = _FACTS_AT + 1 + len(_NAMES)


class PostgresMemberViews:
    """Reads the views of members. The datastore should be made with PLANNED_ONCE."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore
        self._views = PostgresViews(datastore)

    def wait_for(self, min_position: int, timeout_s: float) -> None:
        """Waits until all views of members reflect a position. Raises ViewBehind."""
        if not min_position:
            return
        position = 0
        for _ in tries(timeout_s):
            with self._datastore.get_connection() as connection:
                position = _position(_cursor(connection).execute(_SQL["position"], prepare=True))
            if position >= min_position:
                return
        raise ViewBehind(position)

    def profiles(self, members: Sequence[UUID], at: int, *, with_person: bool) -> Mapping[UUID, MemberProfile]:
        """What is known of members at an instant, without those who are not known yet, or were erased."""
        with self._datastore.get_connection() as connection:
            parameters = {"members": list(members), "at": at}
            rows = execute_raw(connection, _PROFILES[with_person], parameters).fetchall()
        return {row[1]: self._profile(row, at) for row in rows}

    def _profile(self, row: tuple[Any, ...], at: int) -> MemberProfile:
        facts = named(_NAMES, row[_FACTS_AT + 1 : _PERSON_AT])
        known = {name: value for name, value in facts.items() if value is not None}
        person = personal_data(row[_PERSON_AT:]) if row[_PERSON_AT] is not None else None
        return MemberProfile(self._views.member_view(row[:_FACTS_AT], at), known, person)

    def page(self, question: MembersQuestion, after: UUID, limit: int, at: int) -> MembersPage:
        """Members behind an id."""
        parameters = {**question._asdict(), "after": after, "limit": limit + 1, "at": at}
        with self._datastore.get_connection() as connection:
            cursor = _cursor(connection)
            position = _position(cursor.execute(_SQL["position"], prepare=True))
            rows = cursor.execute(_PAGE[bool(question.segment)], parameters, prepare=True).fetchall()
        last = rows[limit - 1][0] if len(rows) > limit else None
        return MembersPage([_listed(row) for row in rows[:limit]], last, position)


def _cursor(connection: Any) -> Cursor[tuple[Any, ...]]:
    return connection.cursor(binary=True, row_factory=tuple_row)  # type: ignore[no-any-return]  # a connection of psycopg


def _position(asked: Cursor[tuple[Any, ...]]) -> int:
    (position,) = asked.fetchone() or (0,)
    return int(position)


def _listed(row: tuple[Any, ...]) -> ListedMember:
    member_id, tier, enrolled_at, first_sold_at, last_sold_at, sales, spent_minor = row
    listed = ListedMember(member=member_name(member_id), tier=tier, sales=sales, spent_minor=spent_minor)
    set_timestamp(listed.enrolled_at, enrolled_at)
    if first_sold_at is not None:
        set_timestamp(listed.first_purchase_at, first_sold_at)
    if last_sold_at is not None:
        set_timestamp(listed.last_purchase_at, last_sold_at)
    return listed
