"""The first program of an execution environment: limits it, then becomes the function's process.

A file that stands alone: it runs under the function's interpreter, without Keyturn's packages (standard library only,
Python 3.9). It is started as ``python -I -S launcher.py FD``. ``FD`` holds a JSON document, so that neither the
function's variables nor its credentials appear in a process list or in the environment of an outer process:

    argv         program and arguments to become
    environment  its variables, all of them
    directory    its working directory
    limits       resource limits by name (``RLIMIT_...``), soft and hard the same
    user         user and group id to become, or null
    supervise    whether this process must stay and end everything the function leaves behind (no PID namespace does)
    log_fd       standard output and standard error of the function
    network      descriptors on which to say that the namespaces are made, and to wait until its network is too; or null
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_NICENESS = 5
_CANNOT_START = 125


def main() -> None:
    """Read the instructions and follow them."""
    descriptor = int(sys.argv[1])
    with os.fdopen(descriptor, "r", encoding="utf-8") as file:
        instructions = json.load(file)
    if instructions["supervise"]:
        supervise(instructions)
    else:
        become(instructions)


def become(instructions: dict[str, Any]) -> None:
    """Set limits and identity, then replace this process."""
    if instructions["network"]:
        await_network(*instructions["network"])
    log_fd = instructions["log_fd"]
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.set_inheritable(log_fd, True)
    os.nice(_NICENESS)
    for name, limit in instructions["limits"].items():
        set_limit(getattr(resource, name), limit)
    if instructions["user"] is not None:
        os.setgroups([])
        os.setresgid(*[instructions["user"]] * 3)
        os.setresuid(*[instructions["user"]] * 3)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(0o022)
    os.chdir(instructions["directory"])
    os.execve(instructions["argv"][0], instructions["argv"], instructions["environment"])  # noqa: S606 - no shell wanted


def await_network(says: int, waits: int) -> None:
    """Wait until the server has made the network; end if it ends."""
    os.write(says, b"1")
    os.close(says)
    if not os.read(waits, 1):
        os._exit(_CANNOT_START)
    os.close(waits)


def set_limit(kind: int, limit: int) -> None:
    """Lower a limit; an ordinary user cannot raise the hard one again, so a lower one stays."""
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


def supervise(instructions: dict[str, Any]) -> None:
    """Stay as the parent: when the function's process ends, or the server does, end everything it started.

    Standard input is a pipe that only the server holds open; it ends when the server does, however that happens.
    Orphans come to this process because it is a subreaper.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    child = os.fork()
    if child == 0:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            become(instructions)
        finally:
            os._exit(_CANNOT_START)
    os.close(instructions["log_fd"])
    status = None
    while status is None:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            status = reap(child)
        if 0 in ready:
            break
    end_descendants()
    if status is None:
        os._exit(128 + signal.SIGKILL)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def reap(child: int) -> int | None:
    """Collect ended processes; return the exit status of ``child`` if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def end_descendants() -> None:
    """End children until none is left: the children of an ended child come here next."""
    while True:
        pids = children()
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def children() -> list[int]:
    """Process ids whose parent is this process."""
    own = str(os.getpid()).encode()
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = file.read_bytes().rpartition(b")")[2].split()
            if fields[1] == own:
                found.append(int(file.parent.name))
    return found


if __name__ == "__main__":
    main()
