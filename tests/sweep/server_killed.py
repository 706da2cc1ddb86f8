"""The server is killed at every boundary of its statements, and at every boundary of its function's words."""

from __future__ import annotations

import shutil
import signal
import threading
import time

from keyturn import ids
from keyturn.storage.rotation_leases import LEASE
from keyturn.testing.postgresql import PostgresqlServer

from .bench import LANES, Bench, Outcome, Point, Report, side_by_side
from .gate import GO, AtBoundary, Decide, go
from .lane import Lane

_END_SECONDS = 60.0
# After a rotation has ended its last events are stored and the scheduler looks round once more.
_SETTLE_SECONDS = 0.5
_POLL_SECONDS = 0.02
# A server that starts again on PostgreSQL must let the lease of the one that died run out: its clock is put forward.
LEASE_SECONDS = LEASE.total_seconds()


class Ground:
    """A lane with its server stopped, and a copy of everything as it was before the first rotation."""

    def __init__(self, bench: Bench, target: PostgresqlServer, *, on_postgresql: bool) -> None:
        self.bench = bench
        self._state = target if on_postgresql else None
        self.keyturn = bench.keyturn(database_url=bench.database(target) if on_postgresql else "")
        self.lane = Lane(self.keyturn, target, bench.name("killed"))
        self.keyturn.start()
        self.lane.create(bench.gate)
        self.keyturn.stop()
        self._data = self.keyturn.settings.data_dir
        self._copy = self._data.with_name("copy")
        shutil.copytree(self._data, self._copy)
        if self._state:
            self._database = self.keyturn.settings.database_url.rpartition("/")[2]
            self._state.run(f"CREATE DATABASE {self._database}_copy TEMPLATE {self._database}")

    @property
    def clock_seconds(self) -> float:
        """How far the clock of a server that starts again is put forward."""
        return LEASE_SECONDS + 1 if self._state else 0

    def restore(self) -> None:
        """Put everything back; the server must not run."""
        self.lane.reset_user()
        shutil.rmtree(self._data)
        shutil.copytree(self._copy, self._data)
        if self._state:
            self._state.run(f"DROP DATABASE {self._database} WITH (FORCE)")
            self._state.run(f"CREATE DATABASE {self._database} TEMPLATE {self._database}_copy")

    def begin(self, decide: Decide) -> Point:
        """Start the server on what was put back, and get ready to rotate."""
        self.keyturn.end()
        self.restore()
        self.keyturn.start()
        before = self.lane.version("AWSCURRENT")
        watched = self.bench.gate.watch(self.lane.secret_arn, decide)
        return Point(self.lane, before, ids.new_version_id(), watched, time.monotonic())

    def go_on(self, point: Point, *, acknowledged: bool) -> None:
        """Start the server again, and repeat a call that was never answered, as an SDK does."""
        point.fault_at, point.may_repeat = time.monotonic(), True
        self.keyturn.start(clock_seconds=self.clock_seconds)
        if not acknowledged and not self.lane.rotate(point.token):
            raise AssertionError("the repeated RotateSecret was not answered either")


def at_statements(bench: Bench, *, on_postgresql: bool) -> Report:
    """Kill the server at boundaries of statements, of its own and of those that its function's calls cause."""
    target = bench.postgresql()
    first = Ground(bench, target, on_postgresql=on_postgresql)
    points = bench.choice.of(range(1, _count(first) + 1))
    others = (Ground(bench, target, on_postgresql=on_postgresql) for _ in points[1:LANES])
    name = f"server killed at a statement, state in {'PostgreSQL' if on_postgresql else 'SQLite'}"
    return side_by_side(name, [first, *others], points, _play_statement)


def at_words(bench: Bench) -> Report:
    """Kill the server at boundaries of its function's words: while it waits for the function, or answers it."""
    target = bench.postgresql()
    first = Ground(bench, target, on_postgresql=False)
    counting = AtBoundary(0, lambda: GO)
    point = first.begin(counting)
    first.lane.rotate(point.token)
    first.lane.wait_for_end(point.token, _END_SECONDS)
    points = bench.choice.of(range(1, counting.count + 1))
    others = (Ground(bench, target, on_postgresql=False) for _ in points[1:LANES])
    return side_by_side("server killed at a word of its function", [first, *others], points, _play_word)


def _count(ground: Ground) -> int:
    """Rotate once undisturbed and return how many boundaries that has."""
    point = ground.begin(go)
    ground.keyturn.order("arm", 0, "kill")
    ground.lane.rotate(point.token)
    ground.lane.wait_for_end(point.token, _END_SECONDS)
    time.sleep(_SETTLE_SECONDS)
    return int(ground.keyturn.order("count"))


def _play_statement(ground: Ground, number: int) -> Outcome:
    point = ground.begin(go)
    ground.keyturn.order("arm", number, "kill")
    acknowledged = ground.lane.rotate(point.token)
    if not _dies(ground, point):
        # Or looking at what is left would kill it.
        ground.keyturn.order("arm", 0, "kill")
        return point.judged(number, "not reached", ground.lane.wait_for_end(point.token, _END_SECONDS))
    ground.go_on(point, acknowledged=acknowledged)
    return point.judged(number, ground.keyturn.where(), ground.lane.wait_for_end(point.token, _END_SECONDS))


def _dies(ground: Ground, point: Point) -> bool:
    """Wait until the server has died, or has no reason to any more."""
    with ground.lane.stores() as stores:
        settled_at: float | None = None
        while not ground.keyturn.wait_for_death(_POLL_SECONDS):
            now = time.monotonic()
            seen = ground.lane.seen(stores, point.token)
            if settled_at is None and seen and seen.has_ended:
                settled_at = now + _SETTLE_SECONDS
            if now > (settled_at or point.began + _END_SECONDS):
                return False
    return True


def _play_word(ground: Ground, number: int) -> Outcome:
    killed = threading.Event()

    def kill() -> str:
        ground.keyturn.signal(signal.SIGKILL)
        killed.set()
        return GO

    at = AtBoundary(number, kill)
    point = ground.begin(at)
    acknowledged = ground.lane.rotate(point.token)
    if not killed.wait(_END_SECONDS):
        return point.judged(number, "not reached", ground.lane.wait_for_end(point.token, 0))
    ground.go_on(point, acknowledged=acknowledged)
    return point.judged(number, at.name, ground.lane.wait_for_end(point.token, _END_SECONDS))
