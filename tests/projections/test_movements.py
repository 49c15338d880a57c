"""Movements: the postings by lot."""

from collections import Counter

import psycopg
import pytest
from loyalty.v1 import program_pb2 as p
from loyalty.v1.events_pb2 import SaleRecorded

from projections.movements import OWED, movements
from projections.postings import postings
from tests.projections.history import History, append, inactivity_program, program
from tests.projections.tables import catch_up, value


@pytest.mark.parametrize("definition", [program(), inactivity_program()], ids=["rolling", "inactivity"])
@pytest.mark.parametrize("seed", range(4))
def test_movements_are_the_postings_by_lot(definition: p.Program, seed: int) -> None:
    """Each event's come to what it posts to members; all of them to what every lot has, and each member owes."""
    history = History(definition, seed).live(300)
    held: Counter[tuple[object, int]] = Counter()
    for event in history.events:
        points = 0
        for movement in movements(event.payload):
            points += movement.points
            held[event.stream_id, movement.lot] += movement.points
        assert points == postings(event.payload).get("member", 0)
    for member, account in history.accounts.items():
        expected = Counter({(member, OWED): -account.owed})
        for lot in account.lots:
            expected[member, lot.number] += lot.points
        for hold in account.holds.values():
            for allocation in hold.allocations:
                expected[member, allocation.lot] += allocation.points
        found = {key: points for key, points in held.items() if key[0] == member and points}
        assert found == {key: points for key, points in expected.items() if points}


@pytest.mark.parametrize("definition", [program(), inactivity_program()], ids=["rolling", "inactivity"])
@pytest.mark.parametrize("seed", range(4))
def test_what_comes_back_lowers_what_was_sold_with_the_same_lot(definition: p.Program, seed: int) -> None:
    """Whatever became of the points: once every sale is undone, nothing was sold with any lot."""
    history = History(definition, seed).live(300)
    sales = {name: file.account_id for name, file in history.files.items() if isinstance(file.main, SaleRecorded)}
    for sale, member in sales.items():
        history.reverse(member, sale)
    sold: Counter[tuple[object, int]] = Counter()
    for event in history.events:
        for movement in movements(event.payload):
            sold[event.stream_id, movement.lot] += movement.sold_minor
    assert sold
    assert not any(sold.values())


def test_vintages_come_to_the_trial_balance(database_url: str) -> None:
    """Sums by vintage and kind are those of the accounts."""
    append(database_url, History().live(300).events)
    catch_up(database_url, 17)
    with psycopg.connect(database_url) as connection:
        sums = connection.execute(
            "SELECT sum(issued), sum(redeemed), sum(expired + reinstated), sum(clawed_back), sum(restored),"
            " sum(adjusted) FROM views.liability_days"
        ).fetchone()
        trial = connection.execute(
            "SELECT -issued, -redeemed, -breakage, -clawed_back, -restored, -adjusted FROM views.trial_balance"
        ).fetchone()
    assert sums == trial


def test_what_was_sold_with_points_less_what_came_back(database_url: str) -> None:
    """A sale that is returned in part and then reversed sold nothing."""
    history = History()
    member = history.enrol()
    sale = history.sell(member, 10_000, 5_000)
    append(database_url, history.events)
    catch_up(database_url)
    assert value(database_url, "SELECT sum(sold_minor)::bigint FROM views.liability_days") == 15_000
    before = len(history.events)
    history.give_back(member, sale, "2")
    history.reverse(member, sale)
    append(database_url, history.events[before:], at=history.at)
    catch_up(database_url)
    assert value(database_url, "SELECT sum(sold_minor)::bigint FROM views.liability_days") == 0
