from __future__ import annotations

from typing import Any, cast

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from keyturn.server import connection
from keyturn.server.connection import PAUSE_SECONDS, REQUEST_SECONDS, BoundedConnection, end_stuck

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


class FakeTransport:
    def __init__(self) -> None:
        self.written = b""
        self.unsent_bytes = 0
        self.is_aborted = False
        self.is_closed = False

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class FakeLoop:
    """Time under the test's control; requests are handed over and never answered."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.requests = 0

    def time(self) -> float:
        return self.now

    def create_task(self, handled: Any, **_options: object) -> Any:
        handled.close()
        self.requests += 1
        return FakeTask()


class FakeTask:
    def add_done_callback(self, _callback: object) -> None: ...


class Application:
    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


class Bench:
    def __init__(self, **config: Any) -> None:
        self.loop = FakeLoop()
        self.state = ServerState()
        self.config = Config(cast("Any", Application()), lifespan="off", log_config=None, ws="none", **config)
        self.connection, self.transport = self.connect()

    def connect(self) -> tuple[BoundedConnection, FakeTransport]:
        made = BoundedConnection(self.config, self.state, {}, cast("Any", self.loop))
        transport = FakeTransport()
        made.connection_made(cast("Any", transport))
        return made, transport

    def receive(self, data: bytes, *, after: float = 0) -> None:
        self.wait(after)
        self.connection.data_received(data)

    def wait(self, seconds: float) -> None:
        self.loop.now += seconds
        end_stuck(self.state.connections, self.loop.now)

    @property
    def status(self) -> int:
        return int(self.transport.written.split()[1])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_request_is_handed_over_as_soon_as_its_head_is_there(bench: Bench) -> None:
    bench.receive(HEAD)

    assert bench.loop.requests == 1


def test_who_connects_and_says_nothing_is_sent_away(bench: Bench) -> None:
    bench.wait(PAUSE_SECONDS)
    assert not bench.transport.is_aborted

    bench.wait(1)
    assert bench.transport.is_aborted


@pytest.mark.parametrize("sent", [HEAD[:20], HEAD, HEAD + b"12345"])
def test_who_stops_in_the_middle_of_a_request_is_sent_away(bench: Bench, sent: bytes) -> None:
    bench.receive(sent)

    bench.wait(PAUSE_SECONDS + 1)

    assert bench.transport.is_aborted


def test_who_sends_a_byte_now_and_then_is_sent_away_in_the_end(bench: Bench) -> None:
    bench.receive(HEAD[:5])
    pause = PAUSE_SECONDS - 1
    for position in range(5, 5 + REQUEST_SECONDS // pause):
        bench.receive(HEAD[position : position + 1], after=pause)
        assert not bench.transport.is_aborted

    bench.wait(pause)

    assert bench.transport.is_aborted


def test_who_waits_for_an_answer_may_wait_long(bench: Bench) -> None:
    bench.receive(HEAD + b"1234567890")

    bench.wait(REQUEST_SECONDS * 10)

    assert not bench.transport.is_aborted


def test_who_does_not_fetch_the_answer_is_sent_away(bench: Bench) -> None:
    bench.receive(HEAD + b"1234567890")
    bench.transport.unsent_bytes = 5_000_000
    bench.wait(1)

    bench.wait(PAUSE_SECONDS - 1)
    assert not bench.transport.is_aborted
    bench.wait(2)
    assert bench.transport.is_aborted


def test_who_fetches_the_answer_slowly_gets_it(bench: Bench) -> None:
    bench.receive(HEAD + b"1234567890")
    for unsent_bytes in range(5_000_000, 0, -1_000_000):
        bench.transport.unsent_bytes = unsent_bytes
        bench.wait(PAUSE_SECONDS)

    assert not bench.transport.is_aborted


def test_a_head_that_comes_in_many_packets_has_a_limit(bench: Bench) -> None:
    bench.receive(b"POST / HTTP/1.1\r\nX-A: ")
    for _ in range(connection.MOST_HEAD_BYTES // 1024):
        bench.receive(b"a" * 1024)
    assert not bench.transport.written

    bench.receive(b"a")

    assert bench.status == 431
    assert bench.transport.is_closed


def test_what_follows_a_refused_head_is_not_read(bench: Bench) -> None:
    bench.receive(b"POST / HTTP/1.1\r\n" + b"X-A: a\r\n" * 101 + b"\r\n" + HEAD)

    assert bench.status == 431
    assert bench.transport.written.count(b"HTTP/1.1") == 1
    assert bench.loop.requests == 0


def test_a_long_body_is_not_a_long_head(bench: Bench) -> None:
    bench.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(10):
        bench.receive(b"a" * 100_000)

    assert not bench.transport.written


def test_a_body_behind_a_wish_for_another_protocol_is_not_taken_for_a_request(bench: Bench) -> None:
    bench.receive(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 60\r\n\r\n")
    assert bench.status == 400
    assert bench.transport.is_closed
    assert bench.loop.requests == 0


def test_one_connection_too_many_is_closed_at_once() -> None:
    bench = Bench(limit_concurrency=2)
    bench.connect()

    _, third = bench.connect()

    assert third.is_aborted
    assert not bench.transport.is_aborted
