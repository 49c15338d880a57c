"""How commands are given keys."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.connection import LOCAL_DATABASE, fail
from ledger.proof.keys import NO_KEYS, Keys, KeysInvalid, read_keys
from ledger.proof.note import Verifier

KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="LOYALTY_LOG_KEY_FILE",
        help="File with the log's keys, which sign the manifest; with --local the local server's unless given.",
    ),
]


def local_key_file(folder: Path) -> Path:
    """Where the local server keeps its key, in the folder of its database."""
    return folder / "log.key"


def keys_of(key_file: Path | None, data_dir: Path, *, local: bool) -> Keys:
    """The log's keys: those of a file, or else of the local server. Ends the command where they cannot be used."""
    local_file = local_key_file(data_dir / LOCAL_DATABASE)
    if key_file is None and local and local_file.exists():
        key_file = local_file
    try:
        return read_keys(key_file) if key_file is not None else NO_KEYS
    except KeysInvalid as error:
        fail(str(error))


def verifiers_of(keys: Sequence[str]) -> list[Verifier]:
    """The public keys of texts, or of files as `loyalty log key` prints them, one a line.

    Raises NoteInvalid, OSError and UnicodeDecodeError.
    """
    return [Verifier.parse(line.split()[0]) for key in keys for line in _lines(key) if line.strip()]


def _lines(key: str) -> list[str]:
    if "+" in key and not Path(key).is_file():
        return [key]
    return Path(key).read_text(encoding="utf-8").splitlines()
