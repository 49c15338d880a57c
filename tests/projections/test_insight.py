"""Buying insight against figures that are worked out here again from the events, in other ways."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, pairwise
from math import sqrt
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import insight_pb2 as i
from loyalty.v1.events_pb2 import SaleRecorded, SaleReturned, TransactionReversed
from loyalty.v1.sale_pb2 import Sale, SaleLine

from ledger.domain.instant import from_timestamp
from ledger.domain.names import last_id, member_name
from ledger.domain.refusal import Rejected
from ledger.insight import ProgramUnknown, TookTooLong
from ledger.store.datastore import LedgerDatastore
from ledger.views import ViewBehind
from projections.insight import PostgresInsight
from tests.projections.history import DAY, History, append
from tests.projections.tables import catch_up

BERLIN = ZoneInfo("Europe/Berlin")
FIRST, SECOND, END = date(2020, 1, 1), date(2020, 2, 1), date(2020, 3, 1)
WAIT_S, TIMEOUT_S = 0.0, 30.0
SHOP = "programs/shop"


class Sold(NamedTuple):
    """A sale that was not reversed."""

    member: UUID
    day: date
    store: str
    lines: Any
    net: Any


@pytest.fixture
def insight(database_url: str) -> Iterator[PostgresInsight]:
    """The questions, on connections that may go through whole tables."""
    with LedgerDatastore(database_url) as datastore:
        datastore.pool.open()
        yield PostgresInsight(datastore)


def bought(seed: int = 5) -> History:
    """Some weeks of shopping by six members in five stores, with returns and reversals."""
    history = History(seed=seed)
    members = [history.enrol() for _ in range(6)]
    rnd = history.random
    sales: list[tuple[UUID, UUID]] = []
    for _ in range(120):
        history.at += rnd.choice([0, DAY // 4, DAY])
        member = rnd.choice(members)
        lines = [
            SaleLine(
                line_id=str(number), sku=f"s{sku}", category=f"c{sku % 4}" if sku else "", price_minor=sku * 100,
                quantity=rnd.randrange(1, 4),
            )
            for number, sku in enumerate(rnd.sample(range(9), rnd.randrange(1, 6)))
        ]  # fmt: skip
        sale = history.run(member, c.RecordSaleRequest(member=member_name(member), sale=Sale(lines=lines)))
        sales.append((member, sale))
        if rnd.random() < 0.2:
            of, which = rnd.choice(sales)
            try:
                history.reverse(of, which) if rnd.random() < 0.5 else history.give_back(of, which, "0")
            except Rejected:
                continue
    return history


def sold_of(history: History) -> tuple[list[Sold], Counter[tuple[UUID, str, date]]]:
    """The sales that were not reversed, and what each member spent on each category on each day, returns included."""
    sales: dict[UUID, Sold] = {}
    left: dict[UUID, dict[str, int]] = {}
    spent: Counter[tuple[UUID, str, date]] = Counter()
    for event in history.events:
        payload = event.payload
        if isinstance(payload, SaleRecorded | SaleReturned | TransactionReversed):
            at = datetime.fromtimestamp(from_timestamp(payload.origin.occurred_at) / 1_000_000, UTC)
            day = at.astimezone(BERLIN).date()
        match payload:
            case SaleRecorded():
                assert event.request_id is not None
                sale = Sold(
                    event.stream_id, day, payload.origin.store, payload.request.sale.lines, payload.line_net_minor
                )
                sales[event.request_id] = sale
                left[event.request_id] = {line.line_id: net for line, net in zip(sale.lines, sale.net, strict=True)}
                for line, net in zip(sale.lines, sale.net, strict=True):
                    spent[sale.member, line.category, day] += net
            case SaleReturned():
                sale = sales[last_id(payload.sale)]
                for returned in payload.lines:
                    left[last_id(payload.sale)][returned.line_id] -= returned.amount_minor
                    (line,) = (one for one in sale.lines if one.line_id == returned.line_id)
                    spent[sale.member, line.category, day] -= returned.amount_minor
            case TransactionReversed() if last_id(payload.reversed) in sales:
                sale = sales.pop(last_id(payload.reversed))
                for line in sale.lines:
                    spent[sale.member, line.category, day] -= left[last_id(payload.reversed)][line.line_id]
    return list(sales.values()), spent


def test_pairs_members_and_demand(database_url: str, insight: PostgresInsight) -> None:
    """Of a history with returns and reversals."""
    history = bought()
    append(database_url, history.events)
    catch_up(database_url)
    sales, spent = sold_of(history)
    assert len(sales) < sum(isinstance(event.payload, SaleRecorded) for event in history.events)

    for item, kind in (("sku", i.Item.ITEM_SKU), ("category", i.Item.ITEM_CATEGORY)):
        baskets = [{getattr(line, item) for line in sale.lines} - {""} for sale in sales]
        alone = Counter(one for basket in baskets for one in basket)
        both = Counter(pair for basket in baskets for pair in combinations(sorted(basket), 2))
        request = i.ReadPairsRequest(program=SHOP, item=kind, min_sales=3)
        (answer,) = insight.pairs(request, WAIT_S, TIMEOUT_S)
        assert answer.sales == len(sales)
        assert {(one.first, one.second): (one.sales, one.first_sales, one.second_sales) for one in answer.pairs} == {
            (a, b): (n, alone[a], alone[b]) for (a, b), n in both.items() if n >= 3
        }
        for this in alone:
            request = i.ReadPairsRequest(program=SHOP, item=kind, of=this, min_sales=3)
            (answer,) = insight.pairs(request, WAIT_S, TIMEOUT_S)
            expected = {b if a == this else a: n for (a, b), n in both.items() if this in {a, b} and n >= 3}
            assert {one.second: one.sales for one in answer.pairs} == expected

    _check_won_and_lost(insight, sales, spent)
    _check_demand(insight, sales)


def _check_won_and_lost(insight: PostgresInsight, sales: list[Sold], spent: Counter[tuple[UUID, str, date]]) -> None:
    request = i.ReadWonAndLostRequest(
        program=SHOP,
        first_from_date=str(FIRST),
        first_until_date=str(SECOND),
        second_from_date=str(SECOND),
        second_until_date=str(END),
    )
    (answer,) = insight.won_and_lost(request, WAIT_S, TIMEOUT_S)
    customers: dict[tuple[str, bool], set[UUID]] = defaultdict(set)
    for sale in sales:
        if sale.day < END:
            for line in sale.lines:
                customers[line.category, sale.day >= SECOND].add(sale.member)

    def net(category: str, members: set[UUID], *, second: bool) -> int:
        return sum(
            minor
            for (member, of, day), minor in spent.items()
            if of == category and member in members and day < END and (day >= SECOND) == second
        )

    found = {one.item: one for one in answer.lines}
    assert set(found) == {category for category, _ in customers if category}
    for category, one in found.items():
        first, second = customers[category, False], customers[category, True]
        assert (one.won_members, one.lost_members, one.kept_members) == (
            len(second - first), len(first - second), len(first & second),
        )  # fmt: skip
        assert one.won_minor == net(category, second - first, second=True)
        assert one.lost_minor == net(category, first - second, second=False)
        assert one.kept_first_minor == net(category, first & second, second=False)
        assert one.kept_second_minor == net(category, first & second, second=True)


def _check_demand(insight: PostgresInsight, sales: list[Sold]) -> None:
    chosen = i.SalesFilter(from_date=str(FIRST), until_date=str(END))
    (answer,) = insight.demand(i.ReadDemandRequest(program=SHOP, filter=chosen), WAIT_S, TIMEOUT_S)
    days = [FIRST + timedelta(days=number) for number in range((END - FIRST).days)]
    units: Counter[tuple[str, str, date]] = Counter()
    for sale in sales:
        for line in sale.lines:
            units[sale.store, line.sku, sale.day] += line.quantity
    keys = {(store, sku) for store, sku, day in units if day < END}
    assert [(one.store, one.sku) for one in answer.lines] == sorted(keys)
    for one in answer.lines:
        told = [units[one.store, one.sku, day] for day in days]
        mean = sum(told) / len(told)
        assert one.units == sum(told)
        assert one.mean_units == pytest.approx(mean)
        assert one.stddev_units == pytest.approx(sqrt(sum((n - mean) ** 2 for n in told) / len(told)))
        assert list(one.weekday_units) == [
            sum(n for n, day in zip(told, days, strict=True) if day.weekday() == weekday) for weekday in range(7)
        ]
        at = [number for number, n in enumerate(told) if n]
        assert (one.days, one.days_sold, one.days_since) == (len(days), len(at), len(days) - 1 - at[-1])
        assert one.longest_gap_days == max((b - a - 1 for a, b in pairwise(at)), default=0)
        assert (one.first_date, one.last_date) == (str(days[at[0]]), str(days[at[-1]]))


def test_the_database_lets_go_of_who_reads_nothing(
    database_url: str, insight: PostgresInsight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the service stands still: reading on says that it took too long, and the next question is answered."""
    history = History()
    member = history.enrol()
    lines = [SaleLine(line_id=sku, sku=sku, price_minor=1) for sku in "abc"]
    history.run(member, c.RecordSaleRequest(member=member_name(member), sale=Sale(lines=lines)))
    append(database_url, history.events)
    catch_up(database_url)
    monkeypatch.setattr("projections.insight.LINES_PER_MESSAGE", 1)
    request = i.ReadSalesFiguresRequest(program=SHOP, group_by=[i.SalesDimension.SALES_DIMENSION_SKU])
    with monkeypatch.context() as patch, psycopg.connect(database_url, autocommit=True) as connection:
        patch.setattr("projections.insight.IDLE_MAX_S", 0.5)
        parts = insight.sales(request, WAIT_S, TIMEOUT_S)
        next(parts)
        while connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()"
            " AND datname = current_database() AND backend_type = 'client backend'"
        ).fetchone():
            pass
        with pytest.raises(TookTooLong):
            next(parts)
    assert [len(answer.lines) for answer in insight.sales(request, WAIT_S, TIMEOUT_S)] == [1, 1, 1]


def test_lines_fit_into_messages(database_url: str, insight: PostgresInsight, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message ends before it is too large; a line that is too large by itself is in one of its own."""
    history = History()
    member = history.enrol()
    skus = ["a", "b", "c" * 90, "d"]
    lines = [SaleLine(line_id=str(number), sku=sku, price_minor=1) for number, sku in enumerate(skus)]
    history.run(member, c.RecordSaleRequest(member=member_name(member), sale=Sale(lines=lines)))
    append(database_url, history.events)
    catch_up(database_url)
    monkeypatch.setattr("projections.insight.LINES_BYTES_MAX", 100)
    request = i.ReadSalesFiguresRequest(program=SHOP, group_by=[i.SalesDimension.SALES_DIMENSION_SKU])
    answers = list(insight.sales(request, WAIT_S, TIMEOUT_S))
    assert [[line.key.sku for line in answer.lines] for answer in answers] == [["a", "b"], ["c" * 90], ["d"]]


def test_what_cannot_be_answered(database_url: str, insight: PostgresInsight) -> None:
    """A program that is not there, a position that is not reached, a table that is locked, a sum beyond 64 bits."""
    history = History()
    member = history.enrol()
    for _ in range(3):
        huge = SaleLine(line_id="1", price_minor=2**62)
        history.run(member, c.RecordSaleRequest(member=member_name(member), sale=Sale(lines=[huge])))
    append(database_url, history.events)
    catch_up(database_url)
    ask = i.ReadSalesFiguresRequest
    with pytest.raises(ProgramUnknown):
        next(insight.sales(ask(program="programs/none"), WAIT_S, TIMEOUT_S))
    with pytest.raises(ViewBehind):
        next(insight.sales(ask(program=SHOP, min_position=1_000), WAIT_S, TIMEOUT_S))
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE sales_1.sale_lines IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TookTooLong):
            next(insight.sales(ask(program=SHOP), WAIT_S, 0.01))
    assert sum(isinstance(event.payload, SaleRecorded) for event in history.events) > 1
    with pytest.raises(OverflowError):
        next(insight.sales(ask(program=SHOP), WAIT_S, TIMEOUT_S))
    one_day = i.SalesFilter(until_date="2020-01-01")
    (answer,) = insight.sales(ask(program=SHOP, filter=one_day), WAIT_S, TIMEOUT_S)
    assert answer.header.position == len(history.events)
