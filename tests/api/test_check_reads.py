"""Field checks of the requests that read."""

import pytest
from google.protobuf.message import Message
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.commands_pb2 import (
    GrantRewardRequest,
)
from loyalty.v1.crm_service_pb2 import (
    ListEntitlementsRequest,
    ListStatementEntriesRequest,
    ListVouchersRequest,
    WatchChangesRequest,
)
from loyalty.v1.feed_pb2 import (
    AcknowledgeChangesRequest,
    CreateConsumerRequest,
    DeleteConsumerRequest,
    ListConsumersRequest,
)
from loyalty.v1.pos_service_pb2 import (
    ExplainTransactionRequest,
    GetBalanceRequest,
    GetTransactionRequest,
    LookupMemberRequest,
)
from loyalty.v1.program_service_pb2 import GetProgramRequest, ListProgramVersionsRequest, ListRewardsRequest
from loyalty.v1.proof_pb2 import (
    GetCheckpointRequest,
    ListCheckpointsRequest,
    ProveConsistencyRequest,
    ProveInclusionRequest,
)

from ledger.api.check_commands import QUANTITY_MAX
from tests.api.requests import (
    OTHER,
    Change,
    after,
    drop,
    put,
)


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        (LookupMemberRequest, drop("identifier"), ["identifier.type", "identifier.value"]),
        (LookupMemberRequest, put("min_position", -1), ["min_position"]),
        (GetTransactionRequest, put("name", OTHER), ["name"]),
        (ExplainTransactionRequest, put("name", OTHER), ["name"]),
        (GetBalanceRequest, put("min_position", -1), ["min_position"]),
        (GetBalanceRequest, put("as_of.seconds", 1), ["as_of"]),
        (GetBalanceRequest, put("as_of.seconds", 4_000_000_000), []),
        (GetBalanceRequest, put("as_of.seconds", 2**63 - 1), ["as_of"]),
        (GetProgramRequest, put("name", "programs/"), ["name"]),
        (GetProgramRequest, put("version", -1), ["version"]),
        (ListProgramVersionsRequest, put("program", "programs/"), ["program"]),
        (ListProgramVersionsRequest, put("page_size", -1), ["page_size"]),
        (ListProgramVersionsRequest, put("page_token", "\n"), ["page_token"]),
        (ListStatementEntriesRequest, put("member", "members/ada"), ["member"]),
        (ListStatementEntriesRequest, put("page_size", -1), ["page_size"]),
        (ListVouchersRequest, put("member", "members/ada"), ["member"]),
        (ListVouchersRequest, put("state", 9), ["state"]),
        (ListVouchersRequest, put("page_size", -1), ["page_size"]),
        (ListEntitlementsRequest, put("state", -1), ["state"]),
        (ListEntitlementsRequest, put("page_token", "x" * 1_001), ["page_token"]),
        (ListRewardsRequest, put("program", "shop"), ["program"]),
        (ListRewardsRequest, put("min_position", -1), ["min_position"]),
        (GrantRewardRequest, put("member", "members/ada"), ["member"]),
        (GrantRewardRequest, put("reward_id", ""), ["reward_id"]),
        (GrantRewardRequest, put("quantity", QUANTITY_MAX + 1), ["quantity"]),
        (GrantRewardRequest, put("reason", ""), ["reason"]),
        (ListStatementEntriesRequest, put("page_size", 2**31 - 1), []),
        (ListStatementEntriesRequest, put("page_token", "x" * 1_001), ["page_token"]),
        (ListStatementEntriesRequest, put("min_position", -1), ["min_position"]),
        (WatchChangesRequest, put("after_position", -1), ["after_position"]),
        (WatchChangesRequest, put("batch_size", -1), ["batch_size"]),
        (WatchChangesRequest, put("log_id", "x"), ["log_id"]),
        (WatchChangesRequest, put("consumer", "crm"), ["consumer"]),
        (WatchChangesRequest, put("program", "p"), ["program"]),
        (WatchChangesRequest, lambda request: request.types.append("Nope"), ["types[0]"]),
        (WatchChangesRequest, lambda request: request.types.append("AuditRecorded"), ["types"]),
        (CreateConsumerRequest, put("consumer_id", "Crm"), ["consumer_id"]),
        (CreateConsumerRequest, put("consumer_id", "x" * 64), ["consumer_id"]),
        (CreateConsumerRequest, put("program", "p"), ["program"]),
        (AcknowledgeChangesRequest, put("consumer", "crm-1"), ["consumer"]),
        (AcknowledgeChangesRequest, put("log_id", ""), ["log_id"]),
        (AcknowledgeChangesRequest, put("position", -1), ["position"]),
        (ListConsumersRequest, put("page_size", -1), ["page_size"]),
        (ListConsumersRequest, put("page_token", "x" * 1_001), ["page_token"]),
        (DeleteConsumerRequest, put("name", "consumers/"), ["name"]),
        (ReadEventsRequest, put("after_position", -1), ["after_position"]),
        (ReadEventsRequest, put("until_position", -1), ["until_position"]),
        (ReadEventsRequest, put("until_position", 4), ["until_position"]),
        (ReadEventsRequest, put("until_position", 0), []),
        (ReadEventsRequest, put("subject", "programs/p"), []),
        (ReadEventsRequest, put("subject", "stores/s"), ["subject"]),
        (ReadEventsRequest, lambda r: r.types.append("Sale"), ["types[1]"]),
        (ReadEventsRequest, lambda r: r.types.append("Event"), ["types[1]"]),
        (ReadEventsRequest, lambda r: r.types.extend(["TierChanged"] * 50), ["types"]),
        (ReadEventsRequest, put("recorded_until.seconds", 946_684_800), ["recorded_until"]),
        (ReadEventsRequest, put("recorded_from.nanos", -1), ["recorded_from"]),
        (ReadEventsRequest, put("batch_size", -1), ["batch_size"]),
        (GetCheckpointRequest, put("min_size", -1), ["min_size"]),
        (ListCheckpointsRequest, put("page_size", -1), ["page_size"]),
        (ListCheckpointsRequest, put("page_token", "x" * 1_001), ["page_token"]),
        (ProveInclusionRequest, put("position", 0), ["position"]),
        (ProveInclusionRequest, put("position", -1), ["position"]),
        (ProveInclusionRequest, put("tree_size", -1), ["tree_size"]),
        (ProveInclusionRequest, put("tree_size", 4), ["tree_size"]),
        (ProveInclusionRequest, put("tree_size", 5), []),
        (ProveConsistencyRequest, put("old_size", 0), ["old_size"]),
        (ProveConsistencyRequest, put("old_size", 10), ["tree_size"]),
        (ProveConsistencyRequest, put("old_size", 9), []),
        (ProveConsistencyRequest, put("tree_size", -1), ["tree_size"]),
        (ProveConsistencyRequest, put("tree_size", 0), []),
    ],
)
def test_reads_are_checked(kind: type[Message], change: Change, expected: list[str]) -> None:
    """Negative sizes and positions are errors; too large ones are for the service to cut."""
    assert after(kind, change) == expected
