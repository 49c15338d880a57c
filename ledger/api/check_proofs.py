"""Checks of the requests for checkpoints and proofs."""

from typing import Final

from loyalty.v1.proof_pb2 import (
    GetCheckpointRequest,
    ListCheckpointsRequest,
    ProveConsistencyRequest,
    ProveInclusionRequest,
)

from ledger.api.check_reads import check_page
from ledger.api.fields import Checks, Problems, check_not_negative


def _check_get_checkpoint(request: GetCheckpointRequest, _now: int, problems: Problems) -> None:
    """What GetCheckpoint is asked with."""
    check_not_negative(request.min_size, "min_size", problems)


def _check_list_checkpoints(request: ListCheckpointsRequest, _now: int, problems: Problems) -> None:
    """What ListCheckpoints is asked with."""
    check_page(request, problems)


def _check_prove_inclusion(request: ProveInclusionRequest, _now: int, problems: Problems) -> None:
    """What ProveInclusion is asked with."""
    if request.position < 1:
        problems.append(("position", "must be 1 or more: the position of an event"))
    _tree_size(request.tree_size, request.position, "position", problems)


def _check_prove_consistency(request: ProveConsistencyRequest, _now: int, problems: Problems) -> None:
    """What ProveConsistency is asked with."""
    if request.old_size < 1:
        problems.append(("old_size", "must be 1 or more: the size of a checkpoint that was kept"))
    _tree_size(request.tree_size, request.old_size, "old_size", problems)


def _tree_size(size: int, least: int, field: str, problems: Problems) -> None:
    check_not_negative(size, "tree_size", problems)
    if 0 < size < least:
        problems.append(("tree_size", f"must not be less than {field}; 0 for the newest checkpoint's"))


CHECKS: Final[Checks] = {
    GetCheckpointRequest: _check_get_checkpoint,
    ListCheckpointsRequest: _check_list_checkpoints,
    ProveInclusionRequest: _check_prove_inclusion,
    ProveConsistencyRequest: _check_prove_consistency,
}
