"""`loyalty health`: whether a server works, for containers and people."""

import json
import socket
import ssl
from pathlib import Path
from typing import Annotated, Final

import grpc
import typer
from grpc_health.v1 import health_pb2

from ledger.cli.connection import fail, fail_call

CALL_TIMEOUT_S: Final = 4.0

_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - where servers listen


def health(
    address: Annotated[
        str, typer.Option(envvar="LOYALTY_ADDRESS", help="host:port of the server.")
    ] = "127.0.0.1:50051",
    ca: Annotated[
        Path | None,
        typer.Option(
            envvar="LOYALTY_TLS_CERTIFICATE",
            help="PEM file to trust: an authority or the server's own certificate. Turns TLS on.",
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            envvar="LOYALTY_TLS_CLIENT_CERTIFICATE",
            help="PEM file of our own certificate, for mutual TLS. Goes with --key.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(envvar="LOYALTY_TLS_CLIENT_KEY", help="PEM file of our own key."),
    ] = None,
    server_name: Annotated[
        str, typer.Option(help="The name to insist on in the server's certificate; any without.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask a server for its health: exit 0 when it serves, 1 when not."""
    if (certificate is None) != (key is None):
        fail("--certificate and --key go together: give both, or neither")
    if certificate is not None and ca is None:
        fail("--certificate needs --ca: without an authority to trust there is no TLS")
    host, colon, port = address.rpartition(":")
    target = f"{_ANYWHERE.get(host, host)}{colon}{port}"
    if ca is None:
        channel = grpc.insecure_channel(target)
    else:
        credentials = _tls(ca, certificate, key)
        name = server_name or _name_shown(target, ca)
        channel = grpc.secure_channel(target, credentials, [("grpc.ssl_target_name_override", name)])
    with channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            status = check(health_pb2.HealthCheckRequest(), timeout=CALL_TIMEOUT_S).status
        except grpc.RpcError as error:
            fail_call(error)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
    typer.echo(json.dumps({"address": target, "status": name}) if as_json else name)
    raise typer.Exit(0 if status == health_pb2.HealthCheckResponse.SERVING else 1)


def _tls(ca: Path, certificate: Path | None, key: Path | None) -> grpc.ChannelCredentials:
    """What to call with. Fails with one line when a file is missing."""
    try:
        ssl.create_default_context(cafile=ca)
        return grpc.ssl_channel_credentials(
            ca.read_bytes(),
            key.read_bytes() if key is not None else None,
            certificate.read_bytes() if certificate is not None else None,
        )
    except ssl.SSLError:
        fail(f"{ca} holds no certificate; give a PEM file")
    except OSError as error:
        fail(f"{error.filename or ca} cannot be read: {error.strerror}; correct the path")


def _name_shown(target: str, ca: Path) -> str:
    """A name in the certificate that a server shows, which must be one that `ca` vouches for.

    A container asks itself at 127.0.0.1, which is hardly ever a name in its certificate.
    """
    host, _, port = target.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(ca)
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), CALL_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as encrypted,
        ):
            shown = encrypted.getpeercert() or {}
    except (OSError, ValueError) as error:
        fail(f"{target} does not answer over TLS: {' '.join(str(error).split())}")
    names = [str(entry[1]) for entry in shown.get("subjectAltName", ())]
    return names[0].replace("*", "any") if names else host
