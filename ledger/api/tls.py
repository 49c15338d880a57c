"""TLS: the server's certificate, read again when its files change, and mutual TLS."""

import ssl
import threading
from pathlib import Path
from typing import Final, NamedTuple

import grpc
import structlog

from ledger.config import Config

log = structlog.stdlib.get_logger(__name__)

_REASONS: Final = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate; use the pair of one issue",
    "NO_CERTIFICATE_OR_CRL_FOUND": "there is no certificate in it; give PEM files",
    "NO_START_LINE": "it is no PEM file; convert it, for example with openssl",
    "PEM_LIB": "it is no PEM file with what it should hold; convert it, for example with openssl",
}


class TlsError(Exception):
    """The certificate files cannot be used; the message is one line and says what to do."""


class _Stamp(NamedTuple):
    """What changes when a file does."""

    modified_ns: int
    size: int
    inode: int


class Certificates:
    """The certificate, key and client authorities of a server.

    Each handshake looks whether the files changed. New ones that cannot be used are logged once,
    and the old ones stay: half of a pair has been replaced, most likely, and the rest follows.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Raises TlsError."""
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._lock = threading.Lock()  # handshakes come from gRPC's threads
        self._stamps = self._stamps_now()
        self._current = self._read()
        self._refused: tuple[_Stamp | None, ...] | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """What a gRPC server listens with."""
        return grpc.dynamic_ssl_server_credentials(
            self._current,
            self._fetch,
            require_client_authentication=self._client_ca is not None,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration:
        with self._lock:
            stamps = self._stamps_now()
            if stamps not in (self._stamps, self._refused):
                try:
                    self._current = self._read()
                except TlsError as error:
                    self._refused = stamps
                    log.warning("new certificate files are not used", error=str(error))
                else:
                    self._stamps = stamps
                    log.info("new certificate files are in use")
            return self._current

    def _stamps_now(self) -> tuple[_Stamp | None, ...]:
        return tuple(_stamp(path) for path in (self._certificate, self._key, self._client_ca) if path is not None)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        _check(self._certificate, self._key, self._client_ca)
        pair = (_bytes(self._key), _bytes(self._certificate))
        authorities = _bytes(self._client_ca) if self._client_ca is not None else None
        return grpc.ssl_server_certificate_configuration([pair], authorities)


def server_credentials(config: Config) -> grpc.ServerCredentials | None:
    """What to listen with; None for plain text, which the settings allow on loopback only.

    Raises TlsError.
    """
    if config.tls_certificate is None or config.tls_key is None:
        return None
    certificates = Certificates(config.tls_certificate, config.tls_key, config.tls_client_ca)
    return certificates.credentials()


def _check(certificate: Path, key: Path, client_ca: Path | None) -> None:
    """Has Python's own TLS load the files: gRPC would only fail at the first handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for path in (certificate, key, client_ca):
        if path is not None:
            _bytes(path)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise TlsError(f"{certificate} with {key}: {_why(error)}") from None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise TlsError(f"{client_ca}: {_why(error)}") from None


def _no_password() -> str:
    raise TlsError("the TLS key is encrypted; give one without a password, readable only by us")


def _why(error: ssl.SSLError) -> str:
    return _REASONS.get(error.reason, f"{error.reason}; give PEM files")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}; correct the path") from None


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)
