"""The way to a Db2 server with IBM's real driver: certificates and failures. No Db2 is at hand to log in to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyturn.rotators.engines import base, db2, network
from keyturn.rotators.engines.db2 import Engine
from keyturn.testing.private_server import HOST, Owner, free_port, write_certificate

pytest.importorskip("ibm_db", reason="IBM has a driver for Linux on x86_64 only")


@contextmanager
def tls_listener(directory: Path | None) -> Iterator[tuple[int, list[bytes]]]:
    """Shake hands if there is a certificate, listen to what comes first, and hang up."""
    heard: list[bytes] = []
    context = None
    if directory:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.crt", directory / "server.key")
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    opened, _ = listening.accept()
                    with opened, contextlib.suppress(OSError):
                        wrapped = context.wrap_socket(opened, server_side=True) if context else opened
                        with wrapped:
                            heard.append(wrapped.recv(4096))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], heard
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    write_certificate(Owner(None), tmp_path)
    return tmp_path


def connect(port: int, host: str = "localhost") -> None:
    engine = Engine()
    value = {"engine": "db2", "host": host, "port": port, "dbname": "SHOP", "ssl": True}
    engine.connect(engine.login({**value, "username": "app", "password": "marked"}))


def test_nobody_there_is_said_as_it_is() -> None:
    with pytest.raises(base.ConnectionRefused):
        connect(free_port())
    with pytest.raises(base.HostNotFound):
        connect(50443, "no-such-host.invalid")


def test_a_port_without_tls_and_a_certificate_that_does_not_hold_are_named(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tls_listener(None) as (port, _), pytest.raises(base.TlsFailed, match="not enabled on the host"):
        connect(port)
    with tls_listener(certificates) as (port, heard):
        with pytest.raises(base.TlsFailed, match="self-signed certificate"):
            connect(port)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "server.crt"))
        with pytest.raises(base.TlsFailed, match="Hostname verification failed"):
            connect(port, HOST)
    assert not [word for word in heard if word]


@pytest.mark.slow
def test_the_driver_itself_checks_certificate_and_name(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "knock", lambda *_: None)
    monkeypatch.setattr(db2, "CONNECT_TIMEOUT_SECONDS", 1)
    with tls_listener(certificates) as (port, heard):
        with pytest.raises(base.DatabaseError, match="SQLCODE -30081"):
            connect(port)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "server.crt"))
        with pytest.raises(base.TlsFailed, match="SQL20576N"):
            connect(port, HOST)
        assert not [word for word in heard if word]
        # With both in order it begins to speak, and is hung up on.
        with pytest.raises(base.ConnectionLost) as caught:
            connect(port)
    # DRDA: the second word of a message is D0, and the password comes later.
    assert {word[2] for word in heard if word} == {0xD0}
    assert b"marked" not in b"".join(heard)
    assert "marked" not in f"{caught.value!r} {caught.value}"
