"""A stand-in for a MongoDB server, for tests: as much of it as the driver and a rotation function talk to.

It is no MongoDB. It answers over a real socket, with or without TLS, in the driver's own encoding: who is the primary,
SCRAM logins, and the commands about users, with the rights and error codes of MongoDB's manual. Users are documents as
``usersInfo`` shows them. ``with MongodbServer.start() as server:``.

Source: MongoDB documentation, "MongoDB Wire Protocol", "Authentication" of the driver specifications (SCRAM), "User
Management Commands"; RFC 5802, RFC 7677.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import shutil
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from .private_server import HOST, Owner, write_certificate

SUPERUSER = "root"

_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
# What TLS begins with. MongoDB recognises it and hangs up if it has no TLS.
_CLIENT_HELLO = b"\x16\x03"
_ITERATIONS = 4096
_OWN_PASSWORD = {"role": "changeOwnPassword", "db": "admin"}
_ROOT = {"role": "root", "db": "admin"}
_BOTH = ("SCRAM-SHA-1", "SCRAM-SHA-256")
Document = dict[str, Any]


class Refusal(Exception):
    """What the server answers instead of doing it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.document: Document = {"ok": 0.0, "errmsg": message, "code": code}


@dataclass
class MongodbServer:
    """A listening stand-in; its fields can be changed while it runs.

    Attributes:
        directory: Holds the certificate.
        port: On the loopback interface.
        hello: What the server says of itself; None takes away what every server says.
        fails: Answers by command, in place of what the command does.
        commands: Every command but the driver's own talk, in order, with the user who sent it.
        users: By database and name; with a password beside what ``usersInfo`` shows.
    """

    directory: Path
    port: int = 0
    superuser_password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    hello: Document = field(default_factory=dict)
    fails: dict[str, Document] = field(default_factory=dict)
    commands: list[tuple[str | None, Document]] = field(default_factory=list)
    users: dict[tuple[str, str], Document] = field(default_factory=dict)

    @classmethod
    def start(cls, *, tls: bool = True, **more: Any) -> Self:
        """Listen on a free port.

        Args:
            tls: Take TLS connections only, with a new self-signed certificate for ``localhost``; else plain ones only.
            more: Further attributes.
        """
        server = cls(Path(tempfile.mkdtemp(prefix="keyturn-mongodb-")), **more)
        context = None
        if tls:
            write_certificate(Owner(None), server.directory)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(server.directory / "server.crt", server.directory / "server.key")
        server.add_user(SUPERUSER, server.superuser_password, [_ROOT])
        server._listener = _Listener(server, context)
        server.port = server._listener.server_address[1]
        threading.Thread(target=server._listener.serve_forever, args=(0.02,), daemon=True).start()
        return server

    @property
    def certificate_path(self) -> Path:
        """The self-signed certificate, if the server was started with TLS."""
        return self.directory / "server.crt"

    def add_user(
        self, username: str, password: str, roles: list[Document], database: str = "admin", **more: Any
    ) -> None:
        """Make a user."""
        self.users[database, username] = {
            "_id": f"{database}.{username}", "user": username, "db": database, "roles": roles,
            "mechanisms": list(_BOTH), **more, "password": password,
        }  # fmt: skip

    def create_user(self, username: str, password: str) -> None:
        """Create a user who may change its own password and has no other right."""
        self.add_user(username, password, [_OWN_PASSWORD])

    def secret_value(self, username: str, password: str) -> dict[str, object]:
        """Return the JSON of a secret for this user, as AWS's rotation functions want it."""
        return {"engine": "mongo", "host": HOST, "port": self.port, "username": username, "password": password}

    def superuser_value(self) -> dict[str, object]:
        """Return the JSON of a superuser secret for this server."""
        return self.secret_value(SUPERUSER, self.superuser_password)

    def accepts(self, username: str, password: str, database: str = "admin") -> bool:
        """Tell whether this is the user's password."""
        user = self.users.get((database, username))
        return user is not None and user["password"] == password

    def stop(self) -> None:
        """Stop listening and remove the certificate."""
        self._listener.shutdown()
        self._listener.server_close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    _listener: _Listener = field(init=False, repr=False)


class _Listener(socketserver.ThreadingTCPServer):
    """Takes connections, each in a thread of its own."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, server: MongodbServer, context: ssl.SSLContext | None) -> None:
        super().__init__((HOST, 0), _Session)
        self.stand_in = server
        self.context = context

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients of tests break off as they please."""


class _Session(socketserver.BaseRequestHandler):
    """One connection: messages in and out, and who has logged in on it."""

    request: socket.socket
    server: _Listener

    def handle(self) -> None:
        """Answer until the client is gone."""
        self._users = _Users(self.server.stand_in)
        opened = self.request
        with contextlib.suppress(OSError):
            if self.server.context:
                opened = self.server.context.wrap_socket(self.request, server_side=True)
            with opened:
                while header := _received(opened, 16):
                    length, request_id, _, operation = struct.unpack("<iiii", header)
                    if header.startswith(_CLIENT_HELLO):
                        return
                    answer = self._answer(operation, _received(opened, length - 16))
                    if answer is None:
                        return
                    kind, body = answer
                    opened.sendall(struct.pack("<iiii", 16 + len(body), 0, request_id, kind) + body)

    def _answer(self, operation: int, message: bytes) -> tuple[int, bytes] | None:
        import bson  # noqa: PLC0415 - the driver's, which an installation may lack

        if operation not in (_OP_QUERY, _OP_MSG):
            return None
        if operation == _OP_QUERY:
            # flags, collection with a zero byte, two numbers, document
            document = bson.decode(message[message.index(b"\0", 4) + 9 :])
            body = bson.encode(self._users.answer(document, "admin"))
            return _OP_REPLY, struct.pack("<iqii", 0, 0, 0, 1) + body
        document = bson.decode(message[5:])
        return _OP_MSG, struct.pack("<iB", 0, 0) + bson.encode(self._users.answer(document, document["$db"]))


def _received(opened: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        part = opened.recv(length - len(found))
        if not part:
            return b""
        found += part
    return found


class _Users:
    """What one connection may do to users."""

    def __init__(self, server: MongodbServer) -> None:
        self._server = server
        self._login: Document | None = None
        self._conversation: _Scram | None = None

    def answer(self, document: Document, database: str) -> Document:
        """Run one command."""
        name = next(iter(document))
        if name.lower() in ("hello", "ismaster"):
            return self._hello(document)
        if not name.startswith("sasl") and name != "endSessions":
            self._server.commands.append((self._login["user"] if self._login else None, document))
        if name in self._server.fails:
            return self._server.fails[name]
        try:
            return {**getattr(self, f"_{name}", self._unknown)(document, database), "ok": 1.0}
        except Refusal as refusal:
            return refusal.document

    def _hello(self, document: Document) -> Document:
        answer: Document = {
            "helloOk": True, "ismaster": True, "isWritablePrimary": True, "minWireVersion": 0, "maxWireVersion": 21,
            "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "ok": 1.0,
        }  # fmt: skip
        if asked := document.get("saslSupportedMechs"):
            database, _, username = asked.partition(".")
            if user := self._server.users.get((database, username)):
                answer["saslSupportedMechs"] = user["mechanisms"]
        return {name: value for name, value in (answer | self._server.hello).items() if value is not None}

    def _unknown(self, document: Document, database: str) -> Document:  # noqa: ARG002 - a command's
        raise Refusal(59, f"no such command: '{next(iter(document))}'")

    def _endSessions(self, document: Document, database: str) -> Document:  # noqa: ARG002, N802 - a command's
        return {}

    def _ping(self, document: Document, database: str) -> Document:  # noqa: ARG002 - a command's
        return {}

    def _saslStart(self, document: Document, database: str) -> Document:  # noqa: N802 - a command's
        mechanism = document["mechanism"]
        username, nonce, first = _client_first(document["payload"])
        user = self._server.users.get((database, username))
        if user is None or mechanism not in user["mechanisms"]:
            raise Refusal(18, "Authentication failed.")
        self._conversation = _Scram(mechanism, user, nonce, first)
        return {"conversationId": 1, "done": False, "payload": self._conversation.challenge}

    def _saslContinue(self, document: Document, database: str) -> Document:  # noqa: ARG002, N802 - a command's
        conversation, self._conversation = self._conversation, None
        if conversation is None:
            raise Refusal(17, "No SASL session state found")
        signature = conversation.signature(document["payload"])
        if signature is None:
            raise Refusal(18, "Authentication failed.")
        self._login = conversation.user
        return {"conversationId": 1, "done": True, "payload": signature}

    def _usersInfo(self, document: Document, database: str) -> Document:  # noqa: N802 - a command's
        asked = document["usersInfo"]
        key = (asked["db"], asked["user"]) if isinstance(asked, dict) else (database, asked)
        self._require(self._is_superuser() or (self._is_own(key) and len(document) == 1 + _talk(document)), document)
        found = self._server.users.get(key)
        return {"users": [_shown(found, document)] if found else []}

    def _createUser(self, document: Document, database: str) -> Document:  # noqa: N802 - a command's
        self._require(self._is_superuser(), document)
        key = (database, document["createUser"])
        if key in self._server.users:
            raise Refusal(51003, f'User "{key[1]}@{key[0]}" already exists')
        more = {name: document[name] for name in ("customData", "authenticationRestrictions") if name in document}
        mechanisms = document.get("mechanisms", list(_BOTH))
        self._server.add_user(key[1], document["pwd"], document["roles"], database, mechanisms=mechanisms, **more)
        return {}

    def _updateUser(self, document: Document, database: str) -> Document:  # noqa: N802 - a command's
        key = (database, document["updateUser"])
        is_own_password = self._is_own(key) and not {"roles", "customData"} & set(document)
        may = _OWN_PASSWORD in self._login["roles"] if self._login and is_own_password else False
        self._require(self._is_superuser() or may, document)
        if (user := self._server.users.get(key)) is None:
            raise Refusal(11, f'User "{key[1]}@{key[0]}" not found')
        user["mechanisms"] = document.get("mechanisms", list(_BOTH))
        user["password"] = document["pwd"]
        for name in ("roles", "customData", "authenticationRestrictions"):
            if name in document:
                user[name] = document[name]
        return {}

    def _is_superuser(self) -> bool:
        return self._login is not None and _ROOT in self._login["roles"]

    def _is_own(self, key: tuple[str, str]) -> bool:
        return self._login is not None and (self._login["db"], self._login["user"]) == key

    def _require(self, allowed: bool, document: Document) -> None:  # noqa: FBT001 - a condition
        if not allowed:
            # MongoDB's text repeats the command; whether a password in it is struck out is the server's affair.
            raise Refusal(13, f"not authorized on admin to execute command {document}")


def _talk(document: Document) -> int:
    """Return how many members of a command are the driver's own."""
    return len([name for name in document if name in ("$db", "lsid", "$readPreference", "$clusterTime")])


def _shown(user: Document, document: Document) -> Document:
    hidden = {"password"} | (
        set() if document.get("showAuthenticationRestrictions") else {"authenticationRestrictions"}
    )
    return {name: value for name, value in user.items() if name not in hidden}


def _client_first(payload: bytes) -> tuple[str, str, str]:
    """Return user, nonce and the bare message of SCRAM's first word."""
    bare = payload.decode().removeprefix("n,,")
    parts = dict(part.split("=", 1) for part in bare.split(","))
    return parts["n"].replace("=2C", ",").replace("=3D", "="), parts["r"], bare


class _Scram:
    """The server's side of one SCRAM login."""

    def __init__(self, mechanism: str, user: Mapping[str, Any], nonce: str, first: str) -> None:
        from pymongo.saslprep import saslprep  # noqa: PLC0415 - the driver's, which an installation may lack

        self.user = cast("Document", user)
        self._hash = "sha256" if mechanism == "SCRAM-SHA-256" else "sha1"
        password = user["password"]
        if self._hash == "sha1":
            password = hashlib.md5(f"{user['user']}:mongo:{password}".encode(), usedforsecurity=False).hexdigest()
        else:
            password = saslprep(password)
        salt = secrets.token_bytes(16)
        self._salted = hashlib.pbkdf2_hmac(self._hash, password.encode(), salt, _ITERATIONS)
        self._nonce = nonce + secrets.token_hex(12)
        self.challenge = f"r={self._nonce},s={base64.b64encode(salt).decode()},i={_ITERATIONS}".encode()
        self._first = first

    def signature(self, payload: bytes) -> bytes | None:
        """Return the server's signature for the client's proof; None if that is wrong."""
        without_proof, _, proof = payload.decode().rpartition(",p=")
        if without_proof != f"c=biws,r={self._nonce}":
            return None
        message = b",".join((self._first.encode(), self.challenge, without_proof.encode()))
        client_key = self._mac(self._salted, b"Client Key")
        stored_key = hashlib.new(self._hash, client_key).digest()
        signed = bytes(a ^ b for a, b in zip(client_key, self._mac(stored_key, message), strict=True))
        if not hmac.compare_digest(signed, base64.b64decode(proof)):
            return None
        return b"v=" + base64.b64encode(self._mac(self._mac(self._salted, b"Server Key"), message))

    def _mac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self._hash)
