"""Sales: every line is there with its day, what came back takes it off again, and a voided sale never was."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.events_pb2 import SaleRecorded, SaleReturned, TransactionReversed
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.sale_pb2 import ReturnLine, Sale, SaleLine

from ledger.domain.instant import MINUTE, from_timestamp
from ledger.domain.names import last_id, member_name, transaction_name
from projections.check import check
from tests.programs import visit
from tests.projections.history import History, append, program
from tests.projections.tables import catch_up

BERLIN = ZoneInfo("Europe/Berlin")
HUGE = 2**62


def rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    """What a view says."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(query.encode()).fetchall()


def day(at: int) -> date:
    """The day of an instant in the program's time zone."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).astimezone(BERLIN).date()


def test_lines_and_what_came_back(database_url: str) -> None:
    """A sale shortly before midnight UTC is of the next day in Berlin; half a line comes back, then all is voided."""
    history = History()
    history.at += 23 * 60 * MINUTE + 30 * MINUTE
    member = history.enrol()
    line = SaleLine(
        sku="A1", category="food", brand="b", labels=["red", "new"], quantity=4, price_minor=1_000, discount_minor=200,
        unit_cost_minor=150,
    )  # fmt: skip
    line.line_id = "a"
    other = SaleLine(line_id="b", sku="B2", price_minor=500)
    sale = history.run(member, c.RecordSaleRequest(member=member_name(member), sale=Sale(lines=[line, other])))
    half = [ReturnLine(line_id="a", quantity=2)]
    history.run(
        member,
        c.ReturnSaleRequest(member=member_name(member), transaction=transaction_name(sale), lines=half),
        target=sale,
    )
    append(database_url, history.events)
    catch_up(database_url)
    lines = (
        "SELECT line_id, sku, category, labels, units, price_minor, net_minor, unit_cost_minor FROM views.sale_lines"
    )
    assert rows(database_url, f"{lines} ORDER BY position, line_id") == [
        ("a", "A1", "food", ["red", "new"], 4, 1_000, 800, 150),
        ("b", "B2", "", [], 1, 500, 500, None),
        ("a", "A1", "food", ["red", "new"], -2, 0, -400, 150),
    ]
    found = "SELECT kind, day, channel, units, net_minor, is_voided FROM views.sales ORDER BY position"
    assert rows(database_url, found) == [
        ("sale", date(2020, 1, 2), Channel.CHANNEL_STORE, 5, 1_300, False),
        ("return", date(2020, 1, 2), Channel.CHANNEL_STORE, -2, -400, False),
    ]
    totals = "SELECT sales, returns, units, net_minor, first_sold_at, last_sold_at FROM views.sales_members"
    assert rows(database_url, totals) == [(1, 1, 3, 900, history.at, history.at)]

    before = len(history.events)
    history.at += MINUTE
    history.reverse(member, sale)
    append(database_url, history.events[before:])
    catch_up(database_url)
    assert rows(database_url, totals) == [(0, 1, 0, 0, None, None)]
    assert rows(database_url, found)[0][-1] is True
    assert rows(
        database_url, "SELECT sku, sum(units), sum(net_minor) FROM views.sale_lines GROUP BY sku ORDER BY sku"
    ) == [
        ("A1", 0, 0),
        ("B2", 0, 0),
    ]
    assert check(database_url, 1).ok


def test_points_of_a_sale_of_nothing_come_back_whole(database_url: str) -> None:
    """A visit that bought no unit for no money earned points all the same; with the sale they are taken back."""
    definition = program()
    definition.earning_rules.append(visit(10))
    history = History(definition)
    member = history.enrol()
    lines = [SaleLine(line_id=name, quantity=0) for name in "abc"]
    sale = history.run(member, c.RecordSaleRequest(member=member_name(member), sale=Sale(currency="EUR", lines=lines)))
    history.at += MINUTE
    history.reverse(member, sale)
    append(database_url, history.events)
    catch_up(database_url)
    points = [
        one for (one,) in rows(database_url, "SELECT awarded_points FROM views.sale_lines ORDER BY position, number")
    ]
    assert points == [3, 3, 4, -3, -3, -4]
    assert check(database_url, 1).ok


def test_no_sale_is_too_large_for_the_sums(database_url: str) -> None:
    """Two sales that together are more than 64 bits hold."""
    history = History()
    member = history.enrol()
    for _ in range(3):
        line = SaleLine(line_id="1", quantity=HUGE, price_minor=HUGE, discount_minor=0)
        history.run(member, c.RecordSaleRequest(member=member_name(member), sale=Sale(lines=[line])))
    append(database_url, history.events)
    catch_up(database_url)
    sold = sum(isinstance(event.payload, SaleRecorded) for event in history.events)
    assert sold >= 1
    assert rows(database_url, "SELECT units, net_minor FROM views.sales_members") == [(sold * HUGE, sold * HUGE)]


@pytest.mark.parametrize("page", [1, 7, 1_000])
def test_any_history_adds_up(database_url: str, page: int) -> None:
    """Against a fold of the events that is written down here again, whatever the size of the pages."""
    history = History(seed=page).live(250)
    append(database_url, history.events)
    catch_up(database_url, page)
    sold: dict[UUID, tuple[UUID, int]] = {}
    net: Counter[tuple[UUID, str]] = Counter()
    by_day: Counter[date] = Counter()
    left: Counter[UUID] = Counter()
    last: dict[UUID, int] = {}
    voided = set()
    for event in history.events:
        match event.payload:
            case SaleRecorded() as sale:
                assert event.request_id is not None
                at = from_timestamp(sale.origin.occurred_at)
                sold[event.request_id] = (event.stream_id, at)
                for line, minor in zip(sale.request.sale.lines, sale.line_net_minor, strict=True):
                    net[event.stream_id, line.sku] += minor
                    by_day[day(at)] += minor
                    left[event.request_id] += minor
            case SaleReturned() as back:
                of = next(one for one in history.events if one.request_id == last_id(back.sale)).payload
                assert isinstance(of, SaleRecorded)
                skus = {line.line_id: line.sku for line in of.request.sale.lines}
                for returned in back.lines:
                    net[event.stream_id, skus[returned.line_id]] -= returned.amount_minor
                    by_day[day(from_timestamp(back.origin.occurred_at))] -= returned.amount_minor
                    left[last_id(back.sale)] -= returned.amount_minor
            case TransactionReversed() as reversed_ if last_id(reversed_.reversed) in sold:
                voided.add(last_id(reversed_.reversed))
                by_day[day(from_timestamp(reversed_.origin.occurred_at))] -= left[last_id(reversed_.reversed)]
    for sale_id, (member, at) in sold.items():
        if sale_id not in voided:
            last[member] = max(last.get(member, 0), at)
    counted = Counter(member for sale_id, (member, _) in sold.items() if sale_id not in voided)
    members = "SELECT member_id, sales, last_sold_at FROM views.sales_members"
    assert {one: (sales, at) for one, sales, at in rows(database_url, members)} == {
        member: (counted[member], last.get(member)) for member in history.accounts
    }
    days = rows(database_url, "SELECT day, sum(net_minor) FROM views.sales GROUP BY day")
    assert {day: minor for day, minor in days if minor} == {day: minor for day, minor in by_day.items() if minor}
    lines = rows(database_url, "SELECT sum(net_minor) FROM views.sale_lines")
    gone = sum(left[sale_id] for sale_id in voided)
    assert lines == [(sum(net.values()) - gone,)]
    assert voided
    assert check(database_url, 1).ok
