"""Checks of the requests of the feed."""

import re
from typing import Final

from loyalty.v1.crm_service_pb2 import WatchChangesRequest
from loyalty.v1.feed_pb2 import (
    AcknowledgeChangesRequest,
    CreateConsumerRequest,
    DeleteConsumerRequest,
    ListConsumersRequest,
)

from ledger.api.check_reads import TOKEN_CHARACTERS_MAX, check_page, check_types
from ledger.api.fields import ID, Checks, Problems, check_not_negative, check_program_name, check_text

NO_CHANGE: Final = "AuditRecorded"
"""The one type of event that is none of a CRM's business."""

_CONSUMER_ID: Final = re.compile("[a-z0-9-]{1,63}").fullmatch
_CONSUMER: Final = re.compile("consumers/[a-z0-9-]{1,63}").fullmatch
_LOG_ID: Final = re.compile(ID).fullmatch


def _check_watch_changes(request: WatchChangesRequest, _now: int, problems: Problems) -> None:
    """What WatchChanges is asked with."""
    check_not_negative(request.after_position, "after_position", problems)
    check_not_negative(request.batch_size, "batch_size", problems)
    if request.log_id:
        _check_log_id(request.log_id, problems)
    if request.consumer:
        _check_consumer(request.consumer, "consumer", problems)
        for field in ("types", "program"):
            if getattr(request, field):
                problems.append((field, "must be empty with a consumer, which has its own"))
    check_text(request.snapshot_page_token, "snapshot_page_token", problems, most=TOKEN_CHARACTERS_MAX)
    if request.snapshot_page_token and request.after_position:
        problems.append(("snapshot_page_token", "must be empty with after_position: the snapshot is over"))
    _check_filter(request, problems)


def _check_create_consumer(request: CreateConsumerRequest, _now: int, problems: Problems) -> None:
    """What CreateConsumer is asked with."""
    if not _CONSUMER_ID(request.consumer_id):
        problems.append(("consumer_id", "must be 1 to 63 lower-case letters, digits and dashes"))
    _check_filter(request, problems)


def _check_acknowledge_changes(request: AcknowledgeChangesRequest, _now: int, problems: Problems) -> None:
    """What AcknowledgeChanges is asked with."""
    _check_consumer(request.consumer, "consumer", problems)
    _check_log_id(request.log_id, problems)
    check_not_negative(request.position, "position", problems)


def _check_list_consumers(request: ListConsumersRequest, _now: int, problems: Problems) -> None:
    """What ListConsumers is asked with."""
    check_page(request, problems)


def _check_delete_consumer(request: DeleteConsumerRequest, _now: int, problems: Problems) -> None:
    """What DeleteConsumer is asked with."""
    _check_consumer(request.name, "name", problems)


def _check_filter(request: WatchChangesRequest | CreateConsumerRequest, problems: Problems) -> None:
    if request.program:
        check_program_name(request.program, "program", problems)
    check_types(request.types, problems)
    if NO_CHANGE in request.types:
        problems.append(("types", f"must not name {NO_CHANGE}, which is for auditors: AuditService.ListAuditEntries"))


def _check_consumer(name: str, path: str, problems: Problems) -> None:
    if not _CONSUMER(name):
        problems.append((path, "must be consumers/{consumer}, with 1 to 63 lower-case letters, digits and dashes"))


def _check_log_id(log_id: str, problems: Problems) -> None:
    if not _LOG_ID(log_id):
        problems.append(("log_id", "must be the log_id of the message whose position it goes with"))


CHECKS: Final[Checks] = {
    WatchChangesRequest: _check_watch_changes,
    CreateConsumerRequest: _check_create_consumer,
    AcknowledgeChangesRequest: _check_acknowledge_changes,
    ListConsumersRequest: _check_list_consumers,
    DeleteConsumerRequest: _check_delete_consumer,
}
