"""A server that speaks as much TDS as a rotation function hears: PRELOGIN, TLS inside it, LOGIN7, batches, answers.

It knows no SQL: a test says what each batch is answered. It keeps what it has heard, outside of TLS and inside.

Source: MS-TDS, "Packet Data Token and Tokenless Data Streams".
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .scripted_server import ScriptedServer

BATCH, REPLY, LOGIN7, PRELOGIN = 0x01, 0x04, 0x10, 0x12
OFF, ON, NOT_SUPPORTED, REQUIRED = range(4)
_HEADER = struct.Struct(">BBHHBx")
_PACKET = 4096
_COLLATION = bytes.fromhex("0904d00034")
_NVARCHAR, _INTN = 0xE7, 0x26
_MORE, _FAILED, _COUNT = 0x01, 0x02, 0x10


@dataclass(frozen=True)
class Error:
    """What a server says instead of a result."""

    number: int
    text: str
    severity: int = 16


Rows = Sequence[Sequence[str | int | None]]
Answer = Sequence[Rows | Error]


@dataclass
class TdsServer(ScriptedServer):
    """Serves until it is closed.

    Attributes:
        answer: What a batch is answered: result sets, and errors at the end. None: silence.
        admit: Errors for a login by user, password and database; none lets it in.
        encryption: What PRELOGIN says.
        certificate: A folder with server.crt and server.key; None: what follows is not TLS.
        redirect: Where a login is sent.
        clear: What it has heard outside of TLS.
        batches: The text of each.
    """

    answer: Callable[[str], Answer | None] = lambda _: []
    admit: Callable[[str, str, str], Sequence[Error]] = lambda *_: []
    encryption: int = ON
    certificate: Path | None = None
    redirect: tuple[str, int] | None = None
    clear: bytearray = field(default_factory=bytearray)
    batches: list[str] = field(default_factory=list)
    logins: list[tuple[str, str, str]] = field(default_factory=list)

    def _serve(self, opened: socket.socket) -> None:
        with opened, contextlib.suppress(OSError, EOFError):
            clear = _Stream(lambda: self._heard(opened.recv(65536)), opened.sendall)
            clear.receive()
            # VERSION and ENCRYPTION.
            clear.send(REPLY, bytes.fromhex("00000b0006 0100110001 ff 100007d00000") + bytes([self.encryption]))
            if self.certificate is None:
                clear.receive()
                return
            encrypted = self._start_tls(clear, opened)
            kind, login = encrypted.receive()
            assert kind == LOGIN7
            if self._log_in(encrypted, login):
                self._talk(encrypted)

    def _heard(self, received: bytes) -> bytes:
        self.clear += received
        return received

    def _start_tls(self, clear: _Stream, opened: socket.socket) -> _Stream:
        assert self.certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate / "server.crt", self.certificate / "server.key")
        # As SQL Server, which speaks TLS 1.3 only around TDS 8.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                if flight := outgoing.read():
                    clear.send(PRELOGIN, flight)
                incoming.write(clear.receive()[1])
            else:
                break
        if flight := outgoing.read():
            clear.send(PRELOGIN, flight)

        def receive() -> bytes:
            while True:
                try:
                    return tls.read(65536)
                except ssl.SSLWantReadError:
                    incoming.write(opened.recv(65536) or _end())

        def send(data: bytes) -> None:
            tls.write(data)
            opened.sendall(outgoing.read())

        return _Stream(receive, send)

    def _log_in(self, stream: _Stream, login: bytes) -> bool:
        user, password, database = (_text(login, at, masked=at == 44) for at in (40, 44, 68))
        self.logins.append((user, password, database))
        errors = self.admit(user, password, database)
        if errors:
            stream.send(REPLY, b"".join(map(_error, errors)) + _done(_FAILED))
            return False
        name = "Microsoft SQL Server"
        acknowledgement = b"\1" + bytes.fromhex("74000004") + _short(name) + bytes.fromhex("100007d0")
        size = b"\4" + _short("4096") + _short("4096")
        tokens = [b"\xe3" + _sized(size), b"\xad" + _sized(acknowledgement)]
        if self.redirect:
            host, port = self.redirect
            where = struct.pack("<BHH", 0, port, len(host)) + host.encode("utf-16-le")
            tokens.append(b"\xe3" + _sized(b"\x14" + _sized(where) + bytes(2)))
        stream.send(REPLY, b"".join(tokens) + _done(0))
        return True

    def _talk(self, stream: _Stream) -> None:
        while True:
            kind, data = stream.receive()
            if kind != BATCH:
                continue
            batch = data[int.from_bytes(data[:4], "little") :].decode("utf-16-le")
            self.batches.append(batch)
            answer = self.answer(batch)
            if answer is not None:
                stream.send(REPLY, b"".join(_result(each) for each in answer) + _end_of(answer))


class _Stream:
    """Packets of a connection."""

    def __init__(self, receive: Callable[[], bytes], send: Callable[[bytes], None]) -> None:
        self._receive, self._send, self._held = receive, send, b""

    def receive(self) -> tuple[int, bytes]:
        """Return kind and content of one message."""
        content = b""
        while True:
            kind, status, length, _, _ = _HEADER.unpack(self._exactly(_HEADER.size))
            content += self._exactly(length - _HEADER.size)
            if status & 1:
                return kind, content

    def send(self, kind: int, content: bytes) -> None:
        most = _PACKET - _HEADER.size
        parts = [content[at : at + most] for at in range(0, len(content), most)]
        for number, part in enumerate(parts, 1):
            self._send(_HEADER.pack(kind, number == len(parts), _HEADER.size + len(part), 0, 0) + part)

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._held += self._receive() or _end()
        found, self._held = self._held[:size], self._held[size:]
        return found


def _end() -> bytes:
    raise EOFError


def _text(login: bytes, at: int, *, masked: bool) -> str:
    offset, length = struct.unpack_from("<HH", login, at)
    found = login[offset : offset + 2 * length]
    if masked:
        found = bytes((byte ^ 0xA5) << 4 & 0xF0 | (byte ^ 0xA5) >> 4 for byte in found)
    return found.decode("utf-16-le")


def _sized(content: bytes) -> bytes:
    return struct.pack("<H", len(content)) + content


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def _long(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")


def _error(error: Error) -> bytes:
    content = struct.pack("<iBB", error.number, 1, error.severity) + _long(error.text) + _short("db") + _short("")
    return b"\xaa" + _sized(content + struct.pack("<i", 1))


def _done(status: int, rows: int = 0) -> bytes:
    return b"\xfd" + struct.pack("<HHQ", status, 0, rows)


def _end_of(answer: Answer) -> bytes:
    return _done(_FAILED if any(isinstance(each, Error) for each in answer) else 0)


def _result(answer: Rows | Error) -> bytes:
    if isinstance(answer, Error):
        return _error(answer)
    if not answer:
        return b""
    kinds = [_INTN if any(isinstance(row[at], int) for row in answer) else _NVARCHAR for at in range(len(answer[0]))]
    types = {_NVARCHAR: b"\xe7" + struct.pack("<H", 8000) + _COLLATION, _INTN: b"\x26\x04"}
    columns = b"".join(struct.pack("<IH", 0, 1) + types[kind] + b"\0" for kind in kinds)
    rows = b"".join(b"\xd1" + b"".join(map(_value, row, kinds)) for row in answer)
    return b"\x81" + struct.pack("<H", len(kinds)) + columns + rows + _done(_MORE | _COUNT, len(answer))


def _value(value: str | int | None, kind: int) -> bytes:
    if kind == _INTN:
        return b"\0" if value is None else b"\4" + struct.pack("<i", value)
    return b"\xff\xff" if value is None else _sized(str(value).encode("utf-16-le"))
