"""`loyalty export members`: what Salesforce and HubSpot take, by the rules of their own documentation."""

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from loyalty.v1.member_pb2 import Identifier, IdentifierType

from ledger.export.folder import ExportError, ExportFolder
from ledger.export.member_columns import COLUMNS, Profile
from ledger.export.members import LIMITS, Limits, MemberOrder, export_members
from tests.commands import loyalty as command
from tests.people import erase, gives, purpose, record_consents, withdraws
from tests.programs import program, spend
from tests.running import Databases, running, token
from tests.shop import Shop

EXTERNAL_IDS = ("crm-0001", 'quoted "id", with comma', "#N/A-like", "ümläut ✓")
CHANNEL = "store"
PURPOSES = [purpose("marketing"), purpose("profiling")]
PEOPLE = len(EXTERNAL_IDS) + 2


class Site(NamedTuple):
    """A shop whose members were exported, and who they are by external id."""

    url: str
    shop: Shop
    members: dict[str, str]


def external_id(shop: Shop, value: str) -> Identifier:
    """An identifier of a CRM system."""
    return Identifier(type=IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID, value=value, program=shop.program)


@pytest.fixture(scope="module")
def site(databases: Databases) -> Iterator[Site]:
    """Members with an external id and sales, one with two ids, and one with none."""
    url = databases.url(databases.create())
    with running(url, LOYALTY_LOG_SEAL="no") as server, server.channel() as channel:
        shop = Shop(channel, token(url), program(spend(), consents=PURPOSES))
        members = {value: shop.enroll([external_id(shop, value)]).member for value in EXTERNAL_IDS}
        members["both-1"] = shop.enroll([external_id(shop, "both-1"), external_id(shop, "both-2")]).member
        nobody = shop.member()
        for number, member in enumerate([*members.values(), nobody], 1):
            for _ in range(number):
                shop.sale(member, 10_00, at="2024-01-31T23:30")
        shop.balance(nobody)
        statement_of_all(url)
        yield Site(url, shop, members)


def statement_of_all(url: str) -> None:
    """Returns when every view has the whole log."""
    behind = "SELECT (SELECT max(notification_id) FROM events) - min(position) FROM views.positions"
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(behind).fetchone() != (0,):
            connection.execute("SELECT pg_sleep(0.01)")


def strict(content: bytes, size_bytes_max: int) -> list[dict[str, str]]:
    """The rows of a CSV file that a strict importer takes: UTF-8 without a mark, LF, one header, rows of its width."""
    assert len(content) <= size_bytes_max
    assert not content.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in content
    assert content.endswith(b"\n")
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    assert len(set(header)) == len(header)
    assert all(header)
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def export(site: Site, folder: Path, profile: str, *arguments: str, status: int = 0) -> str:
    """What the command says."""
    where = ("members", folder, "--profile", profile, *arguments)
    return command("export", *where, status=status, LOYALTY_DATABASE_URL=site.url)


def test_salesforce(site: Site, tmp_path: Path) -> None:
    """Ingest by upsert: API names, the external id that the job names, #N/A to empty a field, at most 100 MB."""
    folder = tmp_path / "out"
    export(site, folder, "salesforce", "--program", site.shop.program)
    job = json.loads((folder / "job.json").read_text())
    assert job == {
        "object": "Contact",
        "operation": "upsert",
        "externalIdFieldName": "Loyalty_External_Id__c",
        "contentType": "CSV",
        "lineEnding": "LF",
    }
    (part,) = folder.glob("*.csv")
    rows = strict(part.read_bytes(), 100_000_000)
    assert all(name.endswith("__c") for name in rows[0])
    assert {row[job["externalIdFieldName"]] for row in rows} == site.members.keys(), "each once, and nobody without"
    for number, value in enumerate(site.members, 1):
        (row,) = [row for row in rows if row["Loyalty_External_Id__c"] == value]
        assert row["Loyalty_Available_Points__c"] == str(10 * number)
        assert (row["Loyalty_Sales__c"], row["Loyalty_Spent_Minor__c"]) == (str(number), str(10_00 * number))
        assert row["Loyalty_Last_Sale__c"] == "2024-02-01", "in the program's time zone"
        assert (row["Loyalty_Favourite_Store__c"], row["Loyalty_Favourite_Channel__c"]) == (site.shop.store, CHANNEL)
        assert row["Loyalty_Next_Expiry__c"] == row["Loyalty_Tier__c"] == "#N/A"
        assert "" not in row.values()


def test_hubspot(site: Site, tmp_path: Path) -> None:
    """An import: a mapping for each column in the order of the file, one of them unique, dates as the request says."""
    folder = tmp_path / "out"
    export(site, folder, "hubspot", "--program", site.shop.program)
    request = json.loads((folder / "importRequest-000001.json").read_text())
    assert (request["importOperations"], request["dateFormat"]) == ({"0-1": "UPSERT"}, "YEAR_MONTH_DAY")
    (file,) = request["files"]
    assert (file["fileFormat"], file["fileImportPage"]["hasHeader"]) == ("CSV", True)
    rows = strict((folder / file["fileName"]).read_bytes(), 511_999_999)
    mappings = file["fileImportPage"]["columnMappings"]
    assert [one["columnName"] for one in mappings] == list(rows[0])
    assert {one["columnObjectTypeId"] for one in mappings} == {"0-1"}
    assert [one["propertyName"] for one in mappings if one.get("columnType") == "HUBSPOT_ALTERNATE_ID"] == [
        "loyalty_external_id"
    ]
    assert all(one["propertyName"] == one["propertyName"].lower() for one in mappings)
    assert {row["loyalty_next_expiry"] for row in rows} == {""}
    assert {row["loyalty_last_sale"] for row in rows} == {"2024-02-01"}


def test_generic(site: Site, tmp_path: Path) -> None:
    """By member id, and so of everybody and without the profile store; by external id where that is asked for."""
    export(site, tmp_path / "ids", "generic", "--program", site.shop.program)
    rows = strict((tmp_path / "ids" / "members-000001.csv").read_bytes(), 512_000_000)
    assert list(rows[0]) == ["member", *(column.name for column in COLUMNS)]
    assert {row["member"] for row in rows} > set(site.members.values())
    assert len(rows) == PEOPLE
    content = b"".join(path.read_bytes() for path in (tmp_path / "ids").iterdir())
    assert not [value for value in site.members if value.encode() in content]
    said = export(site, tmp_path / "none", "generic", "--key", "external_id", status=1)
    assert "--program" in said
    export(site, tmp_path / "keys", "generic", "--key", "external_id", "--program", site.shop.program)
    assert len(strict((tmp_path / "keys" / "members-000001.csv").read_bytes(), 512_000_000)) == len(site.members)
    assert "--profile is for `members`" in command(
        "export", "balances", tmp_path / "no", "--profile", "generic", status=1, LOYALTY_DATABASE_URL=site.url
    )


def test_what_is_not_there_is_named(site: Site, tmp_path: Path) -> None:
    """A program or a purpose of consent that nobody has is a mistake, and not an export of nobody."""
    for option, value, named in (
        ("--program", "programs/other", "no program programs/other"),
        ("--purpose", "marketing/e-mail", "'e-mail' is no way of contact, as email, sms, app_push, post, phone are"),
        ("--purpose", "marketing/", "'' is no way"),
        ("--purpose", "marketting", "consent to marketting, but to marketing, profiling: correct --purpose"),
    ):
        assert named in export(site, tmp_path / "out", "generic", option, value, status=1)
    assert not (tmp_path / "out").exists()


def test_it_is_verified_and_noted(site: Site, tmp_path: Path) -> None:
    """The manifest has every part; the audit trail has the export before it begins, without anything of a person."""
    export(site, tmp_path / "out", "salesforce", "--program", site.shop.program)
    assert command("verify", tmp_path / "out").endswith("verified\n")
    with psycopg.connect(site.url) as connection:
        rows = connection.execute("SELECT encode(state, 'escape') FROM events WHERE topic = 'audit/1'").fetchall()
    noted = [text for (text,) in rows if "exports/members" in text and "salesforce" in text]
    assert noted
    assert "external_id" in noted[-1]
    assert not [value for value in site.members if value in noted[-1]]


def test_whoever_may_not_see_people_exports_none(site: Site, tmp_path: Path) -> None:
    """The role of auditors reads the views: by member id it exports, by external id it does not."""
    with psycopg.connect(site.url, autocommit=True) as connection:
        connection.execute("SET ROLE loyalty_auditor")
        ids = MemberOrder("generic", "member", site.shop.program)
        plan = export_members(connection, ExportFolder(tmp_path / "ids"), ids, 1, lambda *_: None)
        assert sum(file.rows for file in plan.files) == PEOPLE
        people = MemberOrder("generic", "external_id", site.shop.program)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            export_members(connection, ExportFolder(tmp_path / "people"), people, 1, lambda *_: None)


def test_who_does_not_consent_is_left_out(site: Site, tmp_path: Path) -> None:
    """And who is erased. A way of contact leaves out who consents to others alone; a column names those of each."""
    shop = Shop(site.shop.channel, token(site.url), program(spend(), consents=PURPOSES))
    yes, letters, no, gone = (shop.member() for _ in range(4))
    for one in (yes, gone):
        record_consents(shop, one, gives(channel="SMS"))
    record_consents(shop, yes, gives(channel="EMAIL"))
    record_consents(shop, letters, gives(channel="POST"))
    record_consents(shop, no, gives())
    record_consents(shop, no, withdraws())
    erase(shop, gone)
    statement_of_all(site.url)
    with psycopg.connect(site.url, autocommit=True) as connection:
        for asked, expected in (
            ("", {yes: None, letters: None, no: None}),
            ("marketing", {yes: "email;sms", letters: "post"}),
            ("marketing/email", {yes: "email;sms"}),
            ("profiling", {}),
        ):
            order = MemberOrder("generic", "member", shop.program, asked)
            folder = tmp_path / f"out-{asked.replace('/', '-')}"
            export_members(connection, ExportFolder(folder), order, time.time_ns() // 1_000, lambda *_: None)
            with (folder / "members-000001.csv").open(encoding="utf-8") as file:
                assert {row["member"]: row.get("contact_by") for row in csv.DictReader(file)} == expected


@pytest.mark.parametrize("limits", [Limits(3, 10**9), Limits(10**9, 650)])
def test_parts(site: Site, tmp_path: Path, limits: Limits) -> None:
    """No part has more rows or bytes than the system takes, each has a header, and nobody is lost between two."""
    with psycopg.connect(site.url, autocommit=True) as connection:
        order = MemberOrder("hubspot", "external_id", site.shop.program)
        plan = export_members(connection, ExportFolder(tmp_path / "out"), order, 1, lambda *_: None, limits)
        small = Limits(9, 60)
        with pytest.raises(ExportError, match="more than 60 bytes"):
            export_members(connection, ExportFolder(tmp_path / "small"), order, 1, lambda *_: None, small)
    assert len(plan.files) > 2
    found: list[dict[str, Any]] = []
    for file in plan.files:
        content = (tmp_path / "out" / file.name).read_bytes()
        assert content.count(b"\n") <= limits.rows
        assert file.size_bytes == len(content)
        found += strict(content, limits.size_bytes)
    assert [row["loyalty_external_id"] for row in found] == [
        value for value, _ in sorted(site.members.items(), key=lambda one: one[1])
    ]
    requests = sorted((tmp_path / "out").glob("importRequest-*.json"))
    assert [json.loads(one.read_text())["files"][0]["fileName"] for one in requests] == [one.name for one in plan.files]


@pytest.mark.parametrize(
    ("profile", "rows", "size_bytes"),
    [("salesforce", 150_000_000, 100_000_000), ("hubspot", 1_048_575, 511_999_999)],
)
def test_the_limits_of_the_systems(profile: Profile, rows: int, size_bytes: int) -> None:
    """What their documentation says that they take."""
    assert LIMITS[profile].rows <= rows
    assert LIMITS[profile].size_bytes <= size_bytes
