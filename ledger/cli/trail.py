"""How commands have the audit trail say what they are about to do."""

from collections.abc import Mapping

import typer

from ledger.store.actions import record_action_in


def record(database_url: str, method: str, resource: str, details: Mapping[str, str]) -> None:
    """Appends an administrative action, before its effect. Where the database takes nothing, that is told.

    Raises psycopg.Error.
    """
    if not record_action_in(database_url, method, resource, details):
        typer.echo(f"loyalty: the database may only be read, so that the audit trail lacks this `{method}`", err=True)
