"""Server processes: started with their output in a file, waited for with a deadline, ended by process id."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from keyturn.errors.base import KeyturnError

T = TypeVar("T")

_STOP_SECONDS = 15
_LOOK_EVERY_SECONDS = 0.05
_LOG_LINES = 12


class ServerProcess:
    """A running server and the processes it has started."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._name = name
        self._popen = popen
        self._log = log

    def wait_for(self, found: Callable[[], T | None], what: str, seconds: float = 30) -> T:
        """Return what ``found`` returns as soon as that is not None.

        Raises:
            KeyturnError: The server ended, or the time is over; with the last lines of its output.
        """
        until = time.monotonic() + seconds
        while (value := found()) is None:
            if self._popen.poll() is not None:
                raise self._failure(f"{self._name} ended with status {self._popen.returncode}, waiting for {what}")
            if time.monotonic() > until:
                raise self._failure(f"{self._name}: no {what} after {seconds:.0f} seconds")
            time.sleep(_LOOK_EVERY_SECONDS)
        return value

    def output(self) -> str:
        """Return what the server has printed."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._popen.pid

    def cpu_seconds(self) -> float:
        """Return the processor time the server has used so far, kernel included, with its children."""
        return tree_cpu_seconds(self._popen.pid)

    def own_cpu_seconds(self) -> float:
        """Likewise, of the server's own process only."""
        times = psutil.Process(self._popen.pid).cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        """Return how much memory the server's own process has."""
        return int(psutil.Process(self._popen.pid).memory_info().rss)

    def end(self) -> None:
        """End the server and whatever it leaves behind."""
        tree = _tree(self._popen.pid)
        if self._popen.poll() is None:
            self._popen.terminate()
        _, alive = psutil.wait_procs(tree, timeout=_STOP_SECONDS)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._popen.wait(_STOP_SECONDS)

    def _failure(self, message: str) -> KeyturnError:
        last_lines = "\n".join(self.output().splitlines()[-_LOG_LINES:])
        return KeyturnError(f"{message}. Its last lines:\n{last_lines}")


@contextmanager
def running(
    name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str]
) -> Iterator[ServerProcess]:
    """Start a server; it is ended when the block is left.

    Args:
        name: For messages.
        command: Program and arguments.
        log: File for all it prints.
        environment: Its whole environment.

    Raises:
        KeyturnError: It cannot be started.
    """
    with log.open("wb") as output:
        try:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C ends the benchmark, and the benchmark the server.
                start_new_session=True,
            )
        except OSError as error:
            raise KeyturnError(f"{name} cannot be started: {error}") from error
    process = ServerProcess(name, popen, log)
    try:
        yield process
    finally:
        process.end()


def tree_cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its children have used so far, those included that have ended."""
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def machine_cpu_seconds() -> float:
    """Return the processor time that anything on this machine has used so far."""
    times = psutil.cpu_times()
    busy: float = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return busy


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
