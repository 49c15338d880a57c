"""Settings: defaults, and bad ones answered with one line each that says what to do."""

from pathlib import Path

import pytest

from ledger.config import Address, Config, ConfigError


def problems(**environ: str) -> list[str]:
    """What is wrong with an environment."""
    with pytest.raises(ConfigError) as caught:
        Config.from_env(environ)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Some file."""
    path = tmp_path / "some.pem"
    path.write_text("PEM", "utf-8")
    return str(path)


def test_defaults() -> None:
    """Nothing has to be set; an empty variable counts as not set."""
    config = Config.from_env({"LOYALTY_ADDRESS": " ", "PATH": "/bin"})
    assert config == Config(
        database_url=None,
        address=Address("127.0.0.1", 50051),
        metrics_address=Address("127.0.0.1", 9464),
        tls_certificate=None,
        tls_key=None,
        tls_client_ca=None,
        reuse_port=False,
        log_level="info",
        log_format="json",
        data_dir=Path("var"),
        drain_seconds=20,
        lookups_per_minute=120,
        log_key_file=None,
        checkpoint_file=None,
        log_origin=None,
        log_seal=True,
        archive=None,
    )


def test_everything_set(file: str) -> None:
    """Each variable reaches its field."""
    environ = {
        "LOYALTY_DATABASE_URL": "postgresql://u:p@db/loyalty",
        "LOYALTY_ADDRESS": "[::]:443",
        "LOYALTY_METRICS_ADDRESS": "off",
        "LOYALTY_TLS_CERTIFICATE": file,
        "LOYALTY_TLS_KEY": file,
        "LOYALTY_TLS_CLIENT_CA": file,
        "LOYALTY_REUSE_PORT": "yes",
        "LOYALTY_LOG_LEVEL": "DEBUG",
        "LOYALTY_LOG_FORMAT": "console",
        "LOYALTY_DATA_DIR": "/srv/data",
        "LOYALTY_DRAIN_SECONDS": "7",
        "LOYALTY_RATE_LOOKUPS_PER_MINUTE": "30",
        "LOYALTY_LOG_KEY_FILE": file,
        "LOYALTY_CHECKPOINT_FILE": f"{file}.jsonl",
        "LOYALTY_LOG_ORIGIN": "shop.example/loyalty",
        "LOYALTY_LOG_SEAL": "no",
        "LOYALTY_ARCHIVE": str(Path(file).parent),
    }
    assert {setting.variable for setting in Config.settings().values()} == set(environ)
    assert Config.from_env(environ) == Config(
        database_url="postgresql://u:p@db/loyalty",
        address=Address("::", 443),
        metrics_address=None,
        tls_certificate=Path(file),
        tls_key=Path(file),
        tls_client_ca=Path(file),
        reuse_port=True,
        log_level="debug",
        log_format="console",
        data_dir=Path("/srv/data"),
        drain_seconds=7,
        lookups_per_minute=30,
        log_key_file=Path(file),
        checkpoint_file=Path(f"{file}.jsonl"),
        log_origin="shop.example/loyalty",
        log_seal=False,
        archive=Path(file).parent,
    )


def test_each_setting_says_what_it_is_for() -> None:
    """The README's table is made of these."""
    for setting in Config.settings().values():
        assert setting.variable.startswith("LOYALTY_")
        assert setting.meaning.endswith(".")
        assert "\n" not in setting.meaning
        assert "|" not in setting.meaning


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("LOYALTY_DATABASE_URL", "not a url, password=hunter2", "write postgresql://user"),
        ("LOYALTY_ADDRESS", "50051", "must be host:port"),
        ("LOYALTY_ADDRESS", "127.0.0.1:", "must be host:port"),
        ("LOYALTY_ADDRESS", "127.0.0.1:65536", "up to 65535"),
        ("LOYALTY_ADDRESS", "::1:50051", "needs brackets"),
        ("LOYALTY_METRICS_ADDRESS", "no", "must be host:port"),
        ("LOYALTY_TLS_CERTIFICATE", "/nowhere/x.pem", "correct the path"),
        ("LOYALTY_REUSE_PORT", "maybe", "one of yes, no"),
        ("LOYALTY_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("LOYALTY_LOG_FORMAT", "xml", "one of json, console"),
        ("LOYALTY_DRAIN_SECONDS", "0", "from 1 to 600"),
        ("LOYALTY_DRAIN_SECONDS", "1.5", "whole number"),
        ("LOYALTY_RATE_LOOKUPS_PER_MINUTE", "-1", "whole number"),
        ("LOYALTY_RATE_LOOKUPS_PER_MINUTE", "٣", "whole number"),
        ("POSTGRES_ENABLE_DB_FUNCTIONS", "true", "followers miss events; unset it"),
    ],
)
def test_a_bad_value_says_what_to_do(variable: str, text: str, says: str) -> None:
    """One line that names the variable, what is allowed, and no password."""
    first, *_ = problems(**{variable: text})
    assert first.startswith(variable)
    assert says in first
    assert "hunter2" not in first


def test_all_problems_at_once() -> None:
    """Nobody has to start the server once for each."""
    found = problems(LOYALTY_ADDRESS="x", LOYALTY_LOG_LEVEL="loud", LOYALTY_DRAIN_SECONDS="soon")
    assert len(found) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "[::1]", "localhost"])
def test_plain_text_on_loopback(host: str) -> None:
    """There only this machine can listen in."""
    assert Config.from_env({"LOYALTY_ADDRESS": f"{host}:1"}).address.is_loopback


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "[::]", "10.1.2.3", "till.example.com", "[2001:db8::1]"],  # noqa: S104 - refused
)
def test_no_plain_text_off_loopback(host: str, file: str) -> None:
    """Credentials and personal data never cross a network in the clear."""
    (problem,) = problems(LOYALTY_ADDRESS=f"{host}:50051")
    assert "needs TLS: set LOYALTY_TLS_CERTIFICATE and LOYALTY_TLS_KEY" in problem
    environ = {"LOYALTY_TLS_CERTIFICATE": file, "LOYALTY_TLS_KEY": file}
    config = Config.from_env({"LOYALTY_ADDRESS": f"{host}:50051", **environ})
    assert not config.address.is_loopback


def test_half_a_tls_configuration(file: str) -> None:
    """A certificate without its key, or client authorities without either, protect nothing."""
    (problem,) = problems(LOYALTY_TLS_CERTIFICATE=file)
    assert problem.startswith("LOYALTY_TLS_CERTIFICATE is set and LOYALTY_TLS_KEY is not")
    (problem,) = problems(LOYALTY_TLS_KEY=file, LOYALTY_ADDRESS="0.0.0.0:1")
    assert problem.startswith("LOYALTY_TLS_KEY is set and LOYALTY_TLS_CERTIFICATE is not")
    (problem,) = problems(LOYALTY_TLS_CLIENT_CA=file)
    assert problem.startswith("LOYALTY_TLS_CLIENT_CA is set and LOYALTY_TLS_CERTIFICATE is not")
