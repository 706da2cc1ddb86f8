"""Functions from a few lines of source, run by the real runtime without a server."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from keyturn.clock import Clock, SystemClock
from keyturn.operations.function_metrics import FunctionMetrics
from keyturn.runtime import FunctionSpec, Invocation, LogLine, RoleCredentials, Runtime, RuntimeSettings
from keyturn.runtime.interpreters import available_runtimes
from keyturn.runtime.package import code_sha256
from keyturn.runtime.spec import OpenDoor
from keyturn.sensitive import Sensitive


def zip_package(files: Mapping[str, str | bytes]) -> bytes:
    """A deployment package with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass
class FunctionBench:
    """A runtime together with what it asks of a server, kept in memory.

    Attributes:
        settings: For the runtime.
        clock: For the runtime and for the credentials it gets, which last an hour.
        logs: Log events by stream.
        metrics: What was counted of its functions.
        open_door: Serves a server's APIs inside functions' networks; None for nobody.
    """

    settings: RuntimeSettings
    clock: Clock = field(default_factory=SystemClock)
    logs: dict[str, list[LogLine]] = field(default_factory=dict)
    sessions: int = 0
    metrics: FunctionMetrics = field(default_factory=FunctionMetrics)
    open_door: OpenDoor | None = None

    def __post_init__(self) -> None:
        self._packages: dict[str, bytes] = {}
        self.runtime = Runtime(
            settings=self.settings,
            clock=self.clock,
            load_package=self._packages.__getitem__,
            credentials_for=self._credentials,
            write_log=self._write_log,
            meter=self.metrics,
            open_door=self.open_door,
        )

    def store(self, package: bytes) -> str:
        """Keep a package, of a layer for instance, and return its ``code_sha256``."""
        sha256 = code_sha256(package)
        self._packages[sha256] = package
        return sha256

    def function(self, source: str, *, files: Mapping[str, str | bytes] | None = None, **changes: Any) -> FunctionSpec:
        """A function whose module ``lambda_function`` is ``source``; ``changes`` are members of its spec."""
        sha256 = self.store(zip_package({"lambda_function.py": source, **(files or {})}))
        name = f"function-{uuid.uuid4().hex[:8]}"
        members: dict[str, Any] = {
            "arn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
            "name": name,
            "version": "$LATEST",
            "handler": "lambda_function.handler",
            "runtime": available_runtimes()[0],
            "timeout_seconds": 10,
            "memory_mb": 128,
            "ephemeral_storage_mb": 512,
            "environment": {},
            "code_sha256": sha256,
            "revision_id": uuid.uuid4().hex,
            "role_arn": "arn:aws:iam::000000000000:role/function",
            "log_group": f"/aws/lambda/{name}",
        }
        return FunctionSpec(**{**members, **changes})

    def invoke(self, spec: FunctionSpec, event: object = None, **options: Any) -> Invocation:
        """Run a function once."""
        return self.runtime.invoke(spec, json.dumps(event).encode(), **{"request_id": str(uuid.uuid4()), **options})

    def messages(self, streams: Sequence[str] | None = None) -> list[str]:
        """Every log event's text, stream after stream."""
        return [line.message for stream in streams or tuple(self.logs) for line in self.logs[stream]]

    def _credentials(self, spec: FunctionSpec) -> RoleCredentials:
        del spec
        self.sessions += 1
        return RoleCredentials(
            access_key_id="ASIAEXAMPLE",
            secret_access_key=Sensitive(f"secret-{self.sessions}"),
            session_token=Sensitive(f"token-{self.sessions}"),
            expires_at=self.clock.now() + timedelta(hours=1),
        )

    def _write_log(self, spec: FunctionSpec, stream: str, lines: Sequence[LogLine]) -> None:
        del spec
        self.logs.setdefault(stream, []).extend(lines)
