"""Sends the year: members first, then baskets, in several lanes at once.

A household's baskets are all in one lane, and a lane sends its next batch when the one before it is
answered, so every household's sales arrive in their order. For the same reason a load that was cut
off has left, in each lane, a beginning without gaps but for its last batch: `_sent` finds its end.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import grpc
from loyalty.v1.commands_pb2 import Command
from loyalty.v1.pos_service_pb2 import GetTransactionRequest
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GetProgramRequest

from ledger.demo.client import CALL_TIMEOUT_S, Client
from ledger.demo.grocery_year import GroceryYear, Household
from ledger.demo.requests import basket_request_id, enroll_member, publish_program, record_sale

LANES: Final = 16
"""Batches in flight. Not to be changed: a load that was cut off is continued in its lanes."""

BATCH_COMMANDS: Final = 200
"""Commands of a batch. Not to be made smaller, for the same reason."""

BATCHES_READY_MAX: Final = 2
"""Batches that a lane keeps ready besides the one in flight."""

OnSales = Callable[[int], None]
"""Is told how many more sales are in the ledger."""


async def ensure_program(client: Client, program: Program) -> None:
    """Publishes a program unless there is one of its name."""
    request = GetProgramRequest(name=program.name)
    try:
        # Without patience: where no server answers the first call, the address is wrong.
        await client.programs.GetProgram(request, timeout=CALL_TIMEOUT_S, metadata=client.metadata)
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        await client.call(client.programs.PublishProgram, publish_program(program))


async def enroll(client: Client, households: Sequence[Household], program: str) -> dict[int, str]:
    """Makes the households members; those that are already stay so. Their names by household."""
    commands = [Command(enroll_member=enroll_member(household, program)) for household in households]
    batches = [commands[start : start + BATCH_COMMANDS] for start in range(0, len(commands), BATCH_COMMANDS)]
    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(client.submit(batch)) for batch in batches]
    results = [result.enroll_member for task in sent for result in task.result()]
    return {household.household_id: result.member for household, result in zip(households, results, strict=True)}


async def find_sent(client: Client, year: GroceryYear) -> list[int]:
    """How many baskets at the beginning of each lane are in the ledger for certain."""
    async with asyncio.TaskGroup() as tasks:
        found = [tasks.create_task(_sent(client, lane)) for lane in year.lanes()]
    return [task.result() for task in found]


async def load(
    client: Client,
    year: GroceryYear,
    members: dict[int, str],
    sent: Sequence[int],
    on_sales: OnSales,
) -> None:
    """Records the baskets behind the first `sent[lane]` of each lane."""
    queues: list[asyncio.Queue[list[Command] | None]] = [asyncio.Queue(BATCHES_READY_MAX) for _ in range(LANES)]
    async with asyncio.TaskGroup() as tasks:
        for queue in queues:
            tasks.create_task(_send(client, queue, on_sales))
        await _deal(year, members, sent, queues)


async def _deal(
    year: GroceryYear,
    members: dict[int, str],
    sent: Sequence[int],
    queues: Sequence[asyncio.Queue[list[Command] | None]],
) -> None:
    """Makes commands of the baskets, in the order of time, and deals them to the lanes."""
    products = year.products()
    batches: list[list[Command]] = [[] for _ in queues]
    for basket in year.baskets(sent):
        batch = batches[basket.lane]
        sale = record_sale(basket, members[basket.household_id], products)
        batch.append(Command(record_sale=sale))
        if len(batch) == BATCH_COMMANDS:
            batches[basket.lane] = []
            await queues[basket.lane].put(batch)
    for queue, batch in zip(queues, batches, strict=True):
        if batch:
            await queue.put(batch)
        await queue.put(None)


async def _send(client: Client, queue: asyncio.Queue[list[Command] | None], on_sales: OnSales) -> None:
    while (batch := await queue.get()) is not None:
        on_sales(len(await client.submit(batch)))


async def _sent(client: Client, basket_ids: Sequence[int]) -> int:
    """How many baskets at the beginning of a lane are in the ledger for certain, by bisection.

    The ledger has all that was answered (`a` baskets) and perhaps some of the batch behind it. So
    bisection ends between `a` and `a` plus a batch, and a batch before that all are there.
    """
    low, high = 0, len(basket_ids)
    while low < high:
        middle = (low + high) // 2
        if await _is_recorded(client, basket_ids[middle]):
            low = middle + 1
        else:
            high = middle
    return low if low == len(basket_ids) else max(0, low - BATCH_COMMANDS)


async def _is_recorded(client: Client, basket_id: int) -> bool:
    request = GetTransactionRequest(name=f"transactions/{basket_request_id(basket_id)}")
    try:
        await client.call(client.pos.GetTransaction, request)
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return False
        raise
    return True
