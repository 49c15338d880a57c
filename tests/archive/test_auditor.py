"""An auditor with a login of the database, in the role that may only read."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ledger.proof.verify import verify_export
from tests.archive.lived import Lived
from tests.commands import loyalty


@pytest.fixture
def auditor_url(lived: Lived) -> Iterator[str]:
    """The database as the auditor reaches it."""
    name = f"auditor_of_{lived.database}"
    with psycopg.connect(lived.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE loyalty_auditor".encode())
        yield make_conninfo(lived.url, user=name, password="secret")
        connection.execute(f"DROP ROLE {name}".encode())


def test_exports(lived: Lived, auditor_url: str, tmp_path: Path) -> None:
    """Events, archived ones too, and views: all that can be verified elsewhere."""
    archive = lived.archived(tmp_path / "archive", lived.sold_at)
    for kind in ("csv", "jsonl", "parquet"):
        folder = tmp_path / kind
        where = ("--database-url", auditor_url, "--archive", tmp_path / "archive", "--format", kind)
        assert "the audit trail lacks this `loyalty export`" in loyalty("export", "events", folder, *where)
        report = verify_export(folder, [("old", lived.checkpoint)])
        assert report.ok
        assert report.rows > archive.last_position
    loyalty("export", "balances", tmp_path / "balances", "--database-url", auditor_url)


def test_what_needs_the_role_of_the_ledger(auditor_url: str) -> None:
    """A check and a replay make tables: one line says that they may not."""
    for command in (("check",), ("replay", "--into", "mine")):
        says = loyalty(*command, "--database-url", auditor_url, status=1)
        assert says.startswith("loyalty: permission denied for ")
        assert len(says.splitlines()) == 1
