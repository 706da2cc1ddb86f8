"""What all series stand on: databases, a gate, servers, lanes that play points side by side, and what they report."""

from __future__ import annotations

import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from keyturn.app import initialise
from keyturn.storage.rotations import RotationStatus
from keyturn.testing.postgresql import PostgresqlServer

from .gate import Gate, Watched
from .invariants import violations
from .lane import Lane, Seen, Version
from .processes import Keyturn

LANES = 4
"""How many points are played side by side: servers and functions wait for each other and for pauses a lot."""

_L = TypeVar("_L")
_P = TypeVar("_P")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one point ended.

    Attributes:
        point: Its number or name.
        where: Which boundary that was.
        status: Of the rotation; None if the point was never reached: there are a few boundaries more in some runs.
        attempts: Runs through the steps.
        seconds: From the fault to the rotation's end.
        violations: What is wrong.
        takeover_seconds: From the death of a server to the first step that another one began.
    """

    point: str
    where: str
    status: RotationStatus | None
    attempts: int = 0
    seconds: float = 0.0
    violations: Sequence[str] = ()
    takeover_seconds: float | None = None


@dataclass(slots=True)
class Report:
    """All points of one series."""

    series: str
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""

    @property
    def reached(self) -> list[Outcome]:
        """Those that happened."""
        return [outcome for outcome in self.outcomes if outcome.status is not None or outcome.violations]

    @property
    def violating(self) -> list[Outcome]:
        """Those after which something was wrong."""
        return [outcome for outcome in self.outcomes if outcome.violations]


class Choice:
    """Which points of a range are played.

    Args:
        every: Each so-manieth.
        sample: At most so many, spread over the range; 0 for all.
        only: These and no others, by number.
    """

    def __init__(self, every: int = 1, sample: int = 0, only: Sequence[int] = ()) -> None:
        self._every, self._sample, self._only = every, sample, list(only)

    def of(self, points: Sequence[_P]) -> list[_P]:
        """Return the chosen ones, in order."""
        if self._only:
            return [points[number - 1] for number in self._only if number <= len(points)]
        chosen = list(points[:: self._every])
        if self._sample and len(chosen) > self._sample:
            step = (len(chosen) - 1) / max(1, self._sample - 1)
            chosen = [chosen[round(index * step)] for index in range(self._sample)]
        return chosen


class Bench:
    """Opened once for a run of the sweep; closes everything it has made."""

    def __init__(self, choice: Choice, closing: ExitStack) -> None:
        self.choice = choice
        self.gate = Gate()
        self._closing = closing
        self.directory = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="keyturn-sweep-")))
        # Functions run as other users.
        self.directory.chmod(0o711)
        self._initialising = threading.Lock()
        self._numbers = iter(range(1, 10_000))

    def at_end(self, close: Callable[[], object]) -> None:
        """Have something undone when the run ends."""
        self._closing.callback(close)

    def postgresql(self) -> PostgresqlServer:
        """Start a database server."""
        server = PostgresqlServer.start(settings={"max_connections": "300"})
        self._closing.callback(server.stop)
        return server

    def folder(self) -> Path:
        """Make a folder."""
        folder = self.directory / f"n{next(self._numbers)}"
        folder.mkdir(mode=0o711)
        return folder

    def keyturn(self, *, database_url: str = "", any_clock: bool = False, folder: Path | None = None) -> Keyturn:
        """Make a new server; it is not started."""
        keyturn = Keyturn(folder or self.folder(), database_url=database_url, any_clock=any_clock)
        # Alembic migrates one database at a time.
        with self._initialising:
            administrator = initialise(keyturn.settings)
        keyturn.sign_with(administrator.access_key_id, administrator.secret_access_key.reveal())
        self._closing.callback(keyturn.end)
        return keyturn

    def second(self, first: Keyturn) -> Keyturn:
        """Make a server beside another, on the same PostgreSQL; it is not started."""
        settings = first.settings
        keyturn = Keyturn(self.folder(), database_url=settings.database_url, root_key_file=settings.root_key_path)
        keyturn.settings.data_dir.mkdir(mode=0o700)
        keyturn.sign_like(first)
        self._closing.callback(keyturn.end)
        return keyturn

    def database(self, server: PostgresqlServer) -> str:
        """Make an empty database for a server's state and return its URL."""
        name = f"state_{next(self._numbers)}"
        server.run(f"CREATE DATABASE {name}")
        return server.url(name, driver="postgresql")

    def name(self, prefix: str) -> str:
        """Return a name for a user and a secret."""
        return f"{prefix}_{next(self._numbers)}"


@contextmanager
def opened(choice: Choice) -> Iterator[Bench]:
    """Open a bench."""
    with ExitStack() as closing:
        yield Bench(choice, closing)


@dataclass(slots=True)
class Point:
    """A rotation that is about to have something happen to it; ``may_repeat`` as in :func:`violations`."""

    lane: Lane
    before: Version
    token: str
    watched: Watched
    began: float
    fault_at: float | None = None
    may_repeat: bool = False

    def judged(
        self, name: object, where: str, seen: Seen | None, *, more: Sequence[str] = (), clock_is_true: bool = True
    ) -> Outcome:
        """Return the outcome, with everything that is wrong."""
        ended = time.monotonic()
        wrong = violations(
            self.lane,
            self.before,
            self.token,
            seen,
            self.watched,
            may_repeat=self.may_repeat,
            clock_is_true=clock_is_true,
        )
        return Outcome(
            str(name),
            where,
            seen.rotation.status if seen else None,
            seen.rotation.attempt if seen else 0,
            ended - (self.fault_at or self.began),
            [*more, *wrong],
        )


def side_by_side(name: str, lanes: Sequence[_L], points: Sequence[_P], play: Callable[[_L, _P], Outcome]) -> Report:
    """Play all points, each on whichever lane is free; a lane on which a point breaks down is used no more."""
    report, waiting = Report(name), queue.SimpleQueue[_P]()
    began = time.monotonic()
    for point in points:
        waiting.put(point)

    def work(lane: _L) -> None:
        while True:
            try:
                point = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                outcome = play(lane, point)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported with its point
                broken = Outcome(str(point), "", None, violations=[f"{type(error).__name__}: {error}"])
                _tell(report, len(points), broken)
                return
            _tell(report, len(points), outcome)

    threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in lanes[: len(points)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while not waiting.empty():
        _tell(report, len(points), Outcome(str(waiting.get()), "", None, violations=["no lane is left to play it on"]))
    report.seconds = time.monotonic() - began
    return report


def _tell(report: Report, total: int, outcome: Outcome) -> None:
    report.outcomes.append(outcome)
    done = len(report.outcomes)
    line = f"{report.series}: {done} of {total}, {len(report.violating)} with violations"
    if outcome.violations:
        sys.stderr.write(f"\r\033[K{report.series}, point {outcome.point} ({outcome.where[:150]}):\n")
        sys.stderr.writelines(f"    {violation}\n" for violation in outcome.violations)
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
    elif done == total or done % 50 == 0:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
