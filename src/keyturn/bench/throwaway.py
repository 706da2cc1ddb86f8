"""A Keyturn of one's own for an hour: a real server in this process, on a free loopback port, in a temporary directory.

Its scheduler has nothing to do: no rotation is ever asked of it. The bench labels the new version itself, as the
service does before it invokes a function, and invokes the function itself, so that it can stop between any two steps.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import boto3
import uvicorn
from botocore.config import Config

from keyturn import ids
from keyturn.app import Server, initialise
from keyturn.arn import Place
from keyturn.clock import SystemClock
from keyturn.config import SandboxChoice, Settings
from keyturn.errors.base import KeyturnError
from keyturn.operations.lambda_.specs import spec_of
from keyturn.operations.secretsmanager.writing import staging_of, store_change
from keyturn.owner_only import create_owner_only
from keyturn.rules.rotation_permissions import (
    ROLE_POLICY,
    SUPERUSER_POLICY,
    document,
    role_policy,
    superuser_statements,
    trust_policy,
)
from keyturn.rules.staging import AWSPENDING, begin_rotation
from keyturn.runtime.spec import default_log_group
from keyturn.server import run
from keyturn.server.connection import BoundedConnection
from keyturn.storage import function_logs, functions, secret_versions, secrets

from .boundaries import Watch
from .door import Door

ACCOUNT_ID = "000000000000"
REGION = "us-east-1"
_PLACE = Place("aws", REGION, ACCOUNT_ID)
FUNCTION_NAME = "function-under-test"
_ROLE_NAME = "role-of-the-function-under-test"
_READY_SECONDS = 30
# Of a trace, frames of the package itself.
_PLACE_IN_CODE = re.compile(r'File "/var/task/(?P<file>[^"]+)", line (?P<line>\d+)')
# Lines of the log that Lambda writes.
_PLATFORM = re.compile(
    r"(START|END|REPORT|RequestId:|INIT_START|INIT_REPORT|Runtime\.ExitError)\b|\S+ \S+ Task timed out"
)
_LINES = 10_000
CREDENTIALS = "credentials"
"""Name of the file with the server's access key, beside its data."""
_ANY_SKEW_SECONDS = 100 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """What is put on the bench.

    Attributes:
        title: As a person calls it.
        package: The zip file.
        handler: ``module.function``.
        runtime: Such as ``python3.11``.
        environment: Its variables.
        layers: Zip files, in order.
    """

    title: str
    package: bytes = field(repr=False)
    handler: str
    runtime: str
    timeout_seconds: int = 30
    memory_mb: int = 256
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    layers: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Run:
    """How one invocation ended.

    Attributes:
        error: Type and message of what it failed with; None if it did not.
        log: Its lines of the log.
        answer: What it answered, or its error document.
        seconds: How long it took.
    """

    step: str
    error: str | None
    log: tuple[str, ...] = field(repr=False)
    answer: str = field(repr=False)
    seconds: float

    @property
    def has_succeeded(self) -> bool:
        """Whether it did what it was asked for, by its own account."""
        return self.error is None

    @property
    def has_timed_out(self) -> bool:
        """Whether its time was up."""
        return self.error is not None and "Task timed out" in self.error

    def own_lines(self) -> list[str]:
        """Return the lines that the function itself has written."""
        return [line.strip() for line in self.log if line.strip() and not _PLATFORM.match(line)]

    def in_words(self) -> str:
        """Return what it failed with; of a process that ended without an answer also its last words."""
        if self.error is None:
            return "success"
        last = self.own_lines()[-1:] if self.error.startswith("Runtime.ExitError") else []
        return " ".join([self.error + _place(self.answer), *(f"Its last words: {line}" for line in last)])


class ShiftedClock:
    """The machine's clock, a while earlier or later."""

    def __init__(self, begin_at: datetime | None = None) -> None:
        self._machine = SystemClock()
        self._by = begin_at - self._machine.now() if begin_at else timedelta()

    def now(self) -> datetime:
        """Return the current moment, aware, UTC."""
        return self._machine.now() + self._by


class ThrowAwayKeyturn:
    """A running server with nothing in it. Use :meth:`open` in a ``with``."""

    def __init__(self, server: Server, door: Door, clients: Mapping[str, Any]) -> None:
        self._server = server
        self._clients = clients
        self._log_position: function_logs.LogPosition | None = None
        self.door = door
        self.function_arn = ""

    @classmethod
    @contextlib.contextmanager
    def open(cls, watch: Watch, *, begin_at: datetime | None, sandbox: SandboxChoice) -> Iterator[Self]:
        """Start a server; at the end nothing of it is left.

        Args:
            watch: Is told of what functions ask of it.
            begin_at: What its clock shows now; the machine's time if None.
            sandbox: How functions are kept apart.

        Raises:
            KeyturnError: It cannot be started.
        """
        with ExitStack() as closing:
            directory = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="keyturn-bench-")))
            # Functions may run as other users.
            directory.chmod(0o711)
            settings = Settings(
                data_dir=directory / "data",
                port=0,
                account_id=ACCOUNT_ID,
                region=REGION,
                sandbox=sandbox,
                # Nothing happens here but what the bench begins.
                preflight=False,
                # Functions sign by the machine's clock.
                clock_skew_seconds=_ANY_SKEW_SECONDS if begin_at else 300,
            )
            listener = closing.enter_context(run.bind(settings))
            settings = replace(settings, port=listener.getsockname()[1])
            administrator = initialise(settings)
            server = closing.enter_context(Server.open(settings, ShiftedClock(begin_at)))
            door = Door(server.application, watch)
            closing.enter_context(_serving(door, listener))
            session = boto3.Session(
                aws_access_key_id=administrator.access_key_id,
                aws_secret_access_key=administrator.secret_access_key.reveal(),
                region_name=REGION,
            )
            config = Config(retries={"total_max_attempts": 1})
            clients = {
                service: session.client(service, endpoint_url=settings.endpoint_url, config=config)
                for service in ("secretsmanager", "lambda", "iam")
            }
            # Whoever has to look into what a bench that was killed has left.
            create_owner_only(
                directory / CREDENTIALS,
                f"[default]\naws_access_key_id = {administrator.access_key_id}\n"
                f"aws_secret_access_key = {administrator.secret_access_key.reveal()}\n",
            )
            yield cls(server, door, clients)

    @property
    def secrets(self) -> Any:
        """The administrator's client of Secrets Manager."""
        return self._clients["secretsmanager"]

    @property
    def sandbox(self) -> str:
        """How the function is kept apart."""
        return self._server.sandbox

    def create_function(self, source: FunctionSource, *, secret_arn: str, superuser_arn: str | None) -> None:
        """Put the function under test, with the permissions that AWS's guide lists and no others."""
        self.function_arn = _PLACE.function_arn(FUNCTION_NAME)
        group_arn = _PLACE.log_group_arn(default_log_group(FUNCTION_NAME))
        policies = {ROLE_POLICY: role_policy(secret_arn, self.function_arn, group_arn, f"{group_arn}:*", None)}
        if superuser_arn:
            policies[SUPERUSER_POLICY] = document(*superuser_statements(superuser_arn, None))
        self._clients["iam"].create_role(
            RoleName=_ROLE_NAME, AssumeRolePolicyDocument=json.dumps(trust_policy(ACCOUNT_ID))
        )
        for name, policy in policies.items():
            self._clients["iam"].put_role_policy(
                RoleName=_ROLE_NAME, PolicyName=name, PolicyDocument=json.dumps(policy)
            )
        layers = [
            self._clients["lambda"].publish_layer_version(LayerName=f"layer-{number}", Content={"ZipFile": layer})
            for number, layer in enumerate(source.layers)
        ]
        self._clients["lambda"].create_function(
            FunctionName=FUNCTION_NAME,
            Runtime=source.runtime,
            Role=_PLACE.role_arn("/", _ROLE_NAME),
            Handler=source.handler,
            Code={"ZipFile": source.package},
            Timeout=source.timeout_seconds,
            MemorySize=source.memory_mb,
            Environment={"Variables": dict(source.environment)},
            **({"Layers": [layer["LayerVersionArn"] for layer in layers]} if layers else {}),
        )

    def enable_rotation(self, secret_arn: str, *, enabled: bool = True) -> None:
        """Say that the secret rotates, without having it rotated."""
        with self._server.kit.state.write() as transaction:
            secret = secrets.lock_secret(transaction, secret_arn)
            if secret is not None:
                secrets.update_secret(
                    transaction, secret, rotation_enabled=enabled, rotation_function_arn=self.function_arn
                )

    def begin_rotation(self, secret_arn: str) -> str:
        """Label a new version without a value AWSPENDING, and return its id."""
        kit = self._server.kit
        token = ids.new_version_id()
        now = kit.clock.now()
        with kit.state.write() as transaction:
            secret = secrets.lock_secret(transaction, secret_arn)
            if secret is None:
                raise KeyturnError("The secret under test is gone: the function has deleted it.")
            change = begin_rotation(staging_of(transaction, secret), token, now)
            secret_versions.insert_empty_version(transaction, secret.secret_id, token, now)
            store_change(transaction, secret, change)
        return token

    def abandon_rotation(self, secret_arn: str) -> None:
        """Take AWSPENDING off, as people do whose rotation is stuck."""
        labels = self.labels(secret_arn)
        pending = labels.get(AWSPENDING)
        if pending is not None and pending != labels.get("AWSCURRENT"):
            self.secrets.update_secret_version_stage(
                SecretId=secret_arn, VersionStage=AWSPENDING, RemoveFromVersionId=pending
            )

    def attach_pending(self, secret_arn: str, version_id: str) -> None:
        """Put AWSPENDING on a version, from whichever has it."""
        holder = self.labels(secret_arn).get(AWSPENDING)
        if holder != version_id:
            self.secrets.update_secret_version_stage(
                SecretId=secret_arn, VersionStage=AWSPENDING, MoveToVersionId=version_id,
                **({"RemoveFromVersionId": holder} if holder else {}),
            )  # fmt: skip

    def labels(self, secret_arn: str) -> dict[str, str]:
        """Return the version of each staging label."""
        described = self.secrets.describe_secret(SecretId=secret_arn)
        return {label: version for version, held in described["VersionIdsToStages"].items() for label in held}

    def invoke(self, event: Mapping[str, object]) -> Run:
        """Run the function once."""
        kit = self._server.kit
        with kit.state.read() as connection:
            record = functions.load_function(connection, self.function_arn)
        if record is None:
            raise KeyturnError("The function under test is gone.")
        request_id = ids.new_request_id()
        invocation = kit.runtime.invoke(spec_of(kit, record), json.dumps(event).encode(), request_id=request_id)
        answer = invocation.payload.decode(errors="replace")
        return Run(
            step=str(event["Step"]),
            error=_error(answer) if invocation.function_error else None,
            log=self._new_lines(),
            answer=answer,
            seconds=invocation.duration_ms / 1000,
        )

    def limit_time(self, seconds: int) -> None:
        """Set the function's time limit."""
        self._clients["lambda"].update_function_configuration(FunctionName=FUNCTION_NAME, Timeout=seconds)

    def kill_function(self) -> None:
        """End the function's processes, whatever they are doing."""
        self._server.kit.runtime.kill(self.function_arn)

    def _new_lines(self) -> tuple[str, ...]:
        """Return what has been logged since this was asked last."""
        kit = self._server.kit
        with kit.journal.read() as connection:
            group = function_logs.load_group(connection, _PLACE, default_log_group(FUNCTION_NAME))
            if group is None:
                return ()
            page = function_logs.filter_events(connection, group, position=self._log_position, limit=_LINES)
        self._log_position = page.forward
        return tuple(event.message for event in page.events)


def _error(answer: str) -> str:
    try:
        document = json.loads(answer)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return "The function failed without saying why."
    return ": ".join(filter(None, (str(document.get("errorType", "Error")), str(document.get("errorMessage", "")))))


def _place(answer: str) -> str:
    """Return where in the package an error comes from, as far as its trace says."""
    trace = json.loads(answer).get("stackTrace") if answer.startswith("{") else None
    places = [_PLACE_IN_CODE.search(str(frame)) for frame in trace or ()]
    found = [place for place in places if place is not None]
    return f" ({found[-1]['file']}, line {found[-1]['line']})" if found else ""


class _Uvicorn(uvicorn.Server):
    """uvicorn in a thread, which gets no signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _serving(door: Door, listener: Any) -> Iterator[None]:
    config = uvicorn.Config(
        door, loop="uvloop", http=BoundedConnection, ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Uvicorn(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True, name="bench-server")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_READY_SECONDS)
