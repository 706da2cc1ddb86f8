"""Keyturn's server processes as the sweep starts, kills, pauses and clocks them."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import signal
import socket
import time
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from keyturn.config import Settings

from .server import WHERE, Start, serve

DEADLINE_SECONDS = 60
# Functions of the sweep run with the machine's clock, whatever the server's says.
_ANY_SKEW_SECONDS = 400 * 86_400


def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([serve.__module__])
    return context


class Keyturn:
    """One server on one data directory, at the same address each time it is started.

    Args:
        directory: A folder of its own; the data directory is ``data`` below.
        database_url: Where the state is kept, if not in the data directory.
        root_key_file: Likewise for the root key.
        any_clock: Believe signatures however far the server's clock is off.
    """

    _context = _forks()

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str = "",
        root_key_file: Path | None = None,
        any_clock: bool = False,
    ) -> None:
        self.directory = directory
        settings = Settings(
            data_dir=directory / "data",
            port=_free_port(),
            database_url=database_url,
            root_key_file=root_key_file,
            # Nothing happens but what the sweep begins.
            preflight=False,
        )
        self.settings = replace(settings, clock_skew_seconds=_ANY_SKEW_SECONDS) if any_clock else settings
        self.log_path = directory / "server.log"
        self._control_path = directory / "control"
        self._process: BaseProcess | None = None
        self._key = ("", "")
        self._clients: dict[str, Any] = {}

    def sign_with(self, access_key_id: str, secret_access_key: str) -> None:
        """Sign calls with this key."""
        self._key = (access_key_id, secret_access_key)

    def sign_like(self, other: Keyturn) -> None:
        """Sign calls as for another server of the same database."""
        self._key = other._key

    def start(self, *, clock_seconds: float = 0.0) -> None:
        """Start it and wait until it answers."""
        start = Start(self.settings, self.log_path, self._control_path, clock_seconds)
        process = self._context.Process(target=serve, args=(start,), daemon=True)
        process.start()
        self._process = process
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline or not process.is_alive():
                raise AssertionError(f"the server did not get ready:\n{self.log()}")
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=DEADLINE_SECONDS)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def is_alive(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.is_alive()

    def wait_for_death(self, seconds: float) -> bool:
        """Wait until its process has ended, and tell whether it has."""
        if self._process is not None:
            self._process.join(seconds)
        return not self.is_alive

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGKILL, SIGSTOP or SIGCONT."""
        if self._process is None or self._process.pid is None:
            raise AssertionError("the server was not started")
        os.kill(self._process.pid, number)
        if number is signal.SIGKILL:
            self._process.join(DEADLINE_SECONDS)

    def stop(self) -> None:
        """End it, in good order if it lets itself be ended so."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.join(DEADLINE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            raise AssertionError(f"the server did not stop:\n{self.log()}")
        self._process = None

    def end(self) -> None:
        """Kill it if it lives; for the end of a run."""
        if self.is_alive:
            self.signal(signal.SIGKILL)

    def order(self, *words: object, seconds: float = DEADLINE_SECONDS) -> str:
        """Give an order (see ``server.py``) and return the answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(seconds)
            control.connect(str(self._control_path))
            control.sendall((" ".join(map(str, words)) + "\n").encode())
            return control.makefile().readline().rstrip("\n")

    def log(self) -> str:
        """Return the end of what it has printed."""
        return self.log_path.read_text(errors="replace")[-6000:] if self.log_path.exists() else ""

    def where(self) -> str:
        """Return the last boundary at which something happened to it."""
        return self.log_path.read_text(errors="replace").rpartition(WHERE)[2].partition("\n")[0]

    def client(self, service: str) -> Any:
        """Return a boto3 client with the administrator's key; a call is tried once."""
        if service not in self._clients:
            session = boto3.Session(*self._key, region_name=self.settings.region)
            config = Config(retries={"total_max_attempts": 1}, read_timeout=DEADLINE_SECONDS)
            self._clients[service] = session.client(service, endpoint_url=self.settings.endpoint_url, config=config)
        return self._clients[service]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
