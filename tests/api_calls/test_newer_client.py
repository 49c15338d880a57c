"""Clients and servers of a newer release, which send and record fields that this server does not know."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from loyalty.v1.commands_pb2 import EnrollMemberRequest
from loyalty.v1.events_pb2 import SaleRecorded
from loyalty.v1.member_pb2 import Identifier, IdentifierType, Profile

from tests.conftest import OpenShop
from tests.programs import program
from tests.running import ServerProcess
from tests.shop import TIMEOUT_S, Shop, new_id

UNKNOWN = bytes([0xB8, 0x3E, 7])
"""Field 999, a number."""

AT = "2024-01-10T12:00"


def parts(message: Message) -> list[Message]:
    """The messages right inside a message."""
    return [
        part
        for field, value in message.ListFields()
        if field.message_type is not None
        for part in (value if field.is_repeated else [value])
    ]


def newer(message: Any) -> Any:
    """The message with an unknown field in it, and in every message inside it."""
    for part in parts(message):
        newer(part)
    message.MergeFromString(UNKNOWN)
    return message


def has_unknown(message: Message) -> bool:
    """Whether there is an unknown field anywhere."""
    return len(UnknownFieldSet(message)) > 0 or any(map(has_unknown, parts(message)))


def enrolment(shop: Shop) -> EnrollMemberRequest:
    """An enrolment with all that one can have."""
    return EnrollMemberRequest(
        request_id=new_id(),
        origin=shop.origin(AT),
        program=shop.program,
        identifiers=[Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=new_id())],
        profile=Profile(given_name="Asha"),
    )


MAKE: dict[str, Callable[[Shop], Any]] = {
    "EnrollMember": enrolment,
    "RecordSale": lambda shop: shop.sale_request(shop.member(), 10_00, at=AT, till=7),
}


@pytest.mark.parametrize("call", MAKE)
def test_what_this_release_does_not_know_harms_no_retry(open_shop: OpenShop, call: str) -> None:
    """The command is recorded without it, and retries are replays: with it, without it, and in a batch."""
    shop = open_shop(program())
    send = getattr(shop.pos, call)
    plain = MAKE[call](shop)
    request = newer(type(plain).FromString(plain.SerializeToString()))
    first = send(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    assert not first.outcome.replayed
    for again in (request, plain):
        reply = send(again, metadata=shop.metadata, timeout=TIMEOUT_S)
        assert reply.outcome.replayed
        assert reply.receipt == first.receipt
    (item,) = shop.batch(request)
    assert getattr(item, item.WhichOneof("result") or "").outcome.replayed
    (main,) = shop.transaction(first.outcome.transaction).events
    assert has_unknown(request)
    assert not has_unknown(main)


def test_a_receipt_sent_again_by_a_newer_client(open_shop: OpenShop) -> None:
    """A till that was updated in between still gets the first answer for its receipt."""
    shop = open_shop(program())
    sale = shop.sale_request(shop.member(), 10_00, at=AT, till=7)
    first = shop.record(sale)
    sale.request_id = new_id()
    assert shop.record(newer(sale)).outcome.transaction == first.outcome.transaction


def test_what_a_newer_server_recorded(open_shop: OpenShop, server: ServerProcess) -> None:
    """While servers of two releases run, the older one knows the newer one's commands again."""
    shop = open_shop(program())
    sale = shop.sale_request(shop.member(), 10_00, at=AT, till=7)
    first = shop.record(sale)
    with psycopg.connect(server.database_url) as connection:
        connection.execute("SET session_replication_role = replica")  # past the guard that keeps events as they are
        key = (UUID(sale.request_id),)
        row = connection.execute("SELECT state FROM events WHERE request_id = %s", key).fetchone()
        assert row is not None
        state = newer(SaleRecorded.FromString(row[0])).SerializeToString()
        connection.execute("UPDATE events SET state = %s WHERE request_id = %s", (state, *key))
    assert shop.record(sale).outcome.replayed
    sale.request_id = new_id()
    assert shop.record(sale).outcome.transaction == first.outcome.transaction
