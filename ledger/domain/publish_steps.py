"""What the expressions of a program may cost together, so that no sale keeps the writer from all others."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from google.protobuf.message import Message
from loyalty.v1.earning_pb2 import Conditions, LineFilter
from loyalty.v1.program_pb2 import Program

from ledger.domain.basket import LINES_MAX
from ledger.domain.publish_fields import Problems
from ledger.domain.rules.expression import Expression

STEPS_MAX: Final = 300_000
"""Steps that the expressions of a program take at most for one sale, together: well under a second."""

REWARDS_IN_SALE_MAX: Final = 20
"""Rewards that one sale redeems by holds and vouchers; of more, the costliest count."""


def check_steps(definition: Program, found: Problems) -> None:
    """The first expression of rules, promotions and rewards with which the largest sale would cost too much."""
    rewards = [
        (sum(steps for _, steps in parts), parts)
        for index, reward in enumerate(definition.rewards)
        if (parts := list(_steps(reward, f"rewards[{index}]")))
    ]
    rewards.sort(key=lambda reward: -reward[0])
    total = 0
    for path, steps in [
        *_of_all(definition, "earning_rules"),
        *_of_all(definition, "promotions"),
        *(part for _, parts in rewards[:REWARDS_IN_SALE_MAX] for part in parts),
    ]:
        total += steps
        if total > STEPS_MAX:
            reason = (
                f"makes the expressions of the program too costly for a sale of {LINES_MAX} lines: {total:,} steps,"
                f" {STEPS_MAX:,} at most; name lines by lists, or put no macro into another"
            )
            found.append((path, reason))
            return


def _of_all(definition: Program, name: str) -> Iterator[tuple[str, int]]:
    for index, message in enumerate(getattr(definition, name)):
        yield from _steps(message, f"{name}[{index}]")


def _steps(message: Message, path: str) -> Iterator[tuple[str, int]]:
    """The path of each expression within a message, and what it costs."""
    if isinstance(message, Conditions | LineFilter) and message.expression:
        with suppress(ValueError):  # that is told where expressions are checked
            yield f"{path}.expression", Expression(message.expression, of_line=isinstance(message, LineFilter)).steps
    for field, value in message.ListFields():
        if field.message_type is None or isinstance(message, Conditions | LineFilter):
            continue
        if field.is_repeated:
            for index, entry in enumerate(value):
                yield from _steps(entry, f"{path}.{field.name}[{index}]")
        else:
            yield from _steps(value, f"{path}.{field.name}")
