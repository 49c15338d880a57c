"""An export from its beginning, or from where an earlier run ended, to its manifest."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psycopg

from ledger.export.events import export_events, export_proof, plan_events
from ledger.export.folder import ExportError, ExportFolder, Plan, Progress
from ledger.export.views import export_view
from ledger.proof.manifest import EVENTS, Format, Manifest
from ledger.proof.note import Signer

_SCHEMA: Final = "SELECT max(number) FROM migrations"


def export(
    database_url: str,
    path: Path,
    exported: str,
    kind: Format,
    *,
    now: int,
    first: int | None = None,
    last: int | None = None,
    resume: bool = False,
    signers: Sequence[Signer] = (),
    progress: Progress = lambda _done, _of: None,
) -> Plan | None:
    """Exports events, or the view of that name, into a folder; None where an earlier run did so already.

    Raises ExportError and ExtraMissing.
    """
    folder = ExportFolder(path)
    with psycopg.connect(database_url, autocommit=True, application_name="loyalty export") as connection:
        checkpoints, origin = None, ""
        if exported == EVENTS:
            plan = folder.resume() if resume else None
            if resume and plan is None:
                return None
            if plan is None:
                with connection.cursor() as cursor:
                    plan = plan_events(cursor, kind, first or 1, last)
                plan = folder.begin(plan)
            elif (plan.exported, plan.format) != (exported, kind):
                raise ExportError(f"{path} has an export of {plan.exported} as {plan.format} in it: go on with that")
            plan = export_events(connection, folder, plan, progress)
            origin, checkpoints = export_proof(connection, folder, plan)
        elif resume:
            raise ExportError("a view changes from one run to the next: export it anew, without --resume")
        else:
            plan = export_view(connection, folder, exported, kind, first, last, progress)
        row: Any = connection.execute(_SCHEMA).fetchone()
    manifest = Manifest(
        origin=origin,
        exported=plan.exported,
        format=plan.format,
        first_position=plan.first_position,
        last_position=plan.last_position,
        tree_size=plan.tree_size,
        made_at=now,
        program_version=_program_version(),
        schema_version=row[0] if row is not None else 0,
        files=plan.files,
        checkpoints=checkpoints,
    )
    folder.finish(manifest, signers)
    return plan


def _program_version() -> str:
    try:
        return version("loyalty-ledger")
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"
