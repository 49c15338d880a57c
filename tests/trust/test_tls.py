"""TLS and mutual TLS, with certificates made on the spot."""

import datetime
import os
import ssl
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from loyalty.v1.pos_service_pb2 import GetBalanceRequest
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub

from ledger.api.interceptor import Gate
from ledger.api.tls import Certificates, TlsError, server_credentials
from ledger.config import Config
from ledger.store.credentials import Credentials
from tests.trust.client import DEADLINE_S, bearer
from tests.trust.stand_in import running
from tests.trust.test_lifecycle import program
from tests.trust.test_terminals import run


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Somebody who signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(self._name, self._key, authority=True)
        self.file = self._write(f"{name}.pem", certificate.public_bytes(_PEM))

    def issue(self, name: str, *, password: bytes | None = None) -> Pair:
        """A certificate for a host or a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, authority=False)
        protection = (
            serialization.BestAvailableEncryption(password) if password is not None else serialization.NoEncryption()
        )
        secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, protection)
        return Pair(
            self._write(f"{name}.pem", certificate.public_bytes(_PEM)),
            self._write(f"{name}.key", secret),
        )

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        hour = datetime.timedelta(hours=1)
        (common_name,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - hour)
            .not_valid_after(now + hour)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(str(common_name.value))]),
                critical=False,
            )
        )
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


_PEM = serialization.Encoding.PEM


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs our server's certificate."""
    return Authority(tmp_path, "our-ca")


@pytest.fixture
def config(authority: Authority) -> Config:
    """Settings with a certificate for localhost."""
    pair = authority.issue("localhost")
    return replace(Config.from_env({}), tls_certificate=pair.certificate, tls_key=pair.key)


def call(port: int, trust: Path, token: str, ours: Pair | None = None) -> str:
    """GetBalance over TLS."""
    credentials = grpc.ssl_channel_credentials(
        trust.read_bytes(),
        ours.key.read_bytes() if ours is not None else None,
        ours.certificate.read_bytes() if ours is not None else None,
    )
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        reply = PosServiceStub(channel).GetBalance(GetBalanceRequest(), metadata=bearer(token), timeout=DEADLINE_S)
        return reply.member


def shown_certificate(port: int) -> str:
    """The certificate that a server shows, as PEM."""
    return ssl.get_server_certificate(("localhost", port), timeout=DEADLINE_S)


def test_tls(gate: Gate, credentials: Credentials, config: Config, authority: Authority) -> None:
    """Whoever trusts our authority gets through; whoever trusts another one, or speaks plain text, does not."""
    token = credentials.add("pos")
    stranger = Authority(authority.file.parent, "their-ca")
    with running(gate, tls=server_credentials(config)) as port:
        assert token[:8] in call(port, authority.file, token)
        with pytest.raises(grpc.RpcError) as caught:
            call(port, stranger.file, token)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            with pytest.raises(grpc.RpcError) as caught:
                PosServiceStub(channel).GetBalance(GetBalanceRequest(), metadata=bearer(token), timeout=DEADLINE_S)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls(
    gate: Gate,
    credentials: Credentials,
    config: Config,
    authority: Authority,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A client needs a certificate of the right authority and a credential; the log names both."""
    token = credentials.add("pos")
    stores = Authority(authority.file.parent, "stores-ca")
    store = stores.issue("store-7")
    stranger = Authority(authority.file.parent, "their-ca").issue("store-8")
    mutual = replace(config, tls_client_ca=stores.file)
    with running(gate, tls=server_credentials(mutual)) as port:
        assert token[:8] in call(port, authority.file, token, store)
        with pytest.raises(grpc.RpcError) as caught:
            call(port, authority.file, "", store)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        for ours in (None, stranger):
            with pytest.raises(grpc.RpcError) as caught:
                call(port, authority.file, token, ours)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "certificate=store-7" in capsys.readouterr().out


def test_a_new_certificate_is_used_without_a_restart(
    gate: Gate, credentials: Credentials, config: Config, authority: Authority
) -> None:
    """Half of a new pair changes nothing; the whole pair is used from the next connection on."""
    assert config.tls_certificate is not None
    assert config.tls_key is not None
    token = credentials.add("pos")
    with running(gate, tls=server_credentials(config)) as port:
        old = shown_certificate(port)
        assert old == config.tls_certificate.read_text("ascii")
        new = authority.issue("localhost-new")
        os.replace(new.certificate, config.tls_certificate)  # noqa: PTH105 - it is atomic
        assert shown_certificate(port) == old
        os.replace(new.key, config.tls_key)  # noqa: PTH105
        assert shown_certificate(port) == config.tls_certificate.read_text("ascii") != old
        config.tls_key.unlink()
        assert shown_certificate(port) != old
        renewed = authority.issue("localhost")
        assert renewed.key == config.tls_key
        assert token[:8] in call(port, authority.file, token)


def test_a_server_off_loopback(
    database_url: str, credentials: Credentials, config: Config, authority: Authority, tmp_path: Path
) -> None:
    """With TLS it may listen anywhere; `loyalty health` asks it with the same settings, as a container does."""
    token = credentials.add("auditor")
    tls = {
        "LOYALTY_TLS_CERTIFICATE": str(config.tls_certificate),
        "LOYALTY_TLS_KEY": str(config.tls_key),
    }
    with program(database_url, tmp_path, LOYALTY_ADDRESS="0.0.0.0:0", **tls) as server:
        at = f"0.0.0.0:{server.port}"
        for trusted in (config.tls_certificate, authority.file):
            assert run("health", "--address", at, "--ca", str(trusted)).strip() == "SERVING"
        stranger = Authority(tmp_path, "their-ca").file
        said = run("health", "--address", at, "--ca", str(stranger), exit_code=1)
        assert "does not answer over TLS" in said
        assert said.count("\n") == 1
        said = run("health", "--address", at, "--ca", str(authority.file), "--server-name", "x", exit_code=1)
        assert "UNAVAILABLE" in said
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            with pytest.raises(grpc.RpcError) as caught:
                PosServiceStub(channel).GetBalance(GetBalanceRequest(), metadata=bearer(token), timeout=DEADLINE_S)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_health_under_mutual_tls(
    database_url: str,
    config: Config,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container's health check shows the certificate that its environment names; without one it is turned away."""
    pair = authority.issue("health-check")
    tls = {
        "LOYALTY_TLS_CERTIFICATE": str(config.tls_certificate),
        "LOYALTY_TLS_KEY": str(config.tls_key),
        "LOYALTY_TLS_CLIENT_CA": str(authority.file),
    }
    with program(database_url, tmp_path, **tls) as server:
        monkeypatch.setenv("LOYALTY_ADDRESS", f"127.0.0.1:{server.port}")
        for name, value in tls.items():
            monkeypatch.setenv(name, value)
        assert "UNAVAILABLE" in run("health", exit_code=1)
        options = ("--certificate", str(pair.certificate), "--key", str(pair.key))
        assert run("health", *options).strip() == "SERVING"
        monkeypatch.setenv("LOYALTY_TLS_CLIENT_CERTIFICATE", str(pair.certificate))
        assert "--certificate and --key go together" in run("health", exit_code=1)
        monkeypatch.setenv("LOYALTY_TLS_CLIENT_KEY", str(pair.key))
        assert run("health").strip() == "SERVING"


def test_bad_files_end_in_one_line(tmp_path: Path, authority: Authority) -> None:
    """Missing, not PEM, of another pair, encrypted: each says which file and what to do."""
    good, other = authority.issue("good"), authority.issue("other")
    locked = authority.issue("locked", password=b"hunter2")
    text, missing = tmp_path / "text.pem", tmp_path / "missing.pem"
    text.write_text("hello", "utf-8")
    for certificate, key, client_ca, says in (
        (missing, good.key, None, "missing.pem cannot be read: No such file"),
        (good.certificate, missing, None, "missing.pem cannot be read: No such file"),
        (good.certificate, good.key, missing, "missing.pem cannot be read: No such file"),
        (tmp_path, good.key, None, "cannot be read: Is a directory"),
        (text, good.key, None, "PEM"),
        (good.certificate, text, None, "PEM"),
        (good.certificate, good.key, text, "there is no certificate in it"),
        (good.certificate, other.key, None, "the key does not belong to the certificate"),
        (locked.certificate, locked.key, None, "the TLS key is encrypted"),
    ):
        with pytest.raises(TlsError) as caught:
            Certificates(certificate, key, client_ca)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


def test_without_tls_settings_there_is_none() -> None:
    """Plain text is for loopback, which the settings have checked."""
    assert server_credentials(Config.from_env({})) is None
