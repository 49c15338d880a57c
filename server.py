"""The composition root: the one place that knows all parts, builds them and takes them down again.

Run it as `python server.py --help`, or as `loyalty --help` where it is installed; both are the same.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import NAMESPACE_URL, uuid5

import psycopg
import typer
import uvloop
from loyalty.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from loyalty.v1.commands_pb2 import PublishProgramRequest
from loyalty.v1.crm_service_pb2_grpc import add_CrmServiceServicer_to_server
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.pos_service_pb2_grpc import add_PosServiceServicer_to_server
from loyalty.v1.program_service_pb2_grpc import add_ProgramServiceServicer_to_server

from ledger.api.audit_service import AuditService
from ledger.api.crm_service import CrmService
from ledger.api.dispatch import Dispatch
from ledger.api.interceptor import Gate
from ledger.api.pos_service import PosService
from ledger.api.program_service import ProgramService
from ledger.cli.connection import LOCAL_DATABASE, local_file
from ledger.config import Address, Config, ConfigError
from ledger.domain.instant import to_timestamp
from ledger.local_postgres import LocalPostgres, LocalPostgresError
from ledger.sample_program import demo_program, sample_program
from ledger.store.credentials import Credentials
from ledger.store.datastore import POINT_LOOKUPS, LedgerDatastore, check_reachable
from ledger.store.migrate import MigrationError, migrate
from ledger.store.profiles import Profiles
from ledger.store.programs import Programs
from ledger.store.recorder import LedgerRecorder
from ledger.writer.command import Command
from ledger.writer.sweeper import Sweeper
from ledger.writer.writer import Writer


def system_clock() -> int:
    """The server's clock, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


class Ledger:
    """Every part of a running service, except the gRPC server itself."""

    def __init__(self, database_url: str, config: Config) -> None:
        self.writes = LedgerDatastore(database_url, options=POINT_LOOKUPS, pool_size=2)
        self.reads = LedgerDatastore(database_url, pool_size=2)
        recorder = LedgerRecorder(self.writes)
        self.writer = Writer(recorder, system_clock)
        self.programs = Programs(LedgerRecorder(self.reads))
        self.profiles = Profiles(self.reads)
        self.projections = Projections(database_url)
        self.views = PostgresViews(self.reads, self.projections)
        self.reader = PostgresReader(self.reads, self.projections)
        self.sweeper = Sweeper(self.writer, self.views.due, system_clock)
        self.authenticator = Authenticator(Credentials(self.reads.pool))
        self.gate = Gate(
            self.authenticator,
            lookups_per_minute=config.lookups_per_minute,
            log_successes=config.log_level == "debug",
        )
