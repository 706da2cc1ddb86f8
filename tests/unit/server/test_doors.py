"""What comes in by a door is bounded like everything else. That doors open and close is proven end to end."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from keyturn.arn import Place
from keyturn.entrance import Entrance
from keyturn.server.connection import PAUSE_SECONDS, BoundedConnection, end_stuck
from keyturn.server.doors import Door, DoorConnection

from .test_connection import HEAD, Application, FakeLoop, FakeTransport

WAY = Entrance("vpce-1", "vpc-1", "10.0.1.5", Place("aws", "us-east-1", "000000000000"))


class Bench:
    def __init__(self, **config: Any) -> None:
        self.loop = FakeLoop()
        self.state = ServerState()
        self.config = Config(cast("Any", Application()), lifespan="off", log_config=None, ws="none", **config)
        self.door = Door(socket.socket(), WAY)

    def connect(self, connection: BoundedConnection | None = None) -> tuple[BoundedConnection, FakeTransport]:
        made = connection or DoorConnection(self.door, self.config, self.state, {}, cast("Any", self.loop))
        transport = FakeTransport()
        made.connection_made(cast("Any", transport))
        return made, transport

    def connect_outside(self) -> tuple[BoundedConnection, FakeTransport]:
        return self.connect(BoundedConnection(self.config, self.state, {}, cast("Any", self.loop)))


@pytest.fixture
def bench() -> Any:
    made = Bench()
    yield made
    made.door.stop()


def test_each_request_says_by_which_way_it_came(bench: Bench) -> None:
    connection, _ = bench.connect()
    outside, _ = bench.connect_outside()

    for each in (connection, outside):
        each.data_received(HEAD)

    assert connection.scope.get("entrance") is WAY
    assert "entrance" not in outside.scope


def test_doors_and_the_servers_own_address_have_one_limit_of_connections() -> None:
    bench = Bench(limit_concurrency=2)
    (_, first), (_, second), (_, third) = bench.connect_outside(), bench.connect(), bench.connect()
    bench.door.stop()

    assert [transport.is_aborted for transport in (first, second, third)] == [False, False, True]


def test_one_door_takes_no_more_than_a_small_part_of_all_connections(bench: Bench) -> None:
    transports = [bench.connect()[1] for _ in range(65)]
    _, outside = bench.connect_outside()

    assert [transport.is_aborted for transport in transports] == [*[False] * 64, True]
    assert not outside.is_aborted


def test_a_client_that_stops_is_cut(bench: Bench) -> None:
    _, transport = bench.connect()
    bench.loop.now += PAUSE_SECONDS + 1

    end_stuck(bench.state.connections, bench.loop.now)

    assert transport.is_aborted


def test_closing_cuts_what_came_in_and_what_is_still_to_begin(bench: Bench) -> None:
    (_, one), (_, outside) = bench.connect(), bench.connect_outside()

    bench.door.close()
    _, late = bench.connect()

    assert (one.is_aborted, outside.is_aborted, late.is_aborted) == (True, False, True)
    assert bench.door.listener.fileno() == -1


def test_a_door_keeps_no_connection_that_has_ended(bench: Bench) -> None:
    connection, _ = bench.connect()
    connection.connection_lost(None)

    assert not bench.door.connections
    assert not bench.state.connections
