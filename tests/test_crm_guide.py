"""The README's page for CRM integrators: each of its commands, in their order, as somebody types them."""

import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from loyalty.v1.member_pb2 import Identifier, IdentifierType

from ledger.cli.connection import LOCAL_DATABASE
from ledger.demo.own_server import OwnServer
from tests.people import shown
from tests.test_auditors_guide import README, sold_in, typed

GUIDE: Final = README[README.index("## For CRM systems") :].partition("\n## ")[0]
FEED, FILES = (block.splitlines() for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL))
RECOVER: Final = FEED[3:5]
POLL: Final = "SELECT * FROM views.outbox WHERE position > $1 ORDER BY position LIMIT 500"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the integrator sits. Not below pytest's own folder, which PostgreSQL's user cannot enter."""
    with tempfile.TemporaryDirectory(prefix="loyalty-crm-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def copied(folder: Path) -> tuple[list[str], list[str]]:
    """The members and the types of changes that the copy has."""
    with closing(sqlite3.connect(folder / "crm.db")) as copy:
        members = [member for (member,) in copy.execute("SELECT member FROM members ORDER BY member")]
        return members, [kind for (kind,) in copy.execute("SELECT type FROM changes ORDER BY number")]


def test_each_command_in_its_order(folder: Path) -> None:
    """Of a shop that sells before each of them."""
    known = Identifier(type=IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID, value="crm-1", program="programs/sample")
    with OwnServer(folder / "var", LOCAL_DATABASE) as own, sold_in(own) as (shop, member):
        shop.enroll([known])
        gone = shop.member()
        shown(shop, member)
        copies = []
        for command in FEED:
            said = typed(command.replace("MEMBER", gone), folder)
            if "watch" in command:
                copies.append(copied(folder))
            if "list" in command:
                assert "crm" in said
            shop.sale(member, 10_00)
            shown(shop, member)
        (members, before), (same, tail), (recovered, after), (forgot, last) = copies
        assert member in members
        assert (members, members) == (same, recovered)
        assert [kind for kind in tail[len(before) :] if kind == "sale_recorded"] == ["sale_recorded"]
        assert tail[: len(before)] == before
        assert "sale_recorded" not in after, "the snapshot has it"
        assert (set(members) - set(forgot), "member_erased" in last) == ({gone}, True)
        for command in RECOVER:
            typed(command, folder)
        assert copied(folder)[0] == forgot, "a copy that is made after the erasure does not bring them back"
        for command in FILES:
            typed(command, folder)
    for name, rows in (("to_crm", len(forgot)), ("to_salesforce", 1), ("to_hubspot", 1)):
        assert (folder / name / "members-000001.csv").read_text().count("\n") == rows + 1


def test_the_poll_is_the_one_that_is_tested() -> None:
    """See tests/projections/test_bi.py."""
    assert POLL in " ".join(GUIDE.split())
