"""An export from its beginning, or from where an earlier run ended, to its manifest."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

from ledger.export.events import export_events, export_proof, plan_events
from ledger.export.folder import ExportError, ExportFolder, Plan, Progress
from ledger.export.members import MemberOrder, export_members
from ledger.export.views import export_view
from ledger.proof.manifest import EVENTS, Format, Manifest
from ledger.proof.note import Signer
from ledger.store.archive import NO_ARCHIVE, Archive

_SCHEMA: Final = "SELECT max(number) FROM migrations"


class Order(NamedTuple):
    """What to export."""

    exported: str
    """`events`, or the name of a view."""
    format: Format
    first: int | None = None
    last: int | None = None
    """The last position; that of the newest checkpoint where it is None."""
    resume: bool = False
    """Whether to go on with what is in the folder."""
    members: MemberOrder | None = None
    """How to export members for another system; what is exported is then `members`, as CSV."""


def export(
    database_url: str,
    path: Path,
    order: Order,
    *,
    now: int,
    signers: Sequence[Signer] = (),
    archive: Archive = NO_ARCHIVE,
    progress: Progress = lambda _done, _of: None,
) -> Plan | None:
    """Exports into a folder; None where an earlier run did so already. `now` is in microseconds.

    Raises ExportError and ExtraMissing, and Archived for an event that is in the archive and cannot be read there.
    """
    folder = ExportFolder(path)
    with psycopg.connect(database_url, autocommit=True, application_name="loyalty export") as connection:
        checkpoints, origin = None, ""
        if order.exported == EVENTS:
            begun = _begin(connection, folder, order)
            if begun is None:
                return None
            plan = export_events(connection, folder, begun, archive, progress)
            origin, checkpoints = export_proof(connection, folder, plan)
        elif order.resume:
            raise ExportError("a view changes from one run to the next: export it anew, without --resume")
        elif order.members is not None:
            plan = export_members(connection, folder, order.members, now, progress)
        else:
            plan = export_view(connection, folder, order.exported, order.format, order.first, order.last, progress)
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


def _begin(connection: psycopg.Connection[Any], folder: ExportFolder, order: Order) -> Plan | None:
    """The plan of a new export, or of the one in the folder; None where that one has come to its end."""
    if not order.resume:
        with connection.cursor() as cursor:
            return folder.begin(plan_events(cursor, order.format, order.first or 1, order.last))
    plan = folder.resume()
    if plan is not None and (plan.exported, plan.format) != (order.exported, order.format):
        raise ExportError(f"{folder.path} has an export of {plan.exported} as {plan.format} in it: go on with that")
    return plan


def _program_version() -> str:
    try:
        return version("loyalty-ledger")
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"
