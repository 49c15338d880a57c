"""Requests that are right, and how to make them wrong."""

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.as_of_pb2 import GetMemberStateRequest, GetProgramStateRequest
from loyalty.v1.attribute_pb2 import AttributeValue
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.audit_trail_pb2 import AuditKind, ListAuditEntriesRequest
from loyalty.v1.books_pb2 import (
    AsOf,
    Expectation,
    GetBreakageRequest,
    GetDeferredRevenueRequest,
    GetLiabilityRequest,
    PriceAllocation,
    ReadJournalRequest,
    ReadRollForwardRequest,
    ReconcileTillsRequest,
)
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    CommitRewardRequest,
    EnrollMemberRequest,
    ExtendExpiryRequest,
    GrantRewardRequest,
    PendingFate,
    PublishProgramRequest,
    RecordActivityRequest,
    RecordSaleRequest,
    ReinstatePointsRequest,
    ReleaseRewardRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    ReverseTransactionRequest,
    RevokeEntitlementRequest,
    RevokeVoucherRequest,
    SetTierFloorRequest,
    SettlePendingRequest,
    UpdateMemberRequest,
    UploadVoucherCodesRequest,
    UseEntitlementRequest,
)
from loyalty.v1.consent_pb2 import (
    ConsentChange,
    ContactChannel,
    EraseMemberRequest,
    ErasureReason,
    RecordConsentsRequest,
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
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest
from loyalty.v1.feedback_results_pb2 import (
    CreateFeedbackLinkRequest,
    FeedbackFilter,
    GetFeedbackResultsRequest,
    ListFeedbackRequest,
    SubmitFeedbackRequest,
)
from loyalty.v1.insight_pb2 import (
    ReadDemandRequest,
    ReadOfferFiguresRequest,
    ReadPairsRequest,
    ReadSalesFiguresRequest,
    ReadWonAndLostRequest,
    SalesDimension,
    SalesFilter,
)
from loyalty.v1.member_pb2 import Identifier, IdentifierType, Profile
from loyalty.v1.origin_pb2 import Channel, EntryMode, Origin
from loyalty.v1.person_pb2 import ExportMemberRequest, ListConsentsRequest
from loyalty.v1.pos_service_pb2 import (
    ExplainTransactionRequest,
    GetBalanceRequest,
    GetTransactionRequest,
    LookupMemberRequest,
    QuoteSaleRequest,
)
from loyalty.v1.profile_pb2 import (
    GetMemberRequest,
    ListMembersRequest,
    MemberUpsert,
    SearchMembersRequest,
    UpsertMembersRequest,
)
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GetProgramRequest, ListProgramVersionsRequest, ListRewardsRequest
from loyalty.v1.proof_pb2 import (
    GetCheckpointRequest,
    ListCheckpointsRequest,
    ProveConsistencyRequest,
    ProveInclusionRequest,
)
from loyalty.v1.reward_pb2 import VoucherState
from loyalty.v1.sale_pb2 import LineKind, Sale, TenderKind
from loyalty.v1.segment_pb2 import DeleteSegmentRequest, SaveSegmentRequest, Segment, SetSegmentMembersRequest
from loyalty.v1.segment_reads_pb2 import (
    ExplainSegmentRequest,
    GetSegmentRequest,
    ListMemberSegmentsRequest,
    ListSegmentMembersRequest,
    ListSegmentsRequest,
    PreviewSegmentRequest,
)
from loyalty.v1.value_pb2 import (
    GetCohortsRequest,
    GetMemberValueRequest,
    GetRfmRequest,
    GetValueModelRequest,
    ListHighValueMembersRequest,
    ListRfmMembersRequest,
    RfmGroup,
    SalesSpan,
)

from ledger.api.check import CHECKS
from ledger.api.errors import ApiError
from ledger.domain.instant import EARLIEST, SECOND, set_timestamp

NOW: Final = 1_795_000_000 * SECOND
ID: Final = "0190b5a0-7d1c-7aaa-8bbb-0123456789ab"
OTHER: Final = "0190b5a0-7d1c-7aaa-8bbb-0123456789ac"
NIL: Final = "00000000-0000-0000-0000-000000000000"
MEMBER: Final = f"members/{ID}"
HOLD: Final = f"members/{ID}/holds/{OTHER}"
TRANSACTION: Final = f"transactions/{OTHER}"
SEGMENT: Final = "programs/p/segments/regulars"
CARD: Final = Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value="4000-1234")

Change = Callable[[Any], object]


def origin() -> Origin:
    """Where a till's command comes from."""
    origin = Origin(
        store="s-12",
        terminal="t-3",
        operator="o-9",
        channel=Channel.CHANNEL_STORE,
        entry_mode=EntryMode.ENTRY_MODE_SCANNED,
    )
    set_timestamp(origin.occurred_at, NOW - SECOND)
    origin.till.business_date = "2026-11-20"
    origin.till.sequence = 7
    return origin


def sale() -> Sale:
    """Three lines, a discount on two of them, two payments."""
    sale = Sale(currency="INR")
    for sku in ("123", "000", "0001"):
        sale.lines.add(
            sku=sku,
            quantity=1,
            price_minor=100_00,
            discount_minor=5_00,
            tax_minor=10_00,
            kind=LineKind.LINE_KIND_PRODUCT,
            category="dairy",
            brand="ब्रांड",
            labels=["red", "مرحبا", "😀"],
        )
    sale.discounts.add(code="WEEKEND", amount_minor=10_00, line_ids=["1", "3"])
    sale.tenders.add(kind=TenderKind.TENDER_KIND_CASH, amount_minor=100_00)
    sale.tenders.add(kind=TenderKind.TENDER_KIND_CARD, amount_minor=175_00)
    return sale


def record_sale() -> RecordSaleRequest:
    """A sale that redeems a hold and pays with points."""
    request = RecordSaleRequest(request_id=ID, origin=origin(), member=MEMBER, sale=sale(), holds=[HOLD])
    request.points_payment.reward_id = "cashback"
    return request


def return_sale() -> ReturnSaleRequest:
    """A return of two lines, by the receipt."""
    request = ReturnSaleRequest(request_id=ID, origin=origin())
    request.till.store = "s-12"
    request.till.terminal = "t-3"
    request.till.till.business_date = "2024-02-29"
    request.till.till.sequence = 1
    request.lines.add(line_id="1", quantity=2)
    request.lines.add(line_id="2", amount_minor=1)
    request.lines.add(line_id="3")
    return request


def read_events() -> ReadEventsRequest:
    """A range of the log with every condition."""
    request = ReadEventsRequest(
        after_position=5, until_position=9, subject=MEMBER, types=["SaleRecorded"], batch_size=10
    )
    set_timestamp(request.recorded_from, EARLIEST)
    set_timestamp(request.recorded_until, NOW)
    return request


def list_audit_entries() -> ListAuditEntriesRequest:
    """Entries with every condition."""
    request = ListAuditEntriesRequest(
        page_size=5,
        actor="credentials/t-222222",
        member=MEMBER,
        method="loyalty.v1.PosService/LookupMember",
        kind=AuditKind.AUDIT_KIND_READ,
        min_position=9,
    )
    set_timestamp(request.recorded_from, EARLIEST)
    set_timestamp(request.recorded_until, NOW)
    return request


RIGHT: Final[dict[type[Message], Callable[[], Message]]] = {
    EnrollMemberRequest: lambda: EnrollMemberRequest(
        request_id=ID,
        origin=origin(),
        program="programs/p-1",
        identifiers=[CARD],
        profile=Profile(given_name="राम", family_name="Çelik 😀", language_code="hi"),
    ),
    RecordSaleRequest: record_sale,
    QuoteSaleRequest: lambda: QuoteSaleRequest(sale=record_sale()),
    ReserveRewardRequest: lambda: ReserveRewardRequest(
        request_id=ID, origin=origin(), identifier=CARD, reward_id="mug", quantity=1_000
    ),
    CommitRewardRequest: lambda: CommitRewardRequest(request_id=ID, origin=origin(), hold=HOLD),
    ReleaseRewardRequest: lambda: ReleaseRewardRequest(request_id=ID, origin=origin(), hold=HOLD),
    ReturnSaleRequest: return_sale,
    ReverseTransactionRequest: lambda: ReverseTransactionRequest(
        request_id=ID, origin=origin(), original_request_id=OTHER
    ),
    PublishProgramRequest: lambda: PublishProgramRequest(
        request_id=ID, origin=origin(), program=Program(name="programs/p")
    ),
    AdjustPointsRequest: lambda: AdjustPointsRequest(
        request_id=ID, origin=origin(), member=MEMBER, points=-1, reason="x"
    ),
    RecordActivityRequest: lambda: RecordActivityRequest(
        request_id=ID, origin=origin(), member=MEMBER, activity="review", attributes={"sku": "123"}
    ),
    UseEntitlementRequest: lambda: UseEntitlementRequest(
        request_id=ID, origin=origin(), entitlement=f"{MEMBER}/entitlements/{OTHER}"
    ),
    RevokeEntitlementRequest: lambda: RevokeEntitlementRequest(
        request_id=ID, origin=origin(), entitlement=f"{MEMBER}/entitlements/{OTHER}", reason="Called off"
    ),
    UploadVoucherCodesRequest: lambda: UploadVoucherCodesRequest(
        request_id=ID, origin=origin(), program="programs/p", code_pool="spring", codes=["AB12-CD34"]
    ),
    GrantRewardRequest: lambda: GrantRewardRequest(
        request_id=ID, origin=origin(), member=MEMBER, reward_id="lounge", quantity=2, reason="Missed birthday"
    ),
    RevokeVoucherRequest: lambda: RevokeVoucherRequest(
        request_id=ID, origin=origin(), voucher=f"members/{ID}/vouchers/{OTHER}", reason="Printed twice"
    ),
    ExtendExpiryRequest: lambda: ExtendExpiryRequest(
        request_id=ID, origin=origin(), member=MEMBER, expires_at=Timestamp(seconds=1_900_000_000), reason="x"
    ),
    ReinstatePointsRequest: lambda: ReinstatePointsRequest(
        request_id=ID, origin=origin(), member=MEMBER, points=1, reason="x"
    ),
    SettlePendingRequest: lambda: SettlePendingRequest(
        request_id=ID, origin=origin(), member=MEMBER, transaction=TRANSACTION, fate=PendingFate.PENDING_FATE_CANCEL
    ),
    SetTierFloorRequest: lambda: SetTierFloorRequest(
        request_id=ID, origin=origin(), member=MEMBER, tier="gold", reason="x"
    ),
    UpdateMemberRequest: lambda: UpdateMemberRequest(
        request_id=ID,
        origin=origin(),
        member=MEMBER,
        profile=Profile(given_name="Asha"),
        add_identifiers=[CARD],
        attributes=[AttributeValue(attribute_id="vegan", value="true")],
        source="crm",
        source_time=Timestamp(seconds=1_700_000_000),
    ),
    UpsertMembersRequest: lambda: UpsertMembersRequest(
        request_id=ID,
        origin=origin(),
        program="programs/p",
        items=[MemberUpsert(external_id="x")],
        source_time=Timestamp(seconds=1_700_000_000),
    ),
    GetMemberRequest: lambda: GetMemberRequest(member=MEMBER, with_personal_data=True),
    ListMembersRequest: lambda: ListMembersRequest(program="programs/p", tier="gold"),
    SearchMembersRequest: lambda: SearchMembersRequest(program="programs/p", name_prefix="as"),
    LookupMemberRequest: lambda: LookupMemberRequest(identifier=CARD),
    GetTransactionRequest: lambda: GetTransactionRequest(name=TRANSACTION),
    ExplainTransactionRequest: lambda: ExplainTransactionRequest(name=TRANSACTION),
    GetBalanceRequest: lambda: GetBalanceRequest(member=MEMBER),
    GetProgramRequest: lambda: GetProgramRequest(name="programs/p"),
    ListProgramVersionsRequest: lambda: ListProgramVersionsRequest(program="programs/p"),
    ListStatementEntriesRequest: lambda: ListStatementEntriesRequest(member=MEMBER),
    ListVouchersRequest: lambda: ListVouchersRequest(member=MEMBER, state=VoucherState.VOUCHER_STATE_ISSUED),
    ListEntitlementsRequest: lambda: ListEntitlementsRequest(member=MEMBER),
    ListRewardsRequest: lambda: ListRewardsRequest(program="programs/p"),
    WatchChangesRequest: WatchChangesRequest,
    CreateConsumerRequest: lambda: CreateConsumerRequest(consumer_id="crm-1", types=["SaleRecorded"]),
    AcknowledgeChangesRequest: lambda: AcknowledgeChangesRequest(consumer="consumers/crm-1", log_id=ID, position=5),
    ListConsumersRequest: ListConsumersRequest,
    DeleteConsumerRequest: lambda: DeleteConsumerRequest(name="consumers/crm-1"),
    ReadEventsRequest: read_events,
    GetCheckpointRequest: GetCheckpointRequest,
    ListCheckpointsRequest: ListCheckpointsRequest,
    ListAuditEntriesRequest: list_audit_entries,
    GetRfmRequest: lambda: GetRfmRequest(span=SalesSpan(program="programs/p", as_of="2020-01-31", window_days=365)),
    ListRfmMembersRequest: lambda: ListRfmMembersRequest(
        span=SalesSpan(program="programs/p"), group=RfmGroup.RFM_GROUP_LOST
    ),
    ListHighValueMembersRequest: lambda: ListHighValueMembersRequest(
        span=SalesSpan(program="programs/p"), share_millionths=200_000
    ),
    GetCohortsRequest: lambda: GetCohortsRequest(span=SalesSpan(program="programs/p")),
    GetValueModelRequest: lambda: GetValueModelRequest(program="programs/p", version=1),
    GetMemberValueRequest: lambda: GetMemberValueRequest(member=MEMBER),
    ProveInclusionRequest: lambda: ProveInclusionRequest(position=5),
    ProveConsistencyRequest: lambda: ProveConsistencyRequest(old_size=5, tree_size=9),
    ReadSalesFiguresRequest: lambda: ReadSalesFiguresRequest(
        program="programs/p",
        filter=SalesFilter(
            from_date="2026-01-31", until_date="2026-02-01", skus=["A"], channels=[Channel.CHANNEL_STORE]
        ),
        group_by=[SalesDimension.SALES_DIMENSION_SKU, SalesDimension.SALES_DIMENSION_DAY],
        limit=5,
    ),
    ReadOfferFiguresRequest: lambda: ReadOfferFiguresRequest(
        program="programs/p", group_by=[SalesDimension.SALES_DIMENSION_STORE]
    ),
    ReadPairsRequest: lambda: ReadPairsRequest(program="programs/p", min_sales=2),
    ReadWonAndLostRequest: lambda: ReadWonAndLostRequest(
        program="programs/p",
        first_from_date="2026-01-01",
        first_until_date="2026-02-01",
        second_from_date="2026-02-01",
        second_until_date="2026-03-01",
    ),
    ReadDemandRequest: lambda: ReadDemandRequest(
        program="programs/p", filter=SalesFilter(from_date="2026-01-01", until_date="2026-02-01")
    ),
    GetLiabilityRequest: lambda: GetLiabilityRequest(program="programs/p", as_of=AsOf(position=1)),
    ReadRollForwardRequest: lambda: ReadRollForwardRequest(
        program="programs/p", from_date="2026-01-31", until_date="2026-02-01"
    ),
    GetBreakageRequest: lambda: GetBreakageRequest(program="programs/p", vintages_min=2),
    GetDeferredRevenueRequest: lambda: GetDeferredRevenueRequest(
        program="programs/p",
        expectations=[Expectation(redeemed_millionths=970_000)],
        allocations=[PriceAllocation(vintage="2026-01", allocated_minor=5)],
    ),
    ReadJournalRequest: lambda: ReadJournalRequest(program="programs/p", minor_per_thousand_points=100),
    ReconcileTillsRequest: lambda: ReconcileTillsRequest(program="programs/p", csv=b"x"),
    GetMemberStateRequest: lambda: GetMemberStateRequest(
        member=MEMBER, as_of=AsOf(position=1), effective_at=Timestamp(seconds=1_700_000_000)
    ),
    RecordConsentsRequest: lambda: RecordConsentsRequest(
        request_id=ID,
        origin=origin(),
        member=MEMBER,
        changes=[
            ConsentChange(
                purpose="marketing",
                channel=ContactChannel.CONTACT_CHANNEL_EMAIL,
                given=True,
                text_id="join",
                text_version=1,
                language_code="hi",
            ),
            ConsentChange(purpose="marketing", channel=ContactChannel.CONTACT_CHANNEL_SMS),
        ],
    ),
    EraseMemberRequest: lambda: EraseMemberRequest(
        request_id=ID, origin=origin(), member=MEMBER, reason=ErasureReason.ERASURE_REASON_OTHER
    ),
    ListConsentsRequest: lambda: ListConsentsRequest(member=MEMBER),
    ExportMemberRequest: lambda: ExportMemberRequest(member=MEMBER),
    RecordFeedbackRequest: lambda: RecordFeedbackRequest(
        request_id=ID, origin=origin(), transaction=TRANSACTION, sku="tea", rating=5, nps=0, text="Good.\nThanks."
    ),
    CreateFeedbackLinkRequest: lambda: CreateFeedbackLinkRequest(transaction=TRANSACTION, valid_days=90),
    SubmitFeedbackRequest: lambda: SubmitFeedbackRequest(request_id=ID, origin=origin(), token="abc", nps=10),
    GetFeedbackResultsRequest: lambda: GetFeedbackResultsRequest(
        filter=FeedbackFilter(program="programs/p", from_day="2026-01-31", until_day="2026-01-31")
    ),
    ListFeedbackRequest: lambda: ListFeedbackRequest(filter=FeedbackFilter(program="programs/p", member=MEMBER)),
    GetProgramStateRequest: lambda: GetProgramStateRequest(
        program="programs/p", effective_at=Timestamp(seconds=1_700_000_000)
    ),
    SaveSegmentRequest: lambda: SaveSegmentRequest(
        request_id=ID, origin=origin(), segment=Segment(name=SEGMENT, expression="sales > 1")
    ),
    DeleteSegmentRequest: lambda: DeleteSegmentRequest(request_id=ID, origin=origin(), name=SEGMENT),
    SetSegmentMembersRequest: lambda: SetSegmentMembersRequest(
        request_id=ID, origin=origin(), name=SEGMENT, add=[MEMBER], remove=[f"members/{OTHER}"]
    ),
    GetSegmentRequest: lambda: GetSegmentRequest(name=SEGMENT),
    ListSegmentsRequest: lambda: ListSegmentsRequest(program="programs/p"),
    PreviewSegmentRequest: lambda: PreviewSegmentRequest(segment=Segment(name=SEGMENT, expression="sales > 1")),
    ExplainSegmentRequest: lambda: ExplainSegmentRequest(name=SEGMENT, member=MEMBER),
    ListSegmentMembersRequest: lambda: ListSegmentMembersRequest(name=SEGMENT, as_of=Timestamp(seconds=1_700_000_000)),
    ListMemberSegmentsRequest: lambda: ListMemberSegmentsRequest(member=MEMBER, current_only=True),
}
COMMANDS: Final = [kind for kind in RIGHT if "request_id" in kind.DESCRIPTOR.fields_by_name]
REQUESTS: Final = list(RIGHT)


def name(value: object) -> str:
    """A request type for a test's id."""
    return value.__name__ if isinstance(value, type) else ""


def fields(request: Message, now: int = NOW) -> list[str]:
    """The paths of the fields at fault, in order."""
    try:
        CHECKS[type(request)](request, now)
    except ApiError as error:
        return [field for field, description in error.field_violations if description]
    return []


def after(kind: type[Message], change: Change) -> list[str]:
    """The fields at fault after a change to a request that is right."""
    request = RIGHT[kind]()
    change(request)
    return fields(request)


def put(path: str, value: object) -> Change:
    """A change that sets a field."""
    *parents, last = path.split(".")
    return lambda request: setattr(inside(request, parents), last, value)


def add(path: str, count: int, **values: object) -> Change:
    """A change that adds to a list until it has so many entries."""

    def change(request: Message) -> None:
        entries = inside(request, path.split("."))
        while len(entries) < count:
            entries.add(**values)

    return change


def inside(request: Message, path: list[str]) -> Any:
    """A part of a request."""
    part: Any = request
    for step in path:
        name, _, index = step.partition("[")
        part = getattr(part, name)
        if index:
            part = part[int(index.rstrip("]"))]
    return part


def drop(name: str) -> Change:
    """A change that clears a field."""
    return lambda request: request.ClearField(name)
