"""A service with API keys for tests: a real HTTP server on a loopback port, in a thread of this process.

It keeps accounts with keys, makes keys up (``POST /v1/accounts/ACCOUNT/keys``) and takes given ones
(``PUT /v1/accounts/ACCOUNT/keys/ID``), lists and revokes them, and answers ``GET /v1/accounts/ACCOUNT`` to whoever has
one of the account's keys or the administrator's. ``with KeyServer.start() as server:``.
"""

from __future__ import annotations

import itertools
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from .private_server import HOST

# What the environment of a function for this service says; the first for keys that it makes up.
ISSUED: Mapping[str, str] = {
    "API_KEY_HEADER": "X-Api-Key: {key}",
    "API_TEST": "GET /accounts/{account}",
    "API_CREATE": "POST /accounts/{account}/keys",
    "API_CREATE_BODY": '{"name": "{name}", "scopes": ["read", {"literal": "{}"}]}',
    "API_CREATED_KEY": "/data/key",
    "API_CREATED_ID": "/data/id",
    "API_REVOKE": "DELETE /accounts/{account}/keys/{id}",
    "API_LIST": "GET /accounts/{account}/keys",
    "API_LISTED": "/data",
}
CHOSEN: Mapping[str, str] = {
    **{name: value for name, value in ISSUED.items() if not name.startswith("API_CREATED")},
    "API_CREATE": "PUT /accounts/{account}/keys/{name}",
    "API_CREATE_BODY": '{"name": "{name}", "key": "{key}"}',
}


@dataclass
class Key:
    """One key of an account."""

    account: str
    name: str
    key: str = field(repr=False)


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass
class Reply:
    """One answer."""

    status: int
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class KeyServer:
    """A running service.

    Attributes:
        keys: By id.
        superuser_key: Lets its owner into every account.
        seen: Every request.
        overrides: Called with each request before the service itself; what they return is the answer.
    """

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self._server = server
        self._scheme = scheme
        self._made: dict[str, Reply] = {}
        self._lock = threading.Lock()
        self._ids = itertools.count(1000)
        self.keys: dict[str, Key] = {}
        self.superuser_key = secrets.token_hex(16)
        self.seen: list[Seen] = []
        self.overrides: list[Callable[[Seen], Reply | None]] = []

    @classmethod
    def start(cls, certificate: tuple[Path, Path] | None = None) -> Self:
        """Start a service.

        Args:
            certificate: Of a service with TLS: files of certificate and key.
        """
        server = ThreadingHTTPServer((HOST, 0), _Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        started = cls(server, "https" if certificate else "http")
        # The handlers that the library makes find it there.
        server.service = started  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return started

    @property
    def port(self) -> int:
        """On the loopback interface."""
        return int(self._server.server_address[1])

    def url(self, host: str = HOST) -> str:
        """What all paths are below."""
        return f"{self._scheme}://{host}:{self.port}/v1"

    def create_key(self, account: str, name: str, key: str) -> str:
        """Make a key as an administrator does in the service's console, and return its id."""
        key_id = str(next(self._ids))
        self.keys[key_id] = Key(account, name, key)
        return key_id

    def secret_value(self, account: str, key: str, key_id: str | None = None) -> dict[str, object]:
        """Return the JSON of a secret for this key."""
        value: dict[str, object] = {"engine": "http-api", "url": self.url(), "account": account, "api_key": key}
        return {**value, "key_id": key_id} if key_id else value

    def superuser_value(self) -> dict[str, object]:
        """Return the JSON of a superuser secret for this service."""
        return {"engine": "http-api", "url": self.url(), "api_key": self.superuser_key}

    def accepts(self, account: str, key: str) -> bool:
        """Tell whether a key is one of the account's."""
        return any(made.account == account and made.key == key for made in self.keys.values())

    def answer(self, request: Seen) -> Reply:
        """Do what a request asks for."""
        with self._lock:
            self.seen.append(request)
            for override in self.overrides:
                if (reply := override(request)) is not None:
                    return reply
            return self._own_answer(request)

    def stop(self) -> None:
        """Stop the service."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _own_answer(self, request: Seen) -> Reply:
        parts = [unquote(part) for part in request.path.split("?")[0].strip("/").split("/")]
        if parts[:2] != ["v1", "accounts"] or len(parts) not in (3, 4, 5):
            return Reply(404)
        account, key = parts[2], request.headers.get("x-api-key", "")
        if not (key == self.superuser_key or self.accepts(account, key)):
            return Reply(401, {"error": f"{key} is no key of {account}"})
        match (request.method, parts[3:]):
            case ("GET", []):
                return Reply(200, {"account": account})
            case ("GET", ["keys"]):
                mine = [{"id": _id(i), "name": k.name} for i, k in self.keys.items() if k.account == account]
                return Reply(200, {"data": mine})
            case ("POST", ["keys"]):
                return self._make(account, request)
            case ("PUT", ["keys", key_id]):
                given = json.loads(request.body)
                self.keys[key_id] = Key(account, given["name"], given["key"])
                return Reply(204)
            case ("DELETE", ["keys", key_id]):
                return Reply(404 if self.keys.pop(key_id, None) is None else 204)
        return Reply(405)

    def _make(self, account: str, request: Seen) -> Reply:
        repeated = request.headers.get("idempotency-key")
        if repeated and repeated in self._made:
            return self._made[repeated]
        key = secrets.token_hex(16)
        name = json.loads(request.body)["name"]
        reply = Reply(201, {"data": {"id": int(self.create_key(account, name, key)), "key": key}})
        if repeated:
            self._made[repeated] = reply
        return reply


def _id(key_id: str) -> int | str:
    """Return an id as the service shows it: those of its own are numbers."""
    return int(key_id) if key_id.isdecimal() else key_id


class _Handler(BaseHTTPRequestHandler):
    """Reads one request, and writes what the service answers."""

    timeout = 10

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Seen(self.command, self.path, headers, self.rfile.read(length))
        reply = self.server.service.answer(request)  # type: ignore[attr-defined]
        body = reply.body
        if body is None:
            body = b"" if reply.document is None else json.dumps(reply.document).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the library's names

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""
