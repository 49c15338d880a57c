"""Field checks: what of a request can be judged without any state. All problems are named at once."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import Message
from loyalty.v1.pos_service_pb2 import SubmitBatchRequest

from ledger.api import (
    check_as_of,
    check_books,
    check_commands,
    check_feed,
    check_feedback,
    check_insight,
    check_members,
    check_person,
    check_proofs,
    check_reads,
    check_segments,
    check_value,
)
from ledger.api.errors import ApiError
from ledger.api.fields import Check, Problems

BATCH_COMMANDS_MAX: Final = 1_000
"""Commands of one SubmitBatch."""

_PARTS: Final = (
    check_as_of,
    check_books,
    check_commands,
    check_feed,
    check_feedback,
    check_insight,
    check_members,
    check_person,
    check_proofs,
    check_reads,
    check_segments,
    check_value,
)


def check_batch(request: SubmitBatchRequest) -> None:
    """Checks a batch as a whole.

    Its commands are checked one by one, so that none harms the others.
    """
    count = len(request.commands)
    if not 1 <= count <= BATCH_COMMANDS_MAX:
        raise ApiError.invalid([("commands", f"must have 1 to {BATCH_COMMANDS_MAX} commands; there are {count}")])


def _complete(collect: Check) -> Callable[[Any, int], None]:
    """A check that raises ApiError with all that `collect` finds."""

    def check(request: Any, now: int) -> None:
        problems: Problems = []
        collect(request, now, problems)
        if problems:
            raise ApiError.invalid(problems)

    return check


CHECKS: Final[Mapping[type[Message], Callable[[Any, int], None]]] = {
    request: _complete(collect) for part in _PARTS for request, collect in part.CHECKS.items()
}
"""The check of each request, called with the request and the server's clock in microseconds.

A command's origin must have been completed by its credential. Each raises ApiError naming every
field at fault. SubmitBatch has `check_batch`; each of its commands has the check of its request."""
