"""Where sinks deliver to in tests: a file, and syslog receivers that read what RFC 5424, 5425 and 6587 say."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keyturn.rules.audit_line import parse_line
from keyturn.rules.audit_record import ChainedRecord

DEADLINE_SECONDS = 20
MESSAGE = re.compile(
    rb"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<host>\S+) keyturn (?P<process>\d+) (?P<id>\S+) - (?P<json>\{.*\})",
    re.DOTALL,
)


class Receiver(Protocol):
    """One end of a sink."""

    url: str

    def start(self) -> None:
        """Begin to receive, or go on at the same place."""

    def stop(self) -> None:
        """Be out of reach."""

    def records(self) -> list[ChainedRecord]:
        """What has come so far, in the order of coming."""

    def raw(self) -> bytes:
        """Likewise, as it came."""


class FileReceiver:
    """A file; it cannot be written while its directory is away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "logs"
        self._directory.mkdir()
        self.path = self._directory / "audit.jsonl"
        self.url = f"json-lines:{self.path}"
        self._away = self._directory.with_name("away")

    def start(self) -> None:
        if self._away.exists():
            self._away.rename(self._directory)

    def stop(self) -> None:
        if self._directory.exists():
            self._directory.rename(self._away)

    def records(self) -> list[ChainedRecord]:
        return [parse_line(line) for line in self.raw().splitlines()]

    def raw(self) -> bytes:
        return self.path.read_bytes()


class _Syslog:
    """What syslog receivers share."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.arrived = threading.Condition()
        self._thread: threading.Thread | None = None

    def records(self) -> list[ChainedRecord]:
        found = []
        for message in self.messages:
            match = MESSAGE.fullmatch(message)
            assert match, message
            found.append(parse_line(match["json"]))
        return found

    def raw(self) -> bytes:
        return b"\n".join(self.messages)

    def take(self, message: bytes) -> None:
        with self.arrived:
            self.messages.append(message)
            self.arrived.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until so many messages have come: a datagram is read some time after it was sent."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.messages) >= count, DEADLINE_SECONDS), len(self.messages)

    def run(self, serve: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join(DEADLINE_SECONDS)
            self._thread = None


class DatagramReceiver(_Syslog):
    """UDP on loopback, or a local socket."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._path = path
        self._socket: socket.socket | None = None
        self._address: tuple[str, int] = ("127.0.0.1", 0)
        self.start()
        self.url = f"syslog+unix:{path}" if path else f"syslog+udp://127.0.0.1:{self._address[1]}"

    def start(self) -> None:
        if self._socket is not None:
            return
        self._socket = opened = socket.socket(socket.AF_UNIX if self._path else socket.AF_INET, socket.SOCK_DGRAM)
        if self._path:
            self._path.unlink(missing_ok=True)
            opened.bind(str(self._path))
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            opened.bind(self._address)
            self._address = opened.getsockname()
        opened.settimeout(0.05)
        self.run(lambda: self._serve(opened))

    def _serve(self, opened: socket.socket) -> None:
        while self._socket is opened:
            with suppress(TimeoutError):
                self.take(opened.recv(1 << 17))

    def stop(self) -> None:
        opened, self._socket = self._socket, None
        self.join()
        if opened is not None:
            opened.close()
        if self._path:
            self._path.unlink(missing_ok=True)


class StreamReceiver(_Syslog):
    """TCP on loopback, or TLS, with counted messages."""

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__()
        self._context: ssl.SSLContext | None = None
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._port = 0
        if directory is not None:
            certificate = make_certificate(directory)
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self.start()
        scheme, query = ("tls", f"?ca={certificate}") if directory else ("tcp", "")
        self.url = f"syslog+{scheme}://127.0.0.1:{self._port}{query}"

    def start(self) -> None:
        if self._listener is not None:
            return
        self._listener = listener = socket.create_server(("127.0.0.1", self._port), reuse_port=False)
        self._port = listener.getsockname()[1]
        listener.settimeout(0.05)
        self.run(lambda: self._serve(listener))

    def _serve(self, listener: socket.socket) -> None:
        readers = []
        while self._listener is listener:
            with suppress(TimeoutError, ssl.SSLError, ConnectionError):
                connection, _ = listener.accept()
                connection.settimeout(DEADLINE_SECONDS)
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                self._connections.append(connection)
                reader = threading.Thread(target=self._read, args=(connection,), daemon=True)
                reader.start()
                readers.append(reader)
        for reader in readers:
            reader.join(DEADLINE_SECONDS)

    def _read(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            while length := _counted(stream.read):
                message = stream.read(length)
                if len(message) == length:
                    self.take(message)

    def stop(self) -> None:
        listener, self._listener = self._listener, None
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()
        self.join()
        if listener is not None:
            listener.close()


def _counted(read: Callable[[int], bytes]) -> int:
    """Read the length of a message and the blank behind it; 0 at the end."""
    digits = b""
    while (byte := read(1)).isdigit():
        digits += byte
    return int(digits) if byte == b" " else 0


def make_certificate(directory: Path) -> Path:
    """Make a certificate for 127.0.0.1 that vouches for itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "syslog receiver")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "receiver.pem"
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(encoded + certificate.public_bytes(serialization.Encoding.PEM))
    return path


RECEIVERS: dict[str, Callable[[Path], Receiver]] = {
    "json-lines": FileReceiver,
    "syslog+udp": lambda _: DatagramReceiver(),
    "syslog+unix": lambda directory: DatagramReceiver(directory / "log"),
    "syslog+tcp": lambda _: StreamReceiver(),
    "syslog+tls": StreamReceiver,
}


@contextmanager
def receiving(kind: str, directory: Path) -> Iterator[Receiver]:
    """A receiver, until the block is left."""
    receiver = RECEIVERS[kind](directory)
    try:
        yield receiver
    finally:
        receiver.stop()
