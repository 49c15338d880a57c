"""The views of consents and feedback: what the accounts know, however the log is cut into pages."""

import re

import pytest
from loyalty.v1.feedback_results_pb2 import FeedbackFilter, FeedbackGroup
from psycopg.rows import tuple_row

from ledger.domain.account import Account
from ledger.store.datastore import LedgerDatastore
from projections import people
from projections.consents import Consents
from projections.feedback import Feedback
from projections.people import PostgresPeople
from tests.projections.asked import PURPOSES, outspoken
from tests.projections.history import DAY, append
from tests.projections.tables import catch_up, execute, tables
from tests.projections.test_plans import MEMBER, plan
from tests.running import Databases

PROJECTIONS = (Consents(), Feedback())
NAMES = [projection.name for projection in PROJECTIONS]


@pytest.mark.parametrize("seed", range(4))
def test_what_accounts_know(database_url: str, datastore: LedgerDatastore, seed: int) -> None:
    """At every later instant the view and the account agree on who may be contacted for what, and how."""
    history = outspoken(seed)
    append(database_url, history.events)
    catch_up(database_url, projections=PROJECTIONS)
    reader = PostgresPeople(datastore)
    for member, account in history.accounts.items():
        last = max((decision.at for decision in account.person.consents.values()), default=history.at)
        for at in (last, last + 19 * DAY, last + 22 * DAY):
            page = reader.consents(member, at, 2**63 - 1, 1_000, 0, 0)
            held = {(one.purpose, one.channel) for one in page.held}
            ways = [(purpose, channel) for purpose in PURPOSES for channel in range(2, 7)]
            known = {way for way in ways if account.person.consents_to(*way, at)}
            assert held == known
        assert Account.from_snapshot(member, account.to_snapshot()).person == account.person
    everything = FeedbackFilter(program=history.program.name)
    (whole,) = reader.feedback_results(everything, FeedbackGroup.FEEDBACK_GROUP_UNSPECIFIED, 10, 0, 0).results
    assert whole.count == len(reader.feedback(everything, 2**63 - 1, 1_000, 0, 0).feedback) > 5


def test_any_pages_make_the_same(databases: Databases) -> None:
    """One event at a time, seven, or all: the same bytes."""
    found = []
    for page_events in (1, 7, 2_000):
        url = databases.url(databases.create())
        append(url, outspoken(5).events)
        catch_up(url, page_events, PROJECTIONS)
        found.append(tables(url, *NAMES))
    assert found[0] == found[1] == found[2]
    assert len(found[0]["consents.consents"]) > 1_000


@pytest.mark.parametrize("question", ["held", "decisions", "results", "feedback"])
def test_reads_use_indexes(database_url: str, datastore: LedgerDatastore, question: str) -> None:
    """Of many members' decisions those of one are read, and of feedback that of one program."""
    append(database_url, outspoken(6).events)
    catch_up(database_url, projections=PROJECTIONS)
    execute(database_url, "ANALYZE")
    asked = FeedbackFilter(program="programs/shop")
    sql = people._asked(people._SQL[question], asked).replace(b"{key}", b"f.sku").replace(b"{joined}", b"")
    parameters = {"member_id": MEMBER, "at": 1, "before": 10**15, "limit": 10, "program": "programs/shop"}
    with datastore.get_connection() as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        text = plan(cursor, sql, parameters)
    scanned = [line for line in text.splitlines() if "Seq Scan" in line and "tracking" not in line]
    assert not scanned, text
    if question == "results":  # cut in the order in which they are told, whatever the database's is
        assert len(re.findall(r'Sort Key: .*COLLATE "C"', text)) == text.count("Sort Key: "), text
    if question in ("held", "decisions"):
        assert "(member_id = " in text, text
