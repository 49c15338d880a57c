"""Baskets and households as commands.

The same basket makes the same command, whenever and wherever it is made. That is why the load can
be stopped and started anywhere: what the ledger has, it answers again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.commands_pb2 import EnrollMemberRequest, PublishProgramRequest, RecordSaleRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.origin_pb2 import Channel, Origin, TillReference
from loyalty.v1.program_pb2 import Program
from loyalty.v1.sale_pb2 import Sale, Tender, TenderKind

from ledger.demo.grocery_year import Basket, Household, Product

NAMESPACE: Final = UUID("6f1d9c52-3c0b-5c0e-9a41-2f6d8f0b7e17")
"""Of the demo's request ids. Another one would make other commands of the same baskets."""

TERMINAL: Final = "demo"

STORE_TIME: Final = ZoneInfo("America/New_York")
"""The stores' time zone, in which a receipt has its business date; see GroceryYear."""

_UNKNOWN: Final = Product("", "")


def basket_request_id(basket_id: int) -> str:
    """The request id of a basket's sale."""
    return str(uuid5(NAMESPACE, f"basket/{basket_id}"))


def publish_program(program: Program) -> PublishProgramRequest:
    """The command that publishes the demo's program."""
    return PublishProgramRequest(
        request_id=str(uuid5(NAMESPACE, program.name)),
        origin=Origin(operator="demo", channel=Channel.CHANNEL_BACK_OFFICE),
        program=program,
    )


def enroll_member(household: Household, program: str) -> EnrollMemberRequest:
    """The command that makes a household a member, where and when it first bought."""
    return EnrollMemberRequest(
        request_id=str(uuid5(NAMESPACE, f"household/{household.household_id}")),
        origin=_origin(household.store_id, household.sold_at_us),
        program=program,
        identifiers=[Identifier(type=IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID, value=str(household.household_id))],
    )


def record_sale(basket: Basket, member: str, products: Mapping[int, Product]) -> RecordSaleRequest:
    """The command that records a basket.

    A line's net amount is exactly its sales_value, what the retailer receives for it. Its price is
    that plus what the retailer took off, and a manufacturer's coupon is a means of payment.
    """
    origin = _origin(basket.store_id, basket.sold_at_us)
    sold_at = datetime.fromtimestamp(basket.sold_at_us // 1_000_000, UTC)
    origin.till.CopyFrom(
        TillReference(
            business_date=sold_at.astimezone(STORE_TIME).date().isoformat(),
            sequence=basket.basket_id,
        )
    )
    sale = Sale()
    add_line = sale.lines.add  # in place, which is twice as fast as making and appending
    for product_id, quantity, net_minor, discount_minor in basket.lines:
        category, brand = products.get(product_id, _UNKNOWN)
        add_line(
            sku=str(product_id),
            quantity=quantity,
            price_minor=net_minor + discount_minor,
            discount_minor=discount_minor,
            category=category,
            brand=brand,
        )
    if basket.coupon_minor:
        sale.tenders.append(Tender(kind=TenderKind.TENDER_KIND_VOUCHER, amount_minor=basket.coupon_minor))
    return RecordSaleRequest(request_id=basket_request_id(basket.basket_id), origin=origin, member=member, sale=sale)


def _origin(store_id: int, at_us: int) -> Origin:
    seconds, micros = divmod(at_us, 1_000_000)
    return Origin(
        store=str(store_id),
        terminal=TERMINAL,
        channel=Channel.CHANNEL_STORE,
        occurred_at=Timestamp(seconds=seconds, nanos=micros * 1_000),
    )
