"""Facts about members, against a fold of the events and the accounts that commands see."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from loyalty.v1.account_pb2 import Allocation
from loyalty.v1.consent_pb2 import EraseMemberRequest, ErasureReason
from loyalty.v1.events_pb2 import SaleRecorded, SaleReturned, TransactionReversed
from psycopg.rows import tuple_row

from ledger.domain.instant import DAY, from_timestamp
from ledger.domain.names import last_id, member_name
from ledger.store.datastore import LedgerDatastore
from projections.facts import FACTS, read_facts, scan_facts
from tests.projections.history import START, History, append
from tests.projections.tables import catch_up

BERLIN = ZoneInfo("Europe/Berlin")
NOTHING = UUID(int=0)


def day(at: int) -> date:
    """The day of an instant in the program's time zone."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).astimezone(BERLIN).date()


class Bought:
    """What a member bought, of sales that were not voided."""

    def __init__(self) -> None:
        self.at: list[int] = []
        self.visits: set[tuple[date, str]] = set()
        self.sales: dict[str, Counter[str]] = defaultdict(Counter)
        """By the kind of thing, and the thing."""
        self.spent: dict[str, Counter[str]] = defaultdict(Counter)

    def favourite(self, kind: str) -> str | None:
        """The thing in most sales."""
        sales, spent = self.sales[kind], self.spent[kind]
        return min(sales, key=lambda one: (-sales[one], -spent[one], one), default=None)

    def shares(self, kind: str) -> dict[str, dict[str, int]]:
        """The entries of a map."""
        total = self.spent[kind].total()
        return {
            one: {
                "sales": sales,
                "spent_minor": self.spent[kind][one],
                "share_percent": self.spent[kind][one] * 100 // total if total > 0 else 0,
            }
            for one, sales in self.sales[kind].items()
        }


def bought(history: History) -> Mapping[UUID, Bought]:
    """What each member bought, from the events."""
    sales = {one.request_id: one for one in history.events if isinstance(one.payload, SaleRecorded)}
    voided = {last_id(e.payload.reversed) for e in history.events if isinstance(e.payload, TransactionReversed)}
    back: Counter[tuple[UUID, str]] = Counter()
    for event in history.events:
        if isinstance(event.payload, SaleReturned):
            for returned in event.payload.lines:
                back[last_id(event.payload.sale), returned.line_id] += returned.amount_minor
    found: dict[UUID, Bought] = defaultdict(Bought)
    for sale_id, event in sales.items():
        sale = event.payload
        if sale_id is None or sale_id in voided or not isinstance(sale, SaleRecorded):
            continue
        of, at, store = found[event.stream_id], from_timestamp(sale.origin.occurred_at), sale.origin.store
        of.at.append(at)
        of.visits.add((day(at), store))
        things = {("store", store), ("channel", "store")}
        for line, minor in zip(sale.request.sale.lines, sale.line_net_minor, strict=True):
            left = minor - back[sale_id, line.line_id]
            for kind, thing in (("store", store), ("channel", "store"), ("category", line.category)):
                of.spent[kind][thing] += left
            of.spent["product"][line.sku] += minor
            things |= {("category", line.category), ("product", line.sku)}
        for kind, thing in things:
            of.sales[kind][thing] += 1
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_facts_are_those_of_the_events(database_url: str, datastore: LedgerDatastore, seed: int) -> None:
    """Every fact of every member, read one by one, together, and by pages."""
    history = History(seed=seed).live(200)
    append(database_url, history.events)
    catch_up(database_url, 17)
    at = history.at
    by_member = bought(history)
    with datastore.get_connection() as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        members = sorted(history.accounts)
        found = read_facts(cursor, history.program.name, at, FACTS, members)
        paged, after = [], NOTHING
        while page := scan_facts(cursor, history.program.name, at, FACTS, after, 4):
            paged += page
            after = page[-1][0]
        assert paged == sorted(found.items())
        one = read_facts(cursor, history.program.name, at, ["sales", "tier"], members[:1])
        assert one == {members[0]: {name: found[members[0]][name] for name in ("sales", "tier")}}
        assert not read_facts(cursor, "programs/other", at, FACTS, members)
    for member, account in history.accounts.items():
        of, facts = by_member.get(member, Bought()), found[member]
        last = day(max(of.at)) if of.at else None
        spent = of.spent["store"].total()
        assert (facts["sales"], facts["spent_minor"], facts["visits"]) == (len(of.at), spent, len(of.visits))
        assert facts["last_purchase_days"] == ((day(at) - last).days if last is not None else None)
        assert facts["average_basket_minor"] == (spent // len(of.at) if of.at else None)
        for kind, many in (("store", "stores"), ("channel", "channels"), ("category", "categories")):
            assert facts[f"favourite_{kind}"] == of.favourite(kind), kind
            assert facts[many] == of.shares(kind), kind
        assert facts["favourite_product"] == of.favourite("product")
        assert facts["available_points"] == account.available(at)
        pending = sum(lot.points for lot in account.lots if lot.activates_at > at)
        assert (facts["pending_points"], facts["held_points"]) == (pending, held(account, at))
        assert facts["tier"] == account.tier


def test_who_is_erased_is_passed_over(database_url: str, datastore: LedgerDatastore) -> None:
    """Pages are full up to the last one, also where all of a page's members would have been erased ones."""
    history = History()
    members = sorted(history.enrol() for _ in range(7))
    gone = (*members[2:4], members[6])
    for member in gone:
        request = EraseMemberRequest(member=member_name(member), reason=ErasureReason.ERASURE_REASON_MEMBER_REQUEST)
        history.run(member, request)
    append(database_url, history.events)
    catch_up(database_url)
    left = [member for member in members if member not in gone]
    with datastore.get_connection() as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        assert list(read_facts(cursor, history.program.name, history.at, ["sales"], members)) == left
        pages, after = [], NOTHING
        while page := scan_facts(cursor, history.program.name, history.at, ["sales"], after, 2):
            pages.append([member for member, _ in page])
            after = page[-1][0]
    assert pages == [left[:2], left[2:]]


def held(account: Any, at: int) -> int:
    """Points in holds that are not over."""
    allocations: list[Allocation] = [
        one for hold in account.holds.values() if hold.expires_at > at for one in hold.allocations
    ]
    return sum(one.points for one in allocations)


@pytest.mark.parametrize(
    ("joined", "asked", "days"),
    [
        (date(2020, 1, 1), date(2020, 1, 1), 0),
        (date(2020, 1, 1), date(2020, 12, 31), 1),
        (date(2020, 2, 29), date(2021, 2, 27), 1),
        (date(2020, 2, 29), date(2021, 2, 28), 0),
        (date(2020, 2, 29), date(2021, 3, 1), 364),
        (date(2020, 2, 29), date(2024, 2, 28), 1),
        (date(2020, 6, 30), date(2021, 7, 1), 364),
    ],
)
def test_anniversary(database_url: str, datastore: LedgerDatastore, joined: date, asked: date, days: int) -> None:
    """The day of enrolment comes round every year; of 29 February on the 28th where there is none."""
    history = History()
    noon = DAY // 2
    history.at = START + (joined - date(2020, 1, 1)).days * DAY + noon
    member = history.enrol()
    append(database_url, history.events)
    catch_up(database_url)
    at = START + (asked - date(2020, 1, 1)).days * DAY + noon
    with datastore.get_connection() as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        facts = read_facts(cursor, history.program.name, at, ["anniversary_days", "enrolled_days"], [member])
    assert facts == {member: {"anniversary_days": days, "enrolled_days": (asked - joined).days}}
