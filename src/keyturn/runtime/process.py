"""One process tree that runs a function: started, listened to, measured, ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from keyturn.runtime import proc
from keyturn.runtime.api import ApiLoop, Event, RuntimeApi
from keyturn.runtime.logs import EnvironmentLog
from keyturn.runtime.network import Network

_Found = TypeVar("_Found")

_PIPE_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024
# How long a line may wait before it is written, while the function runs on.
_FLUSH_SECONDS = 0.25
_DRAIN_SECONDS = 5.0
_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The function's own answer; an init error is one too."""

    body: bytes = field(repr=False)
    failed: bool


@dataclass(frozen=True, slots=True)
class InitError:
    """The function's module could not be loaded."""

    error_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended by itself, or was ended for the memory it took."""

    status: int
    out_of_memory: bool


class Gone(Exited):
    """The process ended before it took the event, so another may be given it."""


class TimedOut:
    """Nothing happened in time."""


class TooLarge:
    """The function answered with more than is allowed."""


class Ready:
    """The process asks for its first event."""


class FunctionProcess:
    """A running process tree and its Runtime API.

    Args:
        start: Starts the process, given the API and the descriptor its output goes to.
        api_loop: Where the Runtime API lives.
        log: Takes what the process writes.
        memory_limit_bytes: The tree is ended when it takes more.
        network: A network of its own, in which the API listens; ended with the process.
    """

    def __init__(
        self,
        start: Callable[[RuntimeApi, int], subprocess.Popen[bytes]],
        api_loop: ApiLoop,
        log: EnvironmentLog,
        memory_limit_bytes: int,
        network: Network | None = None,
    ) -> None:
        self._network = network
        self._log = log
        self._memory_limit_bytes = memory_limit_bytes
        self._changed = threading.Condition()
        self._reading = threading.Lock()
        self._init: Ready | InitError | None = None
        self._answer: Answer | TooLarge | None = None
        self._is_taken = False
        self._exit_status: int | None = None
        self._out_of_memory = False
        self._peak_bytes = 0
        self._consumed_bytes = 0
        self._api: RuntimeApi = api_loop.open(self, listens=network is None)
        self._output, output_of_process = os.pipe()
        # The machine's allowance for large pipes may be used up; an ordinary one only makes a flood of output slower.
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._output, False)
        try:
            self._process = start(self._api, output_of_process)
        except BaseException:
            os.close(self._output)
            self._api.close()
            raise
        finally:
            os.close(output_of_process)
        self._api.admit(self._process.pid)
        self._exit = os.pidfd_open(self._process.pid)
        self._reader = threading.Thread(target=self._read_output, name="keyturn-function-output", daemon=True)
        self._reader.start()

    # What the Runtime API tells, in its own thread.

    def on_ready(self) -> None:
        """Note that the process waits for events."""
        with self._changed:
            self._init = Ready()
            self._changed.notify_all()

    def on_init_error(self, error_type: str, body: bytes) -> None:
        """Note why the function could not be loaded."""
        with self._changed:
            self._init = InitError(error_type, body)
            self._changed.notify_all()

    def on_taken(self) -> None:
        """Note that the process has the event."""
        with self._changed:
            self._is_taken = True

    def on_answer(self, body: bytes, *, failed: bool) -> None:
        """Note the function's answer."""
        with self._changed:
            self._answer = Answer(body, failed)
            self._changed.notify_all()

    def on_answer_too_large(self) -> None:
        """Note that there is no answer to keep."""
        with self._changed:
            self._answer = TooLarge()
            self._changed.notify_all()

    # What the environment asks for.

    def wait_until_ready(self, deadline: float) -> Ready | InitError | Exited | TimedOut:
        """Wait until the function's module is loaded; ``deadline`` is a moment of ``time.monotonic()``."""
        return self._wait(lambda: self._init, deadline)

    def call(self, event: Event, deadline: float) -> Answer | TooLarge | Gone | Exited | TimedOut:
        """Hand over one event and wait for its answer until ``deadline``."""
        self._answer = None
        self._is_taken = False
        self._api.offer(event)
        result: Answer | TooLarge | Exited | TimedOut = self._wait(lambda: self._answer, deadline)
        if isinstance(result, Exited) and not (self._is_taken or result.out_of_memory):
            return Gone(result.status, out_of_memory=False)
        return result

    def drain(self) -> None:
        """Return when everything the process has written so far is in the log."""
        with self._reading:
            target = self._consumed_bytes + self._unread_bytes()
        with self._changed:
            self._changed.wait_for(
                lambda: self._consumed_bytes >= target or self._exit_status is not None, timeout=_DRAIN_SECONDS
            )

    def end(self) -> None:
        """End the whole tree and wait until it is gone."""
        if self._exit_status is None:
            self._kill()
        self._reader.join(_END_SECONDS)

    @property
    def is_alive(self) -> bool:
        """Whether it may still answer."""
        return self._exit_status is None and not self._out_of_memory

    @property
    def is_connected(self) -> bool:
        """Whether its network is still as it was made."""
        return self._network is None or self._network.is_connected

    @property
    def peak_bytes(self) -> int:
        """The most memory the tree was seen to take."""
        return self._peak_bytes

    def watch_memory(self) -> None:
        """Measure the tree, and end it if it takes too much."""
        if not self.is_alive:
            return
        pids = self._function_pids()
        used = proc.resident_bytes(pids)
        if used > self._memory_limit_bytes and len(pids) > 1:
            # Forked processes share most pages; counted once each, as a control group would.
            used = proc.proportional_bytes(pids)
        self._peak_bytes = max(self._peak_bytes, used)
        if used > self._memory_limit_bytes:
            self._out_of_memory = True
            self._kill()

    def measure_peak(self) -> None:
        """Ask the kernel for the peak of the main process, which sampling may have missed."""
        if self.is_alive and (pids := self._function_pids()):
            self._peak_bytes = max(self._peak_bytes, proc.peak_bytes(pids[0]))

    def _function_pids(self) -> list[int]:
        """The function's own processes, the main one first. bubblewrap has one in between, a supervisor has not."""
        below = proc.descendants(self._process.pid)
        return below if self._is_supervised else below[1:]

    @property
    def _is_supervised(self) -> bool:
        return self._process.stdin is not None

    def _wait(self, found: Callable[[], _Found | None], deadline: float) -> _Found | Exited | TimedOut:
        with self._changed:
            self._changed.wait_for(
                lambda: found() is not None or self._exit_status is not None,
                timeout=max(0.0, deadline - time.monotonic()),
            )
            # A process that answers and ends at once has answered.
            if (result := found()) is not None:
                return result
            if self._exit_status is not None:
                return Exited(self._exit_status, self._out_of_memory)
            return TimedOut()

    def _kill(self) -> None:
        if self._process.stdin is not None:
            # The supervisor takes the end of this pipe for the end of the server, and ends everything below it.
            self._process.stdin.close()
            return
        # When the first process of a PID namespace dies the kernel ends the others before its parent hears of it.
        for pid in proc.children(self._process.pid) or [self._process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # The reader's thread.

    def _read_output(self) -> None:
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        poll.register(self._exit, select.POLLIN)
        flushed_at = time.monotonic()
        while True:
            ready = {
                descriptor for descriptor, _ in poll.poll(_FLUSH_SECONDS * 1000 if self._log.has_pending else None)
            }
            if self._exit in ready:
                break
            if self._output in ready and not self._read_chunk():
                # All descriptors of the pipe are closed; what remains is to wait for the end.
                poll.unregister(self._output)
            if time.monotonic() - flushed_at > _FLUSH_SECONDS:
                self._flush()
                flushed_at = time.monotonic()
        status = self._process.wait()
        while self._read_chunk():
            pass
        self._close()
        with self._changed:
            self._exit_status = status
            self._changed.notify_all()

    def _read_chunk(self) -> bool:
        """Move what is in the pipe to the log; False if there was nothing."""
        with self._reading:
            try:
                chunk = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                return False
            self._log.feed(chunk)
            with self._changed:
                self._consumed_bytes += len(chunk)
                self._changed.notify_all()
        return bool(chunk)

    def _flush(self) -> None:
        # The lines stay, and the invocation's own flush raises the same failure to its caller.
        with contextlib.suppress(Exception):
            self._log.flush()

    def _unread_bytes(self) -> int:
        if self._output < 0:
            return 0
        return int(struct.unpack("=i", fcntl.ioctl(self._output, termios.FIONREAD, b"\0" * 4))[0])

    def _close(self) -> None:
        self._api.close()
        if self._network is not None:
            self._network.close()
        with self._reading:
            os.close(self._output)
            self._output = -1
        os.close(self._exit)
        if self._process.stdin is not None:
            self._process.stdin.close()
