"""Double entry: every event is balanced, and so are the books."""

from collections import Counter

import psycopg
import pytest
from loyalty.v1 import program_pb2 as p

from projections.postings import ACCOUNTS, postings
from tests.projections.history import History, append, inactivity_program, program
from tests.projections.tables import catch_up


@pytest.mark.parametrize("definition", [program(), inactivity_program()], ids=["rolling", "inactivity"])
@pytest.mark.parametrize("seed", range(5))
def test_postings_balance_and_make_up_the_accounts(definition: p.Program, seed: int) -> None:
    """Promise 5: what each event books adds up to 0, and all of it to what the accounts say of themselves."""
    history = History(definition, seed).live(300)
    booked: Counter[str] = Counter()
    for event in history.events:
        postings_of_event = postings(event.payload)
        assert sum(postings_of_event.values()) == 0, event
        booked.update(postings_of_event)
    accounts = history.accounts.values()
    held = sum(hold.points for account in accounts for hold in account.holds.values())
    assert booked["member"] == sum(a.lot_points - a.owed for a in accounts) + held
    assert booked["issued"] == -sum(account.issued for account in accounts)
    assert booked["redeemed"] == sum(account.redeemed for account in accounts)
    assert booked["breakage"] == sum(account.expired for account in accounts)
    assert booked["clawed_back"] == sum(account.clawed_back for account in accounts)
    assert booked["restored"] == -sum(account.restored for account in accounts)
    assert booked["adjusted"] == -sum(account.adjusted for account in accounts)
    assert booked["issued"]
    assert booked["redeemed"]
    assert booked["clawed_back"]


def test_trial_balance_is_the_sum_of_the_postings(database_url: str) -> None:
    """The view holds the same totals by program, and they add up to 0."""
    history = History().live(200)
    append(database_url, history.events)
    catch_up(database_url, 13)
    booked: Counter[str] = Counter()
    for event in history.events:
        booked.update(postings(event.payload))
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT * FROM views.trial_balance").fetchone()
        members = connection.execute("SELECT sum(points) FROM views.member_points").fetchone()
    assert row == ("programs/shop", *(booked[account] for account in ACCOUNTS))
    assert sum(row[1:]) == 0
    assert members == (booked["member"],)


def test_trial_balance_that_is_not_zero_is_refused(database_url: str) -> None:
    """The database itself keeps the books balanced."""
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("INSERT INTO trial_balance_1.program_totals VALUES ('programs/x', 1, 0, 0, 0, 0, 0, 0)")
