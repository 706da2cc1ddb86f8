"""HTTP by hand: bytes onto a socket, replies off it. For requests that no client library would send."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from unittest import mock

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess

_AT_ANOTHER_TIME = threading.Lock()


@dataclass(frozen=True)
class Reply:
    """One reply; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body of a JSON reply."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code, whatever the protocol."""
        if "x-amzn-errortype" in self.headers:
            return self.headers["x-amzn-errortype"]
        if self.body.startswith(b"<"):
            return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()
        return str(self.json["__type"])

    @property
    def message(self) -> str:
        """The error's text."""
        if self.body.startswith(b"<"):
            return self.body.partition(b"<Message>")[2].partition(b"</Message>")[0].decode()
        return str(self.json.get("message", self.json.get("Message", "")))

    @property
    def request_id(self) -> str:
        """The request id, which every reply of the pipeline has."""
        return self.headers["x-amzn-requestid"]


class Wire:
    """One connection."""

    def __init__(self, server: ServerProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS)
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Put bytes onto the connection."""
        self._socket.sendall(data)

    def send_as_far_as_taken(self, data: bytes) -> None:
        """Put bytes onto the connection until they are all sent or the server has closed it."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def reply(self, *, to_head: bool = False) -> Reply:
        """Read one reply."""
        status = int(self._file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            assert name.lower() not in headers, f"{name} occurs twice"
            headers[name.lower()] = value.strip()
        length = 0 if to_head else int(headers.get("content-length", "0"))
        return Reply(status, headers, self._file.read(length))

    def is_closed_or_answers(self, status: int) -> bool:
        """Wait for an answer. Bytes that were not read any more may have the connection reset before it is seen."""
        try:
            return self.reply().status == status
        except (ConnectionResetError, IndexError):
            return True

    def is_closed(self) -> bool:
        """Wait until the server has closed the connection; False if it sends something instead."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()


def ask(server: ServerProcess, data: bytes) -> Reply:
    """Send bytes on a connection of their own and read one reply."""
    with Wire(server) as wire:
        wire.send_as_far_as_taken(data)
        return wire.reply()


def request(
    server: ServerProcess,
    *headers: bytes,
    method: bytes = b"POST",
    target: bytes = b"/",
    body: bytes = b"{}",
    length: bool = True,
) -> bytes:
    """An unsigned request, header lines as given."""
    lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: 127.0.0.1:%d" % server.port, *headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


def signed(
    server: ServerProcess,
    body: bytes,
    *,
    action: str = "secretsmanager.GetSecretValue",
    service: str = "secretsmanager",
    method: str = "POST",
    path: str = "/",
    region: str | None = None,
    credentials: Credentials | None = None,
    at: datetime | None = None,
    content_type: str = "application/x-amz-json-1.1",
    more_headers: Mapping[str, str] | None = None,
) -> bytes:
    """A request signed by botocore; ``more_headers`` are signed too."""
    signer = credentials or server.admin
    headers = {"Content-Type": content_type, **(more_headers or {})}
    if action:
        headers["X-Amz-Target"] = action
    made = AWSRequest(method, server.endpoint_url + path, data=body, headers=headers)
    keys = BotocoreCredentials(signer.access_key_id, signer.secret_access_key, signer.session_token)
    signs = SigV4Auth(keys, service, region or server.region)
    if at is None:
        signs.add_auth(made)
    else:
        # One at a time: the clock of all is stopped meanwhile, and the last one must find it as it was.
        with _AT_ANOTHER_TIME, mock.patch("botocore.auth.get_current_datetime", return_value=at):
            signs.add_auth(made)
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in made.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
