"""The way to an Oracle listener with the real driver: what its failures are called. No Oracle server is at hand."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from keyturn.rotators.engines import base, oracle
from keyturn.rotators.engines.oracle import Engine
from keyturn.testing.private_server import HOST, free_port

# The driver leaves the sockets of its failed attempts to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# Oracle Net: what a packet is, in its fifth byte.
_REFUSE = 4


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == oracle.CONNECT_THREAD:
            thread.join(10)
    gc.collect()


@contextmanager
def listener(*answers: Callable[[bytes], bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Answer one connection after the other, and hang up; without answers say nothing at all."""
    heard: list[bytes] = []
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()

        def serve() -> None:
            for answer in answers:
                opened, _ = listening.accept()
                with opened:
                    heard.append(opened.recv(8192))
                    opened.sendall(answer(heard[-1]))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], heard
        thread.join(10)


def refusing(code: int) -> Callable[[bytes], bytes]:
    text = f"(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4))))".encode()
    body = bytes(2) + len(text).to_bytes(2, "big") + text
    packet = (8 + len(body)).to_bytes(2, "big") + bytes([0, 0, _REFUSE, 0, 0, 0]) + body
    return lambda _: packet


def connect(port: int | str, **more: object) -> None:
    engine = Engine()
    value = {"engine": "oracle", "host": HOST, "port": port, "dbname": "ORCL", "username": "app", "password": "marked"}
    engine.connect(engine.login({**value, **more}))


def test_nobody_there_is_said_as_it_is() -> None:
    with pytest.raises(base.ConnectionRefused):
        connect(free_port())
    with pytest.raises(base.HostNotFound):
        connect(1521, host="no-such-host.invalid")


def test_a_listener_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with listener() as (port, _), pytest.raises(base.ConnectionTimedOut) as caught:
        connect(port)
    assert "marked" not in f"{caught.value!r} {caught.value}"


def test_a_listener_that_hangs_up_is_named() -> None:
    with listener(lambda _: b"") as (port, _), pytest.raises(base.ConnectionLost):
        connect(port)


def test_somebody_else_is_no_listener() -> None:
    with listener(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, _), pytest.raises(base.ConnectionLost):
        connect(port)


def test_a_service_that_is_not_there_is_tried_as_a_sid_and_then_missed() -> None:
    with listener(refusing(12514), refusing(12505)) as (port, heard), pytest.raises(base.DatabaseMissing) as caught:
        connect(port)
    assert b"(SERVICE_NAME=ORCL)" in heard[0]
    assert b"(SID=ORCL)" in heard[1]
    assert caught.value.code == "DPY-6003"


def test_a_listener_that_has_no_handler_left_is_asked_again_later() -> None:
    with listener(refusing(12516)) as (port, _), pytest.raises(base.NotReady):
        connect(port)


def test_a_port_without_tls_is_named_when_the_secret_asks_for_it() -> None:
    with listener(lambda _: b"") as (port, heard), pytest.raises(base.TlsFailed, match="not enabled on the host"):
        connect(port, ssl=True)
    assert heard[0].startswith(b"\x16\x03")


def test_the_next_host_is_tried() -> None:
    with listener(refusing(12514), refusing(12505)) as (port, heard), pytest.raises(base.DatabaseMissing):
        connect(f"{free_port()},{port}", host=f"{HOST},{HOST}")
    assert len(heard) == 2
