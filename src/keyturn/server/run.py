"""Run the server: bind, open, serve, close."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

import uvicorn

import keyturn
from keyturn.app import Server, initialise_if_new
from keyturn.cli.aws_profile import write_profile
from keyturn.config import Settings
from keyturn.errors.base import KeyturnError

_BACKLOG = 2048
_GRACE_SECONDS = 5


def run(settings: Settings, profile: str | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: Where and what to serve.
        profile: Name of the AWS profile to write if the data directory is new; None to leave ``~/.aws`` alone.

    Raises:
        KeyturnError: The server cannot start.
    """
    _configure_logging(settings.log_level)
    with _bind(settings) as listener:
        settings = replace(settings, port=listener.getsockname()[1])
        administrator = initialise_if_new(settings)
        if administrator is not None and profile is not None:
            write_profile(profile, settings, administrator)
        with Server.open(settings) as server:
            _serve(settings, server, listener)


def _serve(settings: Settings, server: Server, listener: socket.socket) -> None:
    config = uvicorn.Config(
        server.application,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_private_key,
    )
    _Uvicorn(config, _ready_line(settings, server)).run(sockets=[listener])


def _ready_line(settings: Settings, server: Server) -> str:
    scheme = "https" if settings.tls_certificate else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return (
        f"Keyturn {keyturn.__version__} ready on {scheme}://{host}:{settings.port}"
        f" (data {settings.data_dir}, sandbox {server.sandbox})"
    )


class _Uvicorn(uvicorn.Server):
    """uvicorn, which says when it is ready and ends with status 0 when it is told to stop."""

    def __init__(self, config: uvicorn.Config, ready_line: str) -> None:
        super().__init__(config)
        self._ready_line = ready_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(self._ready_line + "\n")
        sys.stdout.flush()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own version raises the signal again after a clean end, which would look like a crash to a supervisor.
        def handle(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle)
        yield


@contextmanager
def _bind(settings: Settings) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise KeyturnError(f"{settings.host} is not an address to listen on: {error.strerror}.") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise KeyturnError(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
                "Stop what uses the port, or choose another with --port.",
            ) from error
        yield listener


def _configure_logging(level: str) -> None:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise KeyturnError(f"{level!r} is not a log level.", "Choose debug, info, warning or error.")
    logging.basicConfig(
        level=number,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )
    # These two say at debug level what they are given, request bodies included.
    for noisy in ("botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(max(number, logging.INFO))
