"""Methods: who may call which, and what else sets one apart."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ledger.store.credentials import Role

OPEN_SERVICES: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
"""Whom anybody may ask: they say nothing but what the service is and whether it works."""

_TILL: Final[frozenset[Role]] = frozenset({"pos", "admin"})
_MANAGER: Final[frozenset[Role]] = frozenset({"manager", "admin"})
_AUDITOR: Final[frozenset[Role]] = frozenset({"auditor", "admin"})
_CRM: Final[frozenset[Role]] = frozenset({"crm", "admin"})
_EVERYBODY: Final = _TILL | _MANAGER | _AUDITOR | _CRM

ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "/loyalty.v1.PosService/EnrollMember": _TILL,
    "/loyalty.v1.PosService/LookupMember": _EVERYBODY,
    "/loyalty.v1.PosService/QuoteSale": _TILL | _MANAGER,
    "/loyalty.v1.PosService/RecordSale": _TILL,
    "/loyalty.v1.PosService/ReserveReward": _TILL,
    "/loyalty.v1.PosService/CommitReward": _TILL,
    "/loyalty.v1.PosService/ReleaseReward": _TILL,
    "/loyalty.v1.PosService/ReturnSale": _TILL,
    "/loyalty.v1.PosService/ReverseTransaction": _TILL,
    "/loyalty.v1.PosService/RecordActivity": _TILL | _CRM,
    "/loyalty.v1.PosService/UseEntitlement": _TILL | _CRM,
    "/loyalty.v1.PosService/GetTransaction": _EVERYBODY,
    "/loyalty.v1.PosService/ExplainTransaction": _EVERYBODY,
    "/loyalty.v1.PosService/GetBalance": _EVERYBODY,
    "/loyalty.v1.PosService/SubmitBatch": _TILL,
    "/loyalty.v1.PosService/StreamCommands": _TILL,
    "/loyalty.v1.ProgramService/PublishProgram": _MANAGER,
    "/loyalty.v1.ProgramService/GetProgram": _EVERYBODY,
    "/loyalty.v1.ProgramService/ListProgramVersions": _MANAGER | _AUDITOR,
    "/loyalty.v1.ProgramService/ListRewards": _EVERYBODY,
    "/loyalty.v1.ProgramService/AdjustPoints": _MANAGER,
    "/loyalty.v1.ProgramService/SettlePending": _MANAGER,
    "/loyalty.v1.ProgramService/GrantReward": _MANAGER | _CRM,
    "/loyalty.v1.ProgramService/RevokeVoucher": _MANAGER,
    "/loyalty.v1.ProgramService/UploadVoucherCodes": _MANAGER,
    "/loyalty.v1.ProgramService/RevokeEntitlement": _MANAGER,
    "/loyalty.v1.ProgramService/ExtendExpiry": _MANAGER,
    "/loyalty.v1.ProgramService/ReinstatePoints": _MANAGER,
    "/loyalty.v1.ProgramService/SetTierFloor": _MANAGER,
    "/loyalty.v1.CrmService/ListStatementEntries": _CRM | _MANAGER | _AUDITOR,
    "/loyalty.v1.CrmService/ListVouchers": _EVERYBODY,
    "/loyalty.v1.CrmService/ListEntitlements": _EVERYBODY,
    "/loyalty.v1.CrmService/WatchChanges": _CRM,
    "/loyalty.v1.CrmService/GetRfm": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ListRfmMembers": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ListHighValueMembers": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/GetCohorts": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/GetValueModel": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/GetMemberValue": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/CreateConsumer": _CRM,
    "/loyalty.v1.CrmService/AcknowledgeChanges": _CRM,
    "/loyalty.v1.CrmService/ListConsumers": _CRM,
    "/loyalty.v1.CrmService/DeleteConsumer": _CRM,
    "/loyalty.v1.CrmService/RecordConsents": _TILL | _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ListConsents": _EVERYBODY,
    "/loyalty.v1.CrmService/EraseMember": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ExportMember": _CRM | _MANAGER | _AUDITOR,
    "/loyalty.v1.CrmService/RecordFeedback": _TILL | _CRM | _MANAGER,
    "/loyalty.v1.CrmService/CreateFeedbackLink": _TILL | _CRM | _MANAGER,
    "/loyalty.v1.CrmService/SubmitFeedback": _TILL | _CRM,
    "/loyalty.v1.CrmService/GetFeedbackResults": _CRM | _MANAGER | _AUDITOR,
    "/loyalty.v1.CrmService/ListFeedback": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ReadSalesFigures": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ReadOfferFigures": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ReadPairs": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ReadWonAndLost": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ReadDemand": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/SaveSegment": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/DeleteSegment": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/SetSegmentMembers": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/GetSegment": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ListSegments": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/PreviewSegment": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ExplainSegment": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ListSegmentMembers": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/ListMemberSegments": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/GetMember": _CRM | _MANAGER | _AUDITOR,
    "/loyalty.v1.CrmService/ListMembers": _CRM | _MANAGER | _AUDITOR,
    "/loyalty.v1.CrmService/SearchMembers": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/UpdateMember": _CRM | _MANAGER,
    "/loyalty.v1.CrmService/UpsertMembers": _CRM,
    "/loyalty.v1.AuditService/ReadEvents": _AUDITOR,
    "/loyalty.v1.AuditService/GetCheckpoint": _AUDITOR,
    "/loyalty.v1.AuditService/ListCheckpoints": _AUDITOR,
    "/loyalty.v1.AuditService/ProveInclusion": _AUDITOR,
    "/loyalty.v1.AuditService/ProveConsistency": _AUDITOR,
    "/loyalty.v1.AuditService/GetLiability": _AUDITOR | _MANAGER,
    "/loyalty.v1.AuditService/ReadRollForward": _AUDITOR | _MANAGER,
    "/loyalty.v1.AuditService/GetBreakage": _AUDITOR | _MANAGER,
    "/loyalty.v1.AuditService/GetDeferredRevenue": _AUDITOR | _MANAGER,
    "/loyalty.v1.AuditService/ReadJournal": _AUDITOR | _MANAGER,
    "/loyalty.v1.AuditService/ReconcileTills": _AUDITOR | _MANAGER,
    "/loyalty.v1.AuditService/ListAuditEntries": _AUDITOR,
    "/loyalty.v1.AuditService/GetMemberState": _AUDITOR | _MANAGER,
    "/loyalty.v1.AuditService/GetProgramState": _AUDITOR | _MANAGER,
}
"""Who may call what. What is not listed nobody may call."""

LOOKUPS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "/loyalty.v1.PosService/LookupMember": lambda request: True,
    "/loyalty.v1.PosService/GetBalance": lambda request: request.HasField("identifier"),
    "/loyalty.v1.PosService/QuoteSale": lambda request: request.sale.HasField("identifier"),
    "/loyalty.v1.CrmService/ExportMember": lambda request: True,
    "/loyalty.v1.CrmService/SearchMembers": lambda request: True,
}
"""Which requests only tell whether somebody with an identifier is a member. Their rate is limited,
so that nobody can try out all phone numbers. Commands whose member is not found count as well, in Dispatch.
"""

READS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "/loyalty.v1.PosService/LookupMember": lambda request: True,
    "/loyalty.v1.PosService/GetBalance": lambda request: request.HasField("identifier"),
    "/loyalty.v1.CrmService/GetMember": lambda request: request.with_personal_data,
    "/loyalty.v1.CrmService/SearchMembers": lambda request: True,
}
"""Which requests show personal data, or whom an identifier belongs to: the audit trail has each of them. The response
names the member, or members. Auditors may make these requests, and look-ups, only where their credential was granted
personal data.
"""

READS_NOTED_APART: Final = frozenset(
    {
        "/loyalty.v1.CrmService/ExplainSegment",
        "/loyalty.v1.CrmService/ExportMember",
        "/loyalty.v1.CrmService/ListFeedback",
    }
)
"""Calls that show personal data now and then, in a stream, or of several people: each notes by itself whose."""

WHOLE_LOG: Final = frozenset(
    {
        "/loyalty.v1.AuditService/ReadEvents",
        "/loyalty.v1.AuditService/GetCheckpoint",
        "/loyalty.v1.AuditService/ListCheckpoints",
        "/loyalty.v1.AuditService/ProveInclusion",
        "/loyalty.v1.AuditService/ProveConsistency",
        "/loyalty.v1.AuditService/ListAuditEntries",
    }
)
"""Calls that show every program: nobody whose credential is bound to one may make them."""

ENDLESS: Final = frozenset({"/loyalty.v1.CrmService/WatchChanges"})
"""Calls that end only when somebody ends them: a server that stops sends them elsewhere."""
