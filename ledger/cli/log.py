"""`loyalty log`: the keys that sign the log's checkpoints."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from ledger.cli.connection import LOCAL_DATABASE, DataDirOption, fail
from ledger.cli.database import JsonOption
from ledger.cli.keys import local_key_file
from ledger.cli.witness import witness
from ledger.proof.keys import Keys, KeysInvalid, create_keys, read_keys, replace_keys
from ledger.proof.note import NoteInvalid, Signer

LOCAL_ORIGIN: Final = "localhost/loyalty"
"""The name of the local server's log, unless it is given another."""

LOCAL_CHECKPOINTS: Final = "checkpoints.jsonl"
"""Where the local server keeps its checkpoints, in the folder of its database."""

KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="LOYALTY_LOG_KEY_FILE",
        help="File with the log's keys; the local server's unless given.",
    ),
]

app = typer.Typer(help="The log's keys and its witness.", no_args_is_help=True)
app.command()(witness)


@app.command("new-key")
def new_key(
    key_file: Annotated[Path, typer.Argument(envvar="LOYALTY_LOG_KEY_FILE", help="The file to make.")],
    origin: Annotated[
        str, typer.Option(envvar="LOYALTY_LOG_ORIGIN", help="The log's name, such as shop.example/loyalty.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Make a key that signs, in a file for its owner only, and print its public key."""
    try:
        keys = Keys((Signer.generate(origin),))
        create_keys(key_file, keys)
    except (KeysInvalid, NoteInvalid) as error:
        fail(str(error))
    _print(keys, as_json=as_json)


@app.command()
def key(
    key_file: KeyFileOption = None,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Print the public keys, the current one first. Whoever has one of them can check the log's checkpoints."""
    _print(_read(_path(key_file, data_dir)), as_json=as_json)


@app.command()
def rotate(
    retire_old: Annotated[
        bool, typer.Option("--retire-old", help="Let only the current key sign from now on, and make no new one.")
    ] = False,
    key_file: KeyFileOption = None,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Make a new current key. The old ones go on signing too until --retire-old, so that everybody can change over."""
    path = _path(key_file, data_dir)
    keys = _read(path)
    keys = keys.without_old() if retire_old else keys.rotated()
    try:
        replace_keys(path, keys)
    except KeysInvalid as error:
        fail(str(error))
    _print(keys, as_json=as_json)


def _path(key_file: Path | None, data_dir: Path) -> Path:
    return key_file or local_key_file(data_dir / LOCAL_DATABASE)


def _read(path: Path) -> Keys:
    try:
        return read_keys(path)
    except KeysInvalid as error:
        fail(str(error))


def _print(keys: Keys, *, as_json: bool) -> None:
    states = ["current", *["signs"] * (len(keys.signers) - 1), *["retired"] * len(keys.retired)]
    if as_json:
        listed = [{"key": str(one), "state": state} for one, state in zip(keys.verifiers, states, strict=True)]
        typer.echo(json.dumps({"origin": keys.origin, "keys": listed}))
        return
    for one, state in zip(keys.verifiers, states, strict=True):
        typer.echo(str(one) if state == "current" else f"{one}  ({state})")
