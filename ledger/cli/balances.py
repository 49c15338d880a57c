"""`loyalty balances`: what members hold, from an export alone."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.connection import fail
from ledger.cli.database import JsonOption
from ledger.cli.instants import timestamp_of
from ledger.domain.instant import from_timestamp, instant_text
from ledger.export.balances import Fold, MemberBalance, NotFolded
from ledger.proof.event_rows import ExtraMissing


def balances(
    folder: Annotated[Path, typer.Argument(help="An export of all events.")],
    as_of: Annotated[
        str, typer.Option("--as-of", help="A time as 2026-01-31T00:00:00+01:00; that of the last event without.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Print what every member holds, from an export alone, offline, as CSV. Verify the export first."""
    try:
        fold = Fold.of(folder)
        at = from_timestamp(timestamp_of(as_of, "--as-of")) if as_of else fold.recorded_at
        found = [balance._asdict() for balance in fold.balances(at)]
    except (NotFolded, ExtraMissing, OSError) as error:
        fail(str(error))
    if as_json:
        typer.echo(json.dumps({"position": fold.position, "as_of": instant_text(at), "balances": found}))
        return
    table = csv.DictWriter(sys.stdout, MemberBalance._fields, lineterminator="\n")
    table.writeheader()
    table.writerows(found)
