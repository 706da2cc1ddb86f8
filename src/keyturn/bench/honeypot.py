"""A host that is not the database, and counts who comes."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

_HOST = "127.0.0.2"


class Honeypot:
    """Listens on another loopback address, on the port of a relay. Use it in a ``with``.

    Attributes:
        host: Where.
        visits: How many connections there were.
    """

    def __init__(self, port: int) -> None:
        self.host = _HOST
        self.visits = 0
        self._listener = socket.create_server((_HOST, port))
        self._thread = threading.Thread(target=self._accept, daemon=True, name="honeypot")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()
