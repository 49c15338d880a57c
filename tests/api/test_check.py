"""Field checks: what is wrong is named by its path, all at once; what is right passes."""

from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.audit_trail_pb2 import ListAuditEntriesRequest
from loyalty.v1.commands_pb2 import (
    AdjustPointsRequest,
    Command,
    CommitRewardRequest,
    EnrollMemberRequest,
    PublishProgramRequest,
    RecordSaleRequest,
    ReleaseRewardRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
    ReverseTransactionRequest,
)
from loyalty.v1.crm_service_pb2 import (
    WatchChangesRequest,
)
from loyalty.v1.feed_pb2 import (
    ListConsumersRequest,
)
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.pos_service_pb2 import (
    LookupMemberRequest,
    SubmitBatchRequest,
)
from loyalty.v1.profile_pb2 import ListMembersRequest, UpsertMembersRequest
from loyalty.v1.proof_pb2 import (
    GetCheckpointRequest,
    ListCheckpointsRequest,
)
from loyalty.v1.segment_pb2 import SaveSegmentRequest
from loyalty.v1.segment_reads_pb2 import PreviewSegmentRequest

from ledger.api.check import BATCH_COMMANDS_MAX, CHECKS, check_batch
from ledger.api.check_commands import HOLDS_MAX, IDENTIFIERS_MAX, QUANTITY_MAX, REASON_CHARACTERS_MAX
from ledger.api.check_members import check_upsert
from ledger.api.check_parts import OCCURRED_AT_AHEAD_MAX
from ledger.api.check_sale import DISCOUNTS_MAX, TENDERS_MAX
from ledger.api.errors import ApiError
from ledger.api.fields import TEXT_CHARACTERS_MAX, Problems
from ledger.api.identifiers import VALUE_CHARACTERS_MAX
from ledger.domain.basket import LINES_MAX
from ledger.domain.instant import EARLIEST, MINUTE, SECOND, from_timestamp, set_timestamp
from ledger.domain.publish import problems
from ledger.domain.segments.problems import problems as segment_problems
from ledger.segments.preview import KINDS
from tests.api.requests import (
    CARD,
    COMMANDS,
    HOLD,
    ID,
    MEMBER,
    NIL,
    NOW,
    OTHER,
    REQUESTS,
    RIGHT,
    TRANSACTION,
    Change,
    add,
    after,
    drop,
    fields,
    name,
    put,
    record_sale,
)

PROTOS: Final = Path(__file__).parents[2] / "protos" / "loyalty" / "v1"


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
    """Nothing but a feed from the start, and lists of what there is, are right when empty."""
    right = (
        WatchChangesRequest,
        ListConsumersRequest,
        ReadEventsRequest,
        GetCheckpointRequest,
        ListCheckpointsRequest,
        ListAuditEntriesRequest,
        ListMembersRequest,
    )
    assert bool(fields(kind())) == (kind not in right)


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
    if isinstance(request, SaveSegmentRequest | PreviewSegmentRequest):
        found += [f"segment.{field}" for field, _ in segment_problems(request.segment, KINDS)]
    if isinstance(request, UpsertMembersRequest):
        violations: Problems = []
        check_upsert(request.items[0], violations)
        found += [f"items[0].{field}" for field, _ in violations]
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
