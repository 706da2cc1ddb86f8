"""The resolver of a VPC, and a function that means harm: one loop serves all resolvers, and all Runtime APIs."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import dns.message
import dns.rcode
import pytest

from keyturn.rules.network import plan
from keyturn.runtime.api import ApiLoop
from keyturn.runtime.resolver import Resolver

SECONDS = 20
ADDRESS = "192.0.2.7"
NAMES = plan.Resolver((), answers=True, names=(("own", (ADDRESS,)),))


class Served:
    """A resolver on sockets of the machine's loopback."""

    def __init__(self, loop: ApiLoop, stack: ExitStack) -> None:
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.create_server(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        self.udp_port, self.tcp_port = udp.getsockname()[1], tcp.getsockname()[1]
        resolver = Resolver(NAMES, (), [udp, tcp])
        stack.callback(loop.run(resolver.serve()))
        self._stack = stack

    def connected(self) -> socket.socket:
        """A connection, on which nothing has been asked yet."""
        return self._stack.enter_context(socket.create_connection(("127.0.0.1", self.tcp_port), timeout=SECONDS))

    def send(self, *questions: bytes) -> socket.socket:
        """Ask without waiting."""
        asks = self._stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        asks.settimeout(SECONDS)
        asks.connect(("127.0.0.1", self.udp_port))
        for each in questions:
            asks.send(each)
        return asks

    def answer(self, name: str) -> dns.message.Message:
        """Ask, and wait."""
        return dns.message.from_wire(self.send(question(name)).recv(65535))


@pytest.fixture
def serve() -> Iterator[Callable[[], Served]]:
    loop = ApiLoop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        yield lambda: Served(loop, stack)


def question(name: str) -> bytes:
    return dns.message.make_query(name, "A").to_wire()


def test_names_that_take_long_keep_no_other_function_waiting(
    serve: Callable[[], Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def getaddrinfo(name: str, *_: object) -> list[Any]:
        if name.endswith(".slow"):
            asked.set()
            goes_on.wait(SECONDS)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ADDRESS, 0))]

    monkeypatch.setattr("keyturn.runtime.resolver.socket.getaddrinfo", getaddrinfo)
    hostile, other = serve(), serve()
    try:
        hostile.send(*(question(f"{number}.slow") for number in range(60)))
        assert asked.wait(SECONDS)

        found = other.answer("database.example")
        assert (found.rcode(), [str(each) for each in found.answer[0]]) == (dns.rcode.NOERROR, [ADDRESS])
        assert hostile.answer("own").rcode() == dns.rcode.NOERROR
    finally:
        goes_on.set()


def test_a_question_that_takes_long_to_read_is_not_read(
    serve: Callable[[], Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    from_wire = dns.message.from_wire

    def counted(wire: bytes, **options: Any) -> dns.message.Message:
        read.append(len(wire))
        return from_wire(wire, **options)

    # A thousand records whose names each are a pointer to one of many labels.
    name = b"\1a" * 126 + b"\0"
    record = b"\xc0\x0c" + struct.pack("!HHIH", 65280, 1, 0, 0)
    costly = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 1000) + name + struct.pack("!2H", 1, 1) + record * 1000
    monkeypatch.setattr("keyturn.runtime.resolver.dns.message.from_wire", counted)
    resolver = serve()

    by_tcp = resolver.connected()
    by_tcp.sendall(struct.pack("!H", len(costly)) + costly)
    asks = resolver.send(costly, question("own"))

    assert from_wire(asks.recv(65535)).id != 1
    assert by_tcp.recv(1) == b""
    assert max(read) <= 512


def test_connections_that_ask_nothing_are_bounded(serve: Callable[[], Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.runtime.resolver._SECONDS", 10.0 * SECONDS)
    resolver = serve()
    held = [resolver.connected() for _ in range(16)]

    assert resolver.connected().recv(1) == b""
    for each in held:
        each.setblocking(False)
        with pytest.raises(BlockingIOError):
            each.recv(1)
    held[0].close()
    asked = question("own")
    held[1].setblocking(True)
    held[1].sendall(struct.pack("!H", len(asked)) + asked)
    assert held[1].recv(2) != b""


def test_no_more_is_answered_in_a_second_than_amazons_resolver_answers() -> None:
    answers: list[bytes | None] = []

    async def ask() -> None:
        loop, moments = asyncio.get_running_loop(), [100.0] * 1030 + [101.0]
        with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
            sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
            resolver = Resolver(NAMES, (), sockets)
            for moment in moments:
                patch.setattr(loop, "time", lambda: moment)  # noqa: B023 - called here
                answers.append(await resolver.answer(question("own")))

    asyncio.run(ask())
    assert [answer is not None for answer in answers] == [*[True] * 1024, *[False] * 6, True]


def test_a_message_of_many_records_is_read_as_far_as_its_question(serve: Callable[[], Served]) -> None:
    asked = dns.message.make_query("own", "A", use_edns=0, payload=4096).to_wire()

    assert [str(each) for each in dns.message.from_wire(serve().send(asked).recv(65535)).answer[0]] == [ADDRESS]
