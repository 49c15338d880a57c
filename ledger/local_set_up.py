"""What a local server starts with: a PostgreSQL of its own, credentials, keys, and a file that says where it is."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ledger.cli.keys import local_key_file
from ledger.cli.log import LOCAL_CHECKPOINTS, LOCAL_ORIGIN
from ledger.config import Config
from ledger.local_postgres import LocalPostgres
from ledger.proof.keys import Keys, create_keys
from ledger.proof.note import Signer
from ledger.store.credentials import Credentials
from ledger.store.datastore import LedgerDatastore

SAMPLE_STORE: Final = "store-1"
SAMPLE_TERMINAL: Final = "till-1"


@contextmanager
def local_database(config: Config, name: str) -> Iterator[str]:
    """The URL of a database in the local PostgreSQL, which runs for the time of the block."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    with LocalPostgres(config.data_dir / "postgres") as postgres:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if known is None:
                # Another server that starts now may be faster.
                with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(postgres.url, dbname=name)


def local_tokens(database_url: str, file: Path) -> dict[str, str]:
    """The local server's credentials by role, made at its first start and kept in a file for its owner only."""
    if file.exists():
        tokens: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["tokens"]
        return tokens
    datastore = LedgerDatastore(database_url)
    datastore.pool.open()
    try:
        credentials = Credentials(datastore.pool)
        return {
            "pos": credentials.add("pos", SAMPLE_STORE, SAMPLE_TERMINAL, "programs/sample"),
            "admin": credentials.add("admin"),
        }
    finally:
        datastore.close()


def write_local_file(file: Path, address: str, tokens: dict[str, str]) -> None:
    """Leaves address and credentials where the other commands find them, readable by the owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        json.dump({"address": address, "tokens": tokens}, opened, indent=2)


def with_local_keys(config: Config, folder: Path) -> Config:
    """With a key and a file of checkpoints in the local server's folder, where the environment names none."""
    if config.log_key_file is not None:
        return config
    key_file = local_key_file(folder)
    if not key_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        create_keys(key_file, Keys((Signer.generate(config.log_origin or LOCAL_ORIGIN),)))
    return replace(config, log_key_file=key_file, checkpoint_file=folder / LOCAL_CHECKPOINTS)
