"""A loopback proxy that knows where PostgreSQL's messages begin and end, and asks before and after it passes one on."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the protocol: who says it, and its type's letter (``startup`` has none)."""

    from_client: bool
    kind: str


Observe = Callable[[Message, str], None]
"""Called with ``before`` and ``after`` around each message that is passed on."""


def _nothing(_message: Message, _when: str) -> None:
    pass


class PostgresqlProxy:
    """Stands before one server."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.observe: Observe = _nothing
        self._listener = socket.create_server((_HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._accepting = self._start()

    def refuse(self) -> None:
        """Have the kernel refuse new connections."""
        # Closing alone would not wake the thread that waits in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()

    def admit(self) -> None:
        """Listen again."""
        self._listener = socket.create_server((_HOST, self.port))
        self._accepting = self._start()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True, name="proxy")
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((_HOST, self._server_port), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for source, sink, from_client in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, sink, from_client), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        try:
            with contextlib.suppress(OSError, EOFError), source.makefile("rb") as stream:
                is_first = from_client
                while True:
                    kind = b"" if is_first else _exactly(stream.read, 1)
                    length = _exactly(stream.read, 4)
                    body = _exactly(stream.read, struct.unpack("!i", length)[0] - 4)
                    message = Message(from_client, kind.decode("latin-1") or "startup")
                    is_first = False
                    self.observe(message, "before")
                    sink.sendall(kind + length + body)
                    self.observe(message, "after")
        finally:
            for each in (source, sink):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class AtMessage:
    """Acts once, at boundary ``at`` (from 1) around all messages that pass; counts them all."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.count = 0
        self.fired_at: float | None = None
        self.name = ""
        self._at, self._act = at, act
        self._lock = threading.Lock()

    def __call__(self, message: Message, when: str) -> None:
        with self._lock:
            self.count += 1
            if self.count != self._at:
                return
            self.fired_at = time.monotonic()
            self.name = f"{when} {message.kind} of the {'function' if message.from_client else 'database'}"
        self._act()


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    data = read(count) if count else b""
    if len(data) != count:
        raise EOFError
    return data
