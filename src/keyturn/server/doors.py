"""Doors: listening sockets beside the server's own, each of which knows which way out of a VPC leads to it.

A door's socket lies in the network namespace of a function. It answers like the server's own address, without TLS: what
comes in by it never leaves the machine. Each of its requests carries the door's :class:`Entrance`.

Doors are opened and closed by the threads that run functions, and served by the event loop: whatever is asked for here
is done there, in the order in which it was asked for. Nobody waits for it, because a socket that listens takes
connections from the first moment on, whoever accepts them later.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from keyturn.entrance import Entrance
from keyturn.errors.base import KeyturnError
from keyturn.server.connection import BoundedConnection

_log = logging.getLogger(__name__)

_BACKLOG = 64
# All doors and the server's own address share a limit, which no function is to use up.
_MOST_CONNECTIONS = 64


class DoorsClosed(KeyturnError):
    """The server has stopped, and opens no doors any more."""

    def __init__(self) -> None:
        super().__init__("The server has stopped.")


class Door:
    """One listening socket, and what came in by it. Only the event loop's thread touches it once it is open."""

    def __init__(self, listener: socket.socket, entrance: Entrance) -> None:
        self.listener = listener
        self.entrance = entrance
        self.connections: set[DoorConnection] = set()
        self.is_closed = False
        self.server: asyncio.Server | None = None

    async def serve(self, loop: asyncio.AbstractEventLoop, connect: Callable[[], DoorConnection]) -> None:
        """Accept connections from now on, unless it was closed meanwhile."""
        if self.is_closed:
            return
        try:
            self._serve_by(await loop.create_server(connect, sock=self.listener, backlog=_BACKLOG))
        except OSError:
            _log.exception("a door cannot be served: %s", self.entrance)
            self.stop()

    def _serve_by(self, server: asyncio.Server) -> None:
        self.server = server
        if self.is_closed:
            server.close()

    def close(self) -> None:
        """Accept nothing more, and cut what came in."""
        self.stop()
        for connection in tuple(self.connections):
            connection.transport.abort()

    def stop(self) -> None:
        """Accept nothing more."""
        self.is_closed = True
        if self.server is None:
            self.listener.close()
        else:
            self.server.close()


class DoorConnection(BoundedConnection):
    """A connection that came in by a door."""

    def __init__(self, door: Door, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._door = door

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin, unless the door was closed while this was waiting, or too many came in by it."""
        super().connection_made(transport)
        self._door.connections.add(self)
        if self._door.is_closed or len(self._door.connections) > _MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._door.connections.discard(self)

    def on_message_begin(self) -> None:
        """Say with the request by which way it came."""
        super().on_message_begin()
        self.scope["entrance"] = self._door.entrance  # type: ignore[typeddict-unknown-key]  # read by http.py


Connect = Callable[[Door], DoorConnection]


class Doors:
    """All doors of a server; may be used from any thread, before the event loop runs and after it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connect: Connect | None = None
        self._has_ended = False
        self._open: set[Door] = set()
        # The loop itself keeps no hold of what it is about to do.
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, listener: socket.socket, entrance: Entrance) -> Callable[[], None]:
        """Serve the APIs on a bound socket.

        Args:
            listener: From now on the door's, which closes it, also if this fails.
            entrance: What its requests carry.

        Returns:
            Closes the door: nothing more is accepted, and what came in is cut. May be called again, from any thread.

        Raises:
            DoorsClosed: The server has stopped.
            OSError: Nothing can be listened for on the socket.
        """
        door = Door(listener, entrance)
        try:
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._add(door)
        except (OSError, DoorsClosed):
            listener.close()
            raise
        return lambda: self._close(door)

    def begin(self, loop: asyncio.AbstractEventLoop, connect: Connect) -> None:
        """Serve the doors that were opened so far, and those that will be.

        Args:
            loop: The running one.
            connect: Makes what handles one connection.
        """
        with self._lock:
            self._loop, self._connect = loop, connect
            for door in self._open:
                self._serve(door)

    def end(self) -> None:
        """Accept nothing more at any door, for good. Called by the loop's thread, or when there is no loop any more.

        What came in by them is served to its end, as what came in by the server's own address.
        """
        with self._lock:
            self._has_ended = True
            doors, self._open = self._open, set()
        for door in doors:
            door.stop()

    def _add(self, door: Door) -> None:
        with self._lock:
            if self._has_ended:
                raise DoorsClosed
            self._open.add(door)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._serve, door)

    def _serve(self, door: Door) -> None:
        loop, connect = self._loop, self._connect
        if loop is None or connect is None:
            raise TypeError("doors are served by a running loop")
        task = loop.create_task(door.serve(loop, lambda: connect(door)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _close(self, door: Door) -> None:
        with self._lock:
            if door not in self._open:
                return
            self._open.discard(door)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(door.close)
                return
        door.close()
