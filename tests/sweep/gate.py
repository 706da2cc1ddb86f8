"""The sweep's end of ``gated.py``: sees every boundary of every step that any function runs, and decides what happens.

A step is *open* from its first word until its connection ends, which the kernel sees to when the process dies. Two open
steps of one secret are two rotations at once.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

GO, DIE, HANG = "go", "die", "hang"


@dataclass(slots=True)
class Visit:
    """One run of one step, as the function itself tells it.

    Attributes:
        began: A moment of ``time.monotonic()``, like ``ended``.
        is_orphaned: Its server is stopped and cannot end it, so it may be open beside another.
    """

    step: str
    token: str
    endpoint_url: str
    connection: socket.socket
    began: float
    ended: float | None = None
    boundaries: list[str] = field(default_factory=list)
    is_orphaned: bool = False

    @property
    def is_open(self) -> bool:
        """Whether its process still has its end of the connection."""
        if self.ended is not None:
            return False
        poll = select.poll()
        poll.register(self.connection, select.POLLRDHUP)
        return not poll.poll(0)


Decide = Callable[[Visit, str], str]
"""Called at each boundary; may take its time, and returns GO, DIE or HANG."""


@dataclass(slots=True)
class Watched:
    """What was seen of one secret."""

    decide: Decide
    visits: list[Visit] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)


def go(_visit: Visit, _boundary: str) -> str:
    """Let everything pass."""
    return GO


class Gate:
    """Listens for functions."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._lock = threading.Lock()
        self._watched: dict[str, Watched] = {}
        threading.Thread(target=self._accept, daemon=True, name="gate").start()

    @property
    def port(self) -> int:
        """Where functions find it."""
        return int(self._listener.getsockname()[1])

    def watch(self, secret_arn: str, decide: Decide = go) -> Watched:
        """Begin anew with a secret."""
        with self._lock:
            watched = self._watched[secret_arn] = Watched(decide)
        return watched

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True, name="gate-visit").start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            opening = lines.readline()
            if not opening:
                return
            event = json.loads(opening)
            visit = Visit(event["Step"], event["ClientRequestToken"], event["Endpoint"], connection, time.monotonic())
            watched = self._begin(event["SecretId"], visit)
            try:
                while line := lines.readline():
                    name = line.decode().strip()
                    visit.boundaries.append(name)
                    connection.sendall(f"{watched.decide(visit, name)}\n".encode())
            finally:
                visit.ended = time.monotonic()

    def _begin(self, secret_arn: str, visit: Visit) -> Watched:
        with self._lock:
            watched = self._watched.setdefault(secret_arn, Watched(go))
            for other in watched.visits:
                if other.is_open and not other.is_orphaned:
                    watched.overlaps.append(f"{visit.step} began while {other.step} ran")
            watched.visits.append(visit)
        return watched


class AtBoundary:
    """Acts once, at boundary ``at`` (from 1) of all steps that run; counts them all.

    Args:
        at: 0 for never.
        act: What to do there; returns what the function is told.
    """

    def __init__(self, at: int, act: Callable[[], str]) -> None:
        self.count = 0
        self.fired_at: float | None = None
        self.name = ""
        self._at, self._act = at, act
        self._lock = threading.Lock()

    def __call__(self, visit: Visit, boundary: str) -> str:
        with self._lock:
            self.count += 1
            if self.count != self._at:
                return GO
            self.fired_at, self.name = time.monotonic(), f"{visit.step}: {boundary}"
        return self._act()
