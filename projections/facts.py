"""Facts: what is known of members from the views, by name, for segments, profiles and whoever else asks.

Every fact is of one instant. Facts are read in groups, since those of a group come from the same rows; a question reads
the groups of the facts that it names and no others, in one statement.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from loyalty.v1.consent_pb2 import ContactChannel
from loyalty.v1.origin_pb2 import Channel
from psycopg import Cursor

from ledger.domain.instant import DAY
from projections.sql import execute_raw, statements

Kind = Literal["number", "text", "flag", "list", "map"]

SOON_DAYS: Final = 30
"""Points that expire within so many days are expiring soon."""


class Fact(NamedTuple):
    """What can be known of a member."""

    kind: Kind
    group: str
    """The statement that reads it, in facts.sql."""
    meaning: str
    or_else: Any = None
    """What holds where there is nothing in the group's rows."""
    is_personal: bool = False
    """Whether it is personal data: it is read from the profile store, for rules and segments and nobody else."""


_ENTRIES: Final = "Each has sales, spent_minor and share_percent: its whole percents of spent_minor."

FACTS: Final[Mapping[str, Fact]] = {
    "sales": Fact("number", "members", "Sales that were not voided."),
    "returns": Fact("number", "members", "Times that something was brought back."),
    "units": Fact("number", "members", "Units bought, less those that came back."),
    "spent_minor": Fact("number", "members", "Spent after discounts, less what came back, in minor units."),
    "average_basket_minor": Fact("number", "members", "spent_minor for each sale; nothing before the first."),
    "first_purchase_days": Fact("number", "members", "Days since the first purchase, on the program's calendar."),
    "last_purchase_days": Fact("number", "members", "Days since the last purchase, on the program's calendar."),
    "enrolled_days": Fact("number", "members", "Days since enrolment, on the program's calendar."),
    "anniversary_days": Fact("number", "members", "Days until the day of enrolment comes round; 0 on that day."),
    "enrolled_store": Fact("text", "members", "The store of the enrolment."),
    "enrolled_channel": Fact("text", "members", "The channel of the enrolment."),
    "available_points": Fact("number", "points", "Points that can be spent; negative when points are owed."),
    "pending_points": Fact("number", "points", "Points that are earned but not active yet."),
    "held_points": Fact("number", "points", "Points that open holds keep."),
    "expiring_points": Fact("number", "points", f"Points, pending ones included, that expire within {SOON_DAYS} days."),
    "tier": Fact("text", "tiers", "The tier; empty in a program without tiers."),
    "open_vouchers": Fact("number", "rights", "Vouchers that can be used.", 0),
    "open_entitlements": Fact("number", "rights", "Entitlements that can be used.", 0),
    "visits": Fact("number", "visits", "Days on which something was bought, each store and channel counted.", 0),
    "favourite_store": Fact("text", "places", "Where most sales were; of several the one with the most spent."),
    "favourite_channel": Fact("text", "places", "The channel of most sales; of several the one with the most spent."),
    "stores": Fact("map", "places", f"The stores that were bought in. {_ENTRIES}", {}),
    "channels": Fact("map", "places", f"The channels that were bought through. {_ENTRIES}", {}),
    "favourite_category": Fact(
        "text", "categories", "The category in most sales; of several the one with the most spent."
    ),
    "favourite_product": Fact("text", "products", "The SKU in most sales; of several the one with the most paid for."),
    "probability_active": Fact("number", "value", "That the member will buy again some time: 0 to 1."),
    "churn_risk": Fact("number", "value", "That the member will never buy again: 1 less probability_active."),
    "expected_spend_minor": Fact("number", "value", "Spend that is expected in the year after the newest model's day."),
    "value_minor": Fact("number", "value", "Spent until the newest model's day, and expected_spend_minor."),
    "rfm_recency": Fact("number", "value", "1 to 5, 5 for those whose last sale is the most recent."),
    "rfm_frequency": Fact("number", "value", "1 to 5, 5 for those with the most sales."),
    "rfm_monetary": Fact("number", "value", "1 to 5, 5 for those who spent the most."),
    "rfm_group": Fact("text", "value", "The RFM group, as champions or at_risk."),
    "consents": Fact(
        "list", "consents", "What the member consents to, as marketing, and by which way, as marketing/email.", []
    ),
    "feedback_given": Fact("number", "feedback", "How often the member gave feedback.", 0),
    "last_rating": Fact("number", "feedback", "The last rating, 1 to 5."),
    "last_nps": Fact("number", "feedback", "The last answer to whether they recommend the retailer, 0 to 10."),
    "segments": Fact("list", "segments", "The ids of the segments that the member is in.", []),
    "categories": Fact("map", "categories", f"The categories that were bought. {_ENTRIES}", {}),
    "attributes": Fact("map", "attributes", "What CRM systems know, by attribute id.", {}, is_personal=True),
}
"""All facts. One that is nothing is None."""

_CHANNELS: Final = ", ".join(
    f"({number}, '{name.removeprefix('CHANNEL_').lower()}')" for name, number in Channel.items() if number
)
_WAYS: Final = ", ".join(
    f"({number}, '{name.removeprefix('CONTACT_CHANNEL_').lower()}')"
    for name, number in ContactChannel.items()
    if number > ContactChannel.CONTACT_CHANNEL_ALL
)
_ENTRY: Final = """jsonb_build_object('sales', sales, 'spent_minor', spent,
           'share_percent', CASE WHEN of_spent > 0 THEN div(spent * 100, of_spent) ELSE 0 END)"""

_SQL: Final = {
    name: sql.replace(b"{channels}", _CHANNELS.encode())
    .replace(b"{ways}", _WAYS.encode())
    .replace(b"{entry}", _ENTRY.encode())
    .replace(b"{soon}", str(SOON_DAYS * DAY).encode())
    for name, sql in statements("facts.sql").items()
}

_OF_PROGRAM: Final = b"program = %(program)b AND "
_OF: Final = b"member_id = ANY (%(members)b::uuid[])"
_BETWEEN: Final = b"member_id > %(after)b AND member_id <= %(last)b"


def read_facts(
    cursor: Cursor[Any], program: str, at: int, names: Collection[str], members: Sequence[UUID]
) -> dict[UUID, dict[str, Any]]:
    """The named facts of those of some members who are in a program and not erased, at an instant in microseconds.

    The cursor gives rows as tuples. Raises KeyError for a name that is none.
    """
    parameters = {"program": program, "at": at, "members": list(members)}
    return dict(_read(cursor, _question(frozenset(names), _OF), names, parameters))


def scan_facts(
    cursor: Cursor[Any], program: str, at: int, names: Collection[str], after: UUID, limit: int
) -> list[tuple[UUID, dict[str, Any]]]:
    """The same of the next members behind one, in order: fewer than `limit` at the end alone."""
    page = {"program": program, "after": after, "limit": limit}
    last = cursor.execute(_SQL["page"], page, prepare=True).fetchone()
    if last is None:
        return []
    parameters = {"program": program, "at": at, "after": after, "last": last[0]}
    return list(_read(cursor, _question(frozenset(names), _BETWEEN), names, parameters))


def _read(
    cursor: Cursor[Any], question: bytes, names: Collection[str], parameters: Mapping[str, Any]
) -> Iterator[tuple[UUID, dict[str, Any]]]:
    ordered = sorted(names)
    for member_id, *values in execute_raw(cursor.connection, question, parameters).fetchall():
        yield member_id, named(ordered, values)


def facts_of(names: Collection[str]) -> bytes:
    """The statement of the facts of some members, whatever their program: parameters `members` and `at`.

    Its columns are the member's id and the facts in the order of their names; `named` makes them what they are.
    """
    return _question(frozenset(names), _OF, b"")


def named(ordered: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Facts by name, from their columns."""
    if None in values:
        values = [FACTS[name].or_else if value is None else value for name, value in zip(ordered, values, strict=True)]
    return dict(zip(ordered, values, strict=True))


@lru_cache(1_000)
def _question(names: frozenset[str], scope: bytes, of_program: bytes = _OF_PROGRAM) -> bytes:
    """The statement that reads some facts: the members of the program, and each other group beside them."""
    groups = sorted({FACTS[name].group for name in names} - {"members"})
    columns = b"".join(f", {FACTS[name].group}.{name}".encode() for name in sorted(names))
    parts = {group: _SQL[group].replace(b"{scope}", scope) for group in ("members", *groups)}
    parts["members"] = parts["members"].replace(b"{of_program}", of_program)
    joins = b"".join(
        b"\nLEFT JOIN (\n%s\n) AS %s USING (member_id)" % (parts[group], group.encode()) for group in groups
    )
    return b"SELECT member_id%s FROM (\n%s\n) AS members%s\nORDER BY member_id" % (columns, parts["members"], joins)
