"""Reads that gather: while one is under way, what is asked for meanwhile waits and is read together by the next."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

TOGETHER_MAX: Final = 32
"""How many things one read brings."""


class Gathering(Generic[KeyT, ValueT]):
    """Reads things by key, in a worker thread. The busier a server is, the less each of them costs.

    Args:
        read: What some keys stand for; it leaves out those that stand for nothing. It may block.
    """

    def __init__(self, read: Callable[[Sequence[KeyT]], Mapping[KeyT, ValueT]]) -> None:
        self._read = read
        self._waiting: list[tuple[KeyT, asyncio.Future[ValueT | None]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def one(self, key: KeyT) -> ValueT | None:
        """What a key stands for, read after the call. Raises what `read` raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[ValueT | None] = loop.create_future()
        self._waiting.append((key, answer))
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read_all())
        return await answer

    async def _read_all(self) -> None:
        while self._waiting:
            waiting = [one for one in self._waiting if not one[1].done()]  # without those who have gone
            asked, self._waiting = waiting[:TOGETHER_MAX], waiting[TOGETHER_MAX:]
            if not asked:
                return
            try:
                found = await asyncio.to_thread(self._read, list({key for key, _ in asked}))
            except Exception as error:  # noqa: BLE001 - each of those who asked is told
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for key, answer in asked:
                if not answer.done():
                    answer.set_result(found.get(key))
