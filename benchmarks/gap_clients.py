"""Applications: processes that read a secret and log in with it, again and again, without a pause.

A client reads with a signed call over a connection that it keeps, and logs in with whatever it has just read. It keeps
nothing: each login is one with the newest value there is, as the caller of a rotated secret should do it.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import psycopg
import pymysql
from benchmarks.gap_rows import Row
from benchmarks.servers import prepare_this_process
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from keyturn.errors.base import KeyturnError

_HOST = "127.0.0.1"
# A signature is good for five minutes.
_SIGN_ANEW_SECONDS = 60
_LOGINS_WITH_THE_NEW_VALUE = 3
_DEADLINE_SECONDS = 60
_ACCESS_DENIED = 1045


@dataclass(slots=True)
class Watch:
    """What one client saw of one rotation; moments are seconds since 1970, None if there was none.

    Attributes:
        reads: Of the secret; each is followed by a login.
        failed: Logins that the database refused.
        first_refused_at: When the first of them began.
        last_refused_at: When the last of them was over.
        last_accepted_at: When the last login with the old value that succeeded began.
        new_value_at: When the first read was over that gave the new version.
        is_over: Whether the new version was read and let in; otherwise the client gave up.
    """

    reads: int = 0
    failed: int = 0
    first_refused_at: float | None = None
    last_refused_at: float | None = None
    last_accepted_at: float | None = None
    new_value_at: float | None = None
    is_over: bool = False
    reasons: set[str] = field(default_factory=set)


class Clients:
    """Client processes, which all watch the same row at a time."""

    def __init__(self, count: int, port: int, administrator: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            context.Process(target=_run, args=(theirs, port, dict(administrator)), daemon=True).start()
            theirs.close()
            self._pipes.append(ours)

    def watch(self, row: Row) -> None:
        """Let every client read and log in; returns when each has done so once."""
        for pipe in self._pipes:
            pipe.send(row)
        for pipe in self._pipes:
            if not pipe.poll(_DEADLINE_SECONDS) or pipe.recv() != "watching":
                raise KeyturnError(f"A client cannot log in with the value of {row.secret}.")

    def seen(self) -> Sequence[Watch]:
        """Wait until every client has logged in with the new value, and return what they saw."""
        return [pipe.recv() for pipe in self._pipes]

    def close(self) -> None:
        """End them."""
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
            pipe.close()


def _run(pipe: Connection, port: int, administrator: Mapping[str, str]) -> None:
    prepare_this_process()
    reader = _Reader(port, administrator)
    while (row := pipe.recv()) is not None:
        pipe.send(_watch(pipe, reader, row))


def _watch(pipe: Connection, reader: _Reader, row: Row) -> Watch:
    watch = Watch()
    old, _ = reader.read(row.secret)
    logins, deadline = 0, time.time() + _DEADLINE_SECONDS
    is_watching = False
    while logins < _LOGINS_WITH_THE_NEW_VALUE and time.time() < deadline:
        version_id, value = reader.read(row.secret)
        watch.reads += 1
        if version_id != old and watch.new_value_at is None:
            watch.new_value_at = time.time()
        began_at = time.time()
        reason = _refusal(row.engine, value)
        if reason is not None:
            watch.failed += 1
            watch.reasons.add(reason)
            watch.first_refused_at = watch.first_refused_at or began_at
            watch.last_refused_at = time.time()
        elif version_id == old:
            watch.last_accepted_at = began_at
            if not is_watching:
                pipe.send("watching")
                is_watching = True
        else:
            logins += 1
    watch.is_over = logins == _LOGINS_WITH_THE_NEW_VALUE
    return watch


class _Reader:
    """GetSecretValue as boto3 sends it, signed by botocore."""

    def __init__(self, port: int, administrator: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection(_HOST, port)
        self._url = f"http://{_HOST}:{port}/"
        key = Credentials(administrator["access_key_id"], administrator["secret_access_key"])
        self._signer = SigV4Auth(key, "secretsmanager", administrator["region"])
        self._signed: dict[str, tuple[float, bytes, dict[str, str]]] = {}

    def read(self, secret: str) -> tuple[str, Any]:
        """Return version and value of a secret.

        Raises:
            KeyturnError: Keyturn does not give it.
        """
        _, body, headers = self._request(secret)
        self._connection.request("POST", "/", body, headers)
        reply = self._connection.getresponse()
        content = reply.read()
        if reply.status != http.client.OK:
            raise KeyturnError(f"Keyturn answers {reply.status} to a read of {secret}.")
        answer = json.loads(content)
        return answer["VersionId"], json.loads(answer["SecretString"])

    def _request(self, secret: str) -> tuple[float, bytes, dict[str, str]]:
        now = time.monotonic()
        known = self._signed.get(secret)
        if known is None or known[0] < now - _SIGN_ANEW_SECONDS:
            body = json.dumps({"SecretId": secret}).encode()
            headers = {
                "X-Amz-Target": "secretsmanager.GetSecretValue",
                "Content-Type": "application/x-amz-json-1.1",
            }
            request = AWSRequest("POST", self._url, data=body, headers=headers)
            self._signer.add_auth(request)
            self._signed[secret] = known = (now, body, dict(request.headers))
        return known


def _refusal(engine: str, value: Mapping[str, Any]) -> str | None:
    """Log in and out; return why the database refuses it, or None."""
    try:
        if engine == "postgresql":
            psycopg.connect(
                host=value["host"],
                port=value["port"],
                user=value["username"],
                password=value["password"],
                dbname=value["dbname"],
                sslmode="disable",
            ).close()
        else:
            pymysql.connect(
                host=value["host"],
                port=value["port"],
                user=value["username"],
                password=value["password"],
                ssl_disabled=True,
            ).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return "password authentication failed"
    except pymysql.err.OperationalError as error:
        if error.args[0] != _ACCESS_DENIED:
            raise
        return "access denied"
    return None
