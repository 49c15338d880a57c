"""The view of the audit trail: rebuilt, checked and read like the others; and the role of auditors in the database."""

from uuid import UUID

import psycopg
import pytest
from loyalty.v1.audit_trail_pb2 import AuditKind

from ledger.store.actions import record_action_in
from ledger.store.credentials import Credentials
from ledger.store.datastore import LedgerDatastore
from ledger.views import AuditQuestion
from projections.audit_reader import PostgresAuditTrail
from projections.check import check
from projections.rebuild import rebuild
from tests.projections.history import History, append
from tests.projections.tables import catch_up, execute, tables

ANY = AuditQuestion("", None, "", AuditKind.AUDIT_KIND_UNSPECIFIED, None, None)
END = (2**53, 0)

FORBIDDEN = (
    "SELECT * FROM profile.members",
    "SELECT * FROM profile.identifiers",
    "SELECT * FROM credentials",
    "SELECT * FROM voucher_codes",
    "INSERT INTO events SELECT * FROM events",
    "UPDATE events SET topic = 'x'",
    "DELETE FROM log_checkpoints",
    "CREATE TABLE mine (x int)",
    "SELECT lock_log()",
)


@pytest.fixture
def filled(database_url: str) -> str:
    """A database with a history with adjustments, and credentials that were made and revoked."""
    append(database_url, History().live(150).events)
    with LedgerDatastore(database_url) as datastore:
        credentials = Credentials(datastore.pool)
        made = [credentials.add("auditor", personal_data=granted) for granted in (False, True)]
        credentials.revoke(made[0].partition(".")[0])
    assert record_action_in(database_url, "loyalty export", "exports/events", {"format": "csv"})
    catch_up(database_url, 7)
    return database_url


def test_rebuilt_and_checked(filled: str) -> None:
    """Made anew it has the same bytes, in shares too; a row that somebody changed or took out is found."""
    before = tables(filled, "audit_trail")
    assert rebuild(filled, "audit_trail").generation == 2
    assert tables(filled, "audit_trail") == before
    assert check(filled, 2).ok
    execute(filled, "UPDATE audit_trail_2.audit_entries SET actor = 'x' WHERE method = 'loyalty export'")
    assert check(filled, 2).counts == {"audit_trail.audit_entries": 1}
    execute(filled, "DELETE FROM audit_trail_2.audit_entries WHERE method LIKE 'loyalty %'")
    assert check(filled, 1).counts == {"audit_trail.audit_entries": 4}


@pytest.mark.usefixtures("filled")
def test_what_it_tells(datastore: LedgerDatastore) -> None:
    """What operators did, with its details, newest first."""
    trail = PostgresAuditTrail(datastore)
    page = trail.entries(ANY, END, 4, 0, 0)
    assert page.next_before is not None
    assert [(one.entry.method, dict(one.entry.details)) for one in page.entries] == [
        ("loyalty export", {"format": "csv"}),
        ("loyalty terminals revoke", {"role": "auditor"}),
        ("loyalty terminals add", {"role": "auditor", "personal_data": "granted"}),
        ("loyalty terminals add", {"role": "auditor"}),
    ]
    rest = trail.entries(ANY, page.next_before, 1_000, 0, 0)
    assert {one.entry.method for one in rest.entries} <= {
        "loyalty.v1.ProgramService/AdjustPoints",
        "loyalty.v1.ProgramService/PublishProgram",
    }
    assert trail.entries(ANY._replace(member=UUID(int=0)), END, 10, 0, 0).entries == []


def test_the_role_of_auditors(database_url: str) -> None:
    """It reads the log, its proofs and every view, rebuilt or not; no personal data, no secrets. It changes nothing."""
    rebuild(database_url, "audit_trail")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET ROLE loyalty_auditor")
        views = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'views'::regnamespace").fetchall()
        assert len(views) > 10
        for name in (
            "events",
            "log_seal",
            "log_tiles",
            "log_checkpoints",
            "log_archives",
            *(f"views.{view}" for (view,) in views),
        ):
            assert connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() is not None
        for statement in FORBIDDEN:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_what_cannot_be_recorded(database_url: str) -> None:
    """An export from a database that may only be read: whoever starts it can be told so."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        statement = f"ALTER DATABASE {connection.info.dbname} SET default_transaction_read_only = on"
        connection.execute(statement.encode())
    assert not record_action_in(database_url, "loyalty export", "exports/events", {})
