"""`loyalty audit`: who did what."""

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.json_format import MessageToDict
from loyalty.v1 import audit_trail_pb2 as a
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from loyalty.v1.errors_pb2 import ErrorReason
from rich.console import Console
from rich.table import Table

from ledger.cli.connection import AddressOption, DataDirOption, TokenOption
from ledger.cli.database import JsonOption
from ledger.cli.instants import timestamp_of
from ledger.cli.report import ask

PAGE_ENTRIES: Final = 1_000


class Kind(StrEnum):
    """What is listed."""

    administration = "administration"
    read = "read"
    refusal = "refusal"
    overflow = "overflow"


def audit(  # noqa: PLR0913, PLR0917 - one for each option
    actor: Annotated[
        str, typer.Option(help="As credentials/t-7k2m9q or databaseRoles/loyalty, or the staff id of an operator.")
    ] = "",
    member: Annotated[str, typer.Option(help="members/{member} that it was done to.")] = "",
    method: Annotated[str, typer.Option(help="As loyalty.v1.PosService/LookupMember.")] = "",
    kind: Annotated[Kind | None, typer.Option(help="Only this.")] = None,
    first: Annotated[str, typer.Option("--from", help="Only what was recorded from this time on.")] = "",
    until: Annotated[
        str, typer.Option("--until", help="Only what was recorded before, as 2026-01-31T00:00:00+01:00; UTC without.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many entries at most.")] = 100,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """List who administered what, read personal data or was refused, newest first."""
    request = a.ListAuditEntriesRequest(
        actor=actor,
        member=member,
        method=method,
        kind=a.AuditKind.Value(f"AUDIT_KIND_{kind.upper()}") if kind is not None else a.AUDIT_KIND_UNSPECIFIED,
        recorded_from=timestamp_of(first, "--from") if first else None,
        recorded_until=timestamp_of(until, "--until") if until else None,
    )
    found = ask(
        address, token, data_dir, lambda service, options: list(_entries(service, request, limit, options["metadata"]))
    )
    if as_json:
        for one in found:
            typer.echo(json.dumps(MessageToDict(one, preserving_proto_field_name=True)))
    else:
        _print(found)


def _entries(
    service: AuditServiceStub, request: a.ListAuditEntriesRequest, limit: int, metadata: tuple[tuple[str, str], ...]
) -> Iterator[a.ListedAuditEntry]:
    while limit:
        request.page_size = min(limit, PAGE_ENTRIES)
        page = service.ListAuditEntries(request, metadata=metadata)
        yield from page.entries
        limit -= len(page.entries)
        request.page_token = page.next_page_token
        if not request.page_token:
            return


def _print(found: list[a.ListedAuditEntry]) -> None:
    table = Table("position", "at", "kind", "who", "from", "method", "on", "times", "refused")
    for one in found:
        entry = one.entry
        details = " ".join(f"{name}={value}" for name, value in sorted(entry.details.items()))
        table.add_row(
            str(one.position),
            f"{entry.last_at.ToDatetime():%F %T}",
            a.AuditKind.Name(entry.kind).removeprefix("AUDIT_KIND_").lower(),
            " ".join(filter(None, (entry.actor, entry.role, entry.operator))),
            " ".join(filter(None, (entry.store, entry.terminal, entry.network))),
            entry.method.removeprefix("loyalty.v1."),
            " ".join(filter(None, (entry.resource, details))),
            str(entry.count),
            ErrorReason.Name(entry.reason).removeprefix("ERROR_REASON_") if entry.reason else "",
        )
    Console(markup=False).print(table)
