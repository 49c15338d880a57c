"""Access: all that is known about a person is in one document, of which everybody is shown what they may see."""

import json
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from ledger.domain.names import last_id
from ledger.export.person import _RELATIONS, _SHOWN, LEFT_OUT
from tests import people
from tests.conftest import OpenShop
from tests.members.known import attribute, update
from tests.members.test_rights import caller, granted
from tests.programs import program, voucher
from tests.running import ServerProcess
from tests.shop import Shop

NOT_AS_IT_IS: Final = {
    "public.events": "is in the document as events",
    "public.snapshots": "is what the events of an account came to",
    "vouchers.reward": "is in the event of its issue",
    "entitlements.reward": "is in the event of its issue",
    "tiers.standing": "is in the events that qualified for the tier",
    "feedback_links.token_hash": "is nothing that anybody knows of a person",
}
"""What is of members and not in the document as it is, with the reason."""

_OF_MEMBERS: Final = """
SELECT n.nspname, c.relname FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('member_id', 'originator_id')
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""

_BEHIND_VIEWS: Final = """
SELECT table_schema, table_name FROM information_schema.view_column_usage
WHERE view_schema = 'views' AND column_name = 'member_id'
"""

_BYTES: Final = """
SELECT n.nspname, c.relname, a.attname FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.atttypid = 'bytea'::regtype AND a.attnum > 0 AND NOT a.attisdropped
"""

_ESTIMATE: Final = """
INSERT INTO estimates.members
VALUES (%s, %s, 1, '2026-01-31', 2, 0.8125, 3.5, 4200, 5, 4, 3, 'loyal', '2026-01-30', 3, 100)
"""


def test_every_table_is_in_it(database_url: str) -> None:
    """Somebody adds a table of members, or a column of bytes: it is in the document, or it says above why not."""
    with psycopg.connect(database_url) as connection:
        cursor = connection.cursor(row_factory=tuple_row)
        shown = {(schema, name) for schema, name, _ in cursor.execute(_RELATIONS.encode()).fetchall()}
        there = set(cursor.execute(_OF_MEMBERS.encode()).fetchall())
        behind = set(cursor.execute(_BEHIND_VIEWS.encode()).fetchall())
        bytes_in = cursor.execute(_BYTES.encode()).fetchall()
    assert {("profile", "updates"), ("estimates", "members"), ("public", "voucher_codes")} < shown
    assert {f"{schema}.{name}" for schema, name in there - shown - behind} <= NOT_AS_IT_IS.keys()
    dropped = {(relation, column) for schema, relation, column in bytes_in if (schema, relation) in shown}
    assert {f"{relation}.{column}" for relation, column in dropped - _SHOWN.keys()} <= NOT_AS_IT_IS.keys()


def known_to(shop: Shop, member: str) -> tuple[str, Any]:
    """What somebody is told about a person, as text and as what it says."""
    text = people.export(shop, member).decode()
    return text, json.loads(text)


def test_what_it_has(open_shop: OpenShop, server: ServerProcess) -> None:
    """Also earlier values, estimates and codes; what is sensitive, or as good as money, not for everybody."""
    attributes = [attribute("diet", is_sensitive=True), attribute("size")]
    shop = open_shop(program(attributes=attributes, rewards=[voucher()]))
    member = shop.member()
    update(shop, member, attributes={"diet": "d-first", "size": "s-first"})
    update(shop, member, attributes={"diet": "d-last", "size": "s-last"})
    shop.adjust(member, 10)
    code = shop.commit(shop.reserve(member, "voucher").hold).redemption.vouchers[0].code
    with psycopg.connect(server.database_url) as connection:
        connection.execute(_ESTIMATE.encode(), (last_id(member), shop.program))

    text, everything = known_to(caller(shop, server, "manager"), member)
    assert all(value in text for value in ("d-first", "d-last", "s-first", "s-last", code))
    assert "left_out" not in everything
    assert [one["code"] for one in everything["public"]["voucher_codes"]] == [code]
    (estimate,) = everything["estimates"]["members"]
    assert (estimate["probability_active"], estimate["rfm_group"]) == (0.8125, "loyal")
    for other in (caller(shop, server, "crm"), Shop(shop.channel, granted(server))):
        text, some = known_to(other, member)
        assert not any(value in text for value in ("d-first", "d-last", code))
        assert some["left_out"] == LEFT_OUT
        assert {one["attribute"]: one.get("value") for one in some["profile"]["attributes"]} == {
            "diet": None,
            "size": "s-last",
        }
        sent = sorted((one["request"]["attributes"] for one in some["profile"]["updates"]), key=str)
        assert sent == [
            [{"attribute_id": "diet"}, {"attribute_id": "size", "value": value}] for value in ("s-first", "s-last")
        ]
        assert some["estimates"] == everything["estimates"]
