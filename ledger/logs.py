"""Logs: one line for each event, JSON or for people, without personal data and without secrets."""

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Final

import psycopg
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ledger.config import LogFormat, LogLevel

REDACTED: Final = "[redacted]"

SECRET_KEYS: Final = (
    "authorization",
    "credential_token",
    "identifier",
    "password",
    "phone",
    "e_mail",
    "email",
    "given_name",
    "family_name",
    "full_name",
    "masked_name",
    "profile",
    "request_body",
    "payload",
    "secret",
    "token",
    "database_url",
)
"""A field whose name has one of these in it is not written, whatever it holds."""

SECRET_FIELDS: Final = frozenset({"name", "metadata", "identifiers", "message"})
"""Fields that are not written under exactly this name."""

VALUE_CHARACTERS_MAX: Final = 2_000
"""Length of one value; the rest is cut off. A traceback may be longer."""

_PATTERNS: Final = (
    (re.compile(r"\b[a-z]-[0-9a-z]{6}\.[A-Za-z0-9_-]{43}"), REDACTED),  # a credential's token
    (re.compile(r"(?i)\bbearer\s+\S+"), REDACTED),
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@"), f"{REDACTED}@"),  # the password in a URL
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), REDACTED),  # an e-mail address
    (re.compile(r"\+\d[\d ()-]{6,}\d"), REDACTED),  # a phone number
    (re.compile(r"(?<![\w.-])\d{10,19}(?![\w.-])"), REDACTED),  # a phone or card number
)

_TELLING: Final = (
    AttributeError,
    ImportError,
    NameError,
    NotImplementedError,
    OSError,
    TypeError,
    psycopg.OperationalError,
)
"""Exceptions whose messages speak of the program and its surroundings. That of any other may repeat
what a caller sent: a unique violation names the e-mail address that is taken.
"""


def configure_logs(level: LogLevel, form: LogFormat) -> None:
    """Sends everything that is logged, through structlog or the standard library, to stderr."""
    threshold = getattr(logging, level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        tell_exception,
        redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    # A library's debugging output shows what it handles, which is our callers' data.
    for library in ("asyncio", "eventsourcing", "grpc", "psycopg"):
        logging.getLogger(library).setLevel(max(threshold, logging.WARNING))


def tell_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replaces an exception by where it came from, and what it says only if that is safe."""
    raised = event.pop("exc_info", None)
    if raised is True or raised == 1:
        raised = sys.exc_info()
    if isinstance(raised, tuple):
        raised = raised[1]
    if isinstance(raised, BaseException):
        event["exception"] = describe(raised)
    return event


def describe(error: BaseException) -> str:
    """A traceback without the messages that may hold a caller's data."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"{frames}{_title(current)}")
        suppressed = current.__suppress_context__
        current = current.__cause__ or (None if suppressed else current.__context__)
    return "\nwhich came from\n".join(parts)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Takes out what has a telling name, and what looks like personal data or a secret."""
    for key in list(event):
        if key.startswith("_"):  # the formatter's own
            continue
        if key == "event":
            event[key] = _scrubbed(str(event[key]))
        elif key not in {"exception", "timestamp"}:
            event[key] = _redacted(key, event[key])
    if "exception" in event:
        event["exception"] = _scrubbed(event["exception"], length_max=None)
    return event


def _redacted(key: str, value: object) -> object:
    lower = key.lower()
    if lower in SECRET_FIELDS or any(word in lower for word in SECRET_KEYS):
        return REDACTED
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(inner): _redacted(str(inner), held) for inner, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", held) for held in value]
    return _scrubbed(str(value))


def _scrubbed(text: str, length_max: int | None = VALUE_CHARACTERS_MAX) -> str:
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    if length_max is not None and len(text) > length_max:
        return text[:length_max] + "…"
    return text


def _title(error: BaseException) -> str:
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    if isinstance(error, _TELLING):
        return f"{name}: {' '.join(str(error).split())}"
    if isinstance(error, psycopg.Error):
        return f"{name}: SQLSTATE {error.sqlstate}, constraint {error.diag.constraint_name}"
    return f"{name} (its message may hold personal data and is left out)"
