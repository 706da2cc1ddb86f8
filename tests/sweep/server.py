"""The real server with its statements counted: it can be told to die, or to wait, at the boundary of any of them.

Nothing of the product knows about this. :func:`serve` does what ``keyturn serve`` does, after it has hung listeners on
SQLAlchemy and on SQLite's own trace, and has opened a socket on which the sweep gives orders: one line each, one line
back.

``count``
    How many boundaries were passed since ``arm``.
``arm N kill`` / ``arm N wait``
    Count from now on; at boundary N send SIGKILL to oneself, or wait for ``go``. N may be 0: never.
``reached``
    Answer when the boundary that ``arm N wait`` names is reached, with its name.
``go``
    Let it pass.
``clock SECONDS``
    Move the server's clock by so much from what the machine says.
"""

from __future__ import annotations

import os
import signal
import socketserver
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool

from keyturn.app import Server
from keyturn.config import Settings
from keyturn.operations import registry
from keyturn.server import run
from keyturn.storage.audit_log import AuditLog

WHERE = "sweep: at "
"""What stands in the server's log before the boundary at which something happened to it."""

# The sweep forks its servers from a process that has loaded this module: a start takes a fraction of a second.
registry.discover()


@dataclass(frozen=True, slots=True)
class Start:
    """How to start one server; ``clock_seconds`` is how far its clock is off at first."""

    settings: Settings
    log_path: Path
    control_path: Path
    clock_seconds: float = 0.0


class MovableClock:
    """The machine's clock, off by what the sweep says."""

    def __init__(self, seconds: float) -> None:
        self.offset = timedelta(seconds=seconds)

    def now(self) -> datetime:
        """Return the moment as this server believes it to be."""
        return datetime.now(UTC) + self.offset


class Boundaries:
    """Counts boundaries, once armed, and acts at one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_armed = False
        self._count = 0
        self._at = 0
        self._act: Callable[[str], None] = _kill
        self._reached, self._go = threading.Event(), threading.Event()
        self._name = ""

    def arm(self, at: int, act: str) -> None:
        """Count from 1 on."""
        with self._lock:
            self._count, self._at, self._is_armed = 0, at, True
            self._act = {"kill": _kill, "wait": self._wait}[act]

    def passed(self) -> int:
        """Return how many were passed."""
        with self._lock:
            return self._count

    def reached(self) -> str:
        """Wait until somebody waits."""
        self._reached.wait()
        return self._name

    def go(self) -> None:
        """Let whoever waits pass."""
        self._go.set()

    def pass_(self, name: str) -> None:
        """Take note of a boundary."""
        with self._lock:
            if not self._is_armed:
                return
            self._count += 1
            is_it = self._count == self._at
        if is_it:
            where = f"{name} ({_place()})"
            os.write(1, f"{WHERE}{where}\n".encode())
            self._act(where)

    def _wait(self, name: str) -> None:
        self._name = name
        self._reached.set()
        self._go.wait()


def _kill(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _place() -> str:
    """Return where in Keyturn this statement comes from: the two innermost functions that are not about storing."""
    frames = [frame for frame in traceback.extract_stack() if "/keyturn/" in frame.filename]
    outer = [frame for frame in frames if "/storage/" not in frame.filename] or frames
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in outer[-2:])


def serve(start: Start) -> None:
    """Serve until SIGTERM, or until what is planned happens."""
    log = os.open(start.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    boundaries, clock = Boundaries(), MovableClock(start.clock_seconds)
    _listen(boundaries)
    _open_control(start.control_path, boundaries, clock)
    run.configure_logging(start.settings.log_level)
    with run.bind(start.settings) as listener:
        settings = replace(start.settings, port=listener.getsockname()[1])
        with Server.open(settings, clock) as server:
            run.serve(settings, server.application, server.doors, listener, "ready")
    sys.stdout.flush()


def _listen(boundaries: Boundaries) -> None:
    """Hang listeners on everything that speaks to a database, of every engine that will be made."""

    @event.listens_for(Engine, "before_cursor_execute")
    def before(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # SQLite's own trace tells it too, and of statements that do not come this way.
        if connection.dialect.name != "sqlite":
            boundaries.pass_(f"before {statement}")

    @event.listens_for(Engine, "after_cursor_execute")
    def after(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        boundaries.pass_(f"after {statement}")

    def trace(statement: str) -> None:
        # Pragmas look whether something has changed; what a rollback ends has changed nothing.
        if not statement.startswith(("PRAGMA", "ROLLBACK")):
            boundaries.pass_(f"before {statement}")

    @event.listens_for(Pool, "connect")
    def connect(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(trace)

    for owner, name in ((DefaultDialect, "do_commit"), (AuditLog, "_append")):
        _surround(owner, name, boundaries)


def _surround(owner: type, name: str, boundaries: Boundaries) -> None:
    act = getattr(owner, name)

    def surrounded(*arguments: Any, **named: Any) -> Any:
        boundaries.pass_(f"before {name}")
        result = act(*arguments, **named)
        boundaries.pass_(f"after {name}")
        return result

    setattr(owner, name, surrounded)


def _open_control(path: Path, boundaries: Boundaries, clock: MovableClock) -> None:
    def arm(at: str, act: str) -> None:
        boundaries.arm(int(at), act)

    def move(seconds: str) -> None:
        clock.offset = timedelta(seconds=float(seconds))

    orders: dict[str, Callable[..., object]] = {
        "count": boundaries.passed,
        "arm": arm,
        "reached": boundaries.reached,
        "go": boundaries.go,
        "clock": move,
    }

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                order, *arguments = line.decode().split()
                answer = orders[order](*arguments)
                self.wfile.write(f"{'' if answer is None else answer}".replace("\n", " ").encode() + b"\n")

    path.unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="sweep-control").start()
