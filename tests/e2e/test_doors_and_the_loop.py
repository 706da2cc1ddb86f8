"""Doors are opened and closed by threads: before the event loop runs, while it does, after it has ended."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from keyturn.arn import Place
from keyturn.entrance import Entrance
from keyturn.server.doors import Door, Doors, DoorsClosed

WAY = Entrance("vpce-1", "vpc-1", "10.0.1.5", Place("aws", "us-east-1", "000000000000"))
_DEADLINE_SECONDS = 20


class _Greeting(asyncio.Protocol):
    """Says by which way somebody came."""

    def __init__(self, door: Door) -> None:
        self.transport: Any = None
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._door.connections.add(cast("Any", self))
        self.transport.write(self._door.entrance.vpc_endpoint_id.encode())

    def connection_lost(self, _exc: Exception | None) -> None:
        self._door.connections.discard(cast("Any", self))


@contextmanager
def running(doors: Doors) -> Iterator[None]:
    """An event loop in a thread, which ends as a server does."""
    loop = uvloop.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        doors.begin(loop, lambda door: cast("Any", _Greeting(door)))
        ready.set()
        await stop.wait()
        doors.end()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(_DEADLINE_SECONDS)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_DEADLINE_SECONDS)
        assert not thread.is_alive()


def listener() -> tuple[socket.socket, int]:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound, bound.getsockname()[1]


def greeting(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), _DEADLINE_SECONDS) as connection:
        return connection.recv(64).decode()


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _DEADLINE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_door_that_is_opened_before_the_loop_runs_is_served_then() -> None:
    doors = Doors()
    bound, port = listener()
    doors.open(bound, WAY)
    # It waits at the door.
    early = socket.create_connection(("127.0.0.1", port), _DEADLINE_SECONDS)
    with running(doors):
        with early:
            assert early.recv(64) == b"vpce-1"
        assert greeting(port) == "vpce-1"


def test_a_door_that_is_closed_before_the_loop_runs_is_closed_at_once() -> None:
    doors = Doors()
    bound, port = listener()

    doors.open(bound, WAY)()

    assert bound.fileno() == -1
    with running(doors):
        assert is_refused(port)


def test_after_the_end_nothing_is_opened_and_closing_means_nothing() -> None:
    doors = Doors()
    bound, port = listener()
    close = doors.open(bound, WAY)
    with running(doors):
        assert greeting(port) == "vpce-1"

    assert is_refused(port)
    close()
    late, late_port = listener()
    with pytest.raises(DoorsClosed):
        doors.open(late, WAY)
    assert late.fileno() == -1
    assert is_refused(late_port)


def test_a_server_that_never_began_closes_its_doors_at_the_end() -> None:
    doors = Doors()
    bound, port = listener()
    doors.open(bound, WAY)

    doors.end()
    doors.end()

    assert is_refused(port)


def test_a_socket_that_cannot_listen_is_refused_and_closed() -> None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with pytest.raises(OSError, match="not supported"):
        Doors().open(bound, WAY)

    assert bound.fileno() == -1


def test_closing_twice_closes_once() -> None:
    doors = Doors()
    bound, port = listener()
    with running(doors):
        close = doors.open(bound, WAY)
        assert greeting(port) == "vpce-1"
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: close(), range(8)))
        other, other_port = listener()
        doors.open(other, WAY)
        # What is asked for later is done later: that one is closed by now.
        assert greeting(other_port) == "vpce-1"
        assert is_refused(port)


def test_many_threads_open_and_close_and_nothing_is_left() -> None:
    doors = Doors()
    with running(doors):
        before = open_files()

        def work(number: int) -> str:
            greeted = ""
            for turn in range(100):
                bound, port = listener()
                close = doors.open(bound, Entrance(f"vpce-{number}", "vpc-many", "10.0.1.5", WAY.place))
                if turn % 4 == 0:
                    greeted = greeting(port)
                close()
            return greeted

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(work, range(16))) == [f"vpce-{number}" for number in range(16)]
        # Behind everything that was asked for stands this.
        bound, port = listener()
        close = doors.open(bound, WAY)
        assert greeting(port) == "vpce-1"
        close()

    assert open_files() <= before
    gc.collect()
    assert not [held for held in gc.get_objects() if isinstance(held, Door) and held.entrance.vpc_id == "vpc-many"]
