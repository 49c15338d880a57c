"""Logs: what operators need is there, and nothing of a person or a secret, whoever logs it."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog

from ledger.config import LogFormat
from ledger.logs import REDACTED, configure_logs, describe

TOKEN = f"t-7k2m9q.{'Zx9_-' * 8}Zx9"
SECRETS = {
    "token": TOKEN,
    "phone": "+91 98765 43210",
    "phone, bare": "919876543210",
    "e-mail": "asha.rao@example.com",
    "name": "Asha Rao",
    "card": "4006381333931",
    "database password": "hunter2",
}


class Logged:
    """What was logged, as text and as objects."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        """All of it."""
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Each line, parsed."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def logged(request: pytest.FixtureRequest) -> Iterator[Logged]:
    """Logs as a server writes them, in JSON unless asked for otherwise; afterwards all is as it was."""
    form: LogFormat = getattr(request, "param", "json")
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        configure_logs("info", form)
    yield Logged(stream)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def holds_no_secret(text: str) -> bool:
    """Whether none of the secrets is in a text."""
    return not [name for name, secret in SECRETS.items() if secret in text]


def test_one_line_of_json_for_each_event(logged: Logged) -> None:
    """From structlog and from the standard library alike."""
    structlog.get_logger("ours").info("call", method="GetBalance", ms=1.25, reason=None)
    logging.getLogger("theirs").warning("%s of %d", "two", 3)
    ours, theirs = logged.lines
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "call",
        "level": "info",
        "logger": "ours",
        "method": "GetBalance",
        "ms": 1.25,
        "reason": None,
    }
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("two of 3", "warning", "theirs")


def test_below_the_level_nothing_is_written(logged: Logged) -> None:
    """INFO shows no DEBUG, and no library's chatter."""
    structlog.get_logger("ours").debug("call")
    logging.getLogger("theirs").debug("chatter")
    logging.getLogger("grpc._cython").info("chatter")
    assert logged.text == ""


@pytest.mark.parametrize("logged", ["json", "console"], indirect=True)
def test_no_secret_in_any_field(logged: Logged) -> None:
    """By the field's name, by what the value looks like, nested, and in messages of libraries."""
    log = structlog.get_logger("ours")
    log.info("call", authorization=f"Bearer {TOKEN}", member_phone="+91 98765 43210")
    log.info("call", name="Asha Rao", given_name="Asha Rao", identifiers=["4006381333931"])
    log.info("call", request={"profile": {"name": "Asha Rao"}, "ids": ["asha.rao@example.com"]})
    log.info("call", metadata=[("authorization", TOKEN)], anything={"deep": ("919876543210",)})
    log.info(f"no member asha.rao@example.com or +91 98765 43210 or 919876543210, {TOKEN}")
    log.info("connecting to postgresql://loyalty:hunter2@db/loyalty")
    logging.getLogger("theirs").warning("bearer %s for %s", TOKEN, "asha.rao@example.com")
    logging.getLogger("theirs").warning("card %(card)s", {"card": "4006381333931"})
    assert logged.text.count(REDACTED) >= 12
    assert holds_no_secret(logged.text)


def test_ids_and_numbers_stay(logged: Logged) -> None:
    """Redaction must not take away what an incident is found by."""
    facts = {
        "request_id": "01939c2e-7b1a-7c3d-8e4f-123456789012",
        "credential": "t-7k2m9q",
        "position": 12_345_678_901,
        "method": "loyalty.v1.PosService/RecordSale",
        "code": "OK",
        "store": "store-7",
        "replayed": True,
    }
    structlog.get_logger("ours").info("call", **facts)
    (line,) = logged.lines
    assert {key: line[key] for key in facts} == facts


def wrapped(cause: Exception, message: str) -> Exception:
    """An exception with a cause."""
    error = ValueError(message)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("logged", ["json", "console"], indirect=True)
def test_a_traceback_without_what_it_was_about(logged: Logged, database_url: str) -> None:
    """Where it happened and what kind it was, but not the value: a unique violation names the e-mail address."""
    log, name = structlog.get_logger("ours"), SECRETS["name"]
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TEMPORARY TABLE people (id text CONSTRAINT one PRIMARY KEY)")
        with pytest.raises(psycopg.errors.UniqueViolation, match=name) as taken:
            connection.execute("INSERT INTO people VALUES (%s), (%s)", (name, name))
    log.error("incident", exc_info=taken.value)
    logging.getLogger("theirs").error("incident", exc_info=taken.value)
    log.error("incident", exc_info=(KeyError, wrapped(KeyError(TOKEN), name), None))
    assert holds_no_secret(logged.text)
    assert logged.text.count("psycopg.errors.UniqueViolation: SQLSTATE 23505, constraint one") == 2
    assert "ValueError (its message may hold personal data and is left out)" in logged.text
    assert "which came from" in logged.text
    assert "test_a_traceback_without_what_it_was_about" in logged.text


def test_a_message_about_the_surroundings_stays() -> None:
    """That a file is missing or a connection refused is what an operator needs to read."""
    assert "No such file" in describe(FileNotFoundError(2, "No such file or directory"))
    assert "connection refused" in describe(psycopg.OperationalError("connection refused"))


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Exceptions can be each other's cause."""
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one
    assert describe(one).count("which came from") == 1
