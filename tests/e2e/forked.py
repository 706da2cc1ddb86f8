"""Keyturn's command in a process that is forked from one that has imported it: importing takes most of a short run.

What runs is the command, with arguments, environment, streams and a process of its own. How it starts by itself is
tested where that matters (``test_serve_command.py``), and wherever Python has to begin in another way.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryFile

PRELOADED = ["boto3", "keyturn.app", "keyturn.cli.main", "keyturn.server.run"]
"""What every command would import, or many."""

# What an interpreter looks at when it begins.
_OF_INTERPRETERS = ("PYTHON", "LC_", "LANG", "TZ")


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


_CONTEXT = _context()


def can_fork(environ: Mapping[str, str]) -> bool:
    """Return whether an interpreter would begin with this environment as it did with the present one."""

    def seen(variables: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in variables.items() if name.startswith(_OF_INTERPRETERS)}

    return seen(environ) == seen(os.environ)


def run_forked(
    arguments: Sequence[str], environ: Mapping[str, str], directory: Path | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, as ``subprocess.run`` does with captured output.

    Raises:
        TimeoutExpired: It took longer than so many seconds, and was killed.
    """
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        process = _fork(arguments, environ, directory, os.dup(stdout.fileno()), os.dup(stderr.fileno()))
        process.join(timeout)
        has_ended = process.exitcode is not None
        if not has_ended:
            process.kill()
            process.join()
        for stream in (stdout, stderr):
            stream.seek(0)
        printed = [stream.read().decode() for stream in (stdout, stderr)]
        if not has_ended:
            raise subprocess.TimeoutExpired([*arguments], timeout, *printed)
        return subprocess.CompletedProcess([*arguments], process.exitcode or 0, *printed)


class ForkedCommand:
    """A running command, to be handled like ``subprocess.Popen`` with pipes for its output.

    Args:
        arguments: Of the command.
        environ: Its environment.
    """

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        (stdout, its_stdout), (stderr, its_stderr) = os.pipe(), os.pipe()
        self.stdout, self.stderr = os.fdopen(stdout, encoding="utf-8"), os.fdopen(stderr, encoding="utf-8")
        self._arguments = [*arguments]
        self._process = _fork(arguments, environ, None, its_stdout, its_stderr)
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """Its exit status; minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            TimeoutExpired: It still runs.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


def _fork(
    arguments: Sequence[str], environ: Mapping[str, str], directory: Path | None, stdout: int, stderr: int
) -> BaseProcess:
    """Start the command; the descriptors of its streams are its own from then on."""
    # Connections are what multiprocessing hands over.
    streams = [Connection(descriptor, readable=False) for descriptor in (stdout, stderr)]
    where = str(directory or Path.cwd())
    process = _CONTEXT.Process(target=_run, args=([*arguments], dict(environ), where, *streams), daemon=True)
    process.start()
    for stream in streams:
        stream.close()
    return process


def _run(arguments: list[str], environ: dict[str, str], directory: str, stdout: Connection, stderr: Connection) -> None:
    """Be the command, in the forked process."""
    from keyturn.cli.main import main  # noqa: PLC0415 - it is imported before the fork, and not by who forks

    for number, stream in ((1, stdout), (2, stderr)):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding=sys.stdout.encoding)
    sys.stderr = io.TextIOWrapper(
        io.FileIO(2, "w", closefd=False), encoding=sys.stderr.encoding, errors="backslashreplace", line_buffering=True
    )
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(directory)
    sys.argv = ["keyturn", *arguments]
    main()
