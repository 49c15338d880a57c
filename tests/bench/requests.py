"""Requests as real tills send them, made into bytes before any clock starts."""

import random
import time
from collections.abc import Iterator, Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.commands_pb2 import Command, EnrollMemberRequest, RecordSaleRequest
from loyalty.v1.origin_pb2 import Channel, EntryMode
from loyalty.v1.pos_service_pb2 import QuoteSaleRequest, SubmitBatchRequest
from loyalty.v1.profile_pb2 import GetMemberRequest
from loyalty.v1.sale_pb2 import Sale, SaleLine, Tender, TenderKind
from uuid_utils import uuid7

RECORD_SALE: Final = "/loyalty.v1.PosService/RecordSale"
SUBMIT_BATCH: Final = "/loyalty.v1.PosService/SubmitBatch"
GET_MEMBER: Final = "/loyalty.v1.CrmService/GetMember"
QUOTE_SALE: Final = "/loyalty.v1.PosService/QuoteSale"

PROGRAM: Final = "programs/sample"
TILLS: Final = 64
BASKETS: Final = 500
CATEGORIES: Final = ("GROCERY", "PRODUCE", "DAIRY", "DRUG GM", "MEAT")


def profile_requests(members: Sequence[str], seed: int, count: int) -> list[bytes]:
    """Questions for whole profiles of random members."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [
        GetMemberRequest(member=chance.choice(members), with_personal_data=True).SerializeToString()
        for _ in range(count)
    ]


def sales(members: Sequence[str], seed: int) -> Iterator[RecordSaleRequest]:
    """Sales of three lines by random members, without end. Each seed has receipt numbers of its own."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    baskets = [_basket(chance) for _ in range(BASKETS)]
    now = Timestamp()
    now.FromNanoseconds(time.time_ns() // 1_000 * 1_000)
    date = time.strftime("%Y-%m-%d", time.gmtime())
    number = 0
    while True:
        request = RecordSaleRequest(request_id=str(uuid7()), member=chance.choice(members), sale=chance.choice(baskets))
        origin = request.origin
        origin.store = f"store-{number % TILLS // 8}"
        origin.terminal = f"till-{seed}-{number % TILLS}"
        origin.operator = "op-7"
        origin.channel = Channel.CHANNEL_STORE
        origin.entry_mode = EntryMode.ENTRY_MODE_SCANNED
        origin.occurred_at.CopyFrom(now)
        origin.till.business_date = date
        origin.till.sequence = number // TILLS + 1
        yield request
        number += 1


def sale_requests(members: Sequence[str], seed: int, count: int) -> list[bytes]:
    """Single sales."""
    return [request.SerializeToString() for request, _ in zip(sales(members, seed), range(count), strict=False)]


def quote_requests(members: Sequence[str], seed: int, count: int) -> list[bytes]:
    """Quotes of single sales."""
    return [
        QuoteSaleRequest(sale=request).SerializeToString()
        for request, _ in zip(sales(members, seed), range(count), strict=False)
    ]


def batch_requests(members: Sequence[str], seed: int, count: int, size: int) -> list[bytes]:
    """Batches of sales."""
    source = sales(members, seed)
    return [
        SubmitBatchRequest(commands=[Command(record_sale=next(source)) for _ in range(size)]).SerializeToString()
        for _ in range(count)
    ]


def enrollment_requests(count: int, size: int) -> list[bytes]:
    """Batches of enrolments, of members without any identifier."""
    return [
        SubmitBatchRequest(
            commands=[
                Command(enroll_member=EnrollMemberRequest(request_id=str(uuid7()), program=PROGRAM))
                for _ in range(min(size, count - first))
            ]
        ).SerializeToString()
        for first in range(0, count, size)
    ]


def _basket(chance: random.Random) -> Sale:
    lines = [
        SaleLine(
            sku=f"{chance.randrange(10**8):08}",
            quantity=chance.randint(1, 4),
            price_minor=chance.randint(10_00, 900_00),
            discount_minor=chance.choice((0, 0, 5_00)),
            category=chance.choice(CATEGORIES),
        )
        for _ in range(3)
    ]
    paid = sum(line.price_minor - line.discount_minor for line in lines)
    return Sale(lines=lines, tenders=[Tender(kind=TenderKind.TENDER_KIND_CARD, amount_minor=paid)])
