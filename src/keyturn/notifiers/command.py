"""A program that is run for each message, which it gets on its standard input.

It gets no arguments and a minimal environment, runs in a session of its own, and is killed with everything it has
started when its time is over or the server ends. What it prints goes into the server's log, cut off where it is long.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar, Self

from keyturn.notifiers.base import Location, NotifierError

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS, _MOST_SECONDS = 30, 300
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_KEPT_BYTES, _READ_BYTES = 2048, 65_536
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class CommandNotifier:
    """Runs one program.

    Args:
        name: Of the notifier, for the log.
        path: Of the program, absolute.
        timeout_seconds: How long it may run.
    """

    kind: ClassVar[str] = "command"
    schemes: ClassVar[tuple[str, ...]] = ("command",)

    def __init__(self, name: str, path: Path, *, timeout_seconds: int) -> None:
        self._name = name
        self._path = path
        self.timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    @classmethod
    def open(cls, location: Location) -> Self:
        """Read the options, and look at the program."""
        location.refuse_others("timeout_seconds")
        if not location.url.startswith("command:/") or location.url.startswith("command://") or "?" in location.url:
            raise location.refusal("a path that begins with a slash is needed, and nothing else: it gets no arguments")
        seconds = location.number("timeout_seconds", _TIMEOUT_SECONDS, least=1, most=_MOST_SECONDS)
        if (wrong := _fault_of(Path(location.path))) is not None:
            raise location.refusal(wrong)
        return cls(location.name, Path(location.path), timeout_seconds=seconds)

    def send(self, message_id: str, document: str, at: float) -> str:  # noqa: ARG002 - the protocol's
        """Run the program once and wait for its end."""
        # Whoever may replace it since it was looked at would run as the server.
        if (wrong := _fault_of(self._path)) is not None:
            raise NotifierError(f"The program is not run: {wrong}.")
        # A file, so that a program which does not read its input keeps nobody waiting.
        with tempfile.TemporaryFile() as message:
            message.write(document.encode())
            message.seek(0)
            process = self._start(message.fileno())
            try:
                output, in_time = _watch(process, time.monotonic() + self.timeout_seconds)
            finally:
                status = self._end(process)
        said = f"exit status {status}" if status >= 0 else f"ended by {signal.Signals(-status).name}"
        if output:
            # Quoted: a program must not write lines of this log.
            _log.info("the notifier %s printed %r", self._name, output.decode("utf-8", "replace"))
        if not in_time:
            raise NotifierError(
                f"The program did not end within {self.timeout_seconds} seconds, and was killed.",
                "timeout_seconds gives it more time.",
            )
        if status != 0:
            raise NotifierError(f"The program failed: {said}.", "What it printed is in the server's log.")
        return said

    def close(self) -> None:
        """Kill the program if it runs."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                _kill(self._process)

    def _start(self, message: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_closed:
                raise NotifierError("The server ends.")
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the operator's own program
                    [str(self._path)],
                    stdin=message,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=_ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise NotifierError(
                    f"The program cannot be run: {error.strerror}.",
                    "A script must begin with the line of its interpreter, for instance #!/bin/sh.",
                ) from error
            return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Reap a program that has ended, or has to end now."""
        with self._lock:
            self._process = None
            if not _has_ended(process):
                _kill(process)
            status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return status


def _fault_of(path: Path) -> str | None:
    """Say what keeps a program from being run; None if nothing does."""
    try:
        real = path.resolve(strict=True)
        status, parent = real.stat(), real.parent.stat()
    except OSError as error:
        return f"{path} cannot be found: {error.strerror}"
    if not stat.S_ISREG(status.st_mode) or not os.access(real, os.X_OK):
        return f"{path} is not a program that may be run"
    trusted = (0, os.geteuid())
    if status.st_uid not in trusted or parent.st_uid not in trusted:
        return f"{path} and its directory must belong to root or to the user who starts Keyturn"
    is_sticky = parent.st_mode & stat.S_ISVTX
    if status.st_mode & _WRITABLE_BY_OTHERS or (parent.st_mode & _WRITABLE_BY_OTHERS and not is_sticky):
        return f"{path} or its directory can be written by others than its owner; run: chmod go-w {path}"
    return None


def _watch(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    """Read what a program prints until it ends; return the beginning, and whether it ended in time."""
    kept = bytearray()
    if process.stdout is None:
        raise TypeError("the program was started without a pipe")
    output = process.stdout.fileno()
    os.set_blocking(output, False)
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while (seconds := deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(seconds)}
                if output in ready and not _read_some(output, kept):
                    selector.unregister(output)
                if ended in ready:
                    _read_some(output, kept)
                    return bytes(kept), True
    finally:
        os.close(ended)
    return bytes(kept), False


def _read_some(descriptor: int, kept: bytearray) -> bool:
    """Read what is there and keep the beginning; False at the end."""
    try:
        piece = os.read(descriptor, _READ_BYTES)
    except BlockingIOError:
        return True
    kept += piece[: max(0, _KEPT_BYTES - len(kept))]
    return bool(piece)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a program has ended, without reaping it: until then nobody else gets its number."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that was not reaped yet, with everything of its session's group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
