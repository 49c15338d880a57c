"""Checks of the requests for states of the past."""

from typing import Final

from loyalty.v1.as_of_pb2 import GetMemberStateRequest, GetProgramStateRequest
from loyalty.v1.books_pb2 import AsOf

from ledger.api.fields import Checks, Problems, check_member_name, check_program_name, check_timestamp


def _check_member_state(request: GetMemberStateRequest, _now: int, problems: Problems) -> None:
    """What GetMemberState is asked with."""
    check_member_name(request.member, "member", problems)
    _times(request, problems)


def _check_program_state(request: GetProgramStateRequest, _now: int, problems: Problems) -> None:
    """What GetProgramState is asked with."""
    check_program_name(request.program, "program", problems)
    _times(request, problems)


def check_as_of(as_of: AsOf, problems: Problems) -> None:
    """As of when something is read."""
    instant = as_of.WhichOneof("instant")
    if instant == "position" and as_of.position < 1:
        problems.append(("as_of.position", "must be 1 or more"))
    if instant == "recorded_at":
        check_timestamp(as_of.recorded_at, "as_of.recorded_at", problems)


def _times(request: GetMemberStateRequest | GetProgramStateRequest, problems: Problems) -> None:
    check_as_of(request.as_of, problems)
    if request.HasField("effective_at"):
        check_timestamp(request.effective_at, "effective_at", problems)


CHECKS: Final[Checks] = {
    GetMemberStateRequest: _check_member_state,
    GetProgramStateRequest: _check_program_state,
}
