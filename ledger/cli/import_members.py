"""`loyalty import`: what other systems know of members, from their files."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import grpc
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.profile_pb2 import UpsertMembersRequest, UpsertMembersResponse, UpsertState
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GetProgramRequest
from loyalty.v1.program_service_pb2_grpc import ProgramServiceStub

from ledger.cli.connection import (
    AddressOption,
    Connection,
    DataDirOption,
    TokenOption,
    connect,
    fail,
    fail_call,
)
from ledger.cli.instants import timestamp_of
from ledger.cli.patience import patiently
from ledger.cli.progress import progress_bar
from ledger.members_file import MembersFile, Problem, Row, Unreadable

ROWS_MAX: Final = 250
"""Lines in one call, and so in one commit: tills wait no longer than that takes."""

BYTES_MAX: Final = 2 * 1024 * 1024
"""Bytes of lines in one call: servers take 4 MiB."""

SHOWN_MAX: Final = 100
"""Problems that are shown; the others are counted."""

CALL_TIMEOUT_S: Final = 30.0

_DRY_RUN: Final = (
    "Look at the file alone and write nothing. Ids that no member has (without --create) and identifiers that somebody"
    " else has are found only by importing."
)

app = typer.Typer(help="Import what other systems know.", no_args_is_help=True)


@app.callback()
def _import() -> None:
    """Import what other systems know."""


@app.command()
def members(  # noqa: PLR0913, PLR0917 - one for each option
    file: Annotated[Path, typer.Argument(help="CSV: external_id, profile fields, identifiers and attributes.")],
    program: Annotated[str, typer.Option(help="programs/{program}")],
    create: Annotated[bool, typer.Option("--create", help="Enrol whoever is not a member.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_DRY_RUN)] = False,
    source: Annotated[str, typer.Option(help="The system that the file is from, such as crm.")] = "",
    source_time: Annotated[str, typer.Option(help="When that system wrote it; the file's time unless given.")] = "",
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Set what a CRM system knows of members.

    Nothing is written unless the whole file is right by itself; then each line is written or fails for itself. A run
    that was stopped goes on where it was when the same file is imported again; nothing is written twice.
    """
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        checked = MembersFile(file, _program(connection, program))
        try:
            digest = _check(file, checked)
            if dry_run:
                said = f"{file} is right by itself; nothing was written"
                typer.echo(json.dumps({"problems": 0}) if as_json else said)
                return
            at = timestamp_of(source_time, "--source-time") if source_time else _time_of(file)
            head = UpsertMembersRequest(program=program, create_missing=create, source=source, source_time=at)
            progress = _Import(connection, head, digest, file).run(checked)
        except OSError as error:
            fail(str(error))
        except Unreadable as error:
            fail(f"{error.problem}: what was not sent until then is not imported")
    _print(progress, as_json=as_json)


def _program(connection: Connection, name: str) -> Program:
    try:
        stub = ProgramServiceStub(connection.channel)
        request = GetProgramRequest(name=name)
        return stub.GetProgram(request, metadata=connection.metadata, timeout=CALL_TIMEOUT_S).program
    except grpc.RpcError as error:
        fail_call(error)


def _check(file: Path, checked: MembersFile) -> bytes:
    """Ends the command with all problems of a file that has some; else its SHA-256."""
    problems = checked.problems()
    shown = list(islice(problems, SHOWN_MAX))
    if shown:
        more = sum(1 for _ in problems)
        for problem in shown:
            typer.echo(f"{file}: {problem}", err=True)
        if more:
            typer.echo(f"{file}: and {more} more problems", err=True)
        fail("nothing was written: correct the file and import it again")
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def _time_of(file: Path) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromtimestamp(int(file.stat().st_mtime), UTC))
    return stamp


class _Progress:
    """How far an import is, and what it came to until then. A run that goes on starts with that of the run before."""

    def __init__(self, import_id: UUID, file: Path) -> None:
        self._import = str(import_id)
        self._kept_in = file.with_name(f"{file.name}.position")
        self.lines = 0
        """Lines that were sent."""
        self.counts: Counter[str] = Counter()
        """Those lines by what became of them."""
        self.failed: list[Problem] = []
        """The first of them that failed."""
        self._read()
        self.resumed_behind = self.lines

    def take(self, rows: Sequence[Row], response: UpsertMembersResponse) -> None:
        """Adds what some lines came to."""
        for row, one in zip(rows, response.results, strict=True):
            if one.HasField("error"):
                self.counts["failed"] += 1
                if len(self.failed) < SHOWN_MAX:
                    self.failed.append(Problem(row.line, "", one.error.message))
            else:
                self.counts[UpsertState.Name(one.state).removeprefix("UPSERT_STATE_").lower()] += 1
        self.lines += len(rows)

    def write(self) -> None:
        """Writes it beside the file. Ends the command where that is not possible: nothing more is sent then."""
        position = {"import": self._import, "lines": self.lines, "counts": self.counts, "failed": self.failed}
        new = self._kept_in.with_name(f"{self._kept_in.name}.new")
        try:
            new.write_text(json.dumps(position), encoding="utf-8")
            new.replace(self._kept_in)
        except OSError as error:
            fail(
                f"how far the import is cannot be written: {error}. {self.lines} lines are imported: make the folder"
                " writable, or move the file to one that is, and run the same command to go on"
            )

    def end(self) -> None:
        """Deletes what was written, now that all is done."""
        self._kept_in.unlink(missing_ok=True)

    def _read(self) -> None:
        """Takes over what an earlier run of the same import wrote."""
        try:
            position = json.loads(self._kept_in.read_text(encoding="utf-8"))
            if position["import"] != self._import:
                return
            counts, failed = Counter(position["counts"]), [Problem(*one) for one in position["failed"]]
            self.lines, self.counts, self.failed = int(position["lines"]), counts, failed
        except (OSError, ValueError, KeyError, TypeError):
            return  # whatever is sent again is answered as before


class _Import:
    """One import.

    Its id follows from the file and what it is imported as, and that of each call from its lines: a call that is sent
    again is answered as it was the first time.
    """

    def __init__(self, connection: Connection, head: UpsertMembersRequest, digest: bytes, file: Path) -> None:
        self._stub = CrmServiceStub(connection.channel)
        self._metadata = connection.metadata
        self._head = head
        content = digest + head.SerializeToString(deterministic=True)
        self._id = uuid5(NAMESPACE_URL, f"loyalty:import:{content.hex()}")
        self._progress = _Progress(self._id, file)

    def run(self, checked: MembersFile) -> _Progress:
        """Sends all lines behind those that an earlier run has sent."""
        progress = self._progress
        progress.write()  # before anything is sent: what cannot be kept would be lost with the first call
        with progress_bar("importing") as bar:
            for rows in _batches(islice(checked.rows(), progress.lines, None)):
                progress.take(rows, self._send(rows, progress.lines))
                progress.write()
                bar(progress.lines, progress.lines)
        progress.end()
        return progress

    def _send(self, rows: list[Row], sent: int) -> UpsertMembersResponse:
        request = UpsertMembersRequest()
        request.CopyFrom(self._head)
        request.request_id = str(uuid5(self._id, f"{sent}+{len(rows)}"))
        request.items.extend(row.item for row in rows)
        try:
            return patiently(lambda: self._stub.UpsertMembers(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S))
        except grpc.RpcError as error:
            typer.echo(f"loyalty: {sent} lines are imported: run the same command to go on", err=True)
            fail_call(error)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows in calls that servers take; the same ones each time."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        length = row.item.ByteSize()
        if batch and (len(batch) == ROWS_MAX or size + length > BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def _print(progress: _Progress, *, as_json: bool) -> None:
    """Says what became of the lines; ends the command with status 1 where some failed."""
    counts = {name: progress.counts[name] for name in ("created", "updated", "unchanged", "failed")}
    if as_json:
        typer.echo(json.dumps({**counts, "resumed_behind": progress.resumed_behind}))
    else:
        typer.echo(", ".join(f"{count} {name}" for name, count in counts.items()))
        if progress.resumed_behind:
            typer.echo(f"{progress.resumed_behind} of these lines had been imported before")
    for problem in progress.failed:
        typer.echo(str(problem), err=True)
    if progress.counts["failed"]:
        raise typer.Exit(1)
