"""What the runtime is told and what it tells: plain data, no behaviour."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from keyturn.arn import Place
from keyturn.rules.network.maps import Map
from keyturn.rules.network.plan import Door, NetworkPlan
from keyturn.sensitive import Sensitive

SandboxChoice = Literal["auto", "bubblewrap", "none"]


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """Everything an execution environment needs to know about a function.

    Attributes:
        arn: Unqualified ARN.
        name: Function name.
        version: ``$LATEST`` or a number.
        handler: ``module.function``.
        runtime: Runtime identifier such as ``python3.11``.
        timeout_seconds: After how long an invocation is ended.
        memory_mb: Memory limit of the whole process tree, in MiB as AWS counts.
        ephemeral_storage_mb: Size of ``/tmp``.
        environment: The function's own variables; hidden in the repr, people put passwords there.
        code_sha256: SHA-256 of the deployment package, base64 as Lambda shows it.
        revision_id: Changes whenever code or configuration does.
        role_arn: Execution role.
        log_group: Where log lines go.
        log_format: ``Text`` or ``JSON``.
        application_log_level: With JSON, what the function logs below it is left out.
        system_log_level: With JSON, likewise of the platform's own events.
        qualifier: By which it is invoked: a version, an alias or ``$LATEST``; empty without.
        reserved_concurrency: How many invocations of all its versions may run at once; None if none are reserved.
        layers: ``code_sha256`` of its layers' packages, in the order in which they lie over each other in ``/opt``.
        program: What is started in the handler's place, ``module.function`` of a layer; empty for the handler.
        networks: What its VPC lets it reach, from each of its subnets; empty if it is in no VPC.
    """

    arn: str
    name: str
    version: str
    handler: str
    runtime: str
    timeout_seconds: int
    memory_mb: int
    ephemeral_storage_mb: int
    environment: Mapping[str, str] = field(repr=False)
    code_sha256: str
    revision_id: str
    role_arn: str
    log_group: str
    log_format: str = "Text"
    application_log_level: str = "INFO"
    system_log_level: str = "INFO"
    qualifier: str = ""
    reserved_concurrency: int | None = None
    layers: tuple[str, ...] = ()
    program: str = ""
    networks: tuple[NetworkPlan, ...] = ()

    @property
    def shares_log_group(self) -> bool:
        """Whether it logs to a group that is not named after it."""
        return self.log_group != default_log_group(self.name)

    @property
    def invoked_arn(self) -> str:
        """The ARN as it is invoked, which the function's context shows."""
        return f"{self.arn}:{self.qualifier}" if self.qualifier else self.arn

    @property
    def place(self) -> Place:
        """Where the function lives."""
        return Place.of(self.arn)


def default_log_group(function_name: str) -> str:
    """Return the log group that a function writes to unless it is told otherwise."""
    return f"/aws/lambda/{function_name}"


@dataclass(frozen=True, slots=True)
class RoleCredentials:
    """Credentials of one session of the execution role; ``expires_at`` is aware UTC."""

    access_key_id: str
    secret_access_key: Sensitive[str]
    session_token: Sensitive[str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log event, in milliseconds since 1970."""

    timestamp_ms: int
    message: str


@dataclass(frozen=True, slots=True)
class Invocation:
    """The outcome of one invocation.

    Attributes:
        payload: The function's answer, or the error document; hidden in the repr.
        function_error: ``Unhandled`` if the function failed, else None.
        log_tail: The last 4 KB of the invocation's log.
        executed_version: The version that ran.
        duration_ms: Time the handler took.
    """

    payload: bytes = field(repr=False)
    function_error: str | None
    log_tail: bytes = field(repr=False)
    executed_version: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How functions run on this server.

    Attributes:
        directory: The runtime's own directory, made if missing; holds unpacked packages, nothing that must survive.
        endpoint_url: Base URL under which functions reach this server.
        sandbox: ``auto`` takes the strongest that works here, ``bubblewrap`` insists, ``none`` is for development.
        max_environments: Execution environments at the same time, warm ones included.
        max_environments_per_function: The same for one function.
        idle_seconds: After how long a warm environment is ended.
        init_timeout_seconds: How long loading the function may take before the invocation's own time is used.
        log_limit_bytes: How much of one invocation's log is kept.
        ca_bundle: Certificates functions should trust, in PEM; the machine's own if None.
        hidden: Directories no function may see: the data directory, configuration.
        isolate: Whether functions that are in no VPC reach this server and nothing else.
        network_maps: Which addresses of VPCs are which of the operator's.
    """

    directory: Path
    endpoint_url: str
    sandbox: SandboxChoice = "auto"
    max_environments: int = 32
    max_environments_per_function: int = 10
    idle_seconds: float = 300.0
    init_timeout_seconds: float = 10.0
    log_limit_bytes: int = 4 * 1024 * 1024
    ca_bundle: Path | None = None
    hidden: tuple[Path, ...] = ()
    isolate: bool = False
    network_maps: tuple[Map, ...] = ()


class OpenDoor(Protocol):
    """Serves this server's APIs on a socket inside a function's network."""

    def __call__(
        self, listener: socket.socket, place: Place, plan: NetworkPlan | None, door: Door | None, /
    ) -> Callable[[], None]:
        """Begin to serve who comes through ``door`` of ``plan``, both None in no VPC; return what ends it."""
        ...


class LoadPackage(Protocol):
    """Fetches the deployment package with a given ``code_sha256``."""

    def __call__(self, code_sha256: str, /) -> bytes:
        """Return the zip file's bytes."""
        ...


class CredentialsFor(Protocol):
    """Opens a session of a function's execution role."""

    def __call__(self, spec: FunctionSpec, /) -> RoleCredentials:
        """Return fresh credentials."""
        ...


class Meter(Protocol):
    """Counts invocations; each of its methods returns at once."""

    def began(self, spec: FunctionSpec, at: datetime, /) -> None:
        """Count one more that runs."""
        ...

    def ended(self, spec: FunctionSpec, began_at: datetime, invocation: Invocation | None, /) -> None:
        """Count one that has ended; None if it could not be run."""
        ...

    def throttled(self, spec: FunctionSpec, at: datetime, /) -> None:
        """Count one that was refused because too many ran."""
        ...


class WriteLog(Protocol):
    """Stores log events of one stream of a function's log group, in order."""

    def __call__(self, spec: FunctionSpec, stream: str, lines: Sequence[LogLine], /) -> None:
        """Append ``lines``."""
        ...
