"""How commands find a running server: an address and a token, from options or from what `serve --local` left."""

import json
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, NoReturn

import grpc
import typer
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # the package ships no types
from grpc_status import rpc_status

LOCAL_FILE: Final = "credentials.json"
LOCAL_DATABASE: Final = "loyalty"

AddressOption = Annotated[str, typer.Option("--address", envvar="LOYALTY_ADDRESS", help="host:port of the server.")]
TokenOption = Annotated[
    str,
    typer.Option("--token", envvar="LOYALTY_TOKEN", help="Credential, as `terminals add` printed it."),
]
DataDirOption = Annotated[
    Path,
    typer.Option("--data-dir", envvar="LOYALTY_DATA_DIR", help="Folder of the local server's data."),
]


class Connection(NamedTuple):
    """A channel to a server, and the metadata that every call needs."""

    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...]


def local_file(data_dir: Path, database: str = LOCAL_DATABASE) -> Path:
    """Where `serve --local` leaves its address and credentials."""
    return data_dir / database / LOCAL_FILE


def connect(address: str, token: str, data_dir: Path, role: str) -> Connection:
    """A connection with the given address and token, or with those of the local server.

    Ends the command with one line when there is neither.
    """
    if not address or not token:
        file = local_file(data_dir)
        try:
            local: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            fail(f"no local server has run here ({file}): run `make run`, or give --address and --token")
        address = address or local["address"]
        token = token or local["tokens"][role]
    return Connection(grpc.insecure_channel(address), (("authorization", f"Bearer {token}"),))


def fail(message: str) -> NoReturn:
    """Ends the command with one line and status 1."""
    typer.echo(f"loyalty: {message}", err=True)
    raise typer.Exit(1)


def fail_call(error: grpc.RpcError) -> NoReturn:
    """Ends the command with what a call answered."""
    fail(f"{error.code().name}: {error.details()}")


def asked_to_wait_s(error: grpc.RpcError) -> float:
    """How long the server asks to wait before a call is made again; 0 where it does not say."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a grpc.Call too, which its types deny
    info = RetryInfo()
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
    return float(info.retry_delay.ToTimedelta().total_seconds())
