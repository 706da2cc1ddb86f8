"""What a MySQL server can make the function say while it logs in: a server that asks for more than it should.

It speaks the first part of MySQL's protocol as a script tells it to, and keeps everything that it hears.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.rotators.engines import base, mariadb, mysql
from keyturn.rotators.engines.mysql_family import hashes
from keyturn.testing.private_server import Owner, write_certificate

PASSWORD = "marked password"
NONCE = bytes(range(1, 21))
OK = b"\0\0\0\2\0\0\0"
ACCEPTED, WHOLE_PASSWORD = b"\1\3", b"\1\4"
# CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, CLIENT_PLUGIN_AUTH; and CLIENT_SSL.
FLAGS, TLS_FLAG = 0x88200, 0x800


class Script:
    """A server for one login.

    Args:
        favourite: The authentication method that its greeting names.
        packets: What it sends afterwards, each when it has heard something; nobody answers ACCEPTED.
        certificate: A folder with server.crt and server.key, to offer TLS.
    """

    def __init__(self, favourite: str, *packets: bytes, certificate: Path | None = None) -> None:
        self._favourite = favourite
        self._packets = packets
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._context and certificate:
            self._context.load_cert_chain(certificate / "server.crt", certificate / "server.key")
        self.heard: list[bytes] = []
        self._number = 0

    def serve(self, listener: socket.socket) -> None:
        opened, _ = listener.accept()
        with contextlib.suppress(OSError), opened:
            self._send(opened, self._greeting())
            if self._context:
                self._hear(opened)
                opened = self._context.wrap_socket(opened, server_side=True)
            with opened:
                self._hear(opened)
                for packet in self._packets:
                    self._send(opened, packet)
                    if packet != ACCEPTED:
                        self._hear(opened)

    def _greeting(self) -> bytes:
        flags = FLAGS | (TLS_FLAG if self._context else 0)
        low, high = flags & 0xFFFF, flags >> 16
        return (
            b"\x0a8.0.36\0" + struct.pack("<I", 7) + NONCE[:8] + b"\0" + struct.pack("<HBHHB", low, 45, 2, high, 21)
            + bytes(10) + NONCE[8:] + b"\0" + self._favourite.encode() + b"\0"
        )  # fmt: skip

    def _send(self, opened: socket.socket, packet: bytes) -> None:
        opened.sendall(struct.pack("<I", len(packet) | self._number << 24) + packet)
        self._number += 1

    def _hear(self, opened: socket.socket) -> None:
        with contextlib.suppress(OSError):
            header = opened.recv(4)
            if len(header) == 4:
                self._number = header[3] + 1
                # No more than the packet: behind it TLS may begin.
                self.heard.append(opened.recv(int.from_bytes(header[:3], "little")))


def switch_to(method: str) -> bytes:
    return b"\xfe" + method.encode() + b"\0" + NONCE + b"\0"


@contextlib.contextmanager
def running(script: Script) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=script.serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    write_certificate(Owner(None), folder)
    return folder


def log_in(
    engine: base.Engine, script: Script, *, ssl: bool | None = None, host: str = "127.0.0.1"
) -> base.DatabaseError:
    """Log in as far as the script goes, and return how it ended."""
    with running(script) as port, pytest.raises(base.DatabaseError) as caught:
        engine.connect(base.Login("app", PASSWORD, host, str(port), "", mode(ssl)))
    assert PASSWORD not in f"{caught.value} {caught.value!r}"
    return caught.value


def mode(ssl: bool | None) -> base.TlsMode:
    return {None: base.TlsMode.PREFERRED, True: base.TlsMode.REQUIRED, False: base.TlsMode.FORBIDDEN}[ssl]


ENGINES = [mysql.Engine(), mariadb.Engine()]


@pytest.mark.parametrize("switched", [False, True])
def test_a_server_that_remembers_the_user_gets_a_proof_and_not_the_password(switched: bool) -> None:
    packets = [switch_to("caching_sha2_password"), ACCEPTED] if switched else [ACCEPTED]
    script = Script("mysql_native_password" if switched else "caching_sha2_password", *packets, OK)
    # The server has nothing more to say than that the login succeeded.
    assert isinstance(log_in(mysql.Engine(), script), base.ConnectionLost)
    assert hashes.caching_sha2_answer(PASSWORD.encode(), NONCE) in b"".join(script.heard)
    assert b"SET NAMES" in script.heard[-1]
    assert PASSWORD.encode() not in b"".join(script.heard)


@pytest.mark.parametrize("method", ["caching_sha2_password", "sha256_password"])
def test_the_whole_password_is_for_tls_only(method: str, certificate: Path, caplog: pytest.LogCaptureFixture) -> None:
    packets = (WHOLE_PASSWORD,) if method == "caching_sha2_password" else (switch_to(method),)
    for ssl_ in (None, False):
        plain = Script(method, *packets, OK)
        error = log_in(mysql.Engine(), plain, ssl=ssl_)
        assert isinstance(error, base.AuthenticationMethodRefused)
        assert f"the whole password ({method}) over a connection that is not encrypted" in error.reason
        assert PASSWORD.encode() not in b"".join(plain.heard)
    assert "nobody vouches" not in caplog.text

    encrypted = Script(method, *packets, OK, certificate=certificate)
    assert isinstance(log_in(mysql.Engine(), encrypted), base.ConnectionLost)
    assert encrypted.heard[2] == PASSWORD.encode() + b"\0"
    assert "over TLS, but nobody vouches for its certificate" in caplog.text


def test_a_certificate_that_holds_is_enough(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "server.crt"))
    script = Script("caching_sha2_password", WHOLE_PASSWORD, OK, certificate=certificate)
    with caplog.at_level(logging.WARNING):
        assert isinstance(log_in(mysql.Engine(), script, ssl=True, host="localhost"), base.ConnectionLost)
    assert script.heard[2] == PASSWORD.encode() + b"\0"
    assert caplog.text == ""


@pytest.mark.parametrize("engine", ENGINES, ids=["mysql", "mariadb"])
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("method", ["mysql_clear_password", "dialog", "mysql_old_password", "never_heard_of"])
def test_a_method_that_shows_the_password_or_is_unknown_is_refused(
    engine: base.Engine, encrypted: bool, method: str, certificate: Path
) -> None:
    # As the server's favourite, and when it is asked for.
    script = Script(method, switch_to(method), OK, certificate=certificate if encrypted else None)
    error = log_in(engine, script)
    assert isinstance(error, base.AuthenticationMethodRefused)
    assert method in error.reason
    assert PASSWORD.encode() not in b"".join(script.heard)


@pytest.mark.parametrize("method", ["caching_sha2_password", "sha256_password"])
def test_mariadb_never_gets_the_whole_password(method: str, certificate: Path) -> None:
    script = Script(method, switch_to(method), WHOLE_PASSWORD, OK, certificate=certificate)
    assert isinstance(log_in(mariadb.Engine(), script), base.AuthenticationMethodRefused)
    assert PASSWORD.encode() not in b"".join(script.heard)


def test_forced_tls_refuses_a_server_without_it_before_it_says_anything() -> None:
    script = Script("caching_sha2_password", OK)
    error = log_in(mysql.Engine(), script, ssl=True)
    assert isinstance(error, base.TlsFailed)
    assert "SSL/TLS is not enabled on the host" in error.reason
    assert script.heard == []
