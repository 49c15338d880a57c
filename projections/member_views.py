"""The views of members as the API reads them: see ledger.member_views."""

import time
from typing import Any, Final
from uuid import UUID

from loyalty.v1.profile_pb2 import ListedMember
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.instant import set_timestamp
from ledger.domain.names import member_name
from ledger.member_views import MemberFacts, MembersPage, MembersQuestion
from ledger.store.datastore import LedgerDatastore
from ledger.views import ViewBehind
from projections.facts import FACTS, read_facts
from projections.sql import statements
from projections.views import POLL_S

_SQL: Final = statements("member_views.sql")
_PAGE: Final = {
    False: _SQL["page"].replace(b"{segment}", b""),
    True: _SQL["page"].replace(b"{segment}", _SQL["in_segment"]),
}
_NAMES: Final = frozenset(
    name for name, fact in FACTS.items() if not fact.is_personal and fact.group not in ("points", "tiers")
)


class PostgresMemberViews:
    """Reads the views of members. The datastore should be made with POINT_LOOKUPS."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def wait_for(self, min_position: int, timeout_s: float) -> None:
        """Waits until all views of members reflect a position. Raises ViewBehind."""
        deadline = time.monotonic() + timeout_s
        while min_position:
            with self._datastore.get_connection() as connection:
                position = _position(_cursor(connection).execute(_SQL["position"], prepare=True))
            if position >= min_position:
                return
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ViewBehind(position)
            time.sleep(min(remaining, POLL_S))

    def facts(self, program: str, member_id: UUID, at: int) -> MemberFacts:
        """What is known of a member at an instant."""
        with self._datastore.get_connection() as connection, connection.pipeline():
            cursor = _cursor(connection)
            asked = cursor.execute(_SQL["position"], prepare=True)
            found = read_facts(cursor, program, at, _NAMES, [member_id]).get(member_id, {})
            position = _position(asked)
        return MemberFacts({name: value for name, value in found.items() if value is not None}, position)

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
