"""The composition root: the one place that knows all parts, builds them and takes them down again.

Run it as `python server.py --help`, or as `loyalty --help` where it is installed; both are the same.
"""

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final
from uuid import NAMESPACE_URL, uuid5

import grpc
import psycopg
import typer
import uvloop
from loyalty.v1 import audit_service_pb2, crm_service_pb2, pos_service_pb2, program_service_pb2
from loyalty.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from loyalty.v1.commands_pb2 import PublishProgramRequest
from loyalty.v1.crm_service_pb2_grpc import add_CrmServiceServicer_to_server
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.pos_service_pb2_grpc import add_PosServiceServicer_to_server
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2_grpc import add_ProgramServiceServicer_to_server
from psycopg_pool import PoolTimeout

from ledger.api.audit_service import AuditService
from ledger.api.authentication import Authenticator
from ledger.api.crm_parts import CrmParts
from ledger.api.crm_service import CrmService
from ledger.api.dispatch import Dispatch
from ledger.api.interceptor import Gate
from ledger.api.lifecycle import ListenError, Listening, Parts
from ledger.api.lifecycle import serve as lifecycle_serve
from ledger.api.noter import Noter
from ledger.api.pos_service import PosService
from ledger.api.program_service import ProgramService
from ledger.api.tls import TlsError
from ledger.cli import (
    consumers,
    import_members,
    insight,
    log,
    member,
    program,
    reconcile,
    report,
    segment,
    terminals,
    till,
    value,
)
from ledger.cli.archive import archive, restore_archive
from ledger.cli.audit import audit
from ledger.cli.balances import balances
from ledger.cli.connection import LOCAL_DATABASE, fail, local_file
from ledger.cli.database import JsonOption
from ledger.cli.demo import demo
from ledger.cli.export import export, verify
from ledger.cli.health import health
from ledger.cli.retention import retention
from ledger.cli.watch import watch
from ledger.config import Config, ConfigError
from ledger.domain.instant import set_timestamp
from ledger.export.person import PersonExport
from ledger.local_postgres import LocalPostgresError
from ledger.local_set_up import local_database, local_tokens, with_local_keys, write_local_file
from ledger.logs import configure_logs
from ledger.proof.keys import KeysInvalid, read_keys
from ledger.sample_program import demo_program, sample_program
from ledger.segments.preview import KINDS, PreviewProcess
from ledger.segments.process import SegmenterProcess
from ledger.store.archive import Archive
from ledger.store.consumers import Consumers
from ledger.store.credentials import Credentials
from ledger.store.datastore import PLANNED_ONCE, POINT_LOOKUPS, LedgerDatastore, check_reachable
from ledger.store.feedback_links import FeedbackLinks
from ledger.store.migrate import MigrationError, migrate
from ledger.store.profiles import Profiles
from ledger.store.programs import Programs
from ledger.store.proofs import Proofs
from ledger.store.recorder import LedgerRecorder
from ledger.store.vouchers import VoucherCodes
from ledger.writer.command import Command, Failure
from ledger.writer.sweeper import Sweeper
from ledger.writer.trail import Trail
from ledger.writer.writer import Result, Writer
from projections.audit_reader import PostgresAuditTrail
from projections.books import PostgresBooks
from projections.books_check import BooksChecker
from projections.changes import PostgresChanges
from projections.cli import check, rebuild, replay
from projections.histories import PostgresHistories
from projections.hub import Hub
from projections.insight import PostgresInsight
from projections.member_views import PostgresMemberViews
from projections.people import PostgresPeople
from projections.process import ReadSideProcess
from projections.reader import PostgresReader
from projections.segments_reader import PostgresSegments
from projections.standalone import build_views, notary
from projections.value import PostgresValues
from projections.views import PostgresViews

READ_SIDE_COMMAND: Final = (sys.executable, "-m", "projections")
SEGMENTER_COMMAND: Final = (sys.executable, "-m", "ledger.segments")

GARBAGE_THRESHOLD: Final = 50_000
"""Containers made, less those gone, before the collector looks at the young ones."""

app = typer.Typer(help="Event-sourced loyalty ledger.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(till.app, name="till")
app.add_typer(member.app, name="member")
app.add_typer(import_members.app, name="import")
app.add_typer(program.app, name="program")
app.add_typer(segment.app, name="segment")
app.add_typer(terminals.app, name="terminals")
app.add_typer(log.app, name="log")
report.app.add_typer(insight.app)
app.add_typer(report.app, name="report")
app.add_typer(consumers.app, name="consumers")
app.add_typer(reconcile.app, name="reconcile")
app.add_typer(value.app, name="value")
for command in (
    check,
    rebuild,
    replay,
    export,
    verify,
    balances,
    audit,
    watch,
    archive,
    restore_archive,
    retention,
    health,
    demo,
):
    app.command()(command)


def system_clock() -> int:
    """The server's clock, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


class Ledger:
    """Every part of a running service but the gRPC server itself."""

    def __init__(self, database_url: str, config: Config) -> None:
        self.writes = LedgerDatastore(database_url, options=POINT_LOOKUPS, pool_size=2)
        self.reads = LedgerDatastore(database_url, options=POINT_LOOKUPS, pool_size=2)
        self.reports = LedgerDatastore(database_url)
        self.profile_reads = LedgerDatastore(database_url, options=PLANNED_ONCE, pool_size=2)
        self.archive = Archive(config.archive)
        self.writer = Writer(LedgerRecorder(self.writes, self.archive), system_clock)
        self.programs = Programs(LedgerRecorder(self.reads))
        self.hub = Hub(database_url)
        self.views = PostgresViews(self.reads)
        self.reader = PostgresReader(self.reads, self.hub, self.archive)
        self.read_side = ReadSideProcess(
            READ_SIDE_COMMAND, read_side_environment(database_url, config), self.reads, self.hub
        )
        self.segmenter = SegmenterProcess(SEGMENTER_COMMAND, read_side_environment(database_url, config), self.reads)
        self.segments = PostgresSegments(self.reads)
        self.previews = PreviewProcess(database_url)
        self.books = PostgresBooks(self.reads, self.archive)
        self.books_checker = BooksChecker(database_url, system_clock)
        self.sweeper = Sweeper(self.writer, self.views.due, self.views.due_notices, system_clock)
        self.authenticator = Authenticator(Credentials(self.reads.pool))
        self.trail = Trail(self.writer, system_clock)
        self.noter = Noter(self.trail.note)
        self.gate = Gate(
            self.authenticator,
            noter=self.noter,
            lookups_per_minute=config.lookups_per_minute,
            log_successes=config.log_level == "debug",
        )

    def start(self) -> None:
        """Starts the threads, and the process of the read side."""
        self.writes.pool.open()
        self.reads.pool.open()
        self.reports.pool.open()
        self.profile_reads.pool.open()
        self.writer.start()
        self.hub.start()
        self.read_side.start()
        self.segmenter.start()
        self.sweeper.start()
        self.books_checker.start()
        self.trail.start()

    def parts(self) -> Parts:
        """What the server runs. The writer ends first: what it has accepted is finished."""
        return Parts(
            gate=self.gate,
            add_services=self.add_services,
            trouble=self.trouble,
            close=(
                self.books_checker.stop,
                self.sweeper.stop,
                self.trail.stop,
                self.writer.stop,
                self.previews.stop,
                self.segmenter.stop,
                self.read_side.stop,
                self.hub.stop,
                self.authenticator.close,
                self.writes.close,
                self.reads.close,
                self.reports.close,
                self.profile_reads.close,
            ),
        )

    def trouble(self) -> str | None:
        """What keeps the service from working, in one line; None while it works.

        A projection that has stopped does not: tills go on, its lag grows in the metrics, and the log says why.
        """
        try:
            with self.reads.pool.connection() as connection:
                connection.execute("SELECT 1")
        except (psycopg.Error, PoolTimeout):
            return "the database does not answer"
        return None

    def _crm_parts(self, dispatch: Dispatch, people: PostgresPeople) -> CrmParts:
        return CrmParts(
            dispatch=dispatch,
            noter=self.noter,
            programs=self.programs,
            reader=self.reader,
            views=PostgresViews(self.profile_reads),
            members=PostgresMemberViews(self.profile_reads),
            profiles=Profiles(self.profile_reads),
            people=people,
            person_export=PersonExport(self.reads, self.reader),
            feedback_links=FeedbackLinks(self.reads),
            segments=self.segments,
            previews=self.previews,
            fact_kinds=KINDS,
            values=PostgresValues(self.reads),
            insight=PostgresInsight(self.reports),
            changes=PostgresChanges(self.reads, self.archive),
            consumers=Consumers(self.reads),
        )

    def add_services(self, server: grpc.aio.Server) -> Sequence[str]:
        """Puts the four services on a gRPC server and returns their names."""
        dispatch = Dispatch(self.writer, self.programs, self.gate.lookups, self.noter, system_clock)
        codes = VoucherCodes(self.reads)
        people = PostgresPeople(self.reads)
        pos = PosService(
            dispatch, Profiles(self.reads), self.programs, self.views, self.reader, codes, people, system_clock
        )
        add_PosServiceServicer_to_server(pos, server)
        program = ProgramService(dispatch, self.programs, self.views, codes, system_clock)
        add_ProgramServiceServicer_to_server(program, server)
        crm = CrmService(self._crm_parts(dispatch, people), system_clock)
        add_CrmServiceServicer_to_server(crm, server)
        audit = AuditService(
            self.reader,
            self.books,
            PostgresHistories(self.reads, self.archive),
            Proofs(self.reads),
            PostgresAuditTrail(self.reads),
            system_clock,
        )
        add_AuditServiceServicer_to_server(audit, server)
        files = (pos_service_pb2, program_service_pb2, crm_service_pb2, audit_service_pb2)
        return [name.full_name for file in files for name in file.DESCRIPTOR.services_by_name.values()]


def read_side_environment(database_url: str, config: Config) -> dict[str, str]:
    """The settings of the read side's process that may be other than this one's environment says."""
    environment = {"LOYALTY_DATABASE_URL": database_url}
    if config.log_key_file is not None and config.checkpoint_file is not None:
        environment["LOYALTY_LOG_KEY_FILE"] = str(config.log_key_file)
        environment["LOYALTY_CHECKPOINT_FILE"] = str(config.checkpoint_file)
    if config.archive is not None:
        environment["LOYALTY_ARCHIVE"] = str(config.archive)
    return environment


def publish_once(ledger: Ledger, program: Program) -> None:
    """Publishes a sample program under a request id that never changes, so that it happens once."""
    content = program.SerializeToString(deterministic=True).hex()
    request_id = uuid5(NAMESPACE_URL, f"loyalty:sample:{content}")
    request = PublishProgramRequest(request_id=str(request_id), program=program)
    origin = Origin(operator="sample")
    now = system_clock()
    set_timestamp(origin.occurred_at, now)
    done = threading.Event()
    results: list[Result] = []

    def answer(settled: Sequence[Result]) -> None:
        results.extend(settled)
        done.set()

    command = Command(request, request_id, origin, now, clock_given=False)
    ledger.writer.submit([command], answer)
    done.wait()
    if isinstance(results[0], Failure):
        raise results[0].error


@app.command()
def serve(
    local: Annotated[
        bool, typer.Option("--local", help="Start a PostgreSQL of our own, with a sample program.")
    ] = False,
    database: Annotated[str, typer.Option(help="Database in the local PostgreSQL.")] = LOCAL_DATABASE,
    address: Annotated[str, typer.Option(help="Overrides LOYALTY_ADDRESS.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Serve the API until SIGTERM or Ctrl-C, which finish what is in flight."""
    config = load_config(address)
    if local:
        if "LOYALTY_LOG_FORMAT" not in os.environ:
            config = replace(config, log_format="console")
        try:
            with local_database(config, database) as url:
                serve_local(url, config, local_file(config.data_dir, database), as_json=as_json)
        except (LocalPostgresError, OSError) as error:
            fail(str(error))
        return
    if config.database_url is None:
        fail("LOYALTY_DATABASE_URL is not set: give the URL of a PostgreSQL, or use --local")
    run(config.database_url, config, lambda listening: typer.echo(announcement(listening, as_json=as_json)))


def serve_local(url: str, config: Config, file: Path, *, as_json: bool) -> None:
    """Serves with the sample programs, and says how to go on."""

    def announce(listening: Listening) -> None:
        write_local_file(file, str(listening.address), tokens)
        typer.echo(announcement(listening, as_json=as_json))
        if not as_json:
            typer.echo("stop with Ctrl-C")
            typer.echo("try: .venv/bin/loyalty till sale --card 4006381333931 --enroll --amount 1250.00")
            if config.log_key_file is not None:
                typer.echo(f"the log's public key: {read_keys(config.log_key_file).verifiers[0]}")

    config = with_local_keys(config, file.parent)
    prepare(url)
    tokens = local_tokens(url, file)
    run(url, config, announce, samples=(sample_program(), demo_program()))


def announcement(listening: Listening, *, as_json: bool) -> str:
    """What a server that has started says, in one line."""
    metrics = listening.metrics_address
    if as_json:
        return json.dumps({"address": str(listening.address), "metrics_address": str(metrics) if metrics else None})
    return f"listening on {listening.address}"


def prepare(database_url: str) -> list[str]:
    """Brings a database to this release's schema and returns what was applied, or ends the command with one line."""
    problem = check_reachable(database_url)
    if problem is not None:
        fail(f"the database cannot be reached: {problem}")
    try:
        return migrate(database_url)
    except (MigrationError, psycopg.Error) as error:
        fail(f"the database cannot be migrated: {' '.join(str(error).split())}")


def run(
    database_url: str,
    config: Config,
    announce: Callable[[Listening], None],
    samples: Sequence[Program] = (),
) -> None:
    """Migrates, starts every part and serves until a signal."""
    try:
        notary(config)
    except KeysInvalid as error:
        fail(str(error))
    prepare(database_url)
    configure_logs(config.log_level, config.log_format)
    ledger = Ledger(database_url, config)
    settle_garbage()
    ledger.start()
    for sample in samples:
        publish_once(ledger, sample)
    try:
        uvloop.run(lifecycle_serve(config, ledger.parts(), announce))
    except (ListenError, TlsError) as error:
        fail(str(error))


def settle_garbage() -> None:
    """Has the collector look for cycles seldom: accounts, lots and messages have none, and looking costs a sixth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)


def load_config(address: str = "") -> Config:
    """The settings of the environment, or the end of the command with one line for each problem."""
    environment = dict(os.environ)
    if address:
        environment["LOYALTY_ADDRESS"] = address
    try:
        return Config.from_env(environment)
    except ConfigError as error:
        fail("\nloyalty: ".join(error.problems))


@app.command()
def project() -> None:
    """Build the views, and nothing else. `serve` does this by itself; more of it stand by for each other."""
    try:
        build_views(load_config(), until_parent_ends=False)
    except (ConfigError, KeysInvalid) as error:
        fail(str(error))


@app.command("migrate")
def migrate_command(as_json: JsonOption = False) -> None:
    """Bring the database of LOYALTY_DATABASE_URL to this release's schema."""
    config = load_config()
    if config.database_url is None:
        fail("LOYALTY_DATABASE_URL is not set: give the URL of a PostgreSQL")
    applied = prepare(config.database_url)
    if as_json:
        typer.echo(json.dumps({"applied": applied}))
    else:
        typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


def main() -> None:
    """The command line."""
    app()


if __name__ == "__main__":
    main()
