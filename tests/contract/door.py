"""The front door by hand: one connection, requests of Secrets Manager signed one by one."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import Credentials, ServerProcess
from tests.e2e.raw_http import Reply, Wire, signed


class Door:
    """Sends what no client library would and returns the reply as it came."""

    def __init__(self, server: ServerProcess, wire: Wire) -> None:
        self.server, self._wire = server, wire

    def send(self, operation: str, request: Any, credentials: Credentials | None = None, **options: Any) -> Reply:
        """Send a request as JSON; bytes are sent as they are, ``options`` are those of :func:`signed`."""
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        return self.send_raw(
            signed(self.server, body, action=f"secretsmanager.{operation}", credentials=credentials, **options)
        )

    def send_raw(self, data: bytes) -> Reply:
        """Send a whole request."""
        self._wire.send(data)
        return self._wire.reply()
