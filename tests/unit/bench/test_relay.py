"""The relay passes on what it is told to pass on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from keyturn.bench.boundaries import CUT, MESSAGE, PASS, Boundary, Place, Trap, Watch
from keyturn.bench.relay import Relay

BEFORE, AFTER = Boundary(MESSAGE, "before"), Boundary(MESSAGE, "after")


class Echo:
    """Answers each message with itself, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", int(self._listener.getsockname()[1]))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            while chunk := client.recv(100):
                self.heard.append(chunk)
                client.sendall(chunk)


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def relay(echo: Echo, watch: Watch) -> Iterator[Relay]:
    with Relay(echo.address, watch) as relay:
        yield relay


def asked(relay: Relay, *messages: bytes, timeout_seconds: float = 10) -> list[bytes]:
    with socket.create_connection(("127.0.0.1", relay.port), timeout_seconds) as client:
        answers = []
        for message in messages:
            client.sendall(message)
            answers.append(client.recv(100))
        return answers


def test_messages_and_answers_pass_and_are_counted(relay: Relay, watch: Watch, echo: Echo) -> None:
    assert asked(relay, b"one", b"two") == [b"one", b"two"]
    assert echo.heard == [b"one", b"two"]
    assert watch.seen == [Place(BEFORE, 1), Place(AFTER, 1), Place(BEFORE, 2), Place(AFTER, 2)]


def test_a_message_that_is_cut_does_not_arrive(relay: Relay, watch: Watch, echo: Echo) -> None:
    watch.begin(Trap(Place(BEFORE, 2), CUT))
    assert asked(relay, b"one", b"two") == [b"one", b""]
    assert echo.heard == [b"one"]


def test_of_an_answer_that_is_cut_the_message_has_arrived(relay: Relay, watch: Watch, echo: Echo) -> None:
    watch.begin(Trap(Place(AFTER, 2), CUT))
    assert asked(relay, b"one", b"two") == [b"one", b""]
    assert echo.heard == [b"one", b"two"]


def test_while_it_refuses_nobody_gets_in(relay: Relay) -> None:
    relay.refuse()
    with pytest.raises(ConnectionRefusedError):
        asked(relay, b"one")
    relay.admit()
    assert asked(relay, b"one") == [b"one"]


def test_connections_that_stand_end_when_it_begins_to_refuse(relay: Relay) -> None:
    with socket.create_connection(("127.0.0.1", relay.port), 10) as client:
        client.sendall(b"one")
        assert client.recv(100) == b"one"
        relay.refuse()
        assert client.recv(100) == b""


def test_while_it_is_silent_connections_are_taken_and_nothing_is_answered(relay: Relay, echo: Echo) -> None:
    relay.fall_silent()
    with socket.create_connection(("127.0.0.1", relay.port), 10) as client:
        client.sendall(b"one")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(10)
        relay.admit()
        assert client.recv(100) == b""
    assert echo.heard == []
    assert asked(relay, b"two") == [b"two"]


def test_one_connection_is_held_while_another_goes_on(relay: Relay, watch: Watch) -> None:
    is_held, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        goes_on.wait(10)

    watch.begin(Trap(Place(BEFORE, 1), PASS, hold))
    held: list[list[bytes]] = []
    thread = threading.Thread(target=lambda: held.append(asked(relay, b"held")))
    thread.start()
    assert is_held.wait(10)
    assert asked(relay, b"other") == [b"other"]
    assert held == []
    goes_on.set()
    thread.join(10)
    assert held == [[b"held"]]
