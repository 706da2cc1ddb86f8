"""Secrets Manager as the function reaches it: the way there, and what its role may read.

The endpoint is the one that the function would use: SECRETS_MANAGER_ENDPOINT, as AWS's functions read it, else what
boto3 finds. boto3 is the function's own, if its package has one.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, SSLError

from .items import Items

_CONNECT_SECONDS = 4
_READ_SECONDS = 8
_PORTS = {"http": 80, "https": 443}
_NO_VERSION = frozenset({"ResourceNotFoundException", "InvalidRequestException"})


class Service:
    """Asks Secrets Manager, and notes how that went; what cannot be reached is not asked again."""

    def __init__(self, items: Items) -> None:
        # At DEBUG botocore writes whole replies, hence passwords.
        logging.getLogger("botocore").setLevel(logging.INFO)
        limits = Config(connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, retries={"total_max_attempts": 2})
        self._items = items
        self._client: Any = boto3.client(
            "secretsmanager", endpoint_url=os.environ.get("SECRETS_MANAGER_ENDPOINT") or None, config=limits
        )
        self._is_reached = self._find_way()

    def describe(self, secret_arn: str) -> Mapping[str, Any] | None:
        """Return what DescribeSecret answers; None if nothing."""
        return self._ask("secret.describe", lambda: self._client.describe_secret(SecretId=secret_arn))

    def read(self, item: str, secret_arn: str, stage: str = "AWSCURRENT") -> dict[str, object] | str | None:
        """Return a value: the JSON object, or its text if it is none; None if it could not be read."""
        reply = self._ask(item, lambda: self._client.get_secret_value(SecretId=secret_arn, VersionStage=stage))
        if reply is None:
            return None
        text = str(reply.get("SecretString", ""))
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if isinstance(value, dict) else text

    def read_quietly(self, secret_arn: str, stage: str) -> tuple[dict[str, object] | None, str]:
        """Return the JSON object of a version; or None, and why in a word."""
        try:
            reply = self._client.get_secret_value(SecretId=secret_arn, VersionStage=stage)
            value = json.loads(str(reply.get("SecretString", "")))
        except ClientError as error:
            code = _code(error)
            return None, "NoVersion" if code in _NO_VERSION else code
        except BotoCoreError as error:
            return None, type(error).__name__
        except ValueError:
            return None, "NotJson"
        return (value, "") if isinstance(value, dict) else (None, "NotJson")

    def _find_way(self) -> bool:
        url = urlsplit(self._client.meta.endpoint_url)
        host, port = url.hostname or "", url.port or _PORTS.get(url.scheme, 443)
        if url.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
            for item in ("endpoint.resolve", "endpoint.connect"):
                self._items.skipped(item, "ByProxy", "The way to Secrets Manager leads through a proxy")
            return True
        began = time.monotonic()
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            self._items.failed("endpoint.resolve", "HostNotFound", f"{host}: {error.strerror}", since=began)
            return False
        self._items.ok("endpoint.resolve", reason=host, since=began)
        began = time.monotonic()
        try:
            socket.create_connection((host, port), _CONNECT_SECONDS).close()
        except OSError as error:
            code, reason = connect_failure(error)
            self._items.failed("endpoint.connect", code, f"{host}:{port}: {reason}", since=began)
            return False
        self._items.ok("endpoint.connect", reason=f"{host}:{port}", since=began)
        return True

    def _ask(self, item: str, call: Any) -> Mapping[str, Any] | None:
        if not self._is_reached:
            self._items.skipped(item, "NotReached", "Secrets Manager cannot be reached from here")
            return None
        began = time.monotonic()
        try:
            reply: Mapping[str, Any] = call()
        except ClientError as error:
            self._note_tls(None)
            message = error.response.get("Error", {}).get("Message", "")
            self._items.failed(item, _code(error), str(message), since=began)
            return None
        except BotoCoreError as error:
            self._is_reached = False
            self._note_tls(error)
            self._items.failed(item, type(error).__name__, str(error), since=began)
            return None
        self._note_tls(None)
        self._items.ok(item, since=began)
        return reply

    def _note_tls(self, error: BotoCoreError | None) -> None:
        """Note with the first answer, or the lack of it, whether TLS holds."""
        item = "endpoint.tls"
        if self._items.status(item) is not None:
            return
        if urlsplit(self._client.meta.endpoint_url).scheme != "https":
            self._items.skipped(item, "NotUsed", "The endpoint is http")
        elif isinstance(error, SSLError):
            self._items.failed(item, "TlsFailed", str(error))
        elif error is not None:
            self._items.skipped(item, "NotReached", "Secrets Manager did not answer")
        else:
            self._items.ok(item)


def connect_failure(error: OSError) -> tuple[str, str]:
    """Return the code and the reason of a connection that was not made, as the engines name them."""
    if isinstance(error, ConnectionRefusedError):
        return "ConnectionRefused", "Connection refused"
    if isinstance(error, TimeoutError):
        return "ConnectionTimedOut", f"no answer after {_CONNECT_SECONDS} seconds"
    return "HostUnreachable", error.strerror or type(error).__name__


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "Unknown"))
