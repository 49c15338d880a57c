"""The error table: complete, true to the catalogue in errors.proto, and readable by a cashier."""

import base64
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # the package ships no types
    BadRequest,
    ErrorInfo,
    LocalizedMessage,
    RetryInfo,
)
from grpc_status import rpc_status
from loyalty.v1.errors_pb2 import ErrorReason, FieldViolation

from ledger.api.error_entries import ENTRIES, Entry
from ledger.api.errors import VIOLATIONS_MAX, ApiError

CATALOGUE: Final = Path(__file__).parents[2] / "protos" / "loyalty" / "v1" / "errors.proto"
REASONS: Final = [value for value in ErrorReason.values() if value]
HEADER_BYTES_MAX: Final = 8_192
"""What gRPC clients take of headers by default."""


def documented() -> dict[str, str]:
    """The comment of each reason."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in CATALOGUE.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment.append(text.removeprefix("//").strip())
        else:
            value = re.match(r"(ERROR_REASON_\w+) = \d+;", text)
            if value:
                found[value[1]] = " ".join(comment)
            comment = []
    return found


COMMENTS: Final = documented()


def name(reason: int) -> str:
    """A reason as the catalogue writes it."""
    return ErrorReason.Name(ErrorReason.ValueType(reason))


def templates(entry: Entry) -> str:
    """All texts of an entry."""
    return " ".join((entry.message, entry.cashier_en, entry.cashier_hi))


def details(error: ApiError, language_code: str = "en") -> dict[str, Message]:
    """The details of a status by their type; each type may come once."""
    found: dict[str, Message] = {}
    for packed in error.status_proto(language_code).details:
        for kind in (ErrorInfo, BadRequest, RetryInfo, LocalizedMessage):
            if packed.Is(kind.DESCRIPTOR):
                assert kind.__name__ not in found
                found[kind.__name__] = kind()
                packed.Unpack(found[kind.__name__])
    assert len(found) == len(error.status_proto(language_code).details)
    return found


def test_the_catalogue_was_read() -> None:
    """The tests below compare with something."""
    assert set(COMMENTS) == set(ErrorReason.keys())


def test_every_reason_is_in_the_table() -> None:
    """No reason can be raised that has no answer."""
    assert set(ENTRIES) == set(ErrorReason.values())


@pytest.mark.parametrize("reason", REASONS, ids=name)
def test_the_status_is_the_documented_one(reason: ErrorReason.ValueType) -> None:
    """The first word of the reason's comment is its status."""
    first = re.match(r"[A-Z_]+", COMMENTS[name(reason)])
    assert first is not None
    assert ENTRIES[reason].code.name == first[0]


@pytest.mark.parametrize("reason", REASONS, ids=name)
def test_a_retry_is_advised_where_the_catalogue_advises_it(reason: ErrorReason.ValueType) -> None:
    """RetryInfo comes with those reasons whose comment says to retry, and with no other."""
    advised = re.search(r"\bRetry\b", COMMENTS[name(reason)]) is not None
    assert (ENTRIES[reason].retry_delay_ms > 0) == advised
    assert ("RetryInfo" in details(ApiError.of(reason))) == advised


@pytest.mark.parametrize("reason", ErrorReason.values(), ids=name)
def test_cashiers_read_their_own_language(reason: ErrorReason.ValueType) -> None:
    """Hindi is written in Devanagari throughout, English without it, and both are sentences."""
    entry = ENTRIES[reason]
    hindi = re.sub(r"\{\w+\}", "", entry.cashier_hi)
    assert re.search("[\u0900-\u097f]", hindi)
    assert not re.search("[A-Za-z]", hindi)
    assert hindi.endswith("।")
    assert not re.search("[\u0900-\u097f]", entry.cashier_en + entry.message)
    assert entry.cashier_en.endswith(".")
    assert entry.message.endswith(".")


@pytest.mark.parametrize("reason", ErrorReason.values(), ids=name)
def test_missing_metadata_never_fails(reason: ErrorReason.ValueType) -> None:
    """An error without its dynamic parts still says what it can."""
    error = ApiError.of(reason)
    assert error.status_proto("hi").message == error.item_error().message
    assert "{" not in error.message + error.cashier_text("en") + error.cashier_text("hi")


@pytest.mark.parametrize("reason", ErrorReason.values(), ids=name)
def test_metadata_fills_the_texts(reason: ErrorReason.ValueType) -> None:
    """Each placeholder is filled by its key, also with text that looks like a placeholder."""
    keys = set(re.findall(r"\{(\w+)\}", templates(ENTRIES[reason])))
    error = ApiError.of(reason, **{key: f"<{key} {{x}}>" for key in keys})
    said = " ".join((error.message, error.cashier_text("en"), error.cashier_text("hi")))
    assert all(f"<{key} {{x}}>" in said for key in keys)


def test_a_status_carries_each_detail_once() -> None:
    """AIP-193: reason without prefix, domain, metadata, and the cashier's language."""
    error = ApiError.of(ErrorReason.ERROR_REASON_INSUFFICIENT_POINTS, available_points=60, needed_points=70)
    for language, begin in (("en", "Not enough points"), ("hi", "पॉइंट कम हैं"), ("fr", "Not")):
        found = details(error, language)
        assert found["ErrorInfo"] == ErrorInfo(
            reason="INSUFFICIENT_POINTS",
            domain="loyalty.v1",
            metadata={"available_points": "60", "needed_points": "70"},
        )
        text = found["LocalizedMessage"]
        assert text.locale == ("hi" if language == "hi" else "en")  # type: ignore[attr-defined]  # it is a LocalizedMessage
        assert text.message.startswith(begin)  # type: ignore[attr-defined]  # it is a LocalizedMessage
        assert "BadRequest" not in found
    assert error.message == ("70 points are needed and 60 are available. Offer a cheaper reward or another payment.")


def test_invalid_names_every_field() -> None:
    """The message names the first field, the details all of them."""
    error = ApiError.invalid([("sale.lines", "must be 1 to 500"), ("request_id", "is required")])
    assert error.reason == ErrorReason.ERROR_REASON_INVALID_FIELD
    assert error.message == ("sale.lines: must be 1 to 500. 1 more in the field violations. Correct the request.")
    bad = details(error)["BadRequest"]
    named = [(v.field, v.description) for v in bad.field_violations]  # type: ignore[attr-defined]  # it is a BadRequest
    assert named == [("sale.lines", "must be 1 to 500"), ("request_id", "is required")]
    assert list(error.item_error().field_violations) == [
        FieldViolation(field="sale.lines", description="must be 1 to 500"),
        FieldViolation(field="request_id", description="is required"),
    ]


@pytest.mark.parametrize("language_code", ["en", "hi"])
@pytest.mark.parametrize("length", [1, 100, 10_000])
def test_the_largest_error_fits_into_headers(language_code: str, length: int) -> None:
    """Status and details travel in headers; what does not fit is counted instead."""
    violations = [(f"sale.lines[{index}].sku", "x" * length) for index in range(500)]
    error = ApiError.invalid(violations)
    status = error.status_proto(language_code)
    header = base64.b64encode(status.SerializeToString()) + quote(status.message).encode()
    assert len(header) < HEADER_BYTES_MAX
    last = details(error)["BadRequest"].field_violations[-1]  # type: ignore[attr-defined]  # it is a BadRequest
    assert "more fields are at fault" in last.description
    assert len(error.item_error().field_violations) == VIOLATIONS_MAX + 1


def test_an_item_error_speaks_both_languages() -> None:
    """A batch reply may be read by any cashier later."""
    item = ApiError.of(ErrorReason.ERROR_REASON_OVERLOADED).item_error()
    assert item.code == ENTRIES[item.reason].code.value[0]
    assert item.cashier_text_en.startswith("The system is busy")
    assert item.cashier_text_hi.startswith("सिस्टम अभी व्यस्त है")
    assert item.retry_delay_ms == ENTRIES[item.reason].retry_delay_ms


def test_internal_says_only_where_to_look() -> None:
    """A defect shows its incident and nothing of the inside."""
    error = ApiError.internal("0190b5a0")
    assert error.metadata == {"incident": "0190b5a0"}
    assert "0190b5a0" in error.message
    assert "0190b5a0" in error.cashier_text("hi")


def test_a_longer_delay_can_be_asked_for() -> None:
    """A rate limit knows how long to wait."""
    error = ApiError(ErrorReason.ERROR_REASON_RATE_LIMITED, retry_delay_ms=2_500)
    retry = details(error)["RetryInfo"]
    assert retry.retry_delay.ToMilliseconds() == 2_500  # type: ignore[attr-defined]  # it is a RetryInfo


@pytest.mark.parametrize("reason", REASONS, ids=name)
def test_grpc_takes_the_status(reason: ErrorReason.ValueType) -> None:
    """grpc_status turns it into what a handler aborts with."""
    error = ApiError.of(reason)
    status = rpc_status.to_status(error.status_proto())
    assert status.code is error.code
    assert status.details == error.message
