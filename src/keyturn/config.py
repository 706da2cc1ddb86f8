"""Settings, and the one reader of the process's environment.

A value comes from the first of: a flag, a ``KEYTURN_*`` variable, ``keyturn.toml`` in the data directory, the default.
Each setting has a heading in ``docs/settings.md``.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from keyturn.arn import Place
from keyturn.errors.base import KeyturnError
from keyturn.quotas import Quotas, parse_rate_limits
from keyturn.rules.lanes import Limits
from keyturn.rules.network.maps import Map, maps_of

CONFIG_FILE = "keyturn.toml"
DATABASE_FILE = "keyturn.db"
_PREFIX = "KEYTURN_"
# Of a function whose rotations need fewer.
_ENVIRONMENTS_PER_FUNCTION = 10
# A week.
_HOURS_AHEAD = 168
# How alike two names are, of which one is a slip of the pen: difflib's ratio.
_ALIKE = 0.85


SHOWN = (
    "sandbox",
    "require_sandbox",
    "isolate_functions",
    "max_environments",
    "rotations_at_once",
    "rotations_per_function",
    "rotations_per_database",
    "preflight",
    "preflight_hours_ahead",
    "heartbeat",
    "clock_skew_seconds",
    "quota_secrets",
    "quota_versions",
    "quota_labels",
    "quota_value_bytes",
    "quota_policy_characters",
    "quota_tags",
    "rate_limits",
    "audit_retention_days",
    "audit_sink_limit_records",
    "audit_sink_limit_seconds",
    "plaintext_on_network",
    "log_level",
)
"""The settings that are shown to whoever may ask for them: the others are addresses and paths, or hold a password."""


class SandboxChoice(StrEnum):
    """How function processes are kept apart."""

    AUTO = "auto"
    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator can set; see ``docs/settings.md`` for what each is good for."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 4773
    account_id: str = "000000000000"
    region: str = "us-east-1"
    partition: str = "aws"
    database_url: str = ""
    root_key_file: Path | None = None
    tls_certificate: Path | None = None
    tls_private_key: Path | None = None
    plaintext_on_network: bool = False
    sandbox: SandboxChoice = SandboxChoice.AUTO
    require_sandbox: bool = False
    isolate_functions: bool = False
    console: bool = True
    network_map: str = ""
    max_environments: int = 32
    rotations_at_once: int = 16
    rotations_per_function: int = 8
    rotations_per_database: int = 4
    preflight: bool = True
    preflight_hours_ahead: int = 6
    heartbeat: bool = True
    clock_skew_seconds: int = 300
    quota_secrets: int = 500_000
    quota_versions: int = 100
    quota_labels: int = 20
    quota_value_bytes: int = 65_536
    quota_policy_characters: int = 20_480
    quota_tags: int = 50
    rate_limits: str = ""
    audit_retention_days: int = 90
    audit_sinks: str = ""
    audit_sink_limit_records: int = 0
    audit_sink_limit_seconds: int = 0
    notify: str = ""
    metrics_token_file: Path | None = None
    log_level: str = "info"

    @property
    def place(self) -> Place:
        """Partition, region and account of everything this server owns."""
        return Place(self.partition, self.region, self.account_id)

    @property
    def state_url(self) -> str:
        """URL of the state database; SQLite in the data directory unless one is set."""
        return self.database_url or f"sqlite:///{self.data_dir / DATABASE_FILE}"

    @property
    def root_key_path(self) -> Path:
        """Where the local root key lies."""
        return self.root_key_file or self.data_dir / "root.key"

    @property
    def quotas(self) -> Quotas:
        """How much there may be of what an account has."""
        return Quotas(
            secrets=self.quota_secrets,
            versions=self.quota_versions,
            labels=self.quota_labels,
            value_bytes=self.quota_value_bytes,
            policy_characters=self.quota_policy_characters,
            tags=self.quota_tags,
        )

    @property
    def rotation_limits(self) -> Limits:
        """How many rotations this server runs at once."""
        return Limits(
            total=self.rotations_at_once,
            per_function=self.rotations_per_function,
            per_database=self.rotations_per_database,
        )

    @property
    def max_environments_per_function(self) -> int:
        """How many processes one function may have: enough for its rotations, and for two invocations beside them."""
        return max(_ENVIRONMENTS_PER_FUNCTION, self.rotations_per_function + 2)

    @property
    def sandbox_demand(self) -> SandboxChoice:
        """The sandbox to use, given that the operator may insist on a real one."""
        return SandboxChoice.BUBBLEWRAP if self.require_sandbox else self.sandbox

    @property
    def network_maps(self) -> tuple[Map, ...]:
        """Which addresses of VPCs are which of the operator's network.

        Raises:
            KeyturnError: The setting says none, or contradicts itself.
        """
        try:
            return maps_of(text for text in re.split(r"[\s,]+", self.network_map) if text)
        except ValueError as error:
            raise KeyturnError(
                f"The setting network_map cannot be used: {error}",
                "For instance: 10.20.0.0/16 or 10.0.2.15=127.0.0.1, several with commas between; see docs/networks.md.",
            ) from error

    @property
    def endpoint_url(self) -> str:
        """Base URL of this server, as functions on this machine reach it."""
        scheme = "https" if self.tls_certificate else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Where state is kept if nobody says otherwise (XDG Base Directory Specification)."""
    base = environ.get("XDG_DATA_HOME")
    return Path(base) / "keyturn" if base else Path(environ.get("HOME", "/")) / ".local" / "share" / "keyturn"


def load_settings(flags: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """Merge defaults, file, variables and flags.

    Args:
        flags: Setting name to value; None means the flag was not given.
        environ: The environment; the process's own by default.

    Raises:
        KeyturnError: A value or a name is not right; the message says which and where it came from.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in flags.items() if value is not None}
    variables = _from_environ(environ)
    data_dir = _path(str(given.get("data_dir") or variables.get("data_dir") or default_data_dir(environ)))
    file = data_dir / CONFIG_FILE
    sources: list[tuple[Mapping[str, Any], Callable[[str], str]]] = [
        (_from_file(file), lambda name: f"The setting {name} in {file}"),
        (variables, lambda name: f"The variable {_variable(name)}"),
        ({**given, "data_dir": data_dir}, lambda name: f"The flag --{name.replace('_', '-')}"),
    ]
    types = get_type_hints(Settings)
    values: dict[str, Any] = {}
    for source, said in sources:
        values |= {name: _converted(value, types[name], said(name)) for name, value in source.items()}
    settings = Settings(**values)
    _check(settings)
    return settings


def _converted(value: object, kind: Any, said: str) -> object:
    """Return a setting as the type it has; ``said`` tells where it was given."""
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise KeyturnError(f"{said} is {value!r}, not {_in_words(kind)}.", "See docs/settings.md.") from error


def _in_words(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return f"one of {', '.join(kind)}"
    words = {int: "a whole number", bool: "true or false", Path: "a path"}
    return next((words[each] for each in (kind, *get_args(kind)) if each in words), "text")


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _from_environ(environ: Mapping[str, str]) -> dict[str, str]:
    names = {field.name for field in fields(Settings)}
    # Kubernetes sets KEYTURN_SERVICE_HOST and the like: only what looks like a mistyped setting is refused.
    for variable in environ:
        name = variable.removeprefix(_PREFIX).lower()
        if variable.startswith(_PREFIX) and environ[variable] and name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=_ALIKE)
            if close:
                raise KeyturnError(
                    f"The variable {variable} is no setting.",
                    f"Did you mean {_variable(close[0])}? docs/settings.md has them all.",
                )
    return {name: environ[_variable(name)] for name in names if environ.get(_variable(name))}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise KeyturnError(
            f"{path} cannot be read: {error.strerror}.", "Make it readable for the user that runs keyturn."
        ) from error
    except ValueError as error:
        raise KeyturnError(f"{path} is not TOML: {error}.", "See docs/settings.md.") from error
    unknown = sorted(set(values) - {field.name for field in fields(Settings)})
    if unknown:
        raise KeyturnError(f"{path} has settings that do not exist: {', '.join(unknown)}.", "See docs/settings.md.")
    return values


def _decode(target: type, value: object) -> object:
    if target is Path:
        if not isinstance(value, (str, Path)):
            raise ValueError("not a path")
        return _path(value)
    raise NotImplementedError(target)


def _path(value: str | Path) -> Path:
    # Whoever is handed a path may stand elsewhere: bubblewrap, for one, begins at the root.
    return Path(value).expanduser().absolute()


def _check(settings: Settings) -> None:
    if not re.fullmatch(r"[0-9]{12}", settings.account_id):
        raise KeyturnError(
            f"The account id {settings.account_id!r} is not twelve digits.", "For instance: 123456789012."
        )
    if not re.fullmatch(r"([a-z]+-)+\d+", settings.region):
        raise KeyturnError(f"The region {settings.region!r} does not look like one.", "For instance: us-east-1.")
    if not 0 <= settings.port <= 65535:
        raise KeyturnError(
            f"The port {settings.port} is not between 0 and 65535.", "Choose one with --port; 0 picks a free one."
        )
    _check_numbers(settings)
    parse_rate_limits(settings.rate_limits)
    _ = settings.network_maps
    if bool(settings.tls_certificate) != bool(settings.tls_private_key):
        raise KeyturnError(
            "A TLS certificate and its private key are set together or not at all.",
            "Set both --tls-certificate and --tls-private-key.",
        )
    if not (is_loopback(settings.host) or settings.tls_certificate or settings.plaintext_on_network):
        raise KeyturnError(
            f"Listening on {settings.host} without TLS would send secret values over the network in plaintext.",
            "Set --tls-certificate and --tls-private-key.",
            "Or insist with --plaintext-on-network, if something in front of Keyturn ends TLS.",
        )


def _check_numbers(settings: Settings) -> None:
    for name in (field.name for field in fields(Settings) if field.type == "int"):
        value = getattr(settings, name)
        if name.startswith("quota_") and value < 1:
            raise KeyturnError(
                f"The setting {name} is {value}; at least 1 is needed.", "Leave it out to have AWS's own."
            )
        if name.startswith(("max_", "rotations_")) and value < 1:
            raise KeyturnError(
                f"The setting {name} is {value}; at least 1 is needed.", "No function could run, and no secret rotate."
            )
        if name == "preflight_hours_ahead" and not 1 <= value <= _HOURS_AHEAD:
            raise KeyturnError(
                f"The setting {name} is {value}, not from 1 to {_HOURS_AHEAD}.",
                "Whoever has to act on it needs some hours; preflight=false switches it off.",
            )
        if name.startswith("audit_") and value < 0:
            raise KeyturnError(f"The setting {name} is {value}; it cannot be negative.", "0 means without a limit.")
        if name == "clock_skew_seconds" and value < 0:
            raise KeyturnError(f"The setting {name} is {value}; it cannot be negative.", "AWS allows 300 seconds.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def aws_files(environ: Mapping[str, str] | None = None) -> tuple[Path, Path]:
    """Return the AWS CLI's config and credentials files, wherever the user keeps them."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("HOME", "/"))
    config = environ.get("AWS_CONFIG_FILE") or home / ".aws" / "config"
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials"
    return Path(config).expanduser(), Path(credentials).expanduser()
