"""Goes into the function's package: the rotation function, stopping at the boundary of every word it says or hears.

At each it asks the sweep, on the port in SWEEP_PORT, and does what it is told: go on, die, or hang.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import time
from typing import Any

_BOUNDARIES = ("connect", "send", "sendall", "recv", "recv_into")
_rotator = importlib.import_module("postgresql_single_user").lambda_handler


class Gate:
    """The way to the sweep; open while a step runs."""

    def __init__(self) -> None:
        self.connection: socket.socket | None = None

    def ask(self, name: str) -> None:
        """Say what comes, and do what is answered."""
        if self.connection is None:
            return
        self.connection.sendall(name.encode() + b"\n")
        answer = self.connection.recv(16)
        if answer == b"die\n":
            os.kill(os.getpid(), signal.SIGKILL)
        while answer == b"hang\n":
            time.sleep(60)
        if answer != b"go\n":
            raise RuntimeError(f"the sweep is gone: {answer!r}")


_gate = Gate()


def _surround(name: str) -> None:
    act = getattr(socket.socket, name)

    def surrounded(self: socket.socket, *arguments: Any) -> Any:
        if _gate.connection is None or self is _gate.connection:
            return act(self, *arguments)
        _gate.ask(f"before {name}")
        result = act(self, *arguments)
        _gate.ask(f"after {name}")
        return result

    setattr(socket.socket, name, surrounded)


for _name in _BOUNDARIES:
    _surround(_name)


def lambda_handler(event: dict[str, str], context: object) -> object:
    """Run one step."""
    with socket.create_connection(("127.0.0.1", int(os.environ["SWEEP_PORT"]))) as connection:
        opening = {**event, "Endpoint": os.environ["SECRETS_MANAGER_ENDPOINT"]}
        connection.sendall(json.dumps(opening).encode() + b"\n")
        _gate.connection = connection
        try:
            _gate.ask("begin")
            result: object = _rotator(event, context)
            _gate.ask("return")
        finally:
            _gate.connection = None
    return result
