"""A server that speaks as much of Redshift's protocol as a rotation function hears: PostgreSQL's version 3 with
Redshift's way to ask for a password, stored forms, transactions, and users.

It knows no SQL beyond CREATE USER and ALTER USER … PASSWORD; what else is asked a test answers. What it hears outside
of TLS it keeps.

Source: PostgreSQL documentation, "Frontend/Backend Protocol"; AWS's driver redshift_connector (method 13).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .scripted_server import ScriptedServer

CLEAR, MD5, DIGEST, IDENTITY_PROVIDER = 3, 5, 13, 14
VERSION = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2, Redshift 1.0.76230"
_SSL_REQUEST = 80877103
# Numbers of types, by the columns that are not text.
_TEXT, _BOOL, _INT = 25, 16, 23
_TYPES = {"admin_option": _BOOL, "createdb": _BOOL, "superuser": _BOOL, "session_timeout": _INT}

Row = Sequence[str | bool | int | None]


@dataclass(frozen=True)
class Error:
    """What the server says instead of rows."""

    code: str
    text: str


Answer = Sequence[Row] | Error


@dataclass
class RedshiftServer(ScriptedServer):
    """Serves until it is closed.

    Attributes:
        stored: What is stored for each user's password.
        answer: Rows for a statement and its parameters.
        salt_is_written: Whether a salt is stored and sent as it was written, not as its bytes.
        takes_digests: Whether a login with a stored SHA-256 form succeeds.
        method: How it asks; None: as the stored form needs.
        refusal: What it says instead of asking.
        certificate: A folder with server.crt and server.key; None: there is no TLS.
        clear: What it has heard outside of TLS.
        statements: What it was told, in order, with parameters.
    """

    stored: dict[str, str]
    answer: Callable[[str, Mapping[str, str]], Answer] = lambda *_: []
    salt_is_written: bool = False
    takes_digests: bool = True
    method: int | None = None
    refusal: Error | None = None
    certificate: Path | None = None
    version: str = VERSION
    clear: bytearray = field(default_factory=bytearray)
    statements: list[str] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def _serve(self, opened: socket.socket) -> None:
        with contextlib.ExitStack() as closing, contextlib.suppress(OSError, EOFError):
            closing.enter_context(opened)
            stream = _Stream(opened, self.clear)
            startup = stream.startup()
            if startup[:4] == struct.pack("!i", _SSL_REQUEST):
                opened.sendall(b"S" if self.certificate else b"N")
                if self.certificate:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(self.certificate / "server.crt", self.certificate / "server.key")
                    encrypted = closing.enter_context(context.wrap_socket(opened, server_side=True))
                    stream = _Stream(encrypted, bytearray())
                startup = stream.startup()
            words = startup[4:].split(b"\0")
            user = dict(zip(words[::2], words[1::2], strict=False))[b"user"].decode()
            if error := self.refusal or self._authenticate(stream, user):
                stream.send(b"E", _error(error))
                return
            stream.send(b"R", struct.pack("!i", 0))
            stream.send(b"S", b"client_encoding\0UNICODE\0")
            stream.send(b"Z", b"I")
            self._talk(stream)

    def _authenticate(self, stream: _Stream, user: str) -> Error | None:
        stored = self.stored.get(user, "md5" + "0" * 32)
        method = self.method or (DIGEST if stored.startswith("sha256|") else MD5)
        self.asked.append(method)
        accepted = False
        if method == MD5:
            nonce = secrets.token_bytes(4)
            stream.send(b"R", struct.pack("!i", MD5) + nonce)
            said = stream.receive()[1]
            accepted = said == b"md5" + hashlib.md5(stored[3:].encode() + nonce).hexdigest().encode() + b"\0"
        elif method == DIGEST:
            accepted = self._digest(stream, stored) and self.takes_digests
        else:
            stream.send(b"R", struct.pack("!i", method))
            stream.receive()
        return None if accepted else Error("28000", f'password authentication failed for user "{user}"')

    def _digest(self, stream: _Stream, stored: str) -> bool:
        _, digest, written = stored.split("|")
        salt, nonce = written.encode() if self.salt_is_written else bytes.fromhex(written), secrets.token_bytes(16)
        parts = (struct.pack("!i", len(part)) + part for part in (salt, nonce))
        stream.send(b"R", struct.pack("!ii", DIGEST, 0) + b"".join(parts))
        kind, said = stream.receive()
        proof, client_nonce = said[4:36], said[40:]
        assert kind == b"d"
        assert client_nonce.isdigit()
        return proof == hashlib.sha256(bytes.fromhex(digest) + nonce + client_nonce).digest()

    def _talk(self, stream: _Stream) -> None:
        session = _Session(self)
        statement = ""
        while True:
            kind, data = stream.receive()
            if kind == b"Q":
                self._reply(stream, session, data[:-1].decode(), {})
                stream.send(b"Z", b"I")
            elif kind == b"P":
                statement = data[1 : data.index(b"\0", 1)].decode()
                stream.send(b"1", b"")
            elif kind == b"D":
                stream.send(b"t", struct.pack("!h", 0))
                stream.send(b"T", _columns(statement.split(" FROM ")[0].removeprefix("SELECT ").split(", ")))
            elif kind == b"B":
                stream.send(b"2", b"")
                self._reply(stream, session, statement, _bound(data), described=True)
            elif kind == b"S":
                stream.send(b"Z", b"I")

    def _reply(
        self, stream: _Stream, session: _Session, statement: str, parameters: Mapping[str, str], *,
        described: bool = False,
    ) -> None:  # fmt: skip
        self.statements.append(statement + "".join(f" {name}={value}" for name, value in parameters.items()))
        answer = [[self.version]] if statement == "SELECT version()" else session.run(statement, parameters)
        if isinstance(answer, Error):
            stream.send(b"E", _error(answer))
            return
        if answer and not described:
            stream.send(b"T", _columns(["text"] * len(answer[0])))
        for row in answer:
            stream.send(b"D", struct.pack("!h", len(row)) + b"".join(map(_value, row)))
        stream.send(b"C", b"SELECT\0")


class _Session:
    """One connection's transaction: what it stores is seen by others when it is committed."""

    def __init__(self, server: RedshiftServer) -> None:
        self._server = server
        self._changes: dict[str, str] | None = None

    def run(self, statement: str, parameters: Mapping[str, str]) -> Answer:
        if statement == "BEGIN":
            self._changes = {}
        elif statement == "COMMIT":
            self._server.stored.update(self._changes or {})
            self._changes = None
        elif statement == "ROLLBACK":
            self._changes = None
        elif found := re.match(r'(?:CREATE|ALTER) USER "([^"]+)" PASSWORD \'([^\']+)\'', statement):
            answer = self._server.answer(statement, parameters)
            if not isinstance(answer, Error):
                assert self._changes is not None, "outside of a transaction"
                self._changes[found[1]] = found[2]
            return answer
        else:
            return self._server.answer(statement, parameters)
        return []


class _Stream:
    def __init__(self, opened: socket.socket, heard: bytearray) -> None:
        self._opened, self._heard = opened, heard

    def startup(self) -> bytes:
        return self._exactly(int.from_bytes(self._exactly(4), "big") - 4)

    def receive(self) -> tuple[bytes, bytes]:
        kind = self._exactly(1)
        return kind, self._exactly(int.from_bytes(self._exactly(4), "big") - 4)

    def send(self, kind: bytes, content: bytes) -> None:
        self._opened.sendall(kind + struct.pack("!i", len(content) + 4) + content)

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self._opened.recv(size - len(found))
            if not more:
                raise EOFError
            self._heard += more
            found += more
        return found


def _error(error: Error) -> bytes:
    return f"SERROR\0C{error.code}\0M{error.text}\0\0".encode()


def _columns(names: Sequence[str]) -> bytes:
    described = b"".join(b"c\0" + struct.pack("!ihihih", 0, 0, _TYPES.get(name, _TEXT), 0, 0, 0) for name in names)
    return struct.pack("!h", len(names)) + described


def _value(value: str | bool | int | None) -> bytes:
    if value is None:
        return struct.pack("!i", -1)
    text = ("t" if value else "f") if isinstance(value, bool) else str(value)
    return struct.pack("!i", len(text.encode())) + text.encode()


def _bound(data: bytes) -> dict[str, str]:
    """Return the parameters of a Bind message: two names, the formats, then each value behind its length."""
    at = data.index(b"\0", data.index(b"\0") + 1) + 1
    (formats,) = struct.unpack_from("!h", data, at)
    at += 2 + 2 * formats
    (count,) = struct.unpack_from("!h", data, at)
    at += 2
    found = {}
    for number in range(1, count + 1):
        (length,) = struct.unpack_from("!i", data, at)
        found[f"${number}"] = data[at + 4 : at + 4 + length].decode()
        at += 4 + length
    return found
