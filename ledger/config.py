"""Settings: all that the environment can configure, with every problem reported at once."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, get_type_hints

import psycopg
from psycopg.conninfo import conninfo_to_dict

PORT_MAX: Final = 65_535
DRAIN_SECONDS_MAX: Final = 600
LOOKUPS_PER_MINUTE_MAX: Final = 1_000_000

_DB_FUNCTIONS: Final = "POSTGRES_ENABLE_DB_FUNCTIONS"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]


class ConfigError(Exception):
    """The environment cannot be used. One line for each problem; each says what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Address(NamedTuple):
    """Where a server listens. Port 0 stands for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name, which can stand for any address
            return False


class Setting(NamedTuple):
    """One environment variable, as the README lists it."""

    variable: str
    parse: Callable[[str], object]
    """Makes the value of its text. Raises ValueError with what to do, to be read after the name."""
    default: str
    """The text that counts when the variable is not set; empty for None."""
    meaning: str


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets, such as [::1]:50051")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ValueError(f"must be host:port with a port up to {PORT_MAX}, such as 127.0.0.1:50051")
    return Address(host, int(port))


def _address_or_off(text: str) -> Address | None:
    return None if text == "off" else _address(text)


def _database_url(text: str) -> str:
    try:
        conninfo_to_dict(text)
    except psycopg.ProgrammingError:  # its message may repeat the password
        raise ValueError("is not a PostgreSQL URL; write postgresql://user:password@host:5432/database") from None
    return text


def _file(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError(f"names {path}, which is no file; correct the path")
    return path


def _appended_file(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.parent.is_dir():
        raise ValueError(f"names a file in {path.parent}, which is no folder; make it, or correct the path")
    return path


def _origin(text: str) -> str:
    if "+" in text or any(character.isspace() for character in text):
        raise ValueError("must have no spaces and no plus sign, such as shop.example/loyalty")
    return text


def _folder_there(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise ValueError(f"names {path}, which is no folder; correct the path, or mount it")
    return path


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text.lower()

    return parse


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _yes_or_no(text: str) -> bool:
    return _choice("yes", "no")(text) == "yes"


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one server process."""

    database_url: Annotated[
        str | None,
        Setting(
            "LOYALTY_DATABASE_URL",
            _database_url,
            "",
            "PostgreSQL 15 or newer that holds the ledger, as a libpq URL.",
        ),
    ]
    address: Annotated[
        Address,
        Setting(
            "LOYALTY_ADDRESS",
            _address,
            "127.0.0.1:50051",
            "Where gRPC listens. Anything but loopback needs TLS.",
        ),
    ]
    metrics_address: Annotated[
        Address | None,
        Setting(
            "LOYALTY_METRICS_ADDRESS",
            _address_or_off,
            "127.0.0.1:9464",
            "Where Prometheus finds `/metrics` over HTTP; `off` for nowhere.",
        ),
    ]
    tls_certificate: Annotated[
        Path | None,
        Setting(
            "LOYALTY_TLS_CERTIFICATE",
            _file,
            "",
            "PEM file with the server's certificate and its chain. Read again when it changes.",
        ),
    ]
    tls_key: Annotated[
        Path | None,
        Setting(
            "LOYALTY_TLS_KEY",
            _file,
            "",
            "PEM file with the certificate's private key, unencrypted. Read again when it changes.",
        ),
    ]
    tls_client_ca: Annotated[
        Path | None,
        Setting(
            "LOYALTY_TLS_CLIENT_CA",
            _file,
            "",
            "PEM file with the authorities that sign client certificates. When set, every client"
            " must show one (mutual TLS), besides its credential.",
        ),
    ]
    reuse_port: Annotated[
        bool,
        Setting(
            "LOYALTY_REUSE_PORT",
            _yes_or_no,
            "no",
            "`yes` lets several processes share the address; the kernel spreads the connections.",
        ),
    ]
    log_level: Annotated[
        LogLevel,
        Setting(
            "LOYALTY_LOG_LEVEL",
            _choice("debug", "info", "warning", "error"),
            "info",
            "What is logged: `debug` adds a line for each successful call.",
        ),
    ]
    log_format: Annotated[
        LogFormat,
        Setting(
            "LOYALTY_LOG_FORMAT",
            _choice("json", "console"),
            "json",
            "`json` for machines, one object a line; `console` for people.",
        ),
    ]
    data_dir: Annotated[
        Path,
        Setting(
            "LOYALTY_DATA_DIR",
            _folder,
            "var",
            "Folder of the local PostgreSQL of `loyalty serve --local`.",
        ),
    ]
    drain_seconds: Annotated[
        int,
        Setting(
            "LOYALTY_DRAIN_SECONDS",
            _whole(1, DRAIN_SECONDS_MAX),
            "20",
            "How long calls in flight may take to finish after SIGTERM before they are cut off.",
        ),
    ]
    lookups_per_minute: Annotated[
        int,
        Setting(
            "LOYALTY_RATE_LOOKUPS_PER_MINUTE",
            _whole(1, LOOKUPS_PER_MINUTE_MAX),
            "120",
            "Look-ups by identifier that one credential may make a minute, all at once or spread."
            " Commands whose identifier or voucher code nobody has count too.",
        ),
    ]

    log_key_file: Annotated[
        Path | None,
        Setting(
            "LOYALTY_LOG_KEY_FILE",
            _file,
            "",
            "File with the private key that signs the log's checkpoints, for its owner only, as `loyalty log new-key`"
            " makes it. Read again each time. Without it the log is sealed, but nothing is signed.",
        ),
    ]
    checkpoint_file: Annotated[
        Path | None,
        Setting(
            "LOYALTY_CHECKPOINT_FILE",
            _appended_file,
            "",
            "File outside of the database that checkpoints are appended to, one a line. What it says was signed is"
            " never signed over.",
        ),
    ]
    log_origin: Annotated[
        str | None,
        Setting(
            "LOYALTY_LOG_ORIGIN",
            _origin,
            "",
            "The log's name in its checkpoints, for ever, such as shop.example/loyalty. A new key gets it, and every"
            " key must have it.",
        ),
    ]
    log_seal: Annotated[
        bool,
        Setting(
            "LOYALTY_LOG_SEAL",
            _yes_or_no,
            "yes",
            "`no` leaves the sealing and signing of the log to other servers on the same database.",
        ),
    ]
    archive: Annotated[
        Path | None,
        Setting(
            "LOYALTY_ARCHIVE",
            _folder_there,
            "",
            "Folder that `loyalty archive` has moved old events to. Without it, what needs one of them is refused.",
        ),
    ]

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """All settings by field, in the order in which the README lists them."""
        hints = get_type_hints(cls, include_extras=True)
        return {name: hint.__metadata__[0] for name, hint in hints.items()}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """The settings in an environment; an empty variable counts as not set.

        Raises ConfigError with all problems at once.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        for name, setting in cls.settings().items():
            text = environ.get(setting.variable, "").strip() or setting.default
            try:
                values[name] = setting.parse(text) if text else None
            except ValueError as error:
                problems.append(f"{setting.variable} {error}")
        given = {variable for variable in environ if environ[variable].strip()}
        problems += _contradictions(given)
        address = values.get("address")
        with_tls = {"LOYALTY_TLS_CERTIFICATE", "LOYALTY_TLS_KEY"} & given
        if address is not None and not address.is_loopback and not with_tls:
            problems.append(
                f"LOYALTY_ADDRESS {address} can be reached from other machines, which needs TLS:"
                " set LOYALTY_TLS_CERTIFICATE and LOYALTY_TLS_KEY, or listen on 127.0.0.1"
            )
        if problems:
            raise ConfigError(problems)
        return cls(**values)


def _contradictions(given: set[str]) -> list[str]:
    """Settings that do not go together."""
    problems = []
    for one, other in (
        ("LOYALTY_TLS_CERTIFICATE", "LOYALTY_TLS_KEY"),
        ("LOYALTY_TLS_KEY", "LOYALTY_TLS_CERTIFICATE"),
        ("LOYALTY_TLS_CLIENT_CA", "LOYALTY_TLS_CERTIFICATE"),
        ("LOYALTY_LOG_KEY_FILE", "LOYALTY_CHECKPOINT_FILE"),
        ("LOYALTY_CHECKPOINT_FILE", "LOYALTY_LOG_KEY_FILE"),
    ):
        if one in given and other not in given:
            problems.append(f"{one} is set and {other} is not: set both, or neither")
    if _DB_FUNCTIONS in given:
        # The library's functions insert without any lock, so that positions become visible out of
        # order: of 10,402 events followers missed 56.
        problems.append(
            f"{_DB_FUNCTIONS} is set: with it the event store inserts without its lock, and"
            " followers miss events; unset it"
        )
    return problems
