"""What happens to the server's own ground: its database killed, its disk full, its clock moved. The server lives on."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from keyturn.rules.rotation import ROTATION, Step
from keyturn.testing.postgresql import PostgresqlServer

from .bench import Bench, Outcome, Point, Report, side_by_side
from .function_killed import begin
from .gate import GO, AtBoundary, Visit, go
from .lane import Lane
from .processes import Keyturn
from .server_killed import LEASE_SECONDS

_LANES = 8
# A rotation whose outcome could not be stored goes on when its lease has run out and the scheduler has noticed.
_END_SECONDS = 3 * LEASE_SECONDS + 60
# However many boundaries there are, so many are enough for something that takes a minute each.
_POINTS = 24
_DOWN_SECONDS = 0.5
_FULL_SECONDS = 3.0
_DISK_MEGABYTES = 64
# Long enough for the scheduler, which sleeps until a lease would expire, to look round while the step runs.
_LOOK_SECONDS = LEASE_SECONDS + 2
_TIMEOUT_SECONDS = 60
_HOUR = 3600.0
# Past the lease; past the window and the session of the function's role; back by hours, and by days.
_JUMPS = (LEASE_SECONDS + 30, 2 * _HOUR, 3 * 24 * _HOUR, -3 * _HOUR, -2 * 24 * _HOUR)


class Struck:
    """A lane with a server of its own, to whose ground something is done at a boundary of a statement.

    Args:
        keyturn: Not started yet.
        target: Its database.
        bench: For the rest.
        strike: Does it.
        mend: Undoes it.
    """

    def __init__(
        self, bench: Bench, keyturn: Keyturn, target: PostgresqlServer,
        strike: Callable[[], None], mend: Callable[[], None],
    ) -> None:  # fmt: skip
        self.bench, self.keyturn = bench, keyturn
        self.strike, self.mend = strike, mend
        self.lane = Lane(keyturn, target, bench.name("struck"))
        keyturn.start()
        self.lane.create(bench.gate)

    def count(self) -> int:
        """Rotate undisturbed and return how many boundaries that has."""
        point = begin(self.bench, self.lane, go)
        self.keyturn.order("arm", 0, "wait")
        self.lane.rotate(point.token)
        self.lane.wait_for_end(point.token, _END_SECONDS)
        return int(self.keyturn.order("count"))

    def play(self, number: int, seconds: float) -> Outcome:
        """Strike at one boundary while whoever is there waits, let it go on, and mend a while later."""
        point = begin(self.bench, self.lane, go)
        self.keyturn.order("arm", number, "wait")
        asked: list[bool] = []
        asking = threading.Thread(target=lambda: asked.append(self.lane.rotate(point.token)), daemon=True)
        asking.start()
        try:
            self.keyturn.order("reached", seconds=10)
        except TimeoutError:
            return point.judged(number, "not reached", self.lane.wait_for_end(point.token, _END_SECONDS))
        point.fault_at, point.may_repeat = time.monotonic(), True
        self.strike()
        self.keyturn.order("go")
        time.sleep(seconds)
        self.mend()
        asking.join()
        if not asked[0]:
            _repeat(self.lane, point)
        seen = self.lane.wait_for_end(point.token, _END_SECONDS)
        more = [] if self.keyturn.is_alive else [f"the server has died:\n{self.keyturn.log()}"]
        return point.judged(number, self.keyturn.where(), seen, more=more)


def _repeat(lane: Lane, point: Point) -> None:
    """Repeat a call that failed, as an SDK does, until the ground bears again."""
    deadline = time.monotonic() + _END_SECONDS
    while not lane.rotate(point.token):
        if time.monotonic() > deadline:
            raise AssertionError("RotateSecret is not answered any more")
        time.sleep(0.2)


def database_killed(bench: Bench) -> Report:
    """Kill the PostgreSQL in which the state is kept, at some boundaries of statements."""
    target = bench.postgresql()

    def lane() -> Struck:
        state = bench.postgresql()
        return Struck(bench, bench.keyturn(database_url=bench.database(state)), target, state.crash, state.restart)

    return _struck("state PostgreSQL killed at a statement", bench, lane, _DOWN_SECONDS)


def disk_full(bench: Bench) -> Report:
    """Fill the disk that the data directory is on, at some boundaries of statements."""
    name = "the disk is full"
    if reason := _cannot_mount(bench.folder()):
        return Report(name, skipped=reason)
    target = bench.postgresql()

    def lane() -> Struck:
        folder = bench.folder()
        _mount(folder)
        bench.at_end(lambda: _unmount(folder))
        ballast = folder / "ballast"
        return Struck(bench, bench.keyturn(folder=folder), target, lambda: _fill(ballast), ballast.unlink)

    return _struck(name, bench, lane, _FULL_SECONDS)


def _struck(name: str, bench: Bench, lane: Callable[[], Struck], seconds: float) -> Report:
    first = lane()
    points = bench.choice.of(range(1, first.count() + 1))
    points = points[:: max(1, len(points) // _POINTS)]
    others = (lane() for _ in points[1:_LANES])
    return side_by_side(name, [first, *others], points, lambda struck, number: struck.play(number, seconds))


def _cannot_mount(folder: Path) -> str:
    """Return why a small disk cannot be made here; empty if it can."""
    if os.geteuid() != 0:
        return "only root can mount a small file system"
    try:
        _mount(folder)
    except (OSError, subprocess.CalledProcessError):
        return "a tmpfs cannot be mounted here"
    _unmount(folder)
    return ""


def _mount(folder: Path) -> None:
    options = f"size={_DISK_MEGABYTES}m,mode=711"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


def clock_jumps(bench: Bench) -> Report:
    """Move the server's clock while a step runs: in the middle of each step, forwards and backwards."""
    target = bench.postgresql()
    points = [(step, seconds) for seconds in _JUMPS for step in ROTATION.steps]

    def play(_: int, point: tuple[Step, float]) -> Outcome:
        step, seconds = point
        # A server of its own: whatever its clock has done to it must not count for the next point.
        keyturn = bench.keyturn(any_clock=True)
        keyturn.start()
        lane = Lane(keyturn, target, bench.name("clock"))
        lane.create(bench.gate, timeout_seconds=_TIMEOUT_SECONDS)
        at = _AtMiddle(step, lambda: keyturn.order("clock", seconds))
        began = begin(bench, lane, at)
        lane.rotate(began.token)
        seen = lane.wait_for_end(began.token, _END_SECONDS)
        began.fault_at = at.fired_at
        outcome = began.judged(f"{step} {seconds:+.0f} s", at.name, seen, clock_is_true=False)
        keyturn.stop()
        return outcome

    return side_by_side("the clock jumps in a step", range(_LANES), bench.choice.of(points), play)


class _AtMiddle(AtBoundary):
    """Acts once, at the tenth word of a step: it has asked Secrets Manager something, and not finished."""

    def __init__(self, step: Step, act: Callable[[], object]) -> None:
        super().__init__(0, lambda: GO)
        self._step, self._move = step, act

    def __call__(self, visit: Visit, boundary: str) -> str:
        if self.fired_at is None and visit.step == self._step and len(visit.boundaries) == 10:
            self.fired_at, self.name = time.monotonic(), f"{visit.step}: {boundary}"
            self._move()
            time.sleep(_LOOK_SECONDS)
        return GO
