"""Consents and feedback as the API reads them: see ledger.person_views."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from loyalty.v1.consent_pb2 import ConsentChange, HeldConsent
from loyalty.v1.feedback_pb2 import FeedbackSubject
from loyalty.v1.feedback_results_pb2 import Feedback, FeedbackFilter, FeedbackGroup, FeedbackResult
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.person_pb2 import ConsentDecision
from psycopg.rows import tuple_row

from ledger.domain.instant import FOREVER, to_timestamp
from ledger.domain.names import last_id, member_name, transaction_name
from ledger.domain.rounding import half_up
from ledger.person_views import ConsentsPage, FeedbackPage, FeedbackResults, Held
from ledger.store.datastore import LedgerDatastore
from ledger.views import ViewBehind
from projections.sql import statements
from projections.tries import tries

_SQL: Final = statements("people.sql")

_CONDITIONS: Final[Mapping[str, bytes]] = {
    "program": b"f.program = %(program)b",
    "member": b"f.member_id = %(member)b",
    "store": b"f.store = %(store)b",
    "sku": b"f.sku = %(sku)b",
    "tier": b"f.tier = %(tier)b",
    "channel": b"f.channel = %(channel)b",
    "subject": b"f.subject = %(subject)b",
    "from_day": b"f.day >= %(from_day)b::text::date",
    "until_day": b"f.day <= %(until_day)b::text::date",
    "segment": b"EXISTS (SELECT FROM views.segment_members s WHERE s.program = f.program AND s.segment_id = %(segment)b"
    b" AND s.member_id = f.member_id)",
}
"""The condition of each field of a filter that is set, so that each question has a plan of its own."""

_KEYS: Final[Mapping[int, bytes]] = {
    FeedbackGroup.FEEDBACK_GROUP_UNSPECIFIED: b"''::text",
    FeedbackGroup.FEEDBACK_GROUP_STORE: b"f.store",
    FeedbackGroup.FEEDBACK_GROUP_SKU: b"f.sku",
    FeedbackGroup.FEEDBACK_GROUP_TIER: b"f.tier",
    FeedbackGroup.FEEDBACK_GROUP_CHANNEL: b"f.channel::text",
    FeedbackGroup.FEEDBACK_GROUP_DAY: b"f.day::text",
    FeedbackGroup.FEEDBACK_GROUP_SUBJECT: b"f.subject::text",
    FeedbackGroup.FEEDBACK_GROUP_SEGMENT: b"g.segment_id",
}

_JOINED: Final[Mapping[int, bytes]] = {
    FeedbackGroup.FEEDBACK_GROUP_SEGMENT: b"JOIN views.segment_members g USING (program, member_id)"
}
"""What gives the key of a group that is not in the view of feedback."""

_NAMED: Final[Mapping[int, Any]] = {
    FeedbackGroup.FEEDBACK_GROUP_CHANNEL: Channel,
    FeedbackGroup.FEEDBACK_GROUP_SUBJECT: FeedbackSubject,
}
"""The groups whose keys are numbers of an enum."""

_Row = Sequence[Any]


class PostgresPeople:
    """Reads the views. The datastore should be made with POINT_LOOKUPS."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def held(self, member_id: UUID, at: int, min_position: int, timeout_s: float) -> Held:
        """What a member has consented to at an instant (microseconds)."""
        rows = self._read(_SQL["held"], {"member_id": member_id, "at": at}, min_position, timeout_s)
        return Held([_held(row) for row in rows if row[1] is not None], rows[0][0])

    def consents(
        self, member_id: UUID, at: int, before: int, limit: int, min_position: int, timeout_s: float
    ) -> ConsentsPage:
        """What holds at an instant (microseconds), and decisions before a position."""
        parameters = {"member_id": member_id, "before": before, "limit": limit + 1}
        held = self.held(member_id, at, min_position, timeout_s)
        rows = self._read(_SQL["decisions"], parameters, min_position, timeout_s)
        return ConsentsPage(
            held.consents,
            [_decision(row) for row in rows[:limit] if row[1] is not None],
            len(rows) > limit,
            min(held.position, rows[0][0]),
        )

    def feedback_results(
        self,
        asked: FeedbackFilter,
        group: FeedbackGroup.ValueType,
        limit: int,
        min_position: int,
        timeout_s: float,
    ) -> FeedbackResults:
        """Figures of the feedback that is asked for."""
        sql = (
            _asked(_SQL["results"], asked).replace(b"{key}", _KEYS[group]).replace(b"{joined}", _JOINED.get(group, b""))
        )
        rows = self._read(sql, _parameters(asked) | {"limit": limit + 1}, min_position, timeout_s)
        results = [_result(row, group) for row in rows[:limit] if row[1] is not None]
        return FeedbackResults(results, len(rows) > limit, rows[0][0])

    def feedback(
        self, asked: FeedbackFilter, before: int, limit: int, min_position: int, timeout_s: float
    ) -> FeedbackPage:
        """Feedback that is asked for, before a position."""
        sql = _asked(_SQL["feedback"], asked)
        parameters = _parameters(asked) | {"before": before, "limit": limit + 1}
        rows = self._read(sql, parameters, min_position, timeout_s)
        page = [_feedback(row) for row in rows[:limit] if row[1] is not None]
        return FeedbackPage(page, len(rows) > limit, rows[0][0])

    def _read(self, sql: bytes, parameters: Mapping[str, Any], min_position: int, timeout_s: float) -> list[_Row]:
        """The rows of a statement at `min_position` or later; the first column is the view's position."""
        rows: list[_Row] = []
        for _ in tries(timeout_s):
            with self._datastore.get_connection() as connection:
                cursor = connection.cursor(binary=True, row_factory=tuple_row)
                rows = list(cursor.execute(sql, parameters, prepare=True).fetchall())
            if rows[0][0] >= min_position:
                return rows
        raise ViewBehind(rows[0][0])


def _asked(sql: bytes, asked: FeedbackFilter) -> bytes:
    conditions = [condition for field, condition in _CONDITIONS.items() if getattr(asked, field)]
    return sql.replace(b"{conditions}", b" AND ".join(conditions))


def _parameters(asked: FeedbackFilter) -> dict[str, Any]:
    given = {field: getattr(asked, field) for field in _CONDITIONS if getattr(asked, field)}
    return given | ({"member": last_id(asked.member)} if asked.member else {})


def _held(row: _Row) -> HeldConsent:
    _, purpose, channel, since, expires_at = row
    held = HeldConsent(purpose=purpose, channel=channel, since=to_timestamp(since))
    if expires_at != FOREVER:
        held.expires_at.CopyFrom(to_timestamp(expires_at))
    return held


def _decision(row: _Row) -> ConsentDecision:
    _, position, purpose, channel, given, text_id, version, language, at, expires_at, transaction, *origin = row
    decision = ConsentDecision(
        change=ConsentChange(
            purpose=purpose,
            channel=channel,
            given=given,
            text_id=text_id,
            text_version=version,
            language_code=language,
        ),
        at=to_timestamp(at),
        transaction=transaction_name(transaction),
        position=position,
        store=origin[0],
        channel=origin[1],
        operator=origin[2],
    )
    if expires_at != FOREVER:
        decision.expires_at.CopyFrom(to_timestamp(expires_at))
    return decision


def _result(row: _Row, group: int) -> FeedbackResult:
    _, key, said, *figures = row
    stars, (promoters, passives, detractors, texts) = figures[:5], figures[5:]
    result = FeedbackResult(
        key=_NAMED[group].Name(int(key)) if group in _NAMED else key,
        count=said,
        rating_counts=stars,
        promoters=promoters,
        passives=passives,
        detractors=detractors,
        texts=texts,
    )
    ratings, answers = sum(stars), promoters + passives + detractors
    if ratings:
        total = sum(number * count for number, count in enumerate(stars, 1))
        result.rating_average_thousandths = half_up(total, 1_000, ratings)
    if answers:
        result.nps_thousandths = half_up(promoters - detractors, 1_000, answers)
    return result


def _feedback(row: _Row) -> Feedback:
    (
        _,
        position,
        member,
        said,
        at,
        day,
        subject,
        about,
        store,
        sku,
        reward,
        tier,
        channel,
        rating,
        nps,
        text,
        language,
    ) = row
    return Feedback(
        transaction=transaction_name(said),
        member=member_name(member),
        at=to_timestamp(at),
        subject=subject,
        about=transaction_name(about) if about is not None else "",
        store=store,
        sku=sku,
        reward_id=reward,
        tier=tier,
        channel=channel,
        day=day,
        rating=rating,
        nps=nps,
        has_text=text,
        language_code=language,
        position=position,
    )
