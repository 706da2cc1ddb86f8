"""``keyturn serve`` that opens doors for a test, as it does for functions in a VPC.

    python -m tests.e2e.door_server CONTROL serve …

A test sends one line of JSON for each connection to the Unix socket CONTROL, and gets a number: ``{"open": …}`` with a
listening socket opens a door with this entrance (its number; -1 if the server has stopped), ``{"close": NUMBER}``
closes it, ``{"endpoint": …}`` stores a VPC endpoint as EC2 describes it, ``{"delete": …}`` removes it.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyturn.app import Server
from keyturn.arn import Place
from keyturn.cli.main import main
from keyturn.entrance import Entrance
from keyturn.operations.ec2.kinds import VPC_ENDPOINT
from keyturn.server.doors import Doors, DoorsClosed
from keyturn.storage.database import Database
from keyturn.storage.network_objects import NetworkObject, delete_object, put_object

_LINE_BYTES = 16_384


class _Attendant:
    """Does what the test asks for, in a thread of its own, as functions are run in theirs."""

    def __init__(self, path: Path) -> None:
        self.state: Database | None = None
        self.place: Place | None = None
        self.doors: Doors | None = None
        self._control = socket.socket(socket.AF_UNIX)
        self._control.bind(str(path))
        self._control.listen()
        self._closers: dict[int, Callable[[], None]] = {}
        self._numbers = itertools.count(1)

    def begin(self) -> None:
        threading.Thread(target=self._attend, daemon=True).start()

    def _attend(self) -> None:
        while True:
            connection, _ = self._control.accept()
            with connection:
                line, descriptors, _, _ = socket.recv_fds(connection, _LINE_BYTES, 1)
                [(what, told)] = json.loads(line).items()
                number = getattr(self, what)(told, *descriptors)
                connection.sendall(str(number).encode())

    def open(self, told: dict[str, Any], descriptor: int) -> int:
        assert self.doors
        try:
            closer = self.doors.open(
                socket.socket(fileno=descriptor), Entrance(**{**told, "place": Place(**told["place"])})
            )
        except DoorsClosed:
            return -1
        number = next(self._numbers)
        self._closers[number] = closer
        return number

    def close(self, number: int) -> int:
        self._closers.pop(number)()
        return number

    def endpoint(self, body: dict[str, Any]) -> int:
        assert self.state
        with self.state.write() as transaction:
            put_object(transaction, self._object(body))
        return 0

    def delete(self, body: dict[str, Any]) -> int:
        assert self.state
        with self.state.write() as transaction:
            delete_object(transaction, self._object(body))
        return 0

    def _object(self, body: dict[str, Any]) -> NetworkObject:
        assert self.place
        return NetworkObject(
            account_id=self.place.account_id,
            region=self.place.region,
            kind=VPC_ENDPOINT.name,
            object_id=body["VpcEndpointId"],
            vpc_id=body["VpcId"],
            body=body,
            created_at=datetime.now(UTC),
        )


def _attend_servers(path: Path) -> None:
    attendant, opened = _Attendant(path), Server.open

    def open_server(settings: Any, *arguments: Any) -> Server:
        server = opened(settings, *arguments)
        attendant.state, attendant.place, attendant.doors = server.kit.state, settings.place, server.doors
        attendant.begin()
        return server

    Server.open = open_server  # type: ignore[method-assign,assignment]  # for this process


if __name__ == "__main__":
    _attend_servers(Path(sys.argv.pop(1)))
    main()
