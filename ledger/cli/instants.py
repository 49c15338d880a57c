"""Instants as people type them."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ledger.cli.connection import fail


def timestamp_of(text: str, option: str, wanted: str = "a time") -> Timestamp:
    """The time that an option's text names; without an offset it is UTC. Ends the command where it names none."""
    stamp = Timestamp()
    try:
        moment = datetime.fromisoformat(text)
        stamp.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        fail(f"{option} {text}: give {wanted} as 2026-01-31T00:00:00+01:00")
    return stamp
