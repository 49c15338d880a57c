"""Field checks: what is wrong is named by its path, all at once; what is right passes."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
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
    Command,
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
    UploadVoucherCodesRequest,
    UseEntitlementRequest,
)
from loyalty.v1.crm_service_pb2 import (
    ListEntitlementsRequest,
    ListStatementEntriesRequest,
    ListVouchersRequest,
    WatchChangesRequest,
)
from loyalty.v1.member_pb2 import Identifier, IdentifierType, Profile
from loyalty.v1.origin_pb2 import Channel, EntryMode, Origin
from loyalty.v1.pos_service_pb2 import (
    ExplainTransactionRequest,
    GetBalanceRequest,
    GetTransactionRequest,
    LookupMemberRequest,
    QuoteSaleRequest,
    SubmitBatchRequest,
)
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GetProgramRequest, ListProgramVersionsRequest, ListRewardsRequest
from loyalty.v1.reward_pb2 import VoucherState
from loyalty.v1.sale_pb2 import LineKind, Sale, SaleLine, TenderKind

from ledger.api.check import (
    BATCH_COMMANDS_MAX,
    CHECKS,
    HOLDS_MAX,
    IDENTIFIERS_MAX,
    QUANTITY_MAX,
    REASON_CHARACTERS_MAX,
    check_batch,
)
from ledger.api.check_parts import OCCURRED_AT_AHEAD_MAX
from ledger.api.check_sale import DISCOUNTS_MAX, LABELS_MAX, TENDERS_MAX, fill_line_ids
from ledger.api.errors import ApiError
from ledger.api.fields import TEXT_CHARACTERS_MAX
from ledger.api.identifiers import VALUE_CHARACTERS_MAX, normalise
from ledger.domain.basket import LINES_MAX, Basket
from ledger.domain.instant import EARLIEST, MINUTE, SECOND, from_timestamp, set_timestamp
from ledger.domain.publish import problems
from ledger.domain.rounding import INT64_MAX

PROTOS: Final = Path(__file__).parents[2] / "protos" / "loyalty" / "v1"
NOW: Final = 1_795_000_000 * SECOND
ID: Final = "0190b5a0-7d1c-7aaa-8bbb-0123456789ab"
OTHER: Final = "0190b5a0-7d1c-7aaa-8bbb-0123456789ac"
NIL: Final = "00000000-0000-0000-0000-000000000000"
MEMBER: Final = f"members/{ID}"
HOLD: Final = f"members/{ID}/holds/{OTHER}"
TRANSACTION: Final = f"transactions/{OTHER}"
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
    ReadEventsRequest: read_events,
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


# -- every request


def test_every_request_has_a_check() -> None:
    """What a service takes is checked; batches and streams check their commands."""
    assert set(CHECKS) == set(RIGHT)
    in_batches = {type(getattr(Command(), field.name)) for field in Command.DESCRIPTOR.fields}
    assert in_batches <= set(RIGHT)


@pytest.mark.parametrize("kind", REQUESTS, ids=name)
def test_a_right_request_passes(kind: type[Message]) -> None:
    """And is left as it was."""
    request = RIGHT[kind]()
    assert fields(request) == []
    assert request == RIGHT[kind]()


@pytest.mark.parametrize("kind", REQUESTS, ids=name)
def test_an_empty_request_is_judged(kind: type[Message]) -> None:
    """Nothing but a feed from the start is right when empty."""
    assert bool(fields(kind())) == (kind not in (WatchChangesRequest, ReadEventsRequest))


@pytest.mark.parametrize("kind", COMMANDS, ids=name)
@pytest.mark.parametrize(
    "request_id",
    ["", NIL, "1", ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"{ID} ", f"{ID}\n", "x" * 36],
)
def test_a_request_id_is_a_canonical_uuid(kind: type[Message], request_id: str) -> None:
    """Missing, nil, of another form: one id must have one spelling, or a retry is not seen."""
    assert after(kind, put("request_id", request_id)) == ["request_id"]


@pytest.mark.parametrize("kind", COMMANDS, ids=name)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("origin.store", "x" * (TEXT_CHARACTERS_MAX + 1)),
        ("origin.terminal", "a\0b"),
        ("origin.operator", "a\nb"),
        ("origin.channel", 99),
        ("origin.entry_mode", -1),
        ("origin.occurred_at.nanos", 1_000_000_000),
        ("origin.occurred_at.nanos", -1),
        ("origin.till.business_date", ""),
        ("origin.till.business_date", "2026-02-29"),
        ("origin.till.business_date", "20260228"),
        ("origin.till.business_date", "2026-W01-1"),
        ("origin.till.business_date", "2026-2-28"),
        ("origin.till.business_date", "२०२६-०२-२८"),
        ("origin.till.sequence", 0),
        ("origin.till.sequence", -1),
    ],
)
def test_an_origin_is_checked(kind: type[Message], path: str, value: object) -> None:
    """The same way for each command."""
    expected = path.replace(".nanos", "")
    assert after(kind, put(path, value)) == [expected]


def texts(kind: Descriptor, parents: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each text in a message."""
    for field in kind.fields:
        path = (*parents, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield path
        elif field.message_type is not None:
            yield from texts(field.message_type, path)
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield path


def with_text(request: Message, path: tuple[str, ...], text: str) -> str:
    """Puts a text into a request, as the first entry of a list, and returns its path as errors name it."""
    part: Any = request
    named = []
    for step in path[:-1]:
        part = getattr(part, step)
        in_list = isinstance(part, Sequence)
        named.append(f"{step}[0]" if in_list else step)
        if in_list:
            part = part[0] if part else part.add()
    last = path[-1]
    if isinstance(getattr(part, last), MutableMapping):
        getattr(part, last)["key"] = text
        return ".".join((*named, f"{last}['key']"))
    if not isinstance(getattr(part, last), str):
        getattr(part, last)[:] = [text]
        return ".".join((*named, f"{last}[0]"))
    setattr(part, last, text)
    return ".".join((*named, last))


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind in REQUESTS for path in texts(cast("Descriptor", kind.DESCRIPTOR)) if path[-1] != "etag"],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else name(value),
)
def test_no_text_takes_a_nul(kind: type[Message], path: tuple[str, ...]) -> None:
    """PostgreSQL cannot keep one, and no till means one. An etag is kept nowhere, only compared."""
    request = RIGHT[kind]()
    wrong = with_text(request, path, "a\0b")
    found = fields(request)
    if isinstance(request, PublishProgramRequest):
        found += [f"program.{field}" for field, _ in problems(request.program)]
    assert wrong in found


@pytest.mark.parametrize(
    ("at", "is_right"),
    [
        (EARLIEST - 1, False),
        (EARLIEST, True),
        (NOW + OCCURRED_AT_AHEAD_MAX, True),
        (NOW + OCCURRED_AT_AHEAD_MAX + 1, False),
        (-SECOND, False),
        (253_402_300_800 * SECOND, False),
    ],
)
def test_a_till_s_clock_may_be_off_by_so_much(at: int, is_right: bool) -> None:
    """Not before 2000, at most five minutes ahead, to the microsecond."""
    request = record_sale()
    set_timestamp(request.origin.occurred_at, at)
    assert fields(request) == ([] if is_right else ["origin.occurred_at"])


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63)])
def test_a_clock_out_of_all_bounds_is_refused(seconds: int) -> None:
    """Protobuf's own range is wider than any calendar's."""
    assert after(RecordSaleRequest, put("origin.occurred_at.seconds", seconds)) == ["origin.occurred_at"]


@pytest.mark.parametrize("path", ["origin.store", "origin.terminal"])
def test_a_receipt_number_needs_its_till(path: str) -> None:
    """It is unique only with store and terminal."""
    assert after(RecordSaleRequest, put(path, "")) == [path]
    assert after(AdjustPointsRequest, lambda r: r.origin.Clear()) == []


def test_all_problems_are_named_at_once() -> None:
    """One round trip shows a till's developer everything."""

    def change(request: RecordSaleRequest) -> None:
        request.request_id = ""
        request.origin.till.sequence = 0
        request.member = "ada"
        request.sale.currency = "inr"
        request.sale.lines[0].ClearField("price_minor")
        request.sale.lines[2].price_minor = -1
        request.sale.tenders[0].amount_minor = 0
        request.points_payment.points = -5

    assert after(RecordSaleRequest, change) == [
        "request_id",
        "origin.till.sequence",
        "member",
        "sale.currency",
        "sale.lines[0].price_minor",
        "sale.lines[0].tax_minor",
        "sale.lines[2].price_minor",
        "sale.tenders[0].amount_minor",
        "points_payment.points",
    ]


# -- sales


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sale.currency", "rupees"),
        ("sale.currency", "inr"),
        ("sale.lines[1].price_minor", -1),
        ("sale.lines[1].price_minor", -(2**63)),
        ("sale.lines[1].discount_minor", -1),
        ("sale.lines[1].discount_minor", 100_01),
        ("sale.lines[1].tax_minor", -1),
        ("sale.lines[1].tax_minor", 100_01),
        ("sale.lines[1].quantity", -1),
        ("sale.lines[1].kind", 5),
        ("sale.lines[1].kind", -1),
        ("sale.lines[1].line_id", "1"),
        ("sale.lines[1].line_id", "x" * (TEXT_CHARACTERS_MAX + 1)),
        ("sale.lines[1].sku", "a\0"),
        ("sale.lines[1].category", "a\x7f"),
        ("sale.lines[1].brand", "\x85"),
        ("sale.discounts[0].amount_minor", 0),
        ("sale.discounts[0].amount_minor", -1),
        ("sale.discounts[0].amount_minor", 190_01),
        ("sale.discounts[0].code", "x" * (TEXT_CHARACTERS_MAX + 1)),
        ("sale.tenders[1].kind", 6),
        ("sale.tenders[1].amount_minor", 0),
        ("sale.tenders[1].amount_minor", -1),
        ("points_payment.reward_id", ""),
        ("points_payment.points", -1),
        ("member", ""),
        ("member", MEMBER.upper()),
        ("member", f"{MEMBER}/holds/{ID}"),
        ("member", ID),
    ],
)
def test_what_is_wrong_with_a_sale_is_named(path: str, value: object) -> None:
    """By its path, alone, and in a quote below the sale."""
    changed = put(path, value)
    found = after(RecordSaleRequest, changed)
    assert found == [path]
    assert after(QuoteSaleRequest, lambda r: changed(r.sale)) == [f"sale.{field}" for field in found]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sale.currency", ""),
        ("sale.lines[1].quantity", 0),
        ("sale.lines[1].quantity", INT64_MAX),
        ("sale.lines[1].discount_minor", 100_00),
        ("sale.lines[1].tax_minor", 100_00),
        ("sale.lines[1].kind", 0),
        ("sale.lines[1].line_id", "a line"),
        ("sale.lines[1].sku", "x" * TEXT_CHARACTERS_MAX),
        ("sale.lines[1].category", "x" * TEXT_CHARACTERS_MAX),
        ("sale.lines[1].brand", "क्‍ष \u202eabc\u200f\u00a0😀"),
        ("sale.discounts[0].amount_minor", 190_00),
        ("sale.tenders[1].amount_minor", INT64_MAX),
        ("points_payment.points", INT64_MAX),
    ],
)
def test_the_bounds_belong_to_what_is_right(path: str, value: object) -> None:
    """Real data is at the bounds: coupons with quantity 0, free goods, right-to-left text."""
    assert after(RecordSaleRequest, put(path, value)) == []


def test_a_price_may_be_zero_but_not_missing() -> None:
    """A free item is said to be free."""
    request = RecordSaleRequest(request_id=ID, member=MEMBER, sale=Sale(lines=[SaleLine()]))
    assert fields(request) == ["sale.lines[0].price_minor"]
    request.sale.lines[0].price_minor = 0
    assert fields(request) == []


@pytest.mark.parametrize(
    ("prices", "is_right"),
    [
        ([INT64_MAX], True),
        ([INT64_MAX, 0], True),
        ([INT64_MAX, 1], False),
        ([2**62, 2**62], False),
        ([INT64_MAX] * 3, False),
    ],
)
def test_a_sale_fits_into_64_bits(prices: list[int], is_right: bool) -> None:
    """Each price does; the sum must too."""
    request = RecordSaleRequest(request_id=ID, member=MEMBER)
    for price in prices:
        request.sale.lines.add(price_minor=price)
    assert fields(request) == ([] if is_right else ["sale.lines"])


@pytest.mark.parametrize(
    ("path", "limit", "values"),
    [
        ("sale.lines", LINES_MAX, {"price_minor": 1}),
        ("sale.discounts", DISCOUNTS_MAX, {"amount_minor": 1}),
        ("sale.tenders", TENDERS_MAX, {"amount_minor": 1}),
    ],
)
def test_lists_have_limits(path: str, limit: int, values: dict[str, object]) -> None:
    """The limit is allowed, one more is not."""
    assert after(RecordSaleRequest, add(path, limit, **values)) == []
    assert after(RecordSaleRequest, add(path, limit + 1, **values)) == [path]


def test_labels_and_holds_have_limits() -> None:
    """Lists of text, too."""
    labels = [f"l{index}" for index in range(LABELS_MAX)]
    holds = [f"members/{ID}/holds/{ID[:-2]}{index:02}" for index in range(HOLDS_MAX)]

    def change(more: int) -> Change:
        def run(request: RecordSaleRequest) -> None:
            del request.sale.lines[0].labels[:]
            request.sale.lines[0].labels.extend([*labels, *["x"] * more])
            del request.holds[:]
            request.holds.extend([*holds, *[HOLD] * more])

        return run

    assert after(RecordSaleRequest, change(0)) == []
    assert after(RecordSaleRequest, change(1)) == ["sale.lines[0].labels", "holds"]


@pytest.mark.parametrize("label", ["a\0", "x" * (TEXT_CHARACTERS_MAX + 1)])
def test_a_label_is_text(label: str) -> None:
    """With its index."""
    assert after(RecordSaleRequest, lambda r: r.sale.lines[0].labels.append(label)) == ["sale.lines[0].labels[3]"]


def test_a_sale_must_be_there() -> None:
    """And must have a line."""
    assert after(RecordSaleRequest, drop("sale")) == ["sale"]
    assert after(RecordSaleRequest, lambda r: r.sale.Clear()) == ["sale.lines"]
    assert after(QuoteSaleRequest, drop("sale")) == ["sale"]


def test_a_quote_needs_no_request_id() -> None:
    """Nothing is written."""
    assert after(QuoteSaleRequest, lambda r: r.sale.ClearField("request_id")) == []
    assert after(QuoteSaleRequest, put("sale.request_id", NIL)) == ["sale.request_id"]
    assert after(QuoteSaleRequest, put("sale.origin.channel", 99)) == ["sale.origin.channel"]


def test_lines_get_their_numbers() -> None:
    """An empty line id stands for the line's number; others stay."""
    basket = sale()
    basket.lines[1].line_id = "b"
    fill_line_ids(basket)
    assert [line.line_id for line in basket.lines] == ["1", "b", "3"]


def test_a_line_id_must_not_be_another_line_s_number() -> None:
    """Or a return could mean either of the two."""
    assert after(RecordSaleRequest, put("sale.lines[0].line_id", "3")) == [
        "sale.lines[2].line_id",
        "sale.discounts[0].line_ids[0]",
    ]


def test_a_discount_names_lines_of_the_sale() -> None:
    """By id or by number."""

    def change(request: RecordSaleRequest) -> None:
        request.sale.lines[2].line_id = "c"
        request.sale.discounts[0].line_ids[:] = ["1", "2", "c", "3", "d"]

    assert after(RecordSaleRequest, change) == [
        "sale.discounts[0].line_ids[3]",
        "sale.discounts[0].line_ids[4]",
    ]


@pytest.mark.parametrize(
    ("amounts", "wrong"),
    [
        ([285_00], []),
        ([285_01], [0]),
        ([200_00, 85_00], []),
        ([200_00, 85_01], [1]),
        ([285_00, 1, 1], [1, 2]),
    ],
)
def test_discounts_take_off_no_more_than_there_is(amounts: list[int], wrong: list[int]) -> None:
    """After the lines' own discounts, one after the other."""

    def change(request: RecordSaleRequest) -> None:
        del request.sale.discounts[:]
        for amount in amounts:
            request.sale.discounts.add(amount_minor=amount)

    assert after(RecordSaleRequest, change) == [f"sale.discounts[{index}].amount_minor" for index in wrong]


def test_a_hold_is_redeemed_once() -> None:
    """And named in full."""
    assert after(RecordSaleRequest, lambda r: r.holds.append(HOLD)) == ["holds[1]"]
    assert after(RecordSaleRequest, lambda r: r.holds.append(OTHER)) == ["holds[1]"]


@pytest.mark.parametrize("kind", [RecordSaleRequest, ReserveRewardRequest, GetBalanceRequest], ids=name)
def test_somebody_is_named(kind: type[Message]) -> None:
    """By one of the ways; a return may leave it to its sale."""

    def change(request: Message) -> None:
        request.ClearField("member")
        request.ClearField("identifier")

    assert after(kind, change) == ["member"]
    assert after(ReturnSaleRequest, change) == []


# -- identifiers and people


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("type", 0),
        ("type", 6),
        ("value", ""),
        ("value", "   "),
        ("value", "123"),
        ("value", "x" * 65),
        ("value", "12 34"),
        ("value", "१२३४"),
        ("program", "p"),
        ("program", "programs/P"),
        ("program", f"programs/{'p' * 64}"),
    ],
)
def test_an_identifier_is_checked_wherever_it_is(path: str, value: object) -> None:
    """A card has 4 to 64 letters, digits and dashes."""

    def change(identifier: Identifier) -> None:
        setattr(identifier, path, value)

    assert after(LookupMemberRequest, lambda r: change(r.identifier)) == [f"identifier.{path}"]
    assert after(ReserveRewardRequest, lambda r: change(r.identifier)) == [f"identifier.{path}"]
    assert f"identifiers[0].{path}" in after(EnrollMemberRequest, lambda r: change(r.identifiers[0]))


@pytest.mark.parametrize(("value", "is_right"), [("x" * 254, True), ("x" * 255, False), ("a\0b", False), ("é😀", True)])
def test_other_identifiers_are_any_text(value: str, is_right: bool) -> None:
    """Up to 254 characters."""

    def change(request: LookupMemberRequest) -> None:
        request.identifier.type = IdentifierType.IDENTIFIER_TYPE_QR_TOKEN
        request.identifier.value = value

    assert after(LookupMemberRequest, change) == ([] if is_right else ["identifier.value"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("program", "p"), ["program"]),
        (put("program", ""), []),
        (put("profile.given_name", "x" * (TEXT_CHARACTERS_MAX + 1)), ["profile.given_name"]),
        (put("profile.family_name", "\t"), ["profile.family_name"]),
        (put("profile.language_code", "fr"), ["profile.language_code"]),
        (put("profile.language_code", ""), []),
        (put("identifiers[0].program", "programs/p-1"), []),
        (put("identifiers[0].program", "programs/p-2"), ["identifiers[0].program"]),
        (lambda r: r.identifiers.extend([CARD] * (IDENTIFIERS_MAX - 1)), []),
        (lambda r: r.identifiers.extend([CARD] * IDENTIFIERS_MAX), ["identifiers"]),
    ],
)
def test_an_enrolment_is_checked(change: Change, expected: list[str]) -> None:
    """Program, identifiers and profile."""
    assert after(EnrollMemberRequest, change) == expected


# -- other commands


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        (ReserveRewardRequest, put("reward_id", ""), ["reward_id"]),
        (ReserveRewardRequest, put("quantity", 0), []),
        (ReserveRewardRequest, put("quantity", 1_001), ["quantity"]),
        (ReserveRewardRequest, put("quantity", -1), ["quantity"]),
        (ReserveRewardRequest, put("cost_hint_points", -1), ["cost_hint_points"]),
        (CommitRewardRequest, put("hold", ""), ["hold"]),
        (CommitRewardRequest, put("hold", MEMBER), ["hold"]),
        (ReleaseRewardRequest, put("hold", HOLD.upper()), ["hold"]),
        (ReturnSaleRequest, drop("till"), ["transaction"]),
        (ReturnSaleRequest, put("transaction", ID), ["transaction"] * 2),
        (ReturnSaleRequest, put("transaction", f"transactions/{ID}"), ["transaction"]),
        (ReturnSaleRequest, put("transaction", TRANSACTION), []),
        (ReturnSaleRequest, put("till.store", ""), ["till.store"]),
        (ReturnSaleRequest, put("till.terminal", ""), ["till.terminal"]),
        (
            ReturnSaleRequest,
            lambda r: r.till.ClearField("till"),
            ["till.till.business_date", "till.till.sequence"],
        ),
        (ReturnSaleRequest, put("lines[0].line_id", ""), ["lines[0].line_id"]),
        (ReturnSaleRequest, put("lines[0].quantity", 0), ["lines[0].quantity"]),
        (ReturnSaleRequest, put("lines[0].quantity", -1), ["lines[0].quantity"]),
        (ReturnSaleRequest, put("lines[0].amount_minor", 0), []),
        (ReturnSaleRequest, put("lines[0].amount_minor", -1), ["lines[0].amount_minor"]),
        (ReturnSaleRequest, put("lines[1].amount_minor", 0), ["lines[1].amount_minor"]),
        (ReturnSaleRequest, add("lines", LINES_MAX, line_id="1"), []),
        (ReturnSaleRequest, add("lines", LINES_MAX + 1, line_id="1"), ["lines"]),
        (
            ReturnSaleRequest,
            lambda r: r.identifier.SetInParent(),
            ["identifier.type", "identifier.value"],
        ),
        (ReverseTransactionRequest, drop("original_request_id"), ["transaction"]),
        (ReverseTransactionRequest, put("original_request_id", ""), ["original_request_id"]),
        (ReverseTransactionRequest, put("original_request_id", NIL), ["original_request_id"]),
        (ReverseTransactionRequest, put("original_request_id", ID), ["original_request_id"]),
        (ReverseTransactionRequest, put("transaction", TRANSACTION), []),
        (ReverseTransactionRequest, put("transaction", f"transactions/{ID}"), ["transaction"]),
        (ReverseTransactionRequest, put("transaction", OTHER), ["transaction"]),
        (ReverseTransactionRequest, put("reason", 5), ["reason"]),
        (PublishProgramRequest, drop("program"), ["program"]),
        (AdjustPointsRequest, put("member", ""), ["member"]),
        (AdjustPointsRequest, put("points", 0), ["points"]),
        (AdjustPointsRequest, put("points", -(2**63)), []),
        (AdjustPointsRequest, put("reason", ""), ["reason"]),
        (AdjustPointsRequest, put("reason", "x" * REASON_CHARACTERS_MAX), []),
        (AdjustPointsRequest, put("reason", "x" * (REASON_CHARACTERS_MAX + 1)), ["reason"]),
        (AdjustPointsRequest, put("reason", "two\nlines"), ["reason"]),
    ],
)
def test_other_commands_are_checked(kind: type[Message], change: Change, expected: list[str]) -> None:
    """Each field of each command."""
    assert after(kind, change) == expected


@pytest.mark.parametrize("count", [0, 1, BATCH_COMMANDS_MAX, BATCH_COMMANDS_MAX + 1])
def test_a_batch_has_limits(count: int) -> None:
    """Neither empty nor too long; what its commands are is their own matter."""
    batch = SubmitBatchRequest(commands=[Command()] * count)
    if 1 <= count <= BATCH_COMMANDS_MAX:
        check_batch(batch)
        return
    with pytest.raises(ApiError) as caught:
        check_batch(batch)
    assert [field for field, _ in caught.value.field_violations] == ["commands"]


# -- reads


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
    ],
)
def test_reads_are_checked(kind: type[Message], change: Change, expected: list[str]) -> None:
    """Negative sizes and positions are errors; too large ones are for the service to cut."""
    assert after(kind, change) == expected


# -- anything at all

NUMBERS: Final = st.sampled_from([0, 1, -1, 2, 7, 100, 10_000, 2**31 - 1, -(2**31)])
LONG_NUMBERS: Final = NUMBERS | st.sampled_from([INT64_MAX, -(2**63), 1_795_000_000, 2**62])
TEXTS: Final = (
    st.text(max_size=12)
    | st.sampled_from([ID, OTHER, NIL, MEMBER, HOLD, TRANSACTION, "programs/p", "2026-11-20", "1"])
    | st.sampled_from(["INR", "Asia/Kolkata", "IN", "+919876543210", "a@b.de", "\0", "x" * 600])
)


_MADE: Final[dict[tuple[type[Message], int], st.SearchStrategy[Message]]] = {}
"""Made anew for each example, the larger messages would take seconds."""


def messages(kind: type[Message], depth: int = 5) -> st.SearchStrategy[Message]:
    """Any message of a type, with values that are likely to be right or at a bound."""
    if (kind, depth) not in _MADE:
        parts = {
            field.name: values(cast("FieldDescriptor", field), depth)
            for field in kind.DESCRIPTOR.fields
            if field.message_type is None or depth
        }
        _MADE[kind, depth] = st.fixed_dictionaries({}, optional=parts).map(lambda given: kind(**given))
    return _MADE[kind, depth]


def values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    """Any value of a field."""
    one: st.SearchStrategy[Any]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return st.dictionaries(TEXTS, TEXTS, max_size=3)
    if field.message_type is not None:
        one = messages(GetMessageClass(field.message_type), depth - 1)
    elif field.type == FieldDescriptor.TYPE_BYTES:
        one = st.binary(max_size=12)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        one = TEXTS
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        one = st.booleans()
    elif field.cpp_type == FieldDescriptor.CPPTYPE_INT64:
        one = LONG_NUMBERS
    else:
        one = NUMBERS
    return st.lists(one, max_size=3) if field.is_repeated else one


def judged(request: Message) -> ApiError | None:
    """Checks whatever came, and goes on with what passes as the service would; returns the refusal."""
    try:
        CHECKS[type(request)](request, NOW)
        identifier = getattr(request, "identifier", None)
        if identifier is not None and identifier.type:
            normalise(identifier, "programs/p", "IN")
        if isinstance(request, RecordSaleRequest):
            fill_line_ids(request.sale)
            Basket.of(request.sale)
        if isinstance(request, PublishProgramRequest):
            found = problems(request.program)
            if found:
                raise ApiError.invalid(found)
    except ApiError as error:
        return error
    return None


def judge(request: Message) -> None:
    """A refusal of whatever came can be answered both ways, and says of each field what is wrong."""
    error = judged(request)
    if error is not None:
        item = error.item_error()
        assert error.status_proto("hi").code == item.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert item.field_violations
        assert all(one.field and one.description for one in item.field_violations)


@pytest.mark.parametrize("kind", REQUESTS, ids=name)
@given(data=st.data())
def test_no_message_breaks_a_check(kind: type[Message], data: st.DataObject) -> None:
    """Whatever a client puts into the fields, the answer is an ApiError or none."""
    judge(data.draw(messages(kind)))


@pytest.mark.parametrize("kind", REQUESTS, ids=name)
@given(sent=st.binary(max_size=200))
@example(sent=b"")
def test_no_bytes_break_a_check(kind: type[Message], sent: bytes) -> None:
    """Whatever a client sends is refused by the parser or judged."""
    try:
        request = kind.FromString(sent)
    except DecodeError:
        return
    judge(request)


@pytest.mark.parametrize("kind", REQUESTS, ids=name)
@given(data=st.data())
def test_no_damaged_bytes_break_a_check(kind: type[Message], data: st.DataObject) -> None:
    """Some bytes of a right request changed, cut off anywhere: the parser reads many of them."""
    sent = bytearray(RIGHT[kind]().SerializeToString())
    for at in data.draw(st.lists(st.integers(0, max(len(sent) - 1, 0)), max_size=4)):
        if sent:
            sent[at] = data.draw(st.integers(0, 255))
    try:
        request = kind.FromString(bytes(sent[: data.draw(st.integers(0, len(sent)))]))
    except DecodeError:
        return
    judge(request)


LINE: Final = st.builds(
    SaleLine,
    line_id=st.sampled_from(["", "a", "a\n", "x" * 100, "x" * 101]),
    sku=st.sampled_from(["", "s", "s\u200d", "s\x9f", "s" * 50, "s" * 101]),
    category=st.sampled_from(["", "c", "c\0"]),
    brand=st.sampled_from(["", "b", "b" * 101]),
    labels=st.lists(st.sampled_from(["", "l", "l\r", "l" * 101]), max_size=2),
    quantity=st.sampled_from([0, 1, -1, INT64_MAX]) | st.none(),
    price_minor=st.sampled_from([0, 1, 5, -1, 100]) | st.none(),
    discount_minor=st.sampled_from([0, 1, 5, -1]),
    tax_minor=st.sampled_from([0, 1, 5, -1]),
    kind=st.sampled_from([0, 1, 4, 5, -1]),
)


@given(lines=st.lists(LINE, min_size=1, max_size=3))
def test_the_quick_pass_lets_nothing_wrong_through(lines: list[SaleLine]) -> None:
    """A line is refused exactly when it breaks a rule; the rules are written down here again."""

    def is_text(text: str) -> bool:
        return len(text) <= TEXT_CHARACTERS_MAX and not any(
            ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in text
        )

    def is_right(line: SaleLine) -> bool:
        return (
            line.HasField("price_minor")
            and line.price_minor >= 0
            and 0 <= line.discount_minor <= line.price_minor
            and 0 <= line.tax_minor <= line.price_minor
            and line.quantity >= 0
            and line.kind in range(5)
            and all(map(is_text, (line.line_id, line.sku, line.category, line.brand, *line.labels)))
        )

    request = RecordSaleRequest(request_id=ID, member=MEMBER, sale=Sale(lines=lines))
    numbers = {
        index
        for index in range(len(lines))
        if any(
            path.startswith(f"sale.lines[{index}].") and path != f"sale.lines[{index}].line_id"
            for path in fields(request)
        )
    }
    ids = {
        index
        for index, line in enumerate(lines)
        if not is_text(line.line_id)
        or (line.line_id or str(index + 1))
        in [earlier.line_id or str(at) for at, earlier in enumerate(lines[:index], 1)]
    }
    assert numbers | ids == {index for index, line in enumerate(lines) if not is_right(line)} | ids


def test_what_was_sent_is_understood_as_sent() -> None:
    """The instants of these tests are what they seem."""
    assert from_timestamp(record_sale().origin.occurred_at) == NOW - SECOND


@pytest.mark.parametrize(
    ("contract", "phrase"),
    [
        ("sale.proto", f"The lines: 1 to {LINES_MAX}."),
        ("sale.proto", f"Discounts on the order: at most {DISCOUNTS_MAX}."),
        ("sale.proto", f"How it was paid: at most {TENDERS_MAX}."),
        ("commands.proto", f"Identifiers: at most {IDENTIFIERS_MAX}."),
        ("commands.proto", f"members/{{member}}/holds/{{hold}}: at most {HOLDS_MAX}."),
        ("commands.proto", f"not come back yet. At most {LINES_MAX}."),
        ("commands.proto", f"from 1 to {QUANTITY_MAX:,}; absent means 1."),
        ("commands.proto", f"1 to {REASON_CHARACTERS_MAX} characters"),
        ("member.proto", f"Given name, at most {TEXT_CHARACTERS_MAX} characters."),
        ("member.proto", f"1 to {VALUE_CHARACTERS_MAX} characters"),
        ("origin.proto", f"At most {OCCURRED_AT_AHEAD_MAX // MINUTE} minutes ahead"),
        ("pos_service.proto", f"The commands: 1 to {BATCH_COMMANDS_MAX:,}"),
    ],
)
def test_limits_are_the_documented_ones(contract: str, phrase: str) -> None:
    """The contract tells a till's developer what is checked here."""
    assert phrase in (PROTOS / contract).read_text(encoding="utf-8")
