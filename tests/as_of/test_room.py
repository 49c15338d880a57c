"""How many states of programs a server works out at once."""

from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from ledger.api.as_of_service import PROGRAM_STATES_MAX
from ledger.api.audit_service import AuditService
from ledger.api.errors import ApiError

NOBODY: Any = None


def test_further_calls_are_told_to_come_back() -> None:
    """And there is room again when one of them ends."""
    service = AuditService(NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, lambda: 0)
    with ExitStack() as calls:
        for _ in range(PROGRAM_STATES_MAX):
            calls.enter_context(service._room())
        with pytest.raises(ApiError) as caught, service._room():
            pass
        assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.retry_delay_ms
    with service._room():
        pass
