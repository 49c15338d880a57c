"""How commands find the database: a URL, or the local PostgreSQL of `serve --local`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import make_conninfo

from ledger.cli.connection import LOCAL_DATABASE, fail
from ledger.local_postgres import LocalPostgres
from ledger.store.datastore import check_reachable

DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database-url",
        envvar="LOYALTY_DATABASE_URL",
        show_envvar=True,
        help="The ledger's PostgreSQL.",
    ),
]
LocalOption = Annotated[bool, typer.Option("--local", help="Use the local PostgreSQL of `serve --local`.")]
ArchiveOption = Annotated[
    Path | None, typer.Option(envvar="LOYALTY_ARCHIVE", help="Folder with what of the log is archived.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def database(database_url: str, data_dir: Path, *, local: bool) -> Iterator[str]:
    """The address of a database that answers; ends the command with one line where there is none.

    Raises LocalPostgresError.
    """
    if local:
        with LocalPostgres(data_dir / "postgres") as postgres:
            yield make_conninfo(postgres.url, dbname=LOCAL_DATABASE)
        return
    if not database_url:
        fail("LOYALTY_DATABASE_URL is not set: set it, give --database-url, or use --local")
    problem = check_reachable(database_url)
    if problem is not None:
        fail(f"the database cannot be reached: {problem}")
    yield database_url
