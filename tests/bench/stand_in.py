"""What RecordSale is compared with, behind the same server stack: `python -m tests.bench.stand_in echo|stock RESPONSE`.

The gate with authentication, the messages, the server and its options are the ledger's own; only the handler differs.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import UUID

import grpc
import uvloop
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from loyalty.v1.commands_pb2 import RecordSaleRequest
from loyalty.v1.pos_service_pb2 import Outcome, RecordSaleResponse
from psycopg.conninfo import conninfo_to_dict

from ledger.api.authentication import Authenticator
from ledger.api.interceptor import Gate
from ledger.api.lifecycle import Listening, Parts, serve
from ledger.config import Config
from ledger.logs import configure_logs
from ledger.store.credentials import Credentials
from ledger.store.datastore import LedgerDatastore

STOCK_THREADS: Final = 16
"""The library's recorder does no better with more: its table lock lets one in at a time."""

SERVICE: Final = "loyalty.v1.PosService"

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[RecordSaleRequest, Context], Awaitable[RecordSaleResponse]]


def echo(response: RecordSaleResponse) -> Handler:
    """An empty handler: the answer of a real sale, made once."""

    async def record_sale(request: RecordSaleRequest, context: Context) -> RecordSaleResponse:
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

    async def record_sale(request: RecordSaleRequest, context: Context) -> RecordSaleResponse:
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
    config = Config.from_env(os.environ)
    configure_logs(config.log_level, config.log_format)
    database_url = config.database_url or ""
    credentials = LedgerDatastore(database_url)
    credentials.pool.open()
    authenticator = Authenticator(Credentials(credentials.pool))
    close: list[Callable[[], None]] = [authenticator.close, credentials.close]
    if kind == "stock":
        application = stock_application(database_url)
        handler = stock(application)
        close.append(application.close)
    else:
        handler = echo(RecordSaleResponse.FromString(response))

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        method = grpc.unary_unary_rpc_method_handler(
            handler,
            request_deserializer=RecordSaleRequest.FromString,
            response_serializer=RecordSaleResponse.SerializeToString,
        )
        methods = {"RecordSale": method}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        return [SERVICE]

    def started(listening: Listening) -> None:
        sys.stdout.write(f"listening on {listening.address}\n")
        sys.stdout.flush()

    gate = Gate(authenticator, lookups_per_minute=config.lookups_per_minute)
    parts = Parts(gate=gate, add_services=add_services, trouble=lambda: None, close=close)
    uvloop.run(serve(config, parts, started))


if __name__ == "__main__":
    main(sys.argv[1], bytes.fromhex(sys.argv[2]))
