"""Reads that gather: what is asked during a read is read by the next, together, and everybody gets their own."""

import asyncio
import threading
from collections.abc import Mapping, Sequence

import pytest

from ledger.api.gathering import TOGETHER_MAX, Gathering

ASKED = 3 * TOGETHER_MAX


class Slow:
    """A read that waits until it may go on."""

    def __init__(self) -> None:
        self.reads: list[Sequence[int]] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, keys: Sequence[int]) -> Mapping[int, str]:
        """What even keys stand for."""
        self.reads.append(keys)
        self.begun.set()
        self.go_on.wait()
        if 13 in keys:
            raise LookupError("13")
        return {key: f"value {key}" for key in keys if key % 2 == 0}


async def _asked(slow: Slow, keys: Sequence[int]) -> list[str | BaseException | None]:
    gathering = Gathering(slow)
    first = asyncio.ensure_future(gathering.one(0))
    await asyncio.to_thread(slow.begun.wait)
    others = [asyncio.ensure_future(gathering.one(key)) for key in keys]
    await asyncio.sleep(0)
    others[-1].cancel()
    slow.go_on.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert await gathering.one(2) == "value 2"
    return answers


def test_what_is_asked_meanwhile_is_read_together() -> None:
    """A hundred questions are a few reads; who goes away harms nobody, and what is asked twice is read once."""
    slow = Slow()
    keys = [100 + key // 2 for key in range(ASKED)]
    first, *answers, last = asyncio.run(_asked(slow, keys))
    assert first == "value 0"
    assert answers == [f"value {key}" if key % 2 == 0 else None for key in keys[:-1]]
    assert isinstance(last, asyncio.CancelledError)
    assert [len(read) for read in slow.reads] == [1, *[TOGETHER_MAX // 2] * 3, 1]


async def _gone(slow: Slow) -> None:
    gathering = Gathering(slow)
    first = asyncio.ensure_future(gathering.one(0))
    await asyncio.to_thread(slow.begun.wait)
    others = [asyncio.ensure_future(gathering.one(key)) for key in range(ASKED)]
    await asyncio.sleep(0)
    for other in others:
        other.cancel()
    slow.go_on.set()
    await asyncio.gather(first, *others, return_exceptions=True)
    assert await gathering.one(2) == "value 2"


def test_nothing_is_read_for_those_who_have_gone() -> None:
    """After an outage, those who wait are served first."""
    slow = Slow()
    asyncio.run(_gone(slow))
    assert slow.reads == [[0], [2]]


def test_a_read_that_fails_fails_for_those_who_waited_for_it() -> None:
    """And for nobody behind it."""
    slow = Slow()
    _, *answers = asyncio.run(_asked(slow, [12, 13, 14]))
    assert [type(answer) for answer in answers] == [LookupError, LookupError, asyncio.CancelledError]


@pytest.mark.parametrize("key", [1, 2])
def test_one(key: int) -> None:
    """Alone, it is read at once."""
    slow = Slow()
    slow.go_on.set()
    assert asyncio.run(Gathering(slow).one(key)) == (f"value {key}" if key == 2 else None)
