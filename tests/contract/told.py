"""Who is told in tests: an HTTP receiver, with and without TLS, and a program."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from .receivers import DEADLINE_SECONDS, make_certificate

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
# Of the receiver's URL; must never be seen anywhere.
PASSWORD, PATH_SECRET, QUERY_SECRET = "p4ssw0rd-of-the-hook", "T0-path-secret", "sig-of-the-query"


class Told(Protocol):
    """One end of a notifier."""

    @property
    def setting(self) -> str:
        """As ``notify`` has it."""

    def start(self) -> None:
        """Begin to take messages, or go on at the same place."""

    def stop(self) -> None:
        """Take no more."""

    def documents(self) -> list[dict[str, Any]]:
        """What was taken so far, in the order of coming."""


@dataclass
class Post:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """Its message."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class WebhookReceiver:
    """An HTTP server on loopback that answers what it is told to.

    Args:
        directory: For the signing secret, and the certificate.
        tls: Whether it has one.
        options: Further ones of the setting.
    """

    directory: Path
    tls: bool = False
    options: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""
    posts: list[Post] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.arrived = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self.secret_file = self.directory / "hook.whsec"
        self.secret_file.write_text(f"{SECRET}\n")
        self.secret_file.chmod(0o600)
        self.certificate = make_certificate(self.directory) if self.tls else None
        self.start()

    @property
    def url(self) -> str:
        """With everything that must not be seen."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://hook:{PASSWORD}@127.0.0.1:{self.port}/{PATH_SECRET}?sig={QUERY_SECRET}"

    @property
    def setting(self) -> str:
        """As ``notify`` has it."""
        ca = f"&ca={self.certificate}" if self.certificate else ""
        return f"{self.url}#name=hook&secret_file={self.secret_file}{ca}{self.options}"

    def start(self) -> None:
        if self._server is not None:
            return
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = DEADLINE_SECONDS

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                receiver.take(Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(receiver.answer)))
                self.end_headers()
                self.wfile.write(receiver.answer)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET

            def handle_error(self, *_: object) -> None:
                """Clients that do not trust the certificate go away; that is what is tested."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            # Shaken hands in the connection's own thread: one that never comes to an end must not hold up the others.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def take(self, post: Post) -> None:
        with self.arrived:
            self.posts.append(post)
            self.arrived.notify_all()

    def wait_for(self, wanted: Callable[[list[Post]], Any], what: str = "") -> Any:
        """Wait until what has come is as it should be."""
        with self.arrived:
            found = self.arrived.wait_for(lambda: wanted(self.posts), DEADLINE_SECONDS)
            assert found, f"{what}: {[post.body for post in self.posts]}"
            return found

    def documents(self) -> list[dict[str, Any]]:
        return [post.document for post in self.posts] if 200 <= self.status < 300 else []


class CommandReceiver:
    """A program that appends each message to a file, unless another file says that it is to fail."""

    def __init__(self, directory: Path) -> None:
        self._taken = directory / "taken.jsonl"
        self._fails = directory / "fails"
        program = directory / "tell"
        program.write_text(
            f"#!/bin/sh\nif [ -e {self._fails} ]; then echo no >&2; exit 3; fi\ncat >> {self._taken}\n"
            f"echo >> {self._taken}\necho told\n"
        )
        program.chmod(0o700)
        self._program = program

    @property
    def setting(self) -> str:
        return f"command:{self._program}#name=hook"

    def start(self) -> None:
        self._fails.unlink(missing_ok=True)

    def stop(self) -> None:
        self._fails.touch()

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._taken.read_text().splitlines()] if self._taken.exists() else []


TOLD: dict[str, Callable[[Path], Told]] = {
    "webhook": WebhookReceiver,
    "webhook+tls": lambda directory: WebhookReceiver(directory, tls=True),
    "command": CommandReceiver,
}


@contextmanager
def told(kind: str, directory: Path) -> Iterator[Told]:
    """Somebody who is told, until the block is left."""
    receiver = TOLD[kind](directory)
    try:
        yield receiver
    finally:
        receiver.stop()
