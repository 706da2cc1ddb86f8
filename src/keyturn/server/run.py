"""Run the server: take an address, serve on it until a signal comes."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from keyturn.config import Settings
from keyturn.errors.base import KeyturnError
from keyturn.server.connection import BoundedConnection, end_stuck
from keyturn.server.doors import Door, DoorConnection, Doors
from keyturn.server.http import Application

_BACKLOG = 2048
_SWITCH_SECONDS = 0.0005
_GRACE_SECONDS = 5
# Longer than clients commonly keep an idle connection, so that they close it and not we under their next request.
_KEEP_ALIVE_SECONDS = 75
_LOOK_SECONDS = 1
_MOST_CONNECTIONS = 4096
_MOST_FILES = 65_536


def serve(settings: Settings, application: Application, doors: Doors, listener: socket.socket, ready_line: str) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT.

    Args:
        settings: For TLS.
        application: Answers requests.
        doors: Served beside the listener.
        listener: From :func:`bind`.
        ready_line: Printed once when requests are answered.

    Raises:
        KeyturnError: The TLS certificate or its private key cannot be used.
    """
    # A crash must not leave the root key in a file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=BoundedConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # uvicorn would believe X-Forwarded-For and -Proto from loopback: any local client could choose the source
        # address that policies and the audit log see.
        proxy_headers=False,
        limit_concurrency=_connection_limit(),
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_private_key,
    )
    _prepare_interpreter()
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise KeyturnError(
            f"The TLS certificate or its private key cannot be used: {error}.",
            "Both must be PEM files that the user who runs keyturn can read, the key without a passphrase.",
        ) from error
    try:
        _Uvicorn(config, application, doors, ready_line).run(sockets=[listener])
    finally:
        doors.end()


def _prepare_interpreter() -> None:
    """Set Python up for a loop that is always busy and a thread that writes the audit log."""
    # Models and modules live as long as the process: the collector need not look through them again and again.
    gc.collect()
    gc.freeze()
    # A thread that comes back from the disk waits this long for the loop to let go; every reply waits for that thread.
    sys.setswitchinterval(_SWITCH_SECONDS)


class _Uvicorn(uvicorn.Server):
    """uvicorn, which says when it is ready and ends with status 0 when it is told to stop."""

    def __init__(self, config: uvicorn.Config, application: Application, doors: Doors, ready_line: str) -> None:
        super().__init__(config)
        self._application = application
        self._doors = doors
        self._ready_line = ready_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._doors.begin(asyncio.get_running_loop(), self._connect)
        self._look_after_connections(asyncio.get_running_loop())
        sys.stdout.write(self._ready_line + "\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.end_live()
        self._doors.end()
        await super().shutdown(sockets)

    def _connect(self, door: Door) -> DoorConnection:
        return DoorConnection(door, self.config, self.server_state, self.lifespan.state, asyncio.get_running_loop())

    def _look_after_connections(self, loop: asyncio.AbstractEventLoop) -> None:
        end_stuck(self.server_state.connections, loop.time())
        loop.call_later(_LOOK_SECONDS, self._look_after_connections, loop)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own version raises the signal again after a clean end, which looks like a crash to a supervisor.
        def handle(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle)
        yield


def _connection_limit() -> int:
    """Allow this process the files it may have, and return how many of them may be connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return min(_MOST_CONNECTIONS, files // 2)


@contextmanager
def bind(settings: Settings) -> Iterator[socket.socket]:
    """Take the address before anything is made, so that a port in use changes nothing.

    Raises:
        KeyturnError: The address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise KeyturnError(
            f"{settings.host} is not an address to listen on: {error.strerror}.",
            "Choose an address of this machine with --host, for instance 127.0.0.1.",
        ) from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise KeyturnError(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
                "Stop what uses the port, or choose another with --port; --host must be an address of this machine.",
            ) from error
        yield listener


def configure_logging(level: str) -> None:
    """Log to standard error.

    Raises:
        KeyturnError: There is no such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise KeyturnError(f"{level!r} is not a log level.", "Choose debug, info, warning or error.")
    logging.basicConfig(
        level=number,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # These two say at debug level what they are given, request bodies included.
    for noisy in ("botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(max(number, logging.INFO))
