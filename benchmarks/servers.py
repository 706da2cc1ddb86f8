"""What is measured: a server that runs, and signed or tokened reads of its secrets as bytes."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ServerProcess

SecretValue = dict[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """A server whose reads are measured.

    Attributes:
        name: With its version, for the table.
        port: On loopback.
        process: For its processor time.
        reads: Makes one request for each secret, signed at this moment.
        value_in: Finds the secret's value in a reply's body.
    """

    name: str
    port: int
    process: ServerProcess
    reads: Callable[[], list[bytes]]
    value_in: Callable[[bytes], SecretValue]


def secret_values(count: int) -> dict[str, SecretValue]:
    """Return names and values of secrets as databases have them: a user name and a password."""
    return {
        f"benchmark/database-{number:04}": {"username": f"app{number:04}", "password": secrets.token_urlsafe(24)}
        for number in range(count)
    }


def http_request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request as it goes over the wire; the headers include Host and, with a body, Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which no setting, profile or token of the person at the keyboard is found."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    return {**kept, "HOME": str(home)}


def prepare_this_process() -> None:
    """Leave no profile, endpoint or proxy of whoever runs this to boto3, and end in good order when told to."""
    signal.signal(signal.SIGTERM, _end)
    for name in list(os.environ):
        if name.startswith(("AWS_", "KEYTURN_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


def _end(_number: int, _frame: object) -> None:
    # Raised where the program stands, so that every block ends what it started.
    raise KeyboardInterrupt


def json_object(body: bytes) -> SecretValue:
    """Return a JSON object of strings."""
    value: SecretValue = json.loads(body)
    return value
