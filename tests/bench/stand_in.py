"""What RecordSale is compared with: `python -m tests.bench.stand_in echo|stock RESPONSE`.

It is the ledger's own server, with all of its services, threads and settings, on a database of its own. Only the
handler of RecordSale is another one, so that nothing else can make a difference.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import UUID

import grpc
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from loyalty.v1.commands_pb2 import RecordSaleRequest
from loyalty.v1.pos_service_pb2 import Outcome, RecordSaleResponse
from psycopg.conninfo import conninfo_to_dict

import server
from ledger.api.pos_service import PosService

STOCK_THREADS: Final = 16
"""The library's recorder does no better with more: its table lock lets one in at a time."""

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[PosService, RecordSaleRequest, Context], Awaitable[RecordSaleResponse]]


def echo(response: RecordSaleResponse) -> Handler:
    """An empty handler: the answer of a real sale, made once."""

    async def record_sale(service: PosService, request: RecordSaleRequest, context: Context) -> RecordSaleResponse:
        return response

    return record_sale


class SoldSale(Aggregate):
    """A sale as an aggregate of the library, with one event."""

    def __init__(self, request_id: str, member: str, lines: list[list[Any]]) -> None:
        self.request_id = request_id
        self.member = member
        self.lines = lines


def stock(application: "Application[UUID]") -> Handler:
    """One `Application.save` of one new event for each command, in a thread pool."""
    threads = ThreadPoolExecutor(STOCK_THREADS, "stock")

    def save(request: RecordSaleRequest) -> int:
        lines: list[list[Any]] = [[line.sku, line.quantity, line.price_minor] for line in request.sale.lines]
        sale = SoldSale(request.request_id, request.member, lines)
        return application.save(sale)[-1].notification.id

    async def record_sale(service: PosService, request: RecordSaleRequest, context: Context) -> RecordSaleResponse:
        position = await asyncio.get_running_loop().run_in_executor(threads, save, request)
        transaction = f"transactions/{request.request_id}"
        return RecordSaleResponse(outcome=Outcome(transaction=transaction, position=position))

    return record_sale


def stock_application(database_url: str) -> "Application[UUID]":
    """The library as it comes, on PostgreSQL."""
    given = conninfo_to_dict(database_url)
    return Application[UUID](
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(given.get("dbname", "")),
            "POSTGRES_HOST": str(given.get("host", "")),
            "POSTGRES_PORT": str(given.get("port", "")),
            "POSTGRES_USER": str(given.get("user", "")),
            "POSTGRES_PASSWORD": str(given.get("password", "")),
            "POSTGRES_POOL_SIZE": str(STOCK_THREADS),
        }
    )


def main(kind: str, response: bytes) -> None:
    """Serves until SIGTERM. `response` is what the echo answers."""
    sys.argv[1:] = ["serve"]
    if kind == "echo":
        _serve_with(echo(RecordSaleResponse.FromString(response)))
        return
    application = stock_application(os.environ["LOYALTY_DATABASE_URL"])
    try:
        _serve_with(stock(application))
    finally:
        application.close()


def _serve_with(handler: Handler) -> None:
    PosService.RecordSale = handler  # type: ignore[method-assign,assignment]  # the one difference
    server.main()


if __name__ == "__main__":
    main(sys.argv[1], bytes.fromhex(sys.argv[2]))
