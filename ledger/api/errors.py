"""What a failed call answers."""

from collections.abc import Sequence
from typing import Final

from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # the package ships no types
    BadRequest,
    ErrorInfo,
    LocalizedMessage,
    RetryInfo,
)
from google.rpc.status_pb2 import (  # type: ignore[import-untyped]  # the package ships no types
    Status,
)
from loyalty.v1.errors_pb2 import ErrorReason, ItemError

from ledger.api.error_entries import ENTRIES

DOMAIN: Final = "loyalty.v1"
"""The domain of every ErrorInfo."""

VIOLATIONS_MAX: Final = 100
"""Fields at fault that one error names; a last one says how many more there are."""

MESSAGE_CHARACTERS_MAX: Final = 500
"""Length of an error's message and of each value in its metadata: both travel in HTTP/2 headers."""

VIOLATION_BYTES_MAX: Final = 3_000
"""Bytes of field violations in a status.

Its details travel in an HTTP/2 header too, and clients refuse headers of more than 8 KiB by
default. An ItemError travels in the body and keeps all of them."""

Violation = tuple[str, str]
"""A field's path, and what is wrong with it and what is allowed."""


class ApiError(Exception):
    """A call, or one command of a batch or stream, that failed.

    It is answered as the status of a call (`status_proto`) or as the result of one command
    (`item_error`).
    """

    def __init__(
        self,
        reason: ErrorReason.ValueType,
        message: str = "",
        metadata: dict[str, str] | None = None,
        field_violations: Sequence[Violation] = (),
        retry_delay_ms: int | None = None,
    ) -> None:
        entry = ENTRIES[reason]
        self.reason = reason
        self.code = entry.code
        self.metadata = {key: _cut(value, MESSAGE_CHARACTERS_MAX) for key, value in (metadata or {}).items()}
        self.message = _cut(message or self._fill(entry.message), MESSAGE_CHARACTERS_MAX)
        self.field_violations = list(field_violations)
        self.retry_delay_ms = entry.retry_delay_ms if retry_delay_ms is None else retry_delay_ms
        super().__init__(self.message)

    @classmethod
    def of(cls, reason: ErrorReason.ValueType, message: str = "", /, **metadata: str | int) -> "ApiError":
        """The error of a reason, with the dynamic parts that its comment in errors.proto names."""
        return cls(reason, message, {key: str(value) for key, value in metadata.items()})

    @classmethod
    def invalid(cls, violations: Sequence[Violation]) -> "ApiError":
        """The error of a request whose fields are at fault; it names all of them."""
        named = list(violations[:VIOLATIONS_MAX])
        if len(violations) > VIOLATIONS_MAX:
            more = len(violations) - VIOLATIONS_MAX
            named.append(("", f"{more} more fields are at fault; correct these first"))
        field, description = named[0]
        message = f"{field}: {description}."
        if len(violations) > 1:
            message += f" {len(violations) - 1} more in the field violations."
        message += " Correct the request."
        reason = ErrorReason.ERROR_REASON_INVALID_FIELD
        return cls(reason, message, {"field": field}, named)

    @classmethod
    def internal(cls, incident: str) -> "ApiError":
        """The error of a defect of ours. It says nothing but where the log has more."""
        return cls.of(ErrorReason.ERROR_REASON_INTERNAL, incident=incident)

    def cashier_text(self, language_code: str) -> str:
        """What the cashier reads, in "en" or "hi"; any other language gets English."""
        entry = ENTRIES[self.reason]
        return self._fill(entry.cashier_hi if language_code == "hi" else entry.cashier_en)

    def status_proto(self, language_code: str = "en") -> Status:
        """The status of a call.

        The cashier's text comes in one language: AIP-193 allows each kind of detail once.
        """
        status = Status(code=self.code.value[0], message=self.message)
        name = ErrorReason.Name(self.reason).removeprefix("ERROR_REASON_")
        status.details.add().Pack(ErrorInfo(reason=name, domain=DOMAIN, metadata=self.metadata))
        if self.field_violations:
            status.details.add().Pack(self._bad_request())
        if self.retry_delay_ms:
            retry = RetryInfo()
            retry.retry_delay.FromMilliseconds(self.retry_delay_ms)
            status.details.add().Pack(retry)
        locale = "hi" if language_code == "hi" else "en"
        status.details.add().Pack(LocalizedMessage(locale=locale, message=self.cashier_text(locale)))
        return status

    def item_error(self) -> ItemError:
        """The error of one command in a batch or stream, with both languages."""
        item = ItemError(
            code=self.code.value[0],
            message=self.message,
            reason=self.reason,
            metadata=self.metadata,
            cashier_text_en=self.cashier_text("en"),
            cashier_text_hi=self.cashier_text("hi"),
            retry_delay_ms=self.retry_delay_ms,
        )
        for field, description in self.field_violations:
            item.field_violations.add(field=field, description=description)
        return item

    def _bad_request(self) -> BadRequest:
        bad = BadRequest()
        for at, (field, description) in enumerate(self.field_violations):
            bad.field_violations.add(field=field, description=description)
            if bad.ByteSize() > VIOLATION_BYTES_MAX:
                del bad.field_violations[at]
                left = len(self.field_violations) - at
                bad.field_violations.add(description=f"{left} more fields are at fault; correct these first")
                break
        return bad

    def _fill(self, template: str) -> str:
        return template.format_map(_Metadata(self.metadata))


class _Metadata(dict[str, str]):
    """Metadata for a template. What it does not have reads as "?": an error must never fail."""

    def __missing__(self, key: str) -> str:
        return "?"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
