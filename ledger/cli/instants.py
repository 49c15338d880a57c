"""Instants as people type them."""

from datetime import UTC, datetime

from ledger.cli.connection import fail


def instant_of(text: str, option: str, or_else: str = "") -> datetime:
    """The moment that an option's text names; without an offset it is UTC. Ends the command where it names none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text}: give {or_else}a time as 2026-01-31T00:00:00+01:00")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
